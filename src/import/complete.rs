//! Completes an image once its blobs have arrived: mounts, children, root, tag, and the check that the registry has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::error::{UploadError, unwrap_source};
use super::refused::put_insisting;
use super::run::{Arrived, Run, Settled, place, raw};
use crate::archive::ArtifactRow;
use crate::image::{Algorithm, Descriptor, Digest, RawManifest, Repository, Tag};
use crate::plan::{ImageUpload, Upload};
use crate::registry::{GivenOut, ManifestTarget};

/// Pauses before each attempt to read back an image that was just sent.
const PROOF_WAITS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(4)];

/// Referrers by subject, for which the registry did not confirm that it lists them.
type Unlisted = BTreeMap<Digest, Vec<Descriptor>>;

/// Completes every image as soon as its blobs are done.
pub(crate) async fn complete_all(run: &Run<'_>, each: &Settled<'_>) -> Vec<Arrived> {
    let mut arrived: Vec<_> = futures_util::stream::iter(run.import.plan.image_uploads.iter().enumerate())
        .map(|(at, image_upload)| async move {
            let result = Completion { run, image_upload }.complete().await;
            each(at, &result);
            Arrived { image_upload: at, result }
        })
        // All of them wait at once; the number that works at a time is bounded inside.
        .buffer_unordered(run.import.plan.image_uploads.len().max(1))
        .collect()
        .await;
    arrived.sort_by_key(|a| a.image_upload);
    arrived
}

/// One image on its last steps.
struct Completion<'r> {
    run: &'r Run<'r>,
    image_upload: &'r ImageUpload,
}

impl Completion<'_> {
    /// Waits for the blobs of an image, then completes it without a pause: mounts, children, root, verification.
    async fn complete(&self) -> Result<(), UploadError> {
        for &blob in &self.image_upload.blobs {
            let upload = &self.run.import.plan.uploads[blob as usize];
            if let Err(error) = self.run.blobs[blob as usize].wait().await {
                return Err(UploadError::Blob { digest: upload.digest.into(), error: error.clone() });
            }
        }
        let _permit = self.run.finishing.acquire().await.map_err(|_| UploadError::Cancelled)?;
        if self.run.import.cancel.is_cancelled() {
            return Err(UploadError::Cancelled);
        }
        // Boxed because its state takes some kilobytes, and all images of an import wait above at the same time.
        Box::pin(self.finish()).await
    }

    async fn finish(&self) -> Result<(), UploadError> {
        let repository = &self.image_upload.target.repository;
        let elsewhere: Vec<&Upload> = self
            .image_upload
            .blobs
            .iter()
            .map(|blob| &self.run.import.plan.uploads[*blob as usize])
            .filter(|upload| upload.home != *repository)
            .collect();
        let mut mounts = futures_util::stream::iter(elsewhere)
            .map(|upload| async move {
                let mount = async { self.mount(repository, upload).await.map_err(Arc::new) };
                let result = self.run.mounts.get((repository.clone(), upload.digest), Box::pin(mount)).await;
                result.map_err(|error| UploadError::Blob { digest: upload.digest.into(), error })
            })
            .buffer_unordered(self.run.import.jobs.max(1));
        while let Some(mounted) = mounts.next().await {
            mounted?;
        }
        self.manifests().await
    }

    /// Makes a blob of another repository available here: mounts it, or uploads it again if the registry does not
    /// mount.
    async fn mount(&self, repository: &Repository, upload: &Upload) -> Result<(), UploadError> {
        let source = self.run.import.source(upload, &upload.home, None);
        let client = self.run.import.client;
        let pushed =
            client.push_blob(repository, &upload.digest, upload.size, &*source, Some(&upload.home)).await;
        self.run.count(&pushed.map_err(unwrap_source)?);
        Ok(())
    }

    /// Pushes children, then the root, then the referrers, and only then the tag: whoever sees the image can also see
    /// that it is signed.
    async fn manifests(&self) -> Result<(), UploadError> {
        let repository = &self.image_upload.target.repository;
        let mut unlisted = Unlisted::new();
        let mut untagged = Vec::new();
        for (digest, media_type) in &self.image_upload.manifests {
            let is_root = self.image_upload.manifests.last().is_some_and(|(root, _)| root == digest);
            // The registry hashes a push by tag with sha256, so a digest of another algorithm must be given explicitly.
            let by_tag =
                is_root && self.image_upload.target.tag.is_some() && digest.algorithm() == Algorithm::Sha256;
            if !by_tag || !self.image_upload.artifacts.is_empty() {
                untagged.push(self.put(None, digest, media_type, &mut unlisted).await?);
            }
        }
        self.prove_each(repository, &untagged).await?;
        self.artifacts(&mut unlisted).await?;
        if let (Some(tag), Some((root, root_type))) =
            (&self.image_upload.target.tag, self.image_upload.manifests.last())
        {
            let manifest = self.put(Some(tag), root, root_type, &mut unlisted).await?;
            self.prove(repository, &ManifestTarget::Tag(tag.clone()), &manifest).await?;
        }
        self.list(repository, unlisted).await
    }

    /// Pushes the referrers of an image, and verifies that they can be found.
    async fn artifacts(&self, unlisted: &mut Unlisted) -> Result<(), UploadError> {
        let repository = &self.image_upload.target.repository;
        let mut about: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        let mut untagged = Vec::new();
        for arriving in &self.image_upload.artifacts {
            let row = &self.run.import.image_store.bundle().artifacts[arriving.artifact];
            for (digest, media_type) in &arriving.manifests {
                let tag = row.tag.as_ref().filter(|_| *digest == row.digest);
                let manifest = self.put(tag, digest, media_type, unlisted).await?;
                match tag {
                    Some(tag) => {
                        self.prove(repository, &ManifestTarget::Tag(tag.clone()), &manifest).await?;
                    }
                    None => untagged.push(manifest),
                }
            }
            if row.tag.is_none() {
                about.entry(row.subject).or_default().push(row.digest);
            }
        }
        self.prove_each(repository, &untagged).await?;
        self.list(repository, std::mem::take(unlisted)).await?;
        for (subject, referrers) in about {
            self.prove_listed(repository, &subject, &referrers).await?;
        }
        let rows = self
            .image_upload
            .artifacts
            .iter()
            .map(|one| &self.run.import.image_store.bundle().artifacts[one.artifact]);
        self.run.count_artifacts(rows.filter_map(ArtifactRow::kind));
        Ok(())
    }

    /// Pushes one manifest by its tag, or by its digest if it has none.
    async fn put(
        &self,
        tag: Option<&Tag>,
        digest: &Digest,
        media_type: &str,
        unlisted: &mut Unlisted,
    ) -> Result<RawManifest, UploadError> {
        let manifest = raw(self.run.import.image_store.as_ref(), digest, media_type)?;
        let target = tag.map_or(ManifestTarget::Digest(*digest), |tag| ManifestTarget::Tag(tag.clone()));
        let put = put_insisting(self.run, self.image_upload, &target, &manifest).await?;
        if !put.subject_recorded
            && let Ok(parsed) = manifest.parse()
            && let Some(subject) = &parsed.subject
        {
            let referrers = unlisted.entry(subject.digest).or_default();
            referrers.push(manifest.as_referrer(&parsed));
        }
        Ok(manifest)
    }

    /// Maintains the referrer lists under fallback tags if the registry does not keep them itself.
    async fn list(&self, repository: &Repository, unlisted: Unlisted) -> Result<(), UploadError> {
        for (subject, referrers) in unlisted {
            self.run.import.client.list_referrers(repository, &subject, &referrers).await?;
        }
        Ok(())
    }

    /// A referrer counts if the registry lists it, by itself or under the fallback tag.
    async fn prove_listed(
        &self,
        repository: &Repository,
        subject: &Digest,
        referrers: &[Digest],
    ) -> Result<(), UploadError> {
        let mut missing = None;
        for wait in PROOF_WAITS {
            tokio::time::sleep(wait).await;
            let listed = self.run.import.client.referrers(repository, subject).await?.descriptors;
            missing = referrers.iter().find(|digest| listed.iter().all(|d| d.digest != **digest));
            if missing.is_none() {
                return Ok(());
            }
        }
        let wanted = Box::new(missing.copied().unwrap_or(*subject));
        let place = format!("the referrers of {repository}@{subject}");
        Err(UploadError::Unproven { place, wanted, found: "a list without it".to_owned() })
    }

    /// Verifies manifests that have no tag, several at once.
    async fn prove_each(
        &self,
        repository: &Repository,
        manifests: &[RawManifest],
    ) -> Result<(), UploadError> {
        let mut proofs = futures_util::stream::iter(manifests)
            .map(|manifest| async move {
                self.prove(repository, &ManifestTarget::Digest(manifest.digest), manifest).await
            })
            .buffer_unordered(self.run.import.jobs.max(1));
        while let Some(proof) = proofs.next().await {
            proof?;
        }
        Ok(())
    }

    /// A manifest counts if the registry returns it, byte for byte.
    async fn prove(
        &self,
        repository: &Repository,
        target: &ManifestTarget,
        wanted: &RawManifest,
    ) -> Result<(), UploadError> {
        let mut found = GivenOut::Nothing;
        // A registry of several nodes may take a moment until each of them knows a new manifest.
        for wait in PROOF_WAITS {
            tokio::time::sleep(wait).await;
            found = self.run.import.client.gives_out(repository, target, wanted).await?;
            if found == GivenOut::Same {
                return Ok(());
            }
        }
        let place = place(repository, target);
        let found = match found {
            GivenOut::Other(digest) => digest.to_string(),
            GivenOut::Same | GivenOut::Nothing => "nothing".to_owned(),
        };
        Err(UploadError::Unproven { place, wanted: Box::new(wanted.digest), found })
    }
}
