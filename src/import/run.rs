//! What the parts of one import share: what is to be sent, the state of every blob, and the figures.
//!
//! A blob is sent to its home repository once, whatever the number of images that wait for it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SetOnce};
use tokio_util::sync::CancellationToken;

use super::error::{UploadError, unwrap_source};
use crate::app::once::Once;
use crate::archive::{ArchiveError, FormatError, ImageStore};
use crate::image::{ArtifactCounts, ArtifactKind, Digest, RawManifest, Repository};
use crate::inputs::blob_sources::{LocalBlob, RemoteBlob};
use crate::plan::{ImportPlan, Upload};
use crate::registry::{BlobSource, ManifestTarget, Pushed, RegistryClient};
use crate::report::{Reporter, Transfer};

/// The result of one image upload.
#[derive(Debug)]
pub struct Arrived {
    /// Position in the plan.
    pub image_upload: usize,
    pub result: Result<(), UploadError>,
}

/// Figures of one import run.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub uploaded: u64,
    pub mounted: u64,
    pub already: u64,
    /// Bytes of uploaded blobs.
    pub bytes: u64,
    /// Referrers that were pushed with images.
    pub artifacts: ArtifactCounts,
    /// Blobs, by position in the plan's uploads, that could not be read correctly from the bundle.
    pub damaged: Vec<usize>,
}

/// Everything that one import run needs.
pub struct Import<'a> {
    pub client: &'a RegistryClient,
    pub image_store: &'a Arc<dyn ImageStore>,
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

type BlobResult = Result<(), Arc<UploadError>>;

pub(crate) struct Run<'a> {
    pub(crate) import: &'a Import<'a>,
    /// One for each upload of the plan: set when the blob is in its home repository, or cannot get there.
    pub(crate) blobs: Vec<SetOnce<BlobResult>>,
    /// Blobs that were pushed to a repository other than their home: several images there may wait for one.
    pub(crate) mounts: Once<(Repository, Digest), BlobResult>,
    /// Blobs that were sent again, by round.
    pub(crate) sent_again: Once<(Repository, Digest, usize), BlobResult>,
    sent: Mutex<Sent>,
    /// Permits for images that are being completed.
    pub(crate) finishing: Semaphore,
}

/// Called for every image that is done or has failed, with its position in the plan and its result.
pub(crate) type Settled<'a> = dyn Fn(usize, &Result<(), UploadError>) + Sync + 'a;

impl Import<'_> {
    /// The content of a blob, from the bundle or from the repository of the destination that has it.
    pub(crate) fn source(
        &self,
        upload: &Upload,
        there: &Repository,
        bar: Option<Arc<Transfer>>,
    ) -> Box<dyn BlobSource> {
        let (digest, size) = (upload.digest, upload.size);
        if upload.carried {
            Box::new(LocalBlob { image_store: self.image_store.clone(), digest, size, bar })
        } else {
            Box::new(RemoteBlob { client: self.client.clone(), place: there.into(), digest, size })
        }
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(import: &'a Import<'a>) -> Self {
        Self {
            import,
            blobs: import.plan.uploads.iter().map(|_| SetOnce::new()).collect(),
            mounts: Once::default(),
            sent_again: Once::default(),
            sent: Mutex::default(),
            finishing: Semaphore::new(import.jobs.max(1)),
        }
    }

    pub(crate) fn sent(&self) -> Sent {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_damaged = |blob: &SetOnce<BlobResult>| {
            let error = blob.get().and_then(|result| result.as_ref().err());
            error.is_some_and(|error| matches!(**error, UploadError::Content(_) | UploadError::Archive(_)))
        };
        sent.damaged = (0..self.blobs.len()).filter(|at| is_damaged(&self.blobs[*at])).collect();
        sent
    }

    /// Blob `at` is in its home repository, or cannot get there.
    pub(crate) fn settle(&self, at: usize, result: Result<(), UploadError>) {
        let _ = self.blobs[at].set(result.map_err(Arc::new));
    }

    /// Sends blob `at` to its home repository, from wherever it can be read.
    pub(crate) async fn upload(&self, at: usize, upload: &Upload) {
        let Import { client, reporter, cancel, .. } = self.import;
        let label = format!("{} {}", upload.home.path(), upload.digest.short());
        let bar = Arc::new(reporter.transfer(&label, upload.size, 0));
        let held_by = upload.held_by.as_ref();
        let source = self.import.source(upload, held_by.unwrap_or(&upload.home), Some(bar));
        let push = client.push_blob(&upload.home, &upload.digest, upload.size, &*source, held_by);
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(UploadError::Cancelled),
            result = push => result.map(|pushed| self.count(&pushed)).map_err(unwrap_source),
        };
        self.settle(at, result);
    }

    pub(crate) fn count_artifacts(&self, kinds: impl Iterator<Item = ArtifactKind>) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).artifacts.extend(kinds);
    }

    pub(crate) fn count(&self, pushed: &Pushed) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        match pushed {
            Pushed::Mounted => sent.mounted += 1,
            Pushed::AlreadyThere => sent.already += 1,
            Pushed::Uploaded { bytes } => {
                sent.uploaded += 1;
                sent.bytes += bytes;
            }
        }
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
