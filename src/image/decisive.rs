//! One reading of JSON for all tools: objects in which the keys that decide what runs appear once, in one spelling.
//!
//! Readers written in Go match keys in any case and keep the last of several; others match the exact key. A document
//! that repeats a decisive key, or spells it in another case, is a different image to different tools: it is refused.
//! All other keys are skipped without being kept, and may be repeated.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why the decisive keys of an object cannot be read in one way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("not JSON: {0}")]
    Json(String),
    #[error("the key {0:?} appears more than once, so tools disagree about which one counts")]
    Repeated(&'static str),
    #[error("the key {found:?} means {key:?} to some tools and nothing to others")]
    OtherCase { key: &'static str, found: String },
}

/// The keys of an object that are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    /// Each may appear once, spelt exactly like this.
    pub(super) decisive: &'static [&'static str],
    /// Of these the last one counts.
    pub(super) lenient: &'static [&'static str],
}

/// Values of an object, as the text they were written in.
pub(super) type Fields<'a> = BTreeMap<&'static str, &'a RawValue>;

impl Keys {
    /// The values of these keys in the object `json`; none if it is JSON of another kind. A value of `null` counts as
    /// absent, as it does to other readers.
    pub(super) fn read(self, json: &[u8]) -> Result<Option<Fields<'_>>, KeyError> {
        if json.trim_ascii_start().first() != Some(&b'{') {
            let valid = serde_json::from_slice::<IgnoredAny>(json);
            return valid.map(|_| None).map_err(|error| KeyError::Json(error.to_string()));
        }
        let mut refused = None;
        let mut reader = serde_json::Deserializer::from_slice(json);
        let read = reader.deserialize_map(Object { keys: self, refused: &mut refused });
        match (read.and_then(|fields| reader.end().map(|()| fields)), refused) {
            (_, Some(refused)) => Err(refused),
            (Ok(fields), None) => Ok(Some(fields)),
            (Err(error), None) => Err(KeyError::Json(error.to_string())),
        }
    }
}

struct Object<'e> {
    keys: Keys,
    refused: &'e mut Option<KeyError>,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
        let (mut fields, mut seen) = (Fields::new(), Vec::new());
        while let Some(found) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if let Some(key) = self.keys.decisive.iter().copied().find(|key| folds_to(&found, key)) {
                let refused = if found != key {
                    Some(KeyError::OtherCase { key, found: found.chars().take(120).collect() })
                } else if seen.contains(&key) {
                    Some(KeyError::Repeated(key))
                } else {
                    None
                };
                if refused.is_some() {
                    *self.refused = refused;
                    return Err(de::Error::custom("a decisive key in two readings"));
                }
                seen.push(key);
            }
            let known = self.keys.decisive.iter().chain(self.keys.lenient).copied().find(|key| found == *key);
            match known {
                Some(key) => match map.next_value::<&RawValue>()? {
                    null if null.get() == "null" => drop(fields.remove(key)),
                    value => drop(fields.insert(key, value)),
                },
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

/// Whether a reader that ignores case takes `found` for `key`, which is ASCII. Besides the letters themselves, the Kelvin
/// sign folds to `k` and the long s to `s` (Unicode simple case folding, as in Go's encoding/json).
fn folds_to(found: &str, key: &str) -> bool {
    let fold = |c: char| match c {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        c => c.to_ascii_lowercase(),
    };
    found.chars().map(fold).eq(key.chars().map(fold))
}

/// The text of a JSON string; none if `value` is something else.
pub(super) fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The elements of a JSON list; none if `value` is something else.
pub(super) fn list(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Keys = Keys { decisive: &["config", "os.version", "mask"], lenient: &["annotations"] };

    fn read(json: &str) -> Result<Option<Vec<(&'static str, String)>>, String> {
        let fields = KEYS.read(json.as_bytes()).map_err(|error| error.to_string())?;
        Ok(fields
            .map(|fields| fields.into_iter().map(|(key, value)| (key, value.get().to_owned())).collect()))
    }

    #[test]
    fn a_decisive_key_has_one_spelling_and_one_place() {
        for (json, says) in [
            (r#"{"config":1,"config":2}"#, "more than once"),
            (r#"{"config":null,"config":2}"#, "more than once"),
            (r#"{"config":1,"Config":2}"#, r#""Config" means "config""#),
            (r#"{"CONFIG":2}"#, r#""CONFIG" means "config""#),
            (r#"{"\u0043onfig":2}"#, r#""Config" means"#),
            (r#"{"OS.version":2}"#, "os.version"),
            ("{\"ma\u{17f}\u{212a}\":2}", r#"means "mask""#),
            (r#"{"mas\u212A":2}"#, r#"means "mask""#),
            (r#"{"config":1}x"#, "not JSON"),
            (r#"{"config":1"#, "not JSON"),
            ("{\"config\":\"\u{1}\"}", "not JSON"),
            (r#"{"\ud800":1}"#, "not JSON"),
            ("[1", "not JSON"),
            ("", "not JSON"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(says), "{json}: {error}");
        }
        assert!(KEYS.read(b"{\"config\":\"\xff\"}").is_err());
    }

    #[test]
    fn other_keys_may_be_repeated_and_the_last_counts() {
        let found = read(r#" {"annotations":1,"x":1,"X":[{}],"annotations":{"a":2},"c\u006fnfig":null}"#);
        assert_eq!(found, Ok(Some(vec![("annotations", r#"{"a":2}"#.to_owned())])));
        for other in ["[]", "7", "null", r#""config""#] {
            assert_eq!(read(other), Ok(None));
        }
    }

    #[test]
    fn depth_takes_no_stack() {
        let deep = format!(r#"{{"x":{}1{},"config":{0}{1}}}"#, "[".repeat(300_000), "]".repeat(300_000));
        assert!(KEYS.read(deep.as_bytes()).is_ok());
        assert!(KEYS.read("[".repeat(300_000).as_bytes()).is_err());
    }
}
