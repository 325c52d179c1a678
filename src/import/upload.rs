//! Uploads each missing blob once, mostly in file order; each image is completed as soon as its blobs have arrived.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::{Semaphore, SetOnce};
use tokio_util::sync::CancellationToken;

use crate::app::failure::{ExitCode, Explain};
use crate::app::once::Once;
use crate::archive::{ArchiveError, FormatError, ImageStore, InputError};
use crate::image::{ArtifactCounts, ArtifactKind, Digest, Repository};
use crate::inputs::blob_sources::{LocalBlob, RemoteBlob, WrongContent};
use crate::plan::{ImportPlan, Upload, sending_order};
use crate::registry::{BlobSource, Pushed, RegistryClient, RegistryError};
use crate::report::{Reporter, Transfer};

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Content(Box<WrongContent>),
    #[error("blob {digest}: {error}")]
    Blob { digest: Box<Digest>, error: Arc<UploadError> },
    /// The blob was read from a pipe, and the registry lost what it received of it.
    #[error("{0}; a pipe cannot be read again")]
    LostInPipe(Box<RegistryError>),
    /// The blob was skipped in a pipe because the registry said that it had it, which was wrong.
    #[error("{0}; a pipe cannot be read again")]
    PassedBy(Box<RegistryError>),
    #[error("pushed, but the registry returns {found} for {place} instead of {wanted}")]
    Unproven { place: String, wanted: Box<Digest>, found: String },
    #[error("{place} is {there}, and the registry refuses to change it to {wanted}: {error}")]
    TagKept {
        place: String,
        there: Box<Digest>,
        wanted: Box<Digest>,
        /// It is the tag of a signature or another referrer, not of an image.
        is_artifact: bool,
        error: Box<RegistryError>,
    },
    #[error("{error}; {about}")]
    ManifestRefused { about: String, hint: Option<&'static str>, error: Box<RegistryError> },
    #[error("stopped")]
    Cancelled,
}

impl From<WrongContent> for UploadError {
    fn from(error: WrongContent) -> Self {
        Self::Content(Box::new(error))
    }
}

impl Explain for UploadError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Registry(error) => error.calls_for(),
            Self::LostInPipe(_)
            | Self::PassedBy(_)
            | Self::Archive(ArchiveError::Input(InputError::PassedBy(_))) => Some(ExitCode::Partly),
            Self::Archive(error) => error.calls_for(),
            Self::Content(_) => Some(ExitCode::Content),
            Self::Cancelled => Some(ExitCode::Interrupted),
            Self::Blob { error, .. } => error.calls_for(),
            Self::TagKept { .. } | Self::ManifestRefused { .. } | Self::Unproven { .. } => {
                Some(ExitCode::Failed)
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Blob { error, .. } => error.hints(),
            Self::TagKept { is_artifact, .. } => {
                let mut hints =
                    vec!["keep tags with other content: --on-conflict skip".to_owned()];
                if *is_artifact {
                    hints.push("or leave out signatures and other referrers: --with none".to_owned());
                }
                hints
            }
            Self::ManifestRefused { hint, error, .. } => {
                hint.map_or_else(|| error.hints(), |hint| vec![hint.to_owned()])
            }
            Self::LostInPipe(_) => vec![
                "send the same stream again; what arrived is not sent twice. With --spool DIR, failed uploads can \
                 be retried"
                    .to_owned(),
            ],
            Self::PassedBy(_) | Self::Archive(ArchiveError::Input(InputError::PassedBy(_))) => vec![
                "the registry says that it has blobs that it lacks, or does not mount blobs: import from a \
                 file, which can be read again"
                    .to_owned(),
            ],
            Self::Archive(error) => error.hints(),
            Self::Content(_) | Self::Unproven { .. } | Self::Cancelled => Vec::new(),
        }
    }
}

impl UploadError {
    /// The error itself, or the error of the blob if several images share it.
    pub fn innermost(&self) -> &Self {
        match self {
            Self::Blob { error, .. } => error.innermost(),
            other => other,
        }
    }
}

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
    sent: std::sync::Mutex<Sent>,
    /// Permits for images that are being completed.
    pub(crate) finishing: Semaphore,
}

/// Called for every image that is done or has failed, with its position in the plan and its result.
pub(crate) type Settled<'a> = dyn Fn(usize, &Result<(), UploadError>) + Sync + 'a;

impl Import<'_> {
    /// Sends what is missing, many blobs at once.
    pub async fn run(&self, each: &Settled<'_>) -> (Vec<Arrived>, Sent) {
        let run = Run::new(self);
        let sizes: Vec<u64> = self.plan.uploads.iter().map(|upload| upload.size).collect();
        let uploads = futures_util::stream::iter(sending_order(&sizes, self.jobs))
            .map(|at| run.upload(at, &self.plan.uploads[at]))
            .buffer_unordered(self.jobs.max(1))
            .for_each(|()| futures_util::future::ready(()));
        let ((), arrived) = tokio::join!(uploads, run.complete_all(each));
        (arrived, run.sent())
    }
}

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
            sent: std::sync::Mutex::default(),
            finishing: Semaphore::new(import.jobs.max(1)),
        }
    }

    /// Completes every image as soon as its blobs are done.
    pub(crate) async fn complete_all(&self, each: &Settled<'_>) -> Vec<Arrived> {
        let mut arrived: Vec<_> =
            futures_util::stream::iter(self.import.plan.image_uploads.iter().enumerate())
                .map(|(at, image_upload)| async move {
                    let result = self.complete(image_upload).await;
                    each(at, &result);
                    Arrived { image_upload: at, result }
                })
                // All of them wait at once; the number that works at a time is bounded inside.
                .buffer_unordered(self.import.plan.image_uploads.len().max(1))
                .collect()
                .await;
        arrived.sort_by_key(|a| a.image_upload);
        arrived
    }

    pub(crate) fn sent(&self) -> Sent {
        let mut sent = self.sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
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
}

impl Run<'_> {
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
        self.sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner).artifacts.extend(kinds);
    }

    pub(crate) fn count(&self, pushed: &Pushed) {
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
}

/// An upload that failed because reading failed is the bundle's fault, not the registry's.
pub(crate) fn unwrap_source(error: RegistryError) -> UploadError {
    let Some(source) = error.source_error() else {
        return UploadError::Registry(error);
    };
    let source: &(dyn std::error::Error + 'static) = source;
    if let Some(WrongContent { wanted, found }) = source.downcast_ref() {
        return UploadError::Content(Box::new(WrongContent { wanted: *wanted, found: *found }));
    }
    if let Some(ArchiveError::Input(InputError::PassedBy(digest))) = source.downcast_ref() {
        return ArchiveError::Input(InputError::PassedBy(*digest)).into();
    }
    if let Some(damage) = source.downcast_ref::<ArchiveError>() {
        return UploadError::Archive(ArchiveError::Format(FormatError::Damaged(damage.damage())));
    }
    UploadError::Registry(error)
}
