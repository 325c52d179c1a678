//! What is kept of a config for people to read: the first entries of a list, each up to some length.
//!
//! A config of a few megabytes may consist of a million words. They are counted as they are read, and never become a
//! million texts. The digest of what was cut still tells two configs apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Digest, decisive};

/// Entries of one list.
const MAX_ENTRIES: usize = 200;
/// Characters of one text.
pub const MAX_CHARS: usize = 1000;
/// Bytes of all texts of one list.
const MAX_BYTES: usize = 32 << 10;

/// What is not kept of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Entries that are left out. There may be none: then one was shortened.
    pub entries: usize,
    /// Of the whole field as it was written.
    pub digest: Digest,
}

/// `text` for people, of which so many characters are shown at the most.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reads one field, and counts what it leaves out.
#[derive(Default)]
struct Keeper {
    entries: usize,
    bytes: usize,
    left_out: usize,
    is_cut: bool,
}

impl Keeper {
    /// A text, if there is room for it.
    fn keep(&mut self, text: String) -> Option<String> {
        let text = if text.len() > MAX_CHARS {
            let short = shortened(&text, MAX_CHARS);
            self.is_cut |= short != text;
            short
        } else {
            text
        };
        if self.entries >= MAX_ENTRIES || self.bytes + text.len() > MAX_BYTES {
            self.leave_out();
            return None;
        }
        self.entries += 1;
        self.bytes += text.len();
        Some(text)
    }

    fn is_full(&self) -> bool {
        self.entries >= MAX_ENTRIES
    }

    fn leave_out(&mut self) {
        self.left_out += 1;
        self.is_cut = true;
    }

    fn cut(&self, field: &RawValue) -> Option<Cut> {
        let digest = || Digest::sha256(field.get().as_bytes());
        self.is_cut.then(|| Cut { entries: self.left_out, digest: digest() })
    }
}

/// A text; none if `field` is something else.
pub(super) fn text(field: &RawValue) -> (Option<String>, Option<Cut>) {
    let mut keeper = Keeper::default();
    let text = decisive::text(field).and_then(|text| keeper.keep(text));
    (text, keeper.cut(field))
}

/// A list of texts; one text alone is a list to Docker. What is not a text does not count.
pub(super) fn words(field: &RawValue) -> (Vec<String>, Option<Cut>) {
    let (mut keeper, mut words) = (Keeper::default(), Vec::new());
    if field.get().starts_with('[') {
        let mut reader = serde_json::Deserializer::from_str(field.get());
        // It was valid when it was read.
        let _ = reader.deserialize_seq(Items(&mut |item: &RawValue| {
            if keeper.is_full() {
                if item.get().starts_with('"') {
                    keeper.leave_out();
                }
            } else if let Some(text) = decisive::text(item) {
                words.extend(keeper.keep(text));
            }
        }));
    } else if let Some(text) = decisive::text(field) {
        words.extend(keeper.keep(text));
    }
    (words, keeper.cut(field))
}

/// The keys of an object.
pub(super) fn names(field: &RawValue) -> (BTreeSet<String>, Option<Cut>) {
    let (mut keeper, mut names) = (Keeper::default(), BTreeSet::new());
    let is_whole = each(field, &mut |name, _| {
        if !names.contains(&name) {
            names.extend(keeper.keep(name));
        }
    });
    if is_whole { (names, keeper.cut(field)) } else { (BTreeSet::new(), None) }
}

/// The texts of an object by their keys. Of a repeated key the last value counts.
pub(super) fn texts(field: &RawValue) -> (BTreeMap<String, String>, Option<Cut>) {
    let (mut keeper, mut texts) = (Keeper::default(), BTreeMap::<String, String>::new());
    let is_whole = each(field, &mut |name, value| {
        // The room of the earlier one is free again.
        if let Some(earlier) = texts.remove(&name) {
            keeper.entries -= 1;
            keeper.bytes -= name.len() + earlier.len();
        }
        if keeper.is_full() {
            if value.get().starts_with('"') {
                keeper.leave_out();
            }
            return;
        }
        let Some(value) = decisive::text(value) else { return };
        let (short_name, short) = (shortened(&name, MAX_CHARS), shortened(&value, MAX_CHARS));
        keeper.is_cut |= short != value || short_name != name;
        if texts.contains_key(&short_name) || keeper.bytes + short_name.len() + short.len() > MAX_BYTES {
            keeper.leave_out();
            return;
        }
        keeper.entries += 1;
        keeper.bytes += short_name.len() + short.len();
        texts.insert(short_name, short);
    });
    if is_whole { (texts, keeper.cut(field)) } else { (BTreeMap::new(), None) }
}

/// Whether `field` is an object all of whose keys are texts.
fn each(field: &RawValue, on: &mut dyn FnMut(String, &RawValue)) -> bool {
    field.get().starts_with('{')
        && serde_json::Deserializer::from_str(field.get()).deserialize_map(Pairs(on)).is_ok()
}

struct Items<'a>(&'a mut dyn FnMut(&RawValue));

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            (self.0)(item);
        }
        Ok(())
    }
}

struct Pairs<'a>(&'a mut dyn FnMut(String, &RawValue));

impl<'de> Visitor<'de> for Pairs<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key::<String>()? {
            (self.0)(name, map.next_value::<&RawValue>()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_fits_is_kept_whole() {
        assert_eq!(words(raw(r#"["a",1,"b"]"#)), (vec!["a".to_owned(), "b".to_owned()], None));
        assert_eq!(words(raw(r#""a""#)), (vec!["a".to_owned()], None));
        assert_eq!(words(raw("{}")), (Vec::new(), None));
        let (found, cut) = texts(raw(r#"{"a":"1","b":"2","a":3,"c":"x","c":"y"}"#));
        let expected = [("b", "2"), ("c", "y")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((found, cut), (BTreeMap::from(expected), None));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_tells_two_fields_apart() {
        let many = |last: &str| format!("[{}\"{last}\"]", r#""a","#.repeat(1000));
        let (one, other) = (many("x"), many("y"));
        let ((kept, cut), (_, cut_of_other)) = (words(raw(&one)), words(raw(&other)));
        assert_eq!((kept.len(), cut.as_ref().map(|cut| cut.entries)), (MAX_ENTRIES, Some(801)));
        assert_ne!(cut, cut_of_other);
        let pairs: Vec<String> = (0..500).map(|n| format!(r#""{n}":"v""#)).collect();
        let object = format!("{{{}}}", pairs.join(","));
        let (kept, cut) = names(raw(&object));
        assert_eq!((kept.len(), cut.map(|cut| cut.entries)), (MAX_ENTRIES, Some(300)));
        let (kept, cut) = texts(raw(&object));
        assert_eq!((kept.len(), cut.map(|cut| cut.entries)), (MAX_ENTRIES, Some(300)));
        let long = format!(r#"["{}"]"#, "ä".repeat(5000));
        let (kept, cut) = words(raw(&long));
        assert_eq!((kept[0].chars().count(), cut.map(|cut| cut.entries)), (MAX_CHARS + 1, Some(0)));
        let large = format!("[{}1]", format!(r#""{}","#, "a".repeat(900)).repeat(100));
        let (kept, cut) = words(raw(&large));
        assert_eq!((kept.len(), cut.map(|cut| cut.entries)), (36, Some(64)));
    }
}
