//! Where else a blob may be had: the repositories of every image that uses it, and what a foreign layer says itself.

use std::collections::HashSet;

use crate::archive::Manifests;
use crate::image::{Digest, ParsedManifest, media_type};
use crate::plan::ExportPlan;
use crate::registry::BlobPlace;

/// Every place that may have `digest`, repositories first, each once.
pub fn places_of(plan: &ExportPlan, manifests: &dyn Manifests, digest: &Digest) -> Vec<BlobPlace> {
    let images = plan.users(digest, manifests).into_iter();
    let mut places: Vec<BlobPlace> =
        images.map(|image| plan.bundle.images[image].source.repository().into()).collect();
    places.extend(outside(plan, manifests, digest));
    let mut seen = HashSet::new();
    places.retain(|place| seen.insert(place.to_string()));
    places
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
