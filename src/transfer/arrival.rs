//! Completing an image once its blobs are there: mounts, children, root, tag, and the proof that the registry has it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::source::HeldBlob;
use super::upload::{ArrivalError, Import, Run, unwrap_source};
use crate::archive::{ArchiveError, Holdings};
use crate::image::{Algorithm, Digest, RawManifest, Repository};
use crate::plan::{Arrival, Upload};
use crate::registry::{ManifestTarget, RegistryClient, RegistryError};

/// Pauses before each look at what a registry says of an image that was just sent.
const PROOF_WAITS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(4)];

impl Run<'_> {
    /// Waits for the blobs of an image, then completes it without a pause: mounts, children, root, proof.
    pub(super) async fn complete(&self, arrival: &Arrival) -> Result<(), ArrivalError> {
        for &blob in &arrival.blobs {
            let upload = &self.import.plan.uploads[blob as usize];
            if let Err(error) = self.blobs[blob as usize].wait().await {
                return Err(ArrivalError::Blob { digest: upload.digest.into(), error: error.clone() });
            }
        }
        let _permit = self.finishing.acquire().await.map_err(|_| ArrivalError::Cancelled)?;
        if self.import.cancel.is_cancelled() {
            return Err(ArrivalError::Cancelled);
        }
        let repository = &arrival.landing.repository;
        let elsewhere: Vec<&Upload> = arrival
            .blobs
            .iter()
            .map(|blob| &self.import.plan.uploads[*blob as usize])
            .filter(|upload| upload.home != *repository)
            .collect();
        let mut mounts = futures_util::stream::iter(elsewhere)
            .map(|upload| async move {
                let mount = async { self.mount(repository, upload).await.map_err(Arc::new) };
                let result = self.mounts.get((repository.clone(), upload.digest), Box::pin(mount)).await;
                result.map_err(|error| ArrivalError::Blob { digest: upload.digest.into(), error })
            })
            .buffer_unordered(self.import.jobs.max(1));
        while let Some(mounted) = mounts.next().await {
            mounted?;
        }
        self.manifests(arrival).await
    }

    /// Brings a blob of another repository here: mounted, or sent again where the registry does not mount.
    async fn mount(&self, repository: &Repository, upload: &Upload) -> Result<(), ArrivalError> {
        let Import { client, holdings, .. } = self.import;
        let source =
            HeldBlob { holdings: (*holdings).clone(), digest: upload.digest, size: upload.size, bar: None };
        let pushed =
            client.push_blob(repository, &upload.digest, upload.size, &source, Some(&upload.home)).await;
        self.count(&pushed.map_err(unwrap_source)?, upload.size);
        Ok(())
    }

    async fn manifests(&self, arrival: &Arrival) -> Result<(), ArrivalError> {
        let Import { client, holdings, .. } = self.import;
        let repository = &arrival.landing.repository;
        let Some(((root, root_type), children)) = arrival.manifests.split_last() else {
            return Ok(());
        };
        for (digest, media_type) in children {
            let manifest = raw(holdings.as_ref(), digest, media_type)?;
            client.put_manifest(repository, &ManifestTarget::Digest(*digest), &manifest).await?;
        }
        let manifest = raw(holdings.as_ref(), root, root_type)?;
        let by_digest = ManifestTarget::Digest(*root);
        let target = arrival.landing.tag.clone().map_or(by_digest.clone(), ManifestTarget::Tag);
        if target != by_digest && root.algorithm() != Algorithm::Sha256 {
            // A push by tag is hashed with sha256: the other digest has to be said.
            client.put_manifest(repository, &by_digest, &manifest).await?;
        }
        client.put_manifest(repository, &target, &manifest).await?;
        self.prove(repository, &target, &manifest).await?;
        if target != by_digest {
            self.prove(repository, &by_digest, &manifest).await?;
        }
        Ok(())
    }

    /// An image counts when the registry names its digest itself.
    async fn prove(
        &self,
        repository: &Repository,
        target: &ManifestTarget,
        wanted: &RawManifest,
    ) -> Result<(), ArrivalError> {
        let mut found = None;
        // A registry of many nodes may need a moment until each of them knows what one has taken.
        for wait in PROOF_WAITS {
            tokio::time::sleep(wait).await;
            found = self.import.client.head_manifest(repository, target).await?;
            if found.as_ref().is_some_and(|found| names(found, wanted)) {
                return Ok(());
            }
        }
        let place = match target {
            ManifestTarget::Tag(tag) => format!("{repository}:{tag}"),
            ManifestTarget::Digest(digest) => format!("{repository}@{digest}"),
        };
        let found = found.map_or("nothing".to_owned(), |digest| digest.to_string());
        Err(ArrivalError::Unproven { place, wanted: Box::new(wanted.digest), found })
    }
}

/// Whether `found`, which a registry says of a tag, means `manifest`: its digest, or the sha256 of the same bytes.
pub fn names(found: &Digest, manifest: &RawManifest) -> bool {
    *found == manifest.digest || *found == Digest::of(found.algorithm(), &manifest.bytes)
}

fn raw(holdings: &dyn Holdings, digest: &Digest, media_type: &str) -> Result<RawManifest, ArrivalError> {
    let bytes = holdings.manifest(digest)?;
    let raw = RawManifest::new(bytes, Some(media_type), Some(digest));
    raw.map_err(|e| ArchiveError::Damaged(format!("manifest {digest}: {e}")).into())
}

/// Which of `wanted` the destination has: for each, the digest its tag names now. Asked `jobs` at a time.
pub async fn present(
    client: &RegistryClient,
    wanted: &[(Repository, ManifestTarget)],
    jobs: usize,
    each: &(dyn Fn() + Sync),
) -> HashMap<usize, Result<Option<Digest>, RegistryError>> {
    futures_util::stream::iter(wanted.iter().enumerate())
        .map(|(at, (repository, target))| async move {
            let head = client.head_manifest(repository, target).await;
            each();
            (at, head)
        })
        .buffer_unordered(jobs.max(1))
        .collect()
        .await
}
