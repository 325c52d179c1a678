//! The Helm override file: `global.imageRegistry`, and what the catalog always sets.

use serde_json::{Map, Value};

use crate::archive::manifest::CatalogRecord;
use crate::destination::Destination;

/// The value path charts commonly read a registry override from.
const COMMON_OVERRIDE: &str = "global.imageRegistry";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValuesError {
    #[error("value path {0:?} is set both to a value and to further values below it")]
    Conflict(String),
    #[error("the values cannot be written as YAML: {0}")]
    Yaml(String),
}

/// The override file for `destination`, as YAML.
pub fn helm_values(catalog: &CatalogRecord, destination: &Destination) -> Result<String, ValuesError> {
    let mut root = Map::new();
    let path = catalog.registry_override.as_deref().unwrap_or(COMMON_OVERRIDE);
    set(&mut root, path, Value::String(destination.to_string()))?;
    for (path, value) in &catalog.values {
        set(&mut root, path, Value::String(value.clone()))?;
    }
    let yaml = serde_saphyr::to_string(&Value::Object(root)).map_err(|e| ValuesError::Yaml(e.to_string()))?;
    let ends = if yaml.ends_with('\n') { "" } else { "\n" };
    Ok(format!("# Helm values: the images of {} come from {destination}.\n{yaml}{ends}", named(catalog)))
}

fn named(catalog: &CatalogRecord) -> String {
    let name = if catalog.name.is_empty() { "this bundle" } else { &catalog.name };
    let text =
        if catalog.version.is_empty() { name.to_owned() } else { format!("{name} {}", catalog.version) };
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Sets a dotted path; a literal dot in a key is written `\.`, as in Helm's `--set`.
fn set(root: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), ValuesError> {
    let conflict = || ValuesError::Conflict(path.to_owned());
    let mut keys = split(path);
    let Some(last) = keys.pop() else {
        return Err(conflict());
    };
    let mut place = root;
    for key in keys {
        let next = place.entry(key).or_insert_with(|| Value::Object(Map::new()));
        place = next.as_object_mut().ok_or_else(conflict)?;
    }
    match place.insert(last, value) {
        Some(Value::Object(_)) => Err(conflict()),
        _ => Ok(()),
    }
}

fn split(path: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match (c, keys.last_mut()) {
            ('.', _) => keys.push(String::new()),
            ('\\', Some(key)) => key.extend(chars.next()),
            (_, Some(key)) => key.push(c),
            (_, None) => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn catalog(values: &[(&str, &str)]) -> CatalogRecord {
        let values: BTreeMap<_, _> = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        CatalogRecord { name: "stackstate".into(), version: "4.1".into(), values, ..CatalogRecord::default() }
    }

    #[test]
    fn paths_become_nested_maps_and_empty_strings_stay() {
        let destination = "registry.local:5000/mirror".parse().unwrap();
        let text = helm_values(&catalog(&[("a.all.suffix", ""), ("a.x\\.y", "true")]), &destination).unwrap();
        insta::assert_snapshot!(text, @r#"
        # Helm values: the images of stackstate 4.1 come from registry.local:5000/mirror.
        a:
          all:
            suffix: ""
          x.y: "true"
        global:
          imageRegistry: registry.local:5000/mirror
        "#);
    }

    #[test]
    fn a_path_cannot_be_value_and_map() {
        let destination = "registry.local".parse().unwrap();
        for values in [[("a", "1"), ("a.b", "2")], [("a.b", "2"), ("a.b.c", "1")]] {
            assert!(matches!(helm_values(&catalog(&values), &destination), Err(ValuesError::Conflict(_))));
        }
    }
}
