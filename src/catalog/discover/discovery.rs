//! The result of a search: images with their ranks and places, and what is unclear.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::parts::ValuePaths;
use crate::image::Reference;

/// Places that are kept for one image; further ones are only counted.
const MAX_PLACES: usize = 8;
/// Unclear places that are kept; further ones are only counted.
const MAX_UNCLEAR: usize = 1000;

/// How sure it is that the cluster will pull an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// A container or image volume of a workload names it.
    Certain,
    /// It is in an environment variable, an argument, an annotation, a configuration, a custom resource, or in
    /// values.
    Probable,
}

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u64,
    /// `Deployment shop/server`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub object: Arc<str>,
    /// `spec.template.spec.containers[0].image`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The chart whose template it is, as Helm says above every document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chart: Option<Arc<str>>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    pub rank: Rank,
    /// The first places, the best rank first.
    pub places: Vec<Place>,
    /// How many places there are.
    pub count: usize,
}

/// A place that was searched and not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unclear {
    #[serde(flatten)]
    pub place: Place,
    pub why: String,
    /// An image may be missing because of it.
    pub hides: bool,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Discovery {
    pub images: BTreeMap<Reference, Found>,
    pub unclear: Vec<Unclear>,
    /// How many are unclear, listed or not, and how many of them may hide an image.
    pub unclear_count: usize,
    pub hiding_count: usize,
    pub files: usize,
    pub objects: usize,
    /// Secrets, which are not searched.
    pub secrets: usize,
    /// Name and version of the charts.
    pub charts: Vec<(String, String)>,
    /// Value paths under which a chart has the parts of an image.
    pub value_paths: Vec<ValuePaths>,
    /// Values have a `global.imageRegistry`.
    pub registry_override: bool,
}

impl Discovery {
    pub(super) fn image(&mut self, reference: Reference, rank: Rank, place: Place) {
        let found =
            self.images.entry(reference).or_insert_with(|| Found { rank, places: Vec::new(), count: 0 });
        found.count += 1;
        let is_better = rank < found.rank;
        found.rank = found.rank.min(rank);
        if is_better {
            found.places.insert(0, place);
            found.places.truncate(MAX_PLACES);
        } else if found.places.len() < MAX_PLACES {
            found.places.push(place);
        }
    }

    /// Records a place that is not understood, once per object and reason.
    pub fn unclear(&mut self, place: Place, why: String, hides: bool) {
        self.unclear_count += 1;
        self.hiding_count += usize::from(hides);
        if self.unclear.len() < MAX_UNCLEAR {
            self.unclear.push(Unclear { place, why, hides });
        }
    }

    /// How many images have `rank`.
    pub fn count(&self, rank: Rank) -> usize {
        self.images.values().filter(|found| found.rank == rank).count()
    }
}

impl Place {
    pub fn of(file: &Arc<str>, line: u64) -> Self {
        Self { file: file.clone(), line, object: "".into(), path: String::new(), chart: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.object.is_empty() {
            write!(f, ": {}", self.object)?;
        }
        if !self.path.is_empty() {
            let joint = if self.object.is_empty() { ": " } else { ", " };
            write!(f, "{joint}{}", self.path)?;
        }
        Ok(())
    }
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}
