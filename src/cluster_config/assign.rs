//! Assigns values to value paths, so that every row of a catalog gets the values it needs.
//!
//! A row's paths fall back from the first to the last. A path that several rows share is set once where one value fits
//! all of them; where none does, each row's own path is set instead. A path that rows need different values of, with
//! nowhere else to go, is a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The value that one row needs for one of its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// The row, for messages.
    pub(super) row: String,
    /// Paths that set it: the row's own first, then those it falls back to. Never empty.
    pub(super) paths: Vec<String>,
    pub(super) value: String,
}

/// A path that needs different values: each value with the rows that need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub path: String,
    pub needs: Vec<(String, Vec<String>)>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value path {} would have to be", self.path)?;
        for (value, rows) in &self.needs {
            write!(f, "\n  {value:?} for {}", rows.join("\n    and "))?;
        }
        Ok(())
    }
}

/// Assigns values for `needs`. The `fixed` values are always set.
pub(super) fn assign(
    needs: &[Need],
    fixed: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Vec<Conflict>> {
    let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for need in needs {
        for path in &need.paths {
            wanted.entry(path).or_default().insert(&need.value);
        }
    }
    let mut set = fixed.clone();
    let mut lost = BTreeSet::new();
    for need in needs {
        // From the most shared to the row's own: the first that one value fits.
        let fits = |path: &&String| {
            wanted[path.as_str()].len() == 1 && set.get(*path).is_none_or(|value| *value == need.value)
        };
        let path = need.paths.iter().rev().find(fits).unwrap_or(&need.paths[0]);
        if set.entry(path.clone()).or_insert_with(|| need.value.clone()) != &need.value {
            lost.insert(path.clone());
        }
    }
    // A value that others set may stand before the one a row falls back to; then the row's own is set, which may stand
    // before another's. Each turn sets one more, so it ends.
    loop {
        let lacks_it = |need: &&Need| need.paths.iter().find_map(|path| set.get(path)) != Some(&need.value);
        let wrong: Vec<&Need> = needs.iter().filter(lacks_it).collect();
        let Some(open) = wrong.iter().find(|need| !set.contains_key(&need.paths[0])) else {
            lost.extend(wrong.iter().map(|need| need.paths[0].clone()));
            break;
        };
        set.insert(open.paths[0].clone(), open.value.clone());
    }
    if lost.is_empty() {
        Ok(set)
    } else {
        Err(lost.iter().map(|path| conflict(path, needs, fixed)).collect())
    }
}

fn conflict(path: &str, needs: &[Need], fixed: &BTreeMap<String, String>) -> Conflict {
    let mut by_value: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    if let Some(value) = fixed.get(path) {
        by_value.entry(value).or_default().push("the catalog's own values".to_owned());
    }
    for need in needs.iter().filter(|need| need.paths.iter().any(|one| one == path)) {
        by_value.entry(&need.value).or_default().push(need.row.clone());
    }
    let needs = by_value.into_iter().map(|(value, rows)| (value.to_owned(), rows)).collect();
    Conflict { path: path.to_owned(), needs }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need(row: &str, paths: &[&str], value: &str) -> Need {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Need { row: row.to_owned(), paths, value: value.to_owned() }
    }

    /// `path=value`, in order.
    fn settled(needs: &[Need], fixed: &[(&str, &str)]) -> String {
        let fixed = fixed.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        match assign(needs, &fixed) {
            Ok(set) => {
                set.iter().map(|(path, value)| format!("{path}={value}")).collect::<Vec<_>>().join(" ")
            }
            Err(conflicts) => conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn what_is_shared_is_set_once_where_one_value_fits_all() {
        let rows = |third: &str| {
            [
                need("a", &["a.tag", "all.tag"], "1"),
                need("b", &["b.tag", "all.tag"], "1"),
                need("c", &["c.tag", "all.tag"], third),
            ]
        };
        assert_eq!(settled(&rows("1"), &[]), "all.tag=1");
        assert_eq!(settled(&rows("2"), &[]), "a.tag=1 b.tag=1 c.tag=2");
        // A row whose only path is the shared one has nowhere else to go.
        let only = [need("a", &["a.tag", "all.tag"], "1"), need("b", &["all.tag"], "2")];
        assert_eq!(settled(&only, &[]), "a.tag=1 all.tag=2");
        let own_is_shared = [need("a", &["x"], "1"), need("b", &["x"], "1"), need("c", &["y", "x"], "1")];
        assert_eq!(settled(&own_is_shared, &[]), "x=1");
        let between = [
            need("a", &["a", "group", "all"], "1"),
            need("b", &["b", "group", "all"], "1"),
            need("c", &["c", "all"], "2"),
        ];
        assert_eq!(settled(&between, &[]), "c=2 group=1");
        assert_eq!(settled(&[need("a", &["a", "all"], "1")], &[("all", "9")]), "a=1 all=9");
        assert_eq!(settled(&[need("a", &["a", "all"], "9")], &[("all", "9")]), "all=9");
    }

    #[test]
    fn conflicts_name_the_rows() {
        let rows =
            [need("shop, Server: r.io/a:1", &["tag"], "1"), need("shop, Worker: r.io/b:2", &["tag"], "2")];
        insta::assert_snapshot!(settled(&rows, &[]), @r#"
        value path tag would have to be
          "1" for shop, Server: r.io/a:1
          "2" for shop, Worker: r.io/b:2
        "#);
        assert!(settled(&rows[..1], &[("tag", "3")]).contains("the catalog's own values"));
        // Another's own path stands before what this row falls back to.
        let crossed = [need("a", &["x", "all"], "1"), need("b", &["x"], "2")];
        assert!(settled(&crossed, &[]).contains("value path x"), "{}", settled(&crossed, &[]));
    }

    proptest! {
        #[test]
        fn what_is_settled_gives_every_row_what_it_needs(
            rows in prop::collection::vec((prop::collection::vec(0..6usize, 1..4), 0..3u8), 0..8),
            fixed in prop::collection::btree_map(0..6usize, 0..3u8, 0..2),
        ) {
            let needs: Vec<Need> = rows
                .iter()
                .map(|(paths, value)| {
                    let mut paths: Vec<String> = paths.iter().map(|path| format!("p{path}")).collect();
                    paths.dedup();
                    Need { row: String::new(), paths, value: value.to_string() }
                })
                .collect();
            let fixed: BTreeMap<String, String> =
                fixed.iter().map(|(path, value)| (format!("p{path}"), value.to_string())).collect();
            if let Ok(set) = assign(&needs, &fixed) {
                for need in &needs {
                    let effective = need.paths.iter().find_map(|path| set.get(path));
                    prop_assert_eq!(effective, Some(&need.value), "{:?} {:?}", need, set);
                }
                for (path, value) in &fixed {
                    prop_assert_eq!(set.get(path), Some(value));
                }
            }
        }
    }
}
