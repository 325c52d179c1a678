//! Completes an image once its blobs have arrived: mounts, children, root, tag, and the check that the registry has it.

use crate::archive::FormatError;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::upload::{Run, UploadError, unwrap_source};
use crate::archive::{ArchiveError, ArtifactRow, ImageStore};
use crate::image::{Algorithm, Descriptor, Digest, ManifestKind, RawManifest, Repository, Tag};
use crate::plan::{ImageUpload, Upload};
use crate::registry::{GivenOut, HEADS_PER_JOB, ManifestTarget, RegistryClient, RegistryError};

/// Pauses before each attempt to read back an image that was just sent.
const PROOF_WAITS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(4)];

/// Referrers by subject, for which the registry did not confirm that it lists them.
type Unlisted = BTreeMap<Digest, Vec<Descriptor>>;

impl Run<'_> {
    /// Waits for the blobs of an image, then completes it without a pause: mounts, children, root, verification.
    pub(crate) async fn complete(&self, image_upload: &ImageUpload) -> Result<(), UploadError> {
        for &blob in &image_upload.blobs {
            let upload = &self.import.plan.uploads[blob as usize];
            if let Err(error) = self.blobs[blob as usize].wait().await {
                return Err(UploadError::Blob { digest: upload.digest.into(), error: error.clone() });
            }
        }
        let _permit = self.finishing.acquire().await.map_err(|_| UploadError::Cancelled)?;
        if self.import.cancel.is_cancelled() {
            return Err(UploadError::Cancelled);
        }
        // Boxed because its state takes some kilobytes, and all images of an import wait above at the same time.
        Box::pin(self.finish(image_upload)).await
    }

    async fn finish(&self, image_upload: &ImageUpload) -> Result<(), UploadError> {
        let repository = &image_upload.target.repository;
        let elsewhere: Vec<&Upload> = image_upload
            .blobs
            .iter()
            .map(|blob| &self.import.plan.uploads[*blob as usize])
            .filter(|upload| upload.home != *repository)
            .collect();
        let mut mounts = futures_util::stream::iter(elsewhere)
            .map(|upload| async move {
                let mount = async { self.mount(repository, upload).await.map_err(Arc::new) };
                let result = self.mounts.get((repository.clone(), upload.digest), Box::pin(mount)).await;
                result.map_err(|error| UploadError::Blob { digest: upload.digest.into(), error })
            })
            .buffer_unordered(self.import.jobs.max(1));
        while let Some(mounted) = mounts.next().await {
            mounted?;
        }
        self.manifests(image_upload).await
    }

    /// Makes a blob of another repository available here: mounts it, or uploads it again if the registry does not
    /// mount.
    async fn mount(&self, repository: &Repository, upload: &Upload) -> Result<(), UploadError> {
        let source = self.import.source(upload, &upload.home, None);
        let client = self.import.client;
        let pushed =
            client.push_blob(repository, &upload.digest, upload.size, &*source, Some(&upload.home)).await;
        self.count(&pushed.map_err(unwrap_source)?);
        Ok(())
    }

    /// Pushes children, then the root, then the referrers, and only then the tag: whoever sees the image can also see
    /// that it is signed.
    async fn manifests(&self, image_upload: &ImageUpload) -> Result<(), UploadError> {
        let repository = &image_upload.target.repository;
        let mut unlisted = Unlisted::new();
        let mut untagged = Vec::new();
        for (digest, media_type) in &image_upload.manifests {
            let is_root = image_upload.manifests.last().is_some_and(|(root, _)| root == digest);
            // The registry hashes a push by tag with sha256, so a digest of another algorithm must be given explicitly.
            let by_tag =
                is_root && image_upload.target.tag.is_some() && digest.algorithm() == Algorithm::Sha256;
            if !by_tag || !image_upload.artifacts.is_empty() {
                untagged.push(self.put(image_upload, None, digest, media_type, &mut unlisted).await?);
            }
        }
        self.prove_each(repository, &untagged).await?;
        self.artifacts(image_upload, &mut unlisted).await?;
        if let (Some(tag), Some((root, root_type))) =
            (&image_upload.target.tag, image_upload.manifests.last())
        {
            let manifest = self.put(image_upload, Some(tag), root, root_type, &mut unlisted).await?;
            self.prove(repository, &ManifestTarget::Tag(tag.clone()), &manifest).await?;
        }
        self.list(repository, unlisted).await
    }

    /// Pushes the referrers of an image, and verifies that they can be found.
    async fn artifacts(
        &self,
        image_upload: &ImageUpload,
        unlisted: &mut Unlisted,
    ) -> Result<(), UploadError> {
        let repository = &image_upload.target.repository;
        let mut about: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        let mut untagged = Vec::new();
        for arriving in &image_upload.artifacts {
            let row = &self.import.image_store.bundle().artifacts[arriving.artifact];
            for (digest, media_type) in &arriving.manifests {
                let tag = row.tag.as_ref().filter(|_| *digest == row.digest);
                let manifest = self.put(image_upload, tag, digest, media_type, unlisted).await?;
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
        let rows = image_upload
            .artifacts
            .iter()
            .map(|one| &self.import.image_store.bundle().artifacts[one.artifact]);
        self.count_artifacts(rows.filter_map(ArtifactRow::kind));
        Ok(())
    }

    /// Pushes one manifest by its tag, or by its digest if it has none.
    async fn put(
        &self,
        image_upload: &ImageUpload,
        tag: Option<&Tag>,
        digest: &Digest,
        media_type: &str,
        unlisted: &mut Unlisted,
    ) -> Result<RawManifest, UploadError> {
        let manifest = raw(self.import.image_store.as_ref(), digest, media_type)?;
        let target = tag.map_or(ManifestTarget::Digest(*digest), |tag| ManifestTarget::Tag(tag.clone()));
        let put = self.put_insisting(image_upload, &target, &manifest).await?;
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
            self.import.client.list_referrers(repository, &subject, &referrers).await?;
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
            let listed = self.import.client.referrers(repository, subject).await?.descriptors;
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
            .buffer_unordered(self.import.jobs.max(1));
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
            found = self.import.client.gives_out(repository, target, wanted).await?;
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

/// A tag or digest as it is written after its repository.
pub(crate) fn place(repository: &Repository, target: &ManifestTarget) -> String {
    match target {
        ManifestTarget::Tag(tag) => format!("{repository}:{tag}"),
        ManifestTarget::Digest(digest) => format!("{repository}@{digest}"),
    }
}

pub(crate) fn raw(
    image_store: &dyn ImageStore,
    digest: &Digest,
    media_type: &str,
) -> Result<RawManifest, UploadError> {
    let bytes = image_store.manifest(digest)?;
    let raw = RawManifest::new(bytes, Some(media_type), Some(digest));
    raw.map_err(|e| ArchiveError::Format(FormatError::Damaged(format!("manifest {digest}: {e}"))).into())
}

/// Whether a repository has an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArtifactStatus {
    There,
    Absent,
    /// Its tag resolves to something else.
    Other(Digest),
}

/// Which artifacts `repository` has, given and returned by position in the bundle.
pub async fn artifacts_there(
    client: &RegistryClient,
    image_store: &dyn ImageStore,
    repository: &Repository,
    artifacts: &[usize],
) -> Result<Vec<(usize, ArtifactStatus)>, UploadError> {
    let rows = &image_store.bundle().artifacts;
    let mut lists: HashMap<Digest, Vec<Descriptor>> = HashMap::new();
    let mut found = Vec::with_capacity(artifacts.len());
    for &at in artifacts {
        let row = &rows[at];
        if let Some(tag) = &row.tag {
            found.push((at, under_tag(client, image_store, repository, tag, row).await?));
            continue;
        }
        let list = match lists.entry(row.subject) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(client.referrers(repository, &row.subject).await?.descriptors),
        };
        let listed = list.iter().any(|listed| listed.digest == row.digest);
        found.push((at, if listed { ArtifactStatus::There } else { ArtifactStatus::Absent }));
    }
    Ok(found)
}

/// A tag whose manifest has the content of `row` and more counts as having it: whoever signs an image again behind the
/// gap adds to the same manifest, and that must not be lost.
async fn under_tag(
    client: &RegistryClient,
    image_store: &dyn ImageStore,
    repository: &Repository,
    tag: &Tag,
    row: &ArtifactRow,
) -> Result<ArtifactStatus, UploadError> {
    let target = ManifestTarget::Tag(tag.clone());
    let own = raw(image_store, &row.digest, &row.media_type)?;
    let found = match client.head_manifest(repository, &target).await? {
        None => return Ok(ArtifactStatus::Absent),
        Some(found) if own.is_named(&found) => return Ok(ArtifactStatus::There),
        Some(found) => found,
    };
    let there = client.manifest(repository, &target).await?.manifest;
    let (Ok(own), Ok(there)) = (own.parse(), there.parse()) else {
        return Ok(ArtifactStatus::Other(found));
    };
    let has = |layer: &Descriptor| there.layers.iter().any(|other| other.digest == layer.digest);
    let covers = own.kind == ManifestKind::Image && !own.layers.is_empty() && own.layers.iter().all(has);
    Ok(if covers { ArtifactStatus::There } else { ArtifactStatus::Other(found) })
}

/// Which of `wanted` the destination has: for each, the digest that its tag resolves to now. Sends as many requests at
/// a time as `jobs` allows.
pub async fn present(
    client: &RegistryClient,
    wanted: &[(Repository, ManifestTarget)],
    jobs: usize,
    each: &(dyn Fn() + Sync),
) -> HashMap<usize, Result<Option<Digest>, RegistryError>> {
    futures_util::stream::iter(wanted.iter().enumerate())
        .map(|(at, (repository, target))| async move {
            let there = client.has_manifest(repository, target).await;
            each();
            (at, there)
        })
        .buffer_unordered(jobs.max(1).saturating_mul(HEADS_PER_JOB))
        .collect()
        .await
}
