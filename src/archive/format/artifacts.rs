//! The artifacts that belong to each image: those about its manifests, in the repository that it was pulled from.

use std::collections::{HashMap, HashSet};

use super::contents::{self, Contents, Root};
use super::manifest_source::Manifests;
use crate::archive::{ArchiveError, BundleManifest};
use crate::image::{Digest, Repository};

/// Finds the artifacts that belong to an image.
#[derive(Debug)]
pub struct ArtifactIndex<'a> {
    bundle: &'a BundleManifest,
    /// Roots of the images, then of the artifacts.
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
