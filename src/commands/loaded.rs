//! A request as it was read, with what is known of it besides: rows, labels, packed charts, and what it was made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::custody::Material;
use crate::image::Reference;
use crate::plan::Request;
use crate::registry::Held;

/// A request, and what is told of it besides.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) request: Request,
    /// Of each row of the catalog.
    pub(super) labels: Vec<Vec<String>>,
    /// The name of the file it becomes; none for several catalogs or stdin.
    pub(super) file_name: Option<String>,
    /// What `--add` named.
    pub(super) added: BTreeSet<Reference>,
    /// Packed charts by what they are called, and their content.
    pub(super) archives: BTreeMap<Reference, PathBuf>,
    pub(super) held: Held,
    /// What it was made of.
    pub(super) materials: Vec<Material>,
}
