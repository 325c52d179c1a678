//! What is found to be wrong with an archive, and which images it costs.

use std::ops::Range;

use crate::archive::{BundleManifest, Manifests, Users};
use crate::image::Digest;

/// One thing that is wrong with a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the file, or of all volumes together; none where it is about the whole.
    pub range: Option<Range<u64>>,
    /// The same for people: which file, which bytes of it.
    pub place: String,
    pub blob: Option<Digest>,
    /// The images that need what is damaged, by position in the bundle.
    pub images: Vec<usize>,
    pub what: String,
}

/// Notes of each problem with a blob which images need it.
pub(in crate::archive) fn find_images(
    problems: &mut [Problem],
    bundle: &BundleManifest,
    manifests: &dyn Manifests,
) {
    if problems.iter().all(|problem| problem.blob.is_none()) {
        return;
    }
    let users = Users::of(bundle, manifests);
    for problem in problems {
        problem.images = problem.blob.iter().flat_map(|digest| users.of_blob(digest)).collect();
    }
}
