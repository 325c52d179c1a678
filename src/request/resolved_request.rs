//! A request as it was read, with data about it: rows, labels, packed charts, and the files that it was made from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::image::Reference;
use crate::inputs::held::Held;
use crate::plan::Request;
use crate::provenance::Material;

/// A request, and data about it.
#[derive(Debug, Default)]
pub(crate) struct ResolvedRequest {
    pub(crate) request: Request,
    /// By row of the catalog.
    pub(crate) labels: Vec<Vec<String>>,
    /// The default name of the bundle file; none for several catalogs or stdin.
    pub(crate) file_name: Option<String>,
    /// The images of `--add`.
    pub(crate) added: BTreeSet<Reference>,
    /// Packed charts by name, and their content.
    pub(crate) archives: BTreeMap<Reference, PathBuf>,
    pub(crate) held: Held,
    /// The files that it was made from.
    pub(crate) materials: Vec<Material>,
}
