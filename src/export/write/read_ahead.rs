//! Fetches ahead of a writer that takes blobs strictly in order: into a bounded window in memory, or into a spool on
//! disk.
//!
//! In memory, each of the next `jobs` blobs gets a share of the window. With a spool, blobs are complete and verified
//! on its disk before their turn, as many as fit.

use std::collections::VecDeque;
use std::fs::File;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use super::alternate_sources::AlternateSources;
use super::blob_error::BlobError;
use super::blob_spool::BlobSpool;
use super::blob_writer::compare;
use super::fetch::{Piece, pieces};
use crate::archive::BlobRow;
use crate::export::resume::old_partial::OldPartial;
use crate::image::Hasher;
use crate::plan::ExportPlan;
use crate::registry::BlobPlace;
use crate::report::Reporter;

/// Bytes of each running download that may wait in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Pieces on their way to the writer.
    queue: usize,
    /// A blob of up to this many bytes is complete and verified before its first byte is passed on.
    share: u64,
}

impl Window {
    /// For blobs that wait for their turn.
    pub(crate) const IN_TURN: Self = Self { queue: 14, share: 8 << 20 };
    /// For a blob that is written as it arrives.
    pub(crate) const AT_ONCE: Self = Self { queue: 3, share: 0 };
}

/// Blobs that may wait in a spool for their turn.
const SPOOLED: usize = 1000;

/// Parts of a blob, in order.
pub(crate) enum Coming {
    Piece(Piece),
    /// The complete blob, to be read from its start.
    Spooled(File),
}

pub(crate) type Arriving = mpsc::Receiver<Result<Coming, BlobError>>;

/// Where the next blob comes from.
pub(crate) enum Next {
    Arriving(Arriving),
    /// An earlier partial has it.
    OldPartial,
}

/// Where blobs come from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) places: &'a AlternateSources<'a>,
    pub(crate) plan: &'a ExportPlan,
    pub(crate) reporter: &'a Reporter,
    pub(crate) spool: Option<&'a BlobSpool>,
    pub(crate) old_partial: Option<&'a OldPartial>,
    pub(crate) jobs: usize,
    pub(crate) window: Window,
}

/// The running downloads.
pub(crate) struct ReadAhead<'a> {
    source: Source<'a>,
    left: std::ops::Range<usize>,
    /// Content bytes of the first blob that are already written.
    from: u64,
    running: FuturesUnordered<LocalBoxFuture<'a, ()>>,
    /// Each with the bytes that it occupies in the spool.
    waiting: VecDeque<(usize, Next, u64)>,
    /// Bytes that still fit into the spool.
    room: u64,
    /// Blobs that are being written: one at most.
    taken: usize,
}

impl<'a> ReadAhead<'a> {
    /// `left`: the blobs to fetch, of which the first has `from` bytes already.
    pub(crate) fn new(source: Source<'a>, left: std::ops::Range<usize>, from: u64) -> Self {
        let room = source.spool.map_or(0, BlobSpool::room);
        Self {
            source,
            left,
            from,
            running: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            room,
            taken: 0,
        }
    }

    /// The next blob. Its space in the spool is freed by calling `done` after its last part.
    pub(crate) fn next(&mut self) -> Option<(usize, Next, u64)> {
        self.fill();
        let next = self.waiting.pop_front();
        self.taken = usize::from(next.is_some());
        next
    }

    /// A blob from [`Self::next`] has been written.
    pub(crate) fn done(&mut self, index: usize, held: u64) {
        self.taken = 0;
        self.room += held;
        if let Some(spool) = self.source.spool.filter(|_| held > 0) {
            spool.forget(&self.source.plan.bundle.blobs[index].digest);
        }
    }

    /// Runs `work` while the downloads continue.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                Some(()) = self.running.next() => self.fill(),
            }
        }
    }

    /// A blob from byte `from` on, out of turn.
    pub(crate) fn direct(&self, place: BlobPlace, index: usize, from: u64) -> Next {
        self.start(place, index, from)
    }

    /// Starts a download as soon as its blob is among the next few.
    fn fill(&mut self) {
        while let Some(index) = (!self.left.is_empty()).then_some(self.left.start) {
            let Source { plan, spool, old_partial, jobs, .. } = self.source;
            let blob = &plan.bundle.blobs[index];
            if self.from == 0 && old_partial.is_some_and(|old| old.has(&blob.digest)) {
                self.waiting.push_back((index, Next::OldPartial, 0));
            } else if let Some(spool) = spool.filter(|_| blob.size <= self.room && self.from == 0) {
                if self.running.len() >= jobs || self.waiting.len() >= SPOOLED {
                    return;
                }
                self.room -= blob.size;
                let (send, receive) = mpsc::channel(1);
                self.running.push(Box::pin(self.source.spooled(spool, index, send)));
                self.waiting.push_back((index, Next::Arriving(receive), blob.size));
            } else if self.waiting.len() + self.taken < if spool.is_some() { 1 } else { jobs } {
                // A blob that does not fit into the spool waits until everything before it is gone.
                let next = self.start(plan.source(index).into(), index, self.from);
                self.waiting.push_back((index, next, 0));
                self.from = 0;
            } else {
                return;
            }
            self.left.start += 1;
        }
    }

    fn start(&self, place: BlobPlace, index: usize, from: u64) -> Next {
        let (send, receive) = mpsc::channel(self.source.window.queue);
        self.running.push(Box::pin(self.source.fetched(place, index, from, send)));
        Next::Arriving(receive)
    }
}

type Sender = mpsc::Sender<Result<Coming, BlobError>>;

impl<'a> Source<'a> {
    /// Fetches blob `index` into `send`: a small one complete and verified, a large one as it arrives.
    async fn fetched(self, place: BlobPlace, index: usize, from: u64, send: Sender) {
        let blob = &self.plan.bundle.blobs[index];
        let bar = self.bar(&place, blob, from);
        let whole_first = blob.size <= self.window.share && from == 0;
        let mut hasher = Hasher::for_digest(&blob.digest);
        let mut held = Vec::new();
        let fetched = pieces(self.places, &place, blob, from, &bar, async |piece| {
            if whole_first {
                for chunk in &piece {
                    hasher.update(chunk);
                }
                held.extend(piece);
                return Ok(true);
            }
            Ok(send.send(Ok(Coming::Piece(piece))).await.is_ok())
        });
        let result = match fetched.await {
            Ok(()) if whole_first => compare(blob, hasher).map(|()| Coming::Piece(held)),
            Ok(()) => return,
            Err(error) => Err(error),
        };
        // A receiver that is gone has already failed.
        let _ = send.send(result).await;
    }

    /// Fetches blob `index` into the spool, and resumes where an earlier run stopped.
    async fn spooled(self, spool: &'a BlobSpool, index: usize, send: Sender) {
        let blob = &self.plan.bundle.blobs[index];
        let _ = send
            .send(self.into_spool(spool, blob, &self.plan.source(index).into()).await.map(Coming::Spooled))
            .await;
    }

    async fn into_spool(
        self,
        spool: &BlobSpool,
        blob: &BlobRow,
        place: &BlobPlace,
    ) -> Result<File, BlobError> {
        let mut waiting = tokio::task::block_in_place(|| spool.begin(blob))?;
        let bar = self.bar(place, blob, waiting.len());
        pieces(self.places, place, blob, waiting.len(), &bar, async |piece| {
            tokio::task::block_in_place(|| piece.iter().try_for_each(|chunk| waiting.write(chunk)))?;
            Ok(true)
        })
        .await?;
        let (file, hasher) = waiting.complete()?;
        if let Err(error) = compare(blob, hasher) {
            spool.forget(&blob.digest);
            return Err(error);
        }
        Ok(file)
    }

    pub(super) fn bar(&self, place: &BlobPlace, blob: &BlobRow, from: u64) -> crate::report::Transfer {
        self.reporter.transfer(&format!("{place} {}", blob.digest.short()), blob.size, from)
    }
}
