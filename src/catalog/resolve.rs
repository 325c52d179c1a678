//! From a catalog to references: variables filled in, each image once.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::problem::{CatalogErrors, Problem};
use super::sources::SourceRewrite;
use crate::image::{Digest, Reference, ReferenceError};

/// A catalog whose variables are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedCatalog {
    pub name: Option<String>,
    pub version: Option<String>,
    pub registry_override: Option<String>,
    /// Values that are always set, in order.
    pub values: Vec<(String, String)>,
    pub per_image_values: Vec<(String, String)>,
    /// What the variables were set to; secret ones are not here.
    pub variables: BTreeMap<String, String>,
    pub entries: Vec<Entry>,
    /// Each image once, in the order of its first entry.
    pub images: Vec<ResolvedImage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedImage {
    /// The name the chart uses, in its canonical form.
    pub reference: Reference,
    /// How the catalog spells it, each spelling once.
    pub spellings: Vec<String>,
    /// The entries that use it, as indices into [`ResolvedCatalog::entries`].
    pub entries: Vec<usize>,
    /// Where it is pulled from: the first that has it. Never empty.
    pub sources: Vec<Reference>,
    /// The packed chart it is made of instead, as the catalog writes its path.
    pub archive: Option<String>,
}

impl ResolvedCatalog {
    /// Turns sources to where `rewrites` say.
    pub fn rewrite_sources(&mut self, rewrites: &[SourceRewrite]) -> Result<(), CatalogErrors> {
        let mut problems = Vec::new();
        for image in &mut self.images {
            match rewritten(&image.sources, rewrites) {
                Ok(sources) => image.sources = sources,
                Err(error) => problems.push(Problem::general(error.to_string())),
            }
        }
        CatalogErrors::check(problems)
    }
}

/// `sources` as `rewrites` turn them. Of those that fit a source, the longest count, in their order.
pub fn rewritten(
    sources: &[Reference],
    rewrites: &[SourceRewrite],
) -> Result<Vec<Reference>, ReferenceError> {
    let mut all: Vec<Reference> = Vec::new();
    for source in sources {
        let fitting = rewrites.iter().filter(|rewrite| rewrite.fits(source.repository()));
        let longest = fitting.clone().map(SourceRewrite::prefix_length).max();
        let mut found: Vec<Reference> = Vec::new();
        for rewrite in fitting.filter(|rewrite| Some(rewrite.prefix_length()) == longest) {
            found.push(source.moved_to(rewrite.apply(source.repository())?));
        }
        if longest.is_none() {
            found.push(source.clone());
        }
        found.retain(|reference| !all.contains(reference));
        all.append(&mut found);
    }
    Ok(all)
}

/// The digests of a name and its source, where they are different ones. Those of different algorithms are compared when
/// the image has come.
pub(super) fn other_pin<'a>(name: &'a Reference, source: &'a Reference) -> Option<(&'a Digest, &'a Digest)> {
    let (pin, other) = (name.digest()?, source.digest()?);
    (pin != other && pin.algorithm() == other.algorithm()).then_some((pin, other))
}

/// A source that names neither tag nor digest has the image's.
pub(super) fn with_version_of(source: &str, image: &Reference) -> String {
    let last = source.rsplit('/').next().unwrap_or_default();
    let mut text = source.to_owned();
    if !source.contains('@') && !last.contains(':') {
        if let Some(tag) = image.tag() {
            text = format!("{text}:{tag}");
        }
        if let Some(digest) = image.digest() {
            text = format!("{text}@{digest}");
        }
    }
    text
}
