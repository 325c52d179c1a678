//! What the downloads of one plan share: the file they write to, what an earlier run left, and how a blob is fetched.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::alternate_sources::AlternateSources;
use super::blob_error::{BlobError, LostBlob};
use super::fetch::{Piece, pieces};
use crate::archive::{BlobRow, PartialFile};
use crate::export::resume::journal::{Journal, ResumeState};
use crate::export::resume::readback::OldPartial;
use crate::export::resume::watermark::Watermark;
use crate::plan::ExportPlan;
use crate::registry::BlobPlace;
use crate::report::Reporter;

/// Pieces that may wait between the network and the disk, per blob.
pub(crate) const QUEUE: usize = 3;

/// What the transfer of a plan came to.
#[derive(Debug, Default)]
pub struct Downloaded {
    pub lost: Vec<LostBlob>,
    /// File lengths of the frames of each compressed blob, in member order; complete only when nothing was lost.
    pub compressed: Vec<Vec<u32>>,
    /// Where the compressed part ends.
    pub end: u64,
    /// Content bytes that came over the network in this run.
    pub received: u64,
}

/// Everything one export run works with.
pub struct Download<'a> {
    pub plan: &'a ExportPlan,
    pub file: &'a PartialFile,
    pub journal: &'a Journal,
    /// What of the partial is trusted and has been read back.
    pub past: &'a ResumeState,
    /// Where blobs are to be had.
    pub places: &'a AlternateSources<'a>,
    /// Earlier partials that may have compressed blobs this plan wants.
    pub old_partials: &'a [OldPartial],
    /// One for each transfer that may run.
    pub permits: &'a Semaphore,
    pub jobs: usize,
    pub reporter: &'a Reporter,
    pub cancel: &'a CancellationToken,
    pub front: &'a Watermark,
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

impl Download<'_> {
    pub(crate) fn keep(&self, result: Result<(), LostBlob>, lost: &Mutex<Vec<LostBlob>>) {
        let Err(blob) = result else { return };
        if matches!(blob.error, BlobError::Transfer(_)) {
            self.cancel.cancel();
        }
        lost.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(blob);
    }

    pub(crate) async fn fetch(
        &self,
        place: &BlobPlace,
        blob: &BlobRow,
        from: u64,
        send: mpsc::Sender<Piece>,
        bar: &crate::report::Transfer,
        received: &AtomicU64,
    ) -> Result<(), BlobError> {
        let work = pieces(self.places, place, blob, from, bar, async |piece| {
            received.fetch_add(piece.iter().map(|chunk| chunk.len() as u64).sum(), Ordering::Relaxed);
            // A receiver that is gone has failed, and says why itself.
            Ok(send.send(piece).await.is_ok())
        });
        tokio::select! {
            result = work => result,
            () = self.cancel.cancelled() => Err(BlobError::Cancelled),
        }
    }
}
