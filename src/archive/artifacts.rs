//! Which artifacts of a bundle go with which image: those about its manifests, in the repository it was pulled from.

use std::collections::{HashMap, HashSet};

use super::contents::{self, Contents, Manifests, Root};
use super::{ArchiveError, BundleManifest};
use crate::image::{Digest, Repository};

/// Finds the artifacts that go with an image.
#[derive(Debug)]
pub struct ArtifactIndex<'a> {
    bundle: &'a BundleManifest,
    /// Of the images, then of the artifacts.
    roots: Vec<Root>,
    about: HashMap<(&'a Repository, Digest), Vec<usize>>,
}

impl<'a> ArtifactIndex<'a> {
    pub fn of(bundle: &'a BundleManifest) -> Self {
        let mut about: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, row) in bundle.artifacts.iter().enumerate() {
            about.entry((&row.repository, row.subject)).or_default().push(at);
        }
        Self { bundle, roots: contents::roots(bundle), about }
    }

    /// The root of image `at`.
    pub fn image(&self, at: usize) -> &Root {
        &self.roots[at]
    }

    /// The root of artifact `at`.
    pub fn artifact(&self, at: usize) -> &Root {
        &self.roots[self.bundle.images.len() + at]
    }

    /// The artifacts about the manifests of image `image`, and about those artifacts, by position in the bundle.
    pub fn of_image(&self, image: usize, manifests: &dyn Manifests) -> Result<Vec<usize>, ArchiveError> {
        let mut found = Vec::new();
        if self.about.is_empty() {
            return Ok(found);
        }
        let source = self.bundle.images[image].source.repository();
        let (mut seen, mut next) = (HashSet::new(), vec![self.image(image)]);
        while let Some(root) = next.pop() {
            let contents = Contents::all(std::slice::from_ref(root), manifests)?;
            for (digest, _) in contents.bottom_up.into_iter().filter(|(digest, _)| seen.insert(*digest)) {
                for &at in self.about.get(&(source, digest)).into_iter().flatten() {
                    found.push(at);
                    next.push(self.artifact(at));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// The images of `bundle` that need `digest`, by position, themselves or for an artifact: for naming what a lost blob
/// costs. An image whose manifests cannot be read cannot be cleared of the suspicion.
pub fn users(bundle: &BundleManifest, digest: &Digest, manifests: &dyn Manifests) -> Vec<usize> {
    let index = ArtifactIndex::of(bundle);
    let needs = |root: &Root| {
        let contents = Contents::all(std::slice::from_ref(root), manifests);
        contents.map_or(true, |contents| contents.blobs.iter().any(|blob| blob.digest == *digest))
    };
    let for_artifacts = |image| {
        let found = index.of_image(image, manifests);
        found.map_or(true, |found| found.into_iter().any(|at| needs(index.artifact(at))))
    };
    (0..bundle.images.len()).filter(|&at| needs(index.image(at)) || for_artifacts(at)).collect()
}
