//! Uploading: each missing blob once, in file order, and each image completed as soon as its blobs are there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Semaphore, SetOnce};
use tokio_util::sync::CancellationToken;

use super::once::Once;
use super::source::{HeldBlob, WrongContent};
use crate::archive::{ArchiveError, Holdings};
use crate::image::{Algorithm, Digest, RawManifest, Repository};
use crate::plan::{Arrival, ImportPlan, Upload};
use crate::registry::{ManifestTarget, Pushed, RegistryClient, RegistryError};
use crate::report::Reporter;

/// Pauses before each look at what a registry says of an image that was just sent.
const PROOF_WAITS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(4)];

#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Content(Box<WrongContent>),
    #[error("blob {digest}: {error}")]
    Blob { digest: Box<Digest>, error: Arc<ArrivalError> },
    /// It went by in a pipe, and the registry has lost what it got of it.
    #[error("{0}; a pipe cannot be read again")]
    LostInPipe(Box<RegistryError>),
    #[error("the registry took it, but now names {found} for {place}, not {wanted}")]
    Unproven { place: String, wanted: Box<Digest>, found: String },
    #[error("stopped")]
    Cancelled,
}

impl From<WrongContent> for ArrivalError {
    fn from(error: WrongContent) -> Self {
        Self::Content(Box::new(error))
    }
}

impl ArrivalError {
    /// The error itself, where it is a blob's that several images share.
    pub fn innermost(&self) -> &Self {
        match self {
            Self::Blob { error, .. } => error.innermost(),
            other => other,
        }
    }
}

/// What became of one arrival.
#[derive(Debug)]
pub struct Arrived {
    /// Position in the plan.
    pub arrival: usize,
    pub result: Result<(), ArrivalError>,
}

/// Figures of one import run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub uploaded: u64,
    pub mounted: u64,
    pub already: u64,
    /// Bytes of uploaded blobs.
    pub bytes: u64,
}

/// Everything one import run works with.
pub struct Import<'a> {
    pub client: &'a RegistryClient,
    pub holdings: &'a Arc<dyn Holdings>,
    pub plan: &'a ImportPlan,
    pub jobs: usize,
    pub reporter: &'a Reporter,
    pub cancel: &'a CancellationToken,
}

impl std::fmt::Debug for Import<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

type BlobResult = Result<(), Arc<ArrivalError>>;

pub(super) struct Run<'a> {
    pub(super) import: &'a Import<'a>,
    /// One for each upload of the plan: settled when the blob is in its home, or cannot get there.
    blobs: Vec<SetOnce<BlobResult>>,
    /// Blobs that came to another repository than their home: several images there may wait for one.
    mounts: Once<(Repository, Digest), BlobResult>,
    sent: std::sync::Mutex<Sent>,
    /// Images that are being completed at once.
    finishing: Semaphore,
}

/// Told of every image that is settled: its position in the plan, and how it went.
pub(super) type Settled<'a> = dyn Fn(usize, &Result<(), ArrivalError>) + Sync + 'a;

impl Import<'_> {
    /// Sends what is missing, many blobs at once.
    pub async fn run(&self, each: &Settled<'_>) -> (Vec<Arrived>, Sent) {
        let run = Run::new(self);
        let uploads = futures_util::stream::iter(self.plan.uploads.iter().enumerate())
            .map(|(at, upload)| run.upload(at, upload))
            .buffer_unordered(self.jobs.max(1))
            .for_each(|()| futures_util::future::ready(()));
        let ((), arrived) = tokio::join!(uploads, run.arrivals(each));
        (arrived, run.sent())
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(import: &'a Import<'a>) -> Self {
        Self {
            import,
            blobs: import.plan.uploads.iter().map(|_| SetOnce::new()).collect(),
            mounts: Once::default(),
            sent: std::sync::Mutex::default(),
            finishing: Semaphore::new(import.jobs.max(1)),
        }
    }

    /// Completes every image as soon as its blobs are settled.
    pub(super) async fn arrivals(&self, each: &Settled<'_>) -> Vec<Arrived> {
        let mut arrived: Vec<_> = futures_util::stream::iter(self.import.plan.arrivals.iter().enumerate())
            .map(|(at, arrival)| async move {
                let result = self.complete(arrival).await;
                each(at, &result);
                Arrived { arrival: at, result }
            })
            // All of them wait at once; how many work is bounded inside.
            .buffer_unordered(self.import.plan.arrivals.len().max(1))
            .collect()
            .await;
        arrived.sort_by_key(|a| a.arrival);
        arrived
    }

    pub(super) fn sent(&self) -> Sent {
        *self.sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Blob `at` is in its home, or cannot get there.
    pub(super) fn settle(&self, at: usize, result: Result<(), ArrivalError>) {
        let _ = self.blobs[at].set(result.map_err(Arc::new));
    }
}

impl Run<'_> {
    pub(super) async fn upload(&self, at: usize, upload: &Upload) {
        let Import { client, holdings, reporter, cancel, .. } = self.import;
        let label = format!("{} {}", upload.home.path(), upload.digest.short());
        let bar = Arc::new(reporter.transfer(&label, upload.size, 0));
        let source = HeldBlob {
            holdings: (*holdings).clone(),
            digest: upload.digest,
            size: upload.size,
            bar: Some(bar),
        };
        let push =
            client.push_blob(&upload.home, &upload.digest, upload.size, &source, upload.held_by.as_ref());
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ArrivalError::Cancelled),
            result = push => result.map(|pushed| self.count(&pushed)).map_err(unwrap_source),
        };
        self.settle(at, result);
    }

    pub(super) fn count(&self, pushed: &Pushed) {
        let mut sent = self.sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match pushed {
            Pushed::Mounted => sent.mounted += 1,
            Pushed::AlreadyThere => sent.already += 1,
            Pushed::Uploaded { bytes } => {
                sent.uploaded += 1;
                sent.bytes += bytes;
            }
        }
    }

    /// Waits for the blobs of an image, then completes it without a pause: mounts, children, root, proof.
    async fn complete(&self, arrival: &Arrival) -> Result<(), ArrivalError> {
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
        self.count(&pushed.map_err(unwrap_source)?);
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

/// An upload that failed because of what was read, not because of the registry, is the bundle's fault.
pub(super) fn unwrap_source(error: RegistryError) -> ArrivalError {
    let Some(source) = error.source_error() else {
        return ArrivalError::Registry(error);
    };
    if let Some(WrongContent { wanted, found }) = source.downcast_ref() {
        return ArrivalError::Content(Box::new(WrongContent { wanted: *wanted, found: *found }));
    }
    if let Some(damage) = source.downcast_ref::<ArchiveError>() {
        let why = match damage {
            ArchiveError::Damaged(why) => why.clone(),
            other => other.to_string(),
        };
        return ArrivalError::Archive(ArchiveError::Damaged(why));
    }
    ArrivalError::Registry(error)
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
