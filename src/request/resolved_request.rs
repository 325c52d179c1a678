//! A request as it was read, with what is known of it besides: rows, labels, packed charts, and what it was made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::image::Reference;
use crate::inputs::held::Held;
use crate::plan::Request;
use crate::provenance::Material;

/// A request, and what is told of it besides.
#[derive(Debug, Default)]
pub(crate) struct ResolvedRequest {
    pub(crate) request: Request,
    /// Of each row of the catalog.
    pub(crate) labels: Vec<Vec<String>>,
    /// The name of the file it becomes; none for several catalogs or stdin.
    pub(crate) file_name: Option<String>,
    /// What `--add` named.
    pub(crate) added: BTreeSet<Reference>,
    /// Packed charts by what they are called, and their content.
    pub(crate) archives: BTreeMap<Reference, PathBuf>,
    pub(crate) held: Held,
    /// What it was made of.
    pub(crate) materials: Vec<Material>,
}
