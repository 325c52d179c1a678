//! The problems of an archive, and the images that each affects.

use std::ops::Range;

use crate::archive::{BundleManifest, Manifests, Users};
use crate::image::Digest;

/// One problem of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the file, or of all volumes together; none if it is about the whole bundle.
    pub range: Option<Range<u64>>,
    /// The position for the user: which file, which bytes of it.
    pub place: String,
    pub blob: Option<Digest>,
    /// The images that need the damaged part, by position in the bundle.
    pub images: Vec<usize>,
    pub what: String,
}

/// Adds the affected images to each problem with a blob.
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
