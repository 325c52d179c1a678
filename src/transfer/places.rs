//! Where else a blob may be had: the repositories of every image that uses it, and what a foreign layer says itself.

use std::collections::HashSet;
use std::fmt;
use std::sync::OnceLock;

use crate::archive::{Manifests, Users};
use crate::image::{Digest, ParsedManifest, media_type};
use crate::plan::ExportPlan;
use crate::registry::BlobPlace;

/// Finds other places for blobs that cannot be had at the first.
pub struct Places<'a> {
    plan: &'a ExportPlan,
    manifests: &'a dyn Manifests,
    /// Made when the first is asked for, which most exports never do.
    users: OnceLock<Users<'a>>,
}

impl<'a> Places<'a> {
    pub fn new(plan: &'a ExportPlan, manifests: &'a dyn Manifests) -> Self {
        Self { plan, manifests, users: OnceLock::new() }
    }

    /// Every place that may have `digest`, repositories first, each once.
    pub fn of(&self, digest: &Digest) -> Vec<BlobPlace> {
        let users = self.users.get_or_init(|| Users::of(&self.plan.bundle, self.manifests));
        let images = users.of_blob(digest).into_iter();
        let mut places: Vec<BlobPlace> =
            images.map(|image| self.plan.bundle.images[image].source.repository().into()).collect();
        places.extend(outside(self.plan, self.manifests, digest));
        let mut seen = HashSet::new();
        places.retain(|place| seen.insert(place.to_string()));
        places
    }
}

impl fmt::Debug for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("walked", &self.users.get().is_some()).finish_non_exhaustive()
    }
}

/// Where the publisher of a foreign layer keeps it (OCI image-spec, descriptor.md, `urls`).
fn outside(plan: &ExportPlan, manifests: &dyn Manifests, digest: &Digest) -> Vec<BlobPlace> {
    let is_foreign =
        |blob: &&crate::archive::BlobRow| blob.digest == *digest && media_type::is_foreign(&blob.media_type);
    if !plan.bundle.blobs.iter().any(|blob| is_foreign(&blob)) {
        return Vec::new();
    }
    let manifests =
        plan.bundle.blobs.iter().filter(|blob| media_type::is_manifest(&blob.media_type)).filter_map(
            |blob| ParsedManifest::of(&manifests.manifest(&blob.digest).ok()?, Some(&blob.media_type)).ok(),
        );
    let layers = manifests.flat_map(|parsed| parsed.layers).filter(|layer| layer.digest == *digest);
    layers.flat_map(|layer| layer.urls).filter_map(|url| BlobPlace::elsewhere(&url)).collect()
}
