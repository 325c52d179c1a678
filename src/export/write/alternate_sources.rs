//! Where a blob can be fetched: the repositories of every image that uses it, and the URLs of a foreign layer.
//!
//! A pull-through cache may serve a blob only after a request for the manifest that names it. A resumed run has not
//! sent these requests yet, so it sends them before a blob counts as missing.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::app::once::Once;
use crate::archive::{Manifests, Users};
use crate::image::{Digest, ParsedManifest, Repository, media_type};
use crate::inputs::base_contents::BaseContents;
use crate::inputs::content_source::{ContentError, ContentSource, ContentStream};
use crate::plan::ExportPlan;
use crate::registry::{BlobPlace, ManifestTarget};

/// Opens blobs, and finds other places for those that the first place does not have.
pub(crate) struct AlternateSources<'a> {
    content: &'a ContentSource,
    plan: &'a ExportPlan,
    manifests: &'a dyn Manifests,
    /// Made when first needed; most exports never need it.
    users: OnceLock<Users<'a>>,
    /// Manifests that were requested because one of their blobs was missing, and whether they arrived.
    asked: Once<(Repository, Digest), bool>,
}

impl<'a> AlternateSources<'a> {
    pub(crate) fn new(
        content: &'a ContentSource,
        plan: &'a ExportPlan,
        manifests: &'a dyn Manifests,
    ) -> Self {
        Self { content, plan, manifests, users: OnceLock::new(), asked: Once::default() }
    }

    /// Content to which compact blobs may refer.
    pub(crate) fn bases(&self) -> Option<&Arc<BaseContents>> {
        self.content.bases()
    }

    /// The content of `digest`, of `size` bytes, from byte `from` on.
    pub(crate) async fn open(
        &self,
        place: &BlobPlace,
        digest: &Digest,
        size: u64,
        from: u64,
    ) -> Result<ContentStream, ContentError> {
        match self.content.blob(place, digest, size, from).await {
            Err(error) if error.is_not_found() && self.ask_for_manifests(place, digest).await => {
                self.content.blob(place, digest, size, from).await
            }
            result => result,
        }
    }

    /// Every place that may have `digest`, repositories first, each once.
    pub(crate) fn of(&self, digest: &Digest) -> Vec<BlobPlace> {
        let images = self.users().of_blob(digest).into_iter();
        let mut places: Vec<BlobPlace> =
            images.map(|image| self.plan.bundle.images[image].source.repository().into()).collect();
        places.extend(outside(self.plan, self.manifests, digest));
        let mut seen = HashSet::new();
        places.retain(|place| seen.insert(place.to_string()));
        places
    }

    fn users(&self) -> &Users<'a> {
        self.users.get_or_init(|| Users::of(&self.plan.bundle, self.manifests))
    }

    /// Requests the manifests that name `blob` from the repository, unless this run already has. Returns whether one of
    /// them arrived.
    async fn ask_for_manifests(&self, place: &BlobPlace, blob: &Digest) -> bool {
        let BlobPlace::Repository(repository) = place else { return false };
        let is_ours = |image: &usize| self.plan.bundle.images[*image].source.repository() == repository;
        let mut came = false;
        for manifest in naming(self.plan, self.manifests, blob) {
            let is_here = self.users().of_blob(&manifest).iter().any(is_ours);
            if is_here && !self.content.client().has_fetched(repository, &manifest) {
                came |= self
                    .asked
                    .get((repository.clone(), manifest), Box::pin(self.ask(repository, manifest)))
                    .await;
            }
        }
        came
    }

    async fn ask(&self, repository: &Repository, manifest: Digest) -> bool {
        self.content.manifest(repository, &ManifestTarget::Digest(manifest)).await.is_ok()
    }
}

impl fmt::Debug for AlternateSources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlternateSources")
            .field("walked", &self.users.get().is_some())
            .finish_non_exhaustive()
    }
}

/// The manifests of `plan` that have `digest` as a layer or config.
fn naming(plan: &ExportPlan, manifests: &dyn Manifests, digest: &Digest) -> Vec<Digest> {
    let names = |parsed: &ParsedManifest| {
        parsed.config.iter().chain(&parsed.layers).any(|part| part.digest == *digest)
    };
    all(plan, manifests).filter(|(_, parsed)| names(parsed)).map(|(manifest, _)| manifest).collect()
}

/// Where the publisher of a foreign layer keeps it (OCI image-spec, descriptor.md, `urls`).
fn outside(plan: &ExportPlan, manifests: &dyn Manifests, digest: &Digest) -> Vec<BlobPlace> {
    let is_foreign =
        |blob: &&crate::archive::BlobRow| blob.digest == *digest && media_type::is_foreign(&blob.media_type);
    if !plan.bundle.blobs.iter().any(|blob| is_foreign(&blob)) {
        return Vec::new();
    }
    let layers =
        all(plan, manifests).flat_map(|(_, parsed)| parsed.layers).filter(|layer| layer.digest == *digest);
    layers.flat_map(|layer| layer.urls).filter_map(|url| BlobPlace::elsewhere(&url)).collect()
}

/// Every manifest of `plan` that can be read.
fn all(plan: &ExportPlan, manifests: &dyn Manifests) -> impl Iterator<Item = (Digest, ParsedManifest)> {
    plan.bundle.blobs.iter().filter(|blob| media_type::is_manifest(&blob.media_type)).filter_map(|blob| {
        let bytes = manifests.manifest(&blob.digest).ok()?;
        Some((blob.digest, ParsedManifest::of(&bytes, Some(&blob.media_type)).ok()?))
    })
}
