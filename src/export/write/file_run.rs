//! What the parts of one run into a file share: the file, its journal, its front, and its checksums.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::blob_error::LostBlob;
use super::error::TransferError;
use crate::archive::{FRAME_CONTENT, PartialFile};
use crate::export::resume::journal::{Journal, ResumeState};
use crate::export::resume::watermark::Watermark;
use crate::image::Digest;
use crate::plan::ExportPlan;

/// The tasks that run beside the downloads and share the file with them.
pub(crate) struct Shared {
    pub(crate) file: Arc<PartialFile>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) front: Arc<Watermark>,
    /// Ends the run, because the user interrupts it or the file cannot be written.
    pub(crate) stop: CancellationToken,
}

/// How the checksums of the file or its volumes are computed.
pub(crate) enum Sidecar {
    None,
    /// By a task that reads the file up to the front.
    Followed(JoinHandle<Result<Option<Vec<Digest>>, TransferError>>),
    /// By the writer itself, which wrote the file in order.
    Known(Vec<Digest>),
}

impl Sidecar {
    pub(crate) async fn checksums(self) -> Result<Option<Vec<Digest>>, TransferError> {
        match self {
            Self::None => Ok(None),
            Self::Known(checksums) => Ok(Some(checksums)),
            Self::Followed(follower) => {
                follower.await.unwrap_or(Err(TransferError::Invariant("the sidecar's hasher panicked")))
            }
        }
    }
}

/// The result of transferring the blobs of a plan.
#[derive(Debug, Default)]
pub(crate) struct Downloaded {
    pub(crate) lost: Vec<LostBlob>,
    /// What follows the blobs; empty if one was lost.
    pub(crate) ending: Vec<u8>,
    /// Offset at which the blobs end.
    pub(crate) end: u64,
}

/// Bytes of the blobs of `plan` that an earlier run has left in the file.
pub(crate) fn past_bytes(plan: &ExportPlan, past: &ResumeState) -> u64 {
    let size = |index: &u32| plan.bundle.blobs.get(*index as usize).map_or(0, |blob| blob.size);
    let done: u64 = past.done.iter().map(size).sum();
    let half = past.progress.iter().filter(|(index, _)| !past.done.contains(index));
    done + half.map(|(_, frames)| frames * FRAME_CONTENT).sum::<u64>()
}
