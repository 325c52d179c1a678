//! Downloading: every blob of a plan once, straight into its place in the partial.
//!
//! The network side of a blob runs as a task; hashing, framing and writing run on a thread of their own beside it,
//! joined by a channel of a few pieces, so that memory is bounded by jobs and neither side waits for the other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::fetch::{Attempts, Piece, pieces};
use super::journal::{Journal, Past};
use super::{Donor, Front, Places, TransferError};
use crate::app::failure::{ExitCode, Explain};
use crate::archive::{self, BlobRow, FRAME_CONTENT, PartialFile, StoredWriter};
use crate::image::{Digest, Hasher};
use crate::plan::ExportPlan;
use crate::registry::{BlobPlace, RegistryError};
use crate::report::Reporter;

/// Pieces that may wait between the network and the disk, per blob.
const QUEUE: usize = 3;
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("the registry sent content with digest {found}, not {wanted}")]
    Digest { wanted: Box<Digest>, found: Box<Digest> },
    #[error("stopped")]
    Cancelled,
}

impl Explain for BlobError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Registry(error) => error.calls_for(),
            Self::Transfer(error) => error.calls_for(),
            Self::Digest { .. } => Some(ExitCode::Content),
            Self::Cancelled => Some(ExitCode::Interrupted),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Transfer(error) => error.hints(),
            Self::Digest { .. } | Self::Cancelled => Vec::new(),
        }
    }
}

impl BlobError {
    /// Whether going on with other blobs makes no sense: the disk is at fault, or the user wants out.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Transfer(_) | Self::Cancelled)
    }
}

/// A blob that could not be fetched.
#[derive(Debug)]
pub struct LostBlob {
    pub index: usize,
    pub error: BlobError,
}

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
    pub past: &'a Past,
    /// Where blobs are to be had.
    pub places: &'a Places<'a>,
    /// Earlier partials that may have compressed blobs this plan wants.
    pub donors: &'a [Donor],
    /// One for each transfer that may run.
    pub permits: &'a Semaphore,
    pub jobs: usize,
    pub reporter: &'a Reporter,
    pub cancel: &'a CancellationToken,
    pub front: &'a Front,
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

impl Download<'_> {
    /// Fetches what is missing: stored blobs in offset order, `jobs` at a time, and beside them the compressed ones,
    /// one after another, since each begins where the last ended.
    pub async fn run(&self) -> Result<Downloaded, BlobError> {
        let received = AtomicU64::new(0);
        let lost = Mutex::new(Vec::new());
        let layout = &self.plan.head.layout;
        let stored = futures_util::stream::iter(layout.stored())
            .map(|index| self.stored(index, &received))
            .buffer_unordered(self.jobs.max(1))
            .for_each(|result| {
                self.keep(result, &lost);
                futures_util::future::ready(())
            });
        let (compressed, ()) = tokio::join!(self.compressed(&received, &lost), stored);
        let mut lost = lost.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        // What could not be written is why the others were cancelled.
        let is_write_failure = |lost: &LostBlob| matches!(lost.error, BlobError::Transfer(_));
        let written = lost.iter().position(is_write_failure);
        if let Some(at) = written.or_else(|| lost.iter().position(|lost| lost.error.is_final())) {
            return Err(lost.swap_remove(at).error);
        }
        let (compressed, end) = compressed?;
        Ok(Downloaded { lost, compressed, end, received: received.into_inner() })
    }

    pub(super) fn keep(&self, result: Result<(), LostBlob>, lost: &Mutex<Vec<LostBlob>>) {
        let Err(blob) = result else { return };
        if matches!(blob.error, BlobError::Transfer(_)) {
            self.cancel.cancel();
        }
        lost.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(blob);
    }

    async fn stored(&self, index: usize, received: &AtomicU64) -> Result<(), LostBlob> {
        let key = u32::try_from(index).unwrap_or(u32::MAX);
        if !self.past.done.contains(&key) {
            let _permit = self.permits.acquire().await;
            self.stored_anywhere(index, received).await.map_err(|error| LostBlob { index, error })?;
        }
        self.front.finished(index);
        Ok(())
    }

    async fn stored_anywhere(&self, index: usize, received: &AtomicU64) -> Result<(), BlobError> {
        let blob = &self.plan.bundle.blobs[index];
        let mut place = BlobPlace::from(self.plan.source(index));
        let mut attempts: Option<Attempts> = None;
        let mut go_on = true;
        while let Err(error) = self.stored_from(&place, index, go_on, received).await {
            let attempts =
                attempts.get_or_insert_with(|| Attempts::new(&place, self.places.of(&blob.digest)));
            // Content that was wrong is fetched from its start.
            go_on = !matches!(error, BlobError::Digest { .. });
            place = attempts.after(error)?;
            self.front.rewrites();
        }
        Ok(())
    }

    async fn stored_from(
        &self,
        place: &BlobPlace,
        index: usize,
        go_on: bool,
        received: &AtomicU64,
    ) -> Result<(), BlobError> {
        let blob = &self.plan.bundle.blobs[index];
        let frames = self.past.progress.get(&u32::try_from(index).unwrap_or(u32::MAX)).copied().unwrap_or(0);
        let resume = if go_on && frames > 0 { self.resume(index, frames)? } else { None };
        let from = resume.as_ref().map_or(0, |(content, _)| *content);
        let bar = self.reporter.transfer(&format!("{place} {}", blob.digest.short()), blob.size, from);
        let (send, receive) = mpsc::channel::<Piece>(QUEUE);
        let writer = self.write_stored(index, resume, receive);
        let fetch = self.fetch(place, blob, from, send, &bar, received);
        let (fetched, written) = tokio::join!(fetch, writer);
        // A writer that fails closes the channel: its error is the cause.
        let found = written?;
        fetched?;
        if found != blob.digest {
            return Err(BlobError::Digest { wanted: blob.digest.into(), found: found.into() });
        }
        self.journal.done(index)?;
        Ok(())
    }

    /// The hasher of what an earlier run left of a blob, as far as its frames are intact.
    fn resume(&self, index: usize, frames: u64) -> Result<Option<(u64, Hasher)>, BlobError> {
        let blob = &self.plan.bundle.blobs[index];
        let mut hasher = Hasher::for_digest(&blob.digest);
        let data = self.plan.head.layout.data_offset(index);
        let intact = archive::read_back(self.file, data, blob.size, frames * FRAME_CONTENT, &mut |frame| {
            frame.content().for_each(|piece| hasher.update(piece));
            Ok(())
        })
        .map_err(TransferError::from)?;
        Ok((intact > 0).then_some((intact, hasher)))
    }

    pub(super) async fn fetch(
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

    /// Hashes, frames and writes what arrives, on a blocking thread's time; returns the digest of all content.
    async fn write_stored(
        &self,
        index: usize,
        resume: Option<(u64, Hasher)>,
        mut receive: mpsc::Receiver<Piece>,
    ) -> Result<Digest, TransferError> {
        let mut known = resume.as_ref().map_or(0, |(content, _)| content / FRAME_CONTENT);
        let blobs = &self.plan.bundle.blobs;
        let mut writer = StoredWriter::new(self.file, &self.plan.head.layout, blobs, index, resume);
        while let Some(piece) = receive.recv().await {
            tokio::task::block_in_place(|| {
                for chunk in piece {
                    let frames = writer.push(&chunk)?;
                    if frames > known {
                        known = frames;
                        self.journal.progress(index, frames)?;
                    }
                    self.front.advanced(index, frames);
                    self.front.wrote(chunk.len() as u64);
                }
                Ok::<_, TransferError>(())
            })?;
        }
        Ok(tokio::task::block_in_place(|| writer.finish())?)
    }
}
