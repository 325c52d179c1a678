//! The built-in catalogs, and the JSON Schema and example for others.

use super::Catalog;

/// Name, version, text. The newest version of a name comes first, because a name without a version means it.
const SHIPPED: &[(&str, &str, &str)] = &[
    ("stackstate", "4.1", include_str!("../../catalog/stackstate-4.1.yaml")),
    ("cert-manager", "1.21", include_str!("../../catalog/cert-manager-1.21.yaml")),
];

/// The JSON Schema of catalogs.
pub const SCHEMA: &str = include_str!("../../catalog/catalog.schema.json");

/// A catalog with every key, explained.
pub const EXAMPLE: &str = include_str!("../../catalog/example.yaml");

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no built-in catalog {name:?} (available: {known}); name a file by its path, for example ./{name}.yaml"
)]
pub struct UnknownCatalog {
    name: String,
    known: String,
}

/// The names of all built-in catalogs, as [`get`] takes them.
pub fn names() -> Vec<String> {
    SHIPPED.iter().map(|(name, version, _)| format!("{name}@{version}")).collect()
}

/// The catalog called `name@version`, or just `name`.
pub fn get(name: &str) -> Result<Catalog, UnknownCatalog> {
    Ok(super::parse(text(name)?.as_bytes(), None).expect("shipped catalogs are valid: a test reads each"))
}

/// The text of that catalog.
pub fn text(name: &str) -> Result<&'static str, UnknownCatalog> {
    let found = SHIPPED.iter().find(|(known, version, _)| match name.split_once('@') {
        Some((bare, wanted)) => bare == *known && wanted == *version,
        None => name == *known,
    });
    found.map(|(_, _, text)| *text).ok_or_else(|| UnknownCatalog {
        name: name.chars().filter(|c| !c.is_control()).take(80).collect(),
        known: names().join(", "),
    })
}
