//! The content of a catalog: images, variables, and values of its chart.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::entry::Entry;
use super::problem::{CatalogErrors, Problem};
use super::resolve::{ResolvedCatalog, ResolvedImage, other_pin, with_version_of};
use super::spelling::spelling;
use super::template::{MAX_FILLED, Template};
use crate::image::{Reference, ReferenceError};

/// All values of a catalog with their variables filled in, in bytes.
const MAX_VALUES: usize = 16 << 20;

/// A list of images, and the chart values that say where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    pub name: Option<String>,
    pub version: Option<String>,
    pub variables: BTreeMap<String, Variable>,
    /// The value that overrides the registry of every entry, for example `global.imageRegistry`.
    pub registry_override: Option<String>,
    /// Values that are always set, in order: path and template.
    pub values: Vec<(String, Template)>,
    /// Values that are set in addition with `--per-image`, where they override the others.
    pub per_image_values: Vec<(String, Template)>,
    pub entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Default)]
pub struct Variable {
    pub default: Option<String>,
    /// Its value is never shown.
    pub secret: bool,
    pub description: Option<String>,
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.default.as_deref().map(|text| if self.secret { "***" } else { text });
        f.debug_struct("Variable")
            .field("default", &default)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

impl Catalog {
    /// Fills in the variables (`set` over defaults) and reads the references; all problems at once.
    pub fn resolve(&self, set: &[(String, String)]) -> Result<ResolvedCatalog, CatalogErrors> {
        let values = self.variable_values(set)?;
        let mut problems = Vec::new();
        let mut images: Vec<ResolvedImage> = Vec::new();
        let mut places: HashMap<Reference, usize> = HashMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let filled = entry.image.fill(&values);
            let Some(reference) = self.parse_filled(&entry.image, &filled, entry.line, &mut problems) else {
                continue;
            };
            let place = *places.entry(reference.clone()).or_insert(images.len());
            if place == images.len() {
                images.push(ResolvedImage {
                    reference: reference.clone(),
                    spellings: Vec::new(),
                    entries: Vec::new(),
                    sources: Vec::new(),
                    archive: entry.archive.clone(),
                });
            }
            let image = &mut images[place];
            image.entries.push(index);
            if !image.spellings.contains(&filled) {
                image.spellings.push(filled);
            }
            for source in &entry.sources {
                let filled = with_version_of(&spelling(&source.fill(&values)), &reference);
                let parsed = self.parse_filled(source, &filled, entry.line, &mut problems);
                if let Some((pin, other)) = parsed.as_ref().and_then(|source| other_pin(&reference, source)) {
                    let why = format!(
                        "{reference} is pinned to {pin}, but its source to {other}; the digests must be equal"
                    );
                    problems.push(Problem::at(entry.line, why));
                }
                image.sources.extend(parsed.filter(|parsed| !image.sources.contains(parsed)));
            }
        }
        let mut room = MAX_VALUES;
        let own_values = filled(&self.values, &values, &mut room, &mut problems);
        let per_image_values = filled(&self.per_image_values, &values, &mut room, &mut problems);
        CatalogErrors::check(problems)?;
        for image in images.iter_mut().filter(|image| image.sources.is_empty()) {
            image.sources.push(image.reference.clone());
        }
        Ok(ResolvedCatalog {
            name: self.name.clone(),
            version: self.version.clone(),
            registry_override: self.registry_override.clone(),
            values: own_values,
            per_image_values,
            variables: self.public(&values),
            entries: self.entries.clone(),
            images,
        })
    }

    fn public(&self, values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let secret = |name: &String| self.variables.get(name).is_some_and(|variable| variable.secret);
        let open = values.iter().filter(|(name, _)| !secret(name));
        open.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Every template that variables are filled into.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let of_entries = self.entries.iter().flat_map(|entry| entry.sources.iter().chain([&entry.image]));
        of_entries.chain(self.values.iter().chain(&self.per_image_values).map(|(_, value)| value))
    }

    /// The values of all variables: defaults, overridden by `set`.
    pub(super) fn known_values(&self, set: &[(String, String)]) -> BTreeMap<String, String> {
        let defaults = self.variables.iter().filter_map(|(name, v)| Some((name.clone(), v.default.clone()?)));
        let set = set.iter().filter(|(name, _)| self.variables.contains_key(name)).cloned();
        defaults.chain(set).collect()
    }

    fn variable_values(&self, set: &[(String, String)]) -> Result<BTreeMap<String, String>, CatalogErrors> {
        let mut problems = Vec::new();
        let values = self.known_values(set);
        for (name, _) in set {
            if !self.variables.contains_key(name) {
                let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "it has none".to_owned() } else { known.join(", ") };
                problems.push(Problem::general(format!("the catalog has no variable {name:?} ({known})")));
            }
        }
        let used = self.templates().flat_map(Template::variables);
        let mut unset: Vec<&str> = used.filter(|name| !values.contains_key(*name)).collect();
        unset.sort_unstable();
        unset.dedup();
        if !unset.is_empty() {
            let hints: Vec<String> = unset.iter().map(|name| format!("--set {name}=…")).collect();
            let message = format!("variables without a value: {} ({})", unset.join(", "), hints.join(" "));
            problems.push(Problem::general(message));
        }
        CatalogErrors::check(problems)?;
        Ok(values)
    }

    fn parse_filled(
        &self,
        template: &Template,
        filled: &str,
        line: u64,
        problems: &mut Vec<Problem>,
    ) -> Option<Reference> {
        let parsed = self.filled(template, filled);
        parsed.map_err(|message| problems.push(Problem::at(line, message))).ok()
    }

    /// The reference that `template` gives, or what is wrong with it.
    pub(super) fn filled(&self, template: &Template, filled: &str) -> Result<Reference, String> {
        let secret = |name: &str| self.variables.get(name).is_some_and(|variable| variable.secret);
        filled.parse().map_err(|error: ReferenceError| {
            // The message must not quote the secret.
            if template.variables().any(secret) {
                format!("{:?} is not a valid reference after its secret is filled in", template.as_str())
            } else {
                error.to_string()
            }
        })
    }
}

/// Values with their variables filled in, as long as there is `room` for them.
fn filled(
    paths: &[(String, Template)],
    values: &BTreeMap<String, String>,
    room: &mut usize,
    problems: &mut Vec<Problem>,
) -> Vec<(String, String)> {
    let mut all = Vec::with_capacity(paths.len());
    for (path, value) in paths {
        let value = value.fill(values);
        if let Some(left) = room.checked_sub(value.len()).filter(|_| value.len() <= MAX_FILLED) {
            *room = left;
        } else {
            problems.push(Problem::general(format!(
                "the value of {path} is too long after its variables are filled in"
            )));
            break;
        }
        all.push((path.clone(), value));
    }
    all
}
