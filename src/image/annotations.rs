//! Annotations of manifests and descriptors (OCI image-spec, annotations.md): kept as text, looked up when asked for.
//!
//! A manifest may consist of nothing else, so they take no more memory than the bytes they came in. Of a repeated key the
//! last value counts, as it does to all other readers.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A map from names to texts. Values that are not strings count as absent.
#[derive(Clone, Default)]
pub struct Annotations(Option<Box<RawValue>>);

impl Annotations {
    /// Of the value of the key `annotations`; what is not an object counts as none.
    pub(super) fn new(value: Option<&RawValue>) -> Self {
        Self(value.filter(|value| value.get().starts_with('{')).map(ToOwned::to_owned))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<String> {
        let mut last = None;
        self.each(|found, value| {
            if found == key {
                last = super::decisive::text(value);
            }
        });
        last
    }

    /// The first `limit` of them.
    pub fn first(&self, limit: usize) -> BTreeMap<String, String> {
        let mut first = BTreeMap::new();
        self.each(|key, value| {
            if (first.len() < limit || first.contains_key(key))
                && let Some(value) = super::decisive::text(value)
            {
                first.insert(key.to_owned(), value);
            }
        });
        first
    }

    /// All of them with their values, whatever those are.
    pub fn to_map(&self) -> Map<String, Value> {
        let map = self.0.as_ref().and_then(|text| serde_json::from_str(text.get()).ok());
        map.unwrap_or_default()
    }

    fn each(&self, mut on: impl FnMut(&str, &RawValue)) {
        if let Some(text) = &self.0 {
            // It was valid when it was read; if it were not, it would count as it does up to there.
            let _ = serde_json::Deserializer::from_str(text.get()).deserialize_map(Each(&mut on));
        }
    }
}

impl PartialEq for Annotations {
    fn eq(&self, other: &Self) -> bool {
        let text = |own: &Self| own.0.as_ref().map(|text| text.get().to_owned());
        text(self) == text(other)
    }
}

impl Eq for Annotations {}

impl fmt::Debug for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().map_or("{}", |text| text.get()))
    }
}

struct Each<F>(F);

impl<'de, F: FnMut(&str, &RawValue)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            (self.0)(&key, map.next_value::<&RawValue>()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Annotations {
        Annotations::new(Some(&serde_json::from_str::<Box<RawValue>>(json).unwrap()))
    }

    #[test]
    fn the_last_of_a_repeated_key_counts_and_only_texts_do() {
        let found = of(r#"{"a":"1","b":7,"a":"2","\u0063":"3"}"#);
        assert_eq!(
            (found.get("a").as_deref(), found.get("b"), found.get("c").as_deref()),
            (Some("2"), None, Some("3"))
        );
        assert_eq!(found.first(1), BTreeMap::from([("a".to_owned(), "2".to_owned())]));
        assert_eq!(found.first(9).len(), 2);
        assert_eq!(found.to_map().len(), 3);
        for none in ["[]", "7", r#""a""#] {
            assert_eq!(of(none), Annotations::default());
            assert_eq!(of(none).get("a"), None);
        }
    }
}
