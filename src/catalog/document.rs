//! A catalog in YAML or JSON as it is written, before anything is checked but keys and shapes.
//!
//! JSON is read as the YAML it also is. Unknown and repeated keys are collected with their lines; only what leaves
//! the parser without a next step (syntax, a list where a text belongs) ends it at once.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error as YamlError, Location, Spanned};

use super::problem::Problem;

/// Lists and tables inside each other. A catalog has four levels.
const MAX_DEPTH: usize = 32;

/// A scalar as it is written (`4.10` stays `4.10`), with its line.
pub(super) type Text = Spanned<String>;

pub(super) fn read(text: &str) -> Result<Document, Problem> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        // Beyond what the parser looks ahead, so that too much depth is always our limit's error, which has a type.
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, flow_nesting_limit: 4096 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().map_or(0, |location| location.line());
        Problem::at(line, excess(error).map_or_else(|| in_our_words(error), str::to_owned))
    })
}

/// Reads YAML into a type that refuses unknown fields itself.
pub(super) fn from_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| problem(&error))
}

/// Block style, every text on one line, in the order of the fields.
pub(super) fn to_yaml(value: &impl serde::Serialize) -> Result<String, String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| error.to_string())
}

fn problem(error: &YamlError) -> Problem {
    let error = error.without_snippet();
    let line = error.location().map_or(0, |location| location.line());
    let message = excess(error).map_or_else(|| in_one_line(error), str::to_owned);
    Problem::at(line, message)
}

/// Words for an unexpected shape. The parser's own message is about its events, which does not help people.
fn in_our_words(error: &YamlError) -> String {
    match error {
        YamlError::AliasError { error, .. } => in_our_words(error),
        YamlError::Eof { .. } => "it ends too early".to_owned(),
        YamlError::MultipleDocuments { .. } => {
            "a catalog is one YAML document, and a second one begins here (---)".to_owned()
        }
        YamlError::Unexpected { expected, .. } => match *expected {
            "sequence start" => "a list is expected here, with \"- \" before each of its items".to_owned(),
            "mapping start" => "a table is expected here (key: value)".to_owned(),
            _ => "a text is expected here".to_owned(),
        },
        YamlError::SerdeInvalidType { unexpected, expected, .. } => {
            let there = match unexpected.split(' ').next().unwrap_or_default() {
                "sequence" => "a list",
                "map" => "a table",
                "string" => "a text",
                "integer" | "floating" => "a number",
                "boolean" => "true or false",
                _ => "this",
            };
            format!("{expected} is expected here, not {there}")
        }
        YamlError::InvalidBooleanStrict { .. } => "true or false is expected here".to_owned(),
        YamlError::NullIntoString { .. } => "a text is expected here".to_owned(),
        _ => "this is not valid YAML: check its indentation, quotes and brackets. A plain list has one image on \
              each line, without \"- \" and \"key:\""
            .to_owned(),
    }
}

/// The parser's message without the line, which begins every problem already.
fn in_one_line(error: &YamlError) -> String {
    let message = match error {
        // The line gives the place of the anchor, and the inner error the problem.
        YamlError::AliasError { error, .. } => return in_one_line(error),
        error => error.to_string(),
    };
    let message = message.lines().next().unwrap_or_default();
    message.rsplit_once(" at line ").map_or(message, |(before, _)| before).to_owned()
}

/// Problems with aliases that expand without limit, deep nesting and the like.
fn excess(error: &YamlError) -> Option<&'static str> {
    Some(match error {
        YamlError::AliasReplayCounterOverflow { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. }
        | YamlError::Budget { breach: BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. }, .. } => {
            "its anchors (&) and aliases (*) expand to more than a catalog may have; write the values out"
        }
        YamlError::RecursiveReferencesRequireWeakTypes { .. } => {
            "the alias (*) stands inside its own anchor (&)"
        }
        YamlError::UnknownAnchor { .. } => {
            "the alias (*) has no anchor (&) before it; an image that begins with * needs quotes"
        }
        YamlError::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            "it is nested more deeply than a catalog may be"
        }
        YamlError::Budget { .. } => "it has more content than a catalog may have",
        YamlError::AliasError { error, .. } => return excess(error),
        _ => return None,
    })
}

/// A table with fixed keys: every key that is not one of them, or comes twice, is a problem.
macro_rules! table {
    ($type:ident, $what:literal, { $($key:literal => $field:ident),* $(,)? } $(, $extra:item)*) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Table;
                impl<'de> Visitor<'de> for Table {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$type, A::Error> {
                        let mut table = $type::default();
                        let mut seen = BTreeSet::new();
                        while let Some(key) = map.next_key::<Text>()? {
                            let line = key.referenced.line();
                            let known = [$($key),*];
                            if !seen.insert(key.value.clone()) {
                                map.next_value::<IgnoredAny>()?;
                                let message = format!("key {:?} appears twice in {}", key.value, $what);
                                table.problems.push(Problem::at(line, message));
                                continue;
                            }
                            match key.value.as_str() {
                                $($key => table.$field = map.next_value()?,)*
                                other => {
                                    map.next_value::<IgnoredAny>()?;
                                    let known = known.join(", ");
                                    let message = format!("{other:?} is not a key of {} (known keys: {known})", $what);
                                    table.problems.push(Problem::at(line, message));
                                }
                            }
                        }
                        Ok(table)
                    }

                    $($extra)*
                }
                deserializer.deserialize_any(Table)
            }
        }
    };
}

#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) name: Option<Text>,
    pub(super) version: Option<Text>,
    pub(super) registry_override: Option<Text>,
    pub(super) variables: Pairs<RawVariable>,
    pub(super) values: Pairs<Text>,
    pub(super) per_image_values: Pairs<Text>,
    pub(super) images: Vec<Spanned<RawEntry>>,
    pub(super) problems: Vec<Problem>,
}

table!(Document, "a catalog", {
    "name" => name,
    "version" => version,
    "registryOverride" => registry_override,
    "variables" => variables,
    "values" => values,
    "perImageValues" => per_image_values,
    "images" => images,
},
// A bare list is a list of images.
fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
    let mut document = Document::default();
    while let Some(item) = items.next_element()? {
        document.images.push(item);
    }
    Ok(document)
});

#[derive(Debug, Default)]
pub(super) struct RawVariable {
    pub(super) default: Option<Text>,
    pub(super) secret: Option<bool>,
    pub(super) description: Option<Text>,
    pub(super) problems: Vec<Problem>,
}

table!(RawVariable, "a variable", {
    "default" => default,
    "secret" => secret,
    "description" => description,
},
// `NAME:` alone is a variable that must be set.
fn visit_unit<E>(self) -> Result<RawVariable, E> {
    Ok(RawVariable::default())
});

#[derive(Debug, Default)]
pub(super) struct RawEntry {
    pub(super) chart: Option<Text>,
    pub(super) component: Option<Text>,
    pub(super) image: Option<Text>,
    pub(super) source: OneOrMany,
    pub(super) archive: Option<Text>,
    pub(super) registry: Option<Text>,
    pub(super) repository: Option<Text>,
    pub(super) tag: OneOrMany,
    pub(super) digest: Option<Text>,
    pub(super) note: Option<Text>,
    pub(super) labels: OneOrMany,
    pub(super) problems: Vec<Problem>,
}

table!(RawEntry, "an image", {
    "chart" => chart,
    "component" => component,
    "image" => image,
    "source" => source,
    "archive" => archive,
    "registry" => registry,
    "repository" => repository,
    "tag" => tag,
    "digest" => digest,
    "note" => note,
    "labels" => labels,
},
// An image may be just its reference.
fn visit_str<E>(self, text: &str) -> Result<RawEntry, E> {
    Ok(RawEntry { image: Some(unplaced(text)), ..RawEntry::default() })
});

/// One text, or a list of them.
#[derive(Debug, Default)]
pub(super) struct OneOrMany(pub(super) Vec<Text>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![unplaced(text)]))
            }

            fn visit_unit<E>(self) -> Result<OneOrMany, E> {
                Ok(OneOrMany::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany(texts))
            }
        }
        deserializer.deserialize_any(Items)
    }
}

/// A table with free keys, in order; repeated keys are problems.
#[derive(Debug)]
pub(super) struct Pairs<T> {
    pub(super) items: Vec<(Text, T)>,
    pub(super) problems: Vec<Problem>,
}

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self { items: Vec::new(), problems: Vec::new() }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_unit<E>(self) -> Result<Pairs<T>, E> {
                Ok(Pairs::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Pairs::default();
                let mut seen = BTreeSet::new();
                while let Some(key) = map.next_key::<Text>()? {
                    if seen.insert(key.value.clone()) {
                        let value = map.next_value()?;
                        pairs.items.push((key, value));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        let message = format!("key {:?} comes twice", key.value);
                        pairs.problems.push(Problem::at(key.referenced.line(), message));
                    }
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_any(Table(PhantomData))
    }
}

/// A text without a line of its own: it has the line of the value that contains it.
fn unplaced(text: &str) -> Text {
    Spanned::new(text.to_owned(), Location::UNKNOWN, Location::UNKNOWN)
}
