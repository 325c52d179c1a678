//! Manifests that a registry refuses: content that it lost is sent again, and a final refusal is explained with a hint.

use crate::archive::InputError;
use std::sync::Arc;

use super::complete::{place, raw};
use super::upload::{Run, UploadError, unwrap_source};
use crate::archive::ArchiveError;
use crate::image::{Descriptor, Digest, ManifestKind, RawManifest};
use crate::plan::{ImageUpload, Upload};
use crate::registry::{ErrorClass, GivenOut, ManifestTarget, PutManifest, RegistryError};

/// How often the content of one manifest is sent again to a registry that says it has it, but then does not.
const ROUNDS: usize = 3;

/// The hint if the urls of foreign layers may be the reason.
const URLS: &str =
    "allow such urls in the registry's settings (docker-registry: validation.manifests.urls.allow)";
/// The hint if the manifest has a type that not all registries know.
const RARE: &str = "a newer version of the registry, or a change of its settings, may accept such a manifest";

impl Run<'_> {
    /// Pushes `manifest`. If the registry lacks something that the manifest refers to, that is sent without asking
    /// first, because some registries say that they have a blob when they do not.
    pub(crate) async fn put_insisting(
        &self,
        image_upload: &ImageUpload,
        target: &ManifestTarget,
        manifest: &RawManifest,
    ) -> Result<PutManifest, UploadError> {
        let repository = &image_upload.target.repository;
        let mut round = 0;
        loop {
            let put = self.import.client.put_manifest(repository, target, manifest).await;
            let error = match put {
                Ok(put) => return Ok(put),
                Err(error) if error.lacks_content() && round < ROUNDS => error,
                Err(error) => return Err(self.explained(image_upload, target, manifest, error).await),
            };
            round += 1;
            if !self.send_again(image_upload, manifest, error.digests(), round).await.map_err(|again| {
                match again.innermost() {
                    UploadError::Archive(ArchiveError::Input(InputError::PassedBy(_))) => {
                        UploadError::PassedBy(Box::new(error))
                    }
                    _ => again,
                }
            })? {
                round = ROUNDS;
            }
        }
    }

    /// Sends those of `named` that `manifest` refers to, or, if none is named, everything it refers to. Returns `false`
    /// if there is nothing to send.
    async fn send_again(
        &self,
        image_upload: &ImageUpload,
        manifest: &RawManifest,
        named: &[Digest],
        round: usize,
    ) -> Result<bool, UploadError> {
        let Ok(parsed) = manifest.parse() else { return Ok(false) };
        let all: Vec<&Descriptor> =
            parsed.config.iter().chain(&parsed.layers).chain(&parsed.manifests).collect();
        let some: Vec<&Descriptor> = all.iter().copied().filter(|one| named.contains(&one.digest)).collect();
        let mut sent = false;
        for descriptor in if some.is_empty() { all } else { some } {
            let upload = self.uploads_of(image_upload).find(|upload| upload.digest == descriptor.digest);
            if let Some(upload) = upload {
                self.send_unasked(image_upload, upload, round).await?;
                sent = true;
            } else if let Some((digest, media_type)) =
                manifests_of(image_upload).find(|(digest, _)| **digest == descriptor.digest)
            {
                let child = raw(self.import.image_store.as_ref(), digest, media_type)?;
                let target = ManifestTarget::Digest(*digest);
                self.import.client.put_manifest(&image_upload.target.repository, &target, &child).await?;
                sent = true;
            }
        }
        Ok(sent)
    }

    fn uploads_of<'a>(&'a self, image_upload: &'a ImageUpload) -> impl Iterator<Item = &'a Upload> {
        image_upload.blobs.iter().map(|blob| &self.import.plan.uploads[*blob as usize])
    }

    /// Sends a blob once in each round, however many images wait for it.
    async fn send_unasked(
        &self,
        image_upload: &ImageUpload,
        upload: &Upload,
        round: usize,
    ) -> Result<(), UploadError> {
        let repository = &image_upload.target.repository;
        let send = async {
            let there = upload.held_by.as_ref().unwrap_or(&upload.home);
            let source = self.import.source(upload, there, None);
            let push =
                self.import.client.push_blob_unasked(repository, &upload.digest, upload.size, &*source);
            let pushed = push.await.map_err(unwrap_source).map_err(Arc::new)?;
            self.count(&pushed);
            Ok(())
        };
        let key = (repository.clone(), upload.digest, round);
        let sent = self.sent_again.get(key, Box::pin(send)).await;
        sent.map_err(|error| UploadError::Blob { digest: upload.digest.into(), error })
    }

    /// Explains why a registry refuses a manifest, as far as that can be known.
    async fn explained(
        &self,
        image_upload: &ImageUpload,
        target: &ManifestTarget,
        manifest: &RawManifest,
        error: RegistryError,
    ) -> UploadError {
        let repository = &image_upload.target.repository;
        let is_final =
            matches!(error.status(), Some(400 | 403 | 404 | 405 | 409 | 412 | 415 | 422 | 500 | 501));
        if !is_final || error.lacks_content() {
            return error.into();
        }
        if matches!(error.status(), Some(400 | 403 | 409 | 412))
            && matches!(target, ManifestTarget::Tag(_))
            && let Ok(GivenOut::Other(there)) =
                self.import.client.gives_out(repository, target, manifest).await
        {
            let is_artifact = image_upload.manifests.iter().all(|(digest, _)| *digest != manifest.digest);
            return UploadError::TagKept {
                place: place(repository, target),
                there: Box::new(there),
                wanted: Box::new(manifest.digest),
                is_artifact,
                error: Box::new(error),
            };
        }
        // Missing permissions have nothing to do with the content of the manifest.
        if error.class() == ErrorClass::Denied {
            return error.into();
        }
        let parsed = manifest.parse().ok();
        let layers = parsed.as_ref().map(|parsed| &parsed.layers[..]).unwrap_or_default();
        let urls = layers.iter().any(|layer| !layer.urls.is_empty());
        let (kind, is_rare) = match parsed.as_ref().map(|parsed| parsed.kind) {
            Some(ManifestKind::Index) => ("an index", true),
            Some(ManifestKind::Artifact) => ("an artifact manifest", true),
            Some(ManifestKind::Image) | None => ("a manifest", false),
        };
        let tail = if urls { ", whose layers have urls" } else { "" };
        UploadError::ManifestRefused {
            about: format!("it is {kind} of the type {}{tail}", manifest.media_type),
            hint: if urls { Some(URLS) } else { Some(RARE).filter(|_| is_rare) },
            error: Box::new(error),
        }
    }
}

/// The manifests of the image and of its referrers.
fn manifests_of(image_upload: &ImageUpload) -> impl Iterator<Item = (&Digest, &str)> {
    let about = image_upload.artifacts.iter().flat_map(|artifact| &artifact.manifests);
    image_upload.manifests.iter().chain(about).map(|(digest, media_type)| (digest, media_type.as_str()))
}
