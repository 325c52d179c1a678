//! Writes every blob at its own offset: several stored blobs at a time, and the compressed ones beside them, in order.

use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use tokio::sync::Semaphore;

use super::blob_error::{BlobError, LostBlob, WriteFailure};
use super::error::TransferError;
use super::file_run::{Downloaded, Shared};
use super::in_order::Ordered;
use super::read_ahead::Source;
use super::sink::AtOffset;
use crate::archive;
use crate::export::resume::journal::ResumeState;
use crate::export::resume::readback::begun;

/// What the parts of one run share.
struct Parallel<'r, 'a> {
    /// Where blobs come from, one at a time: `permits` bounds the transfers.
    source: Source<'a>,
    shared: &'r Shared,
    /// What an earlier run left and what has been read back.
    past: &'r ResumeState,
    /// One permit for each transfer that may run.
    permits: Semaphore,
    lost: Mutex<Vec<LostBlob>>,
}

/// Fetches what is missing: stored blobs in offset order, `jobs` at a time, and at the same time the compressed ones,
/// one after another, because each begins where the last one ended.
pub(crate) async fn run(
    source: Source<'_>,
    shared: &Shared,
    past: &ResumeState,
) -> Result<Downloaded, BlobError> {
    let (jobs, plan) = (source.jobs, source.plan);
    let (permits, lost) = (Semaphore::new(jobs), Mutex::default());
    let run = Parallel { source: Source { jobs: 1, ..source }, shared, past, permits, lost };
    let stored = futures_util::stream::iter(plan.head.layout.stored())
        .map(|index| run.stored(index))
        .buffer_unordered(jobs)
        .for_each(|()| futures_util::future::ready(()));
    let (compressed, ()) = tokio::join!(run.compressed(), stored);
    let mut lost = run.lost.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The write error is the cause; the other transfers were only cancelled because of it.
    let is_write_failure = |lost: &LostBlob| matches!(lost.error, BlobError::Transfer(_));
    let written = lost.iter().position(is_write_failure);
    if let Some(at) = written.or_else(|| lost.iter().position(|lost| lost.error.is_final())) {
        return Err(lost.swap_remove(at).error);
    }
    let (compressed, end) = compressed;
    let ending = if lost.is_empty() {
        archive::ending(&plan.head.layout, &plan.bundle.blobs, &compressed).map_err(TransferError::from)?
    } else {
        Vec::new()
    };
    Ok(Downloaded { lost, ending, end })
}

impl<'r, 'a> Parallel<'r, 'a> {
    /// Writes stored blob `index` at its offset, unless an earlier run has.
    async fn stored(&self, index: usize) {
        let key = u32::try_from(index).unwrap_or(u32::MAX);
        if self.past.done.contains(&key) {
            self.shared.front.finished(index);
            return;
        }
        let sink = AtOffset::stored(self.shared, self.source.plan, index);
        let mut ordered = Ordered { source: self.source, sink };
        if let Err(error) = self.blob(&mut ordered, index).await {
            self.keep(LostBlob { index, error });
        }
    }

    /// Writes the compressed blobs; returns their frame lengths and the end of that part.
    async fn compressed(&self) -> (Vec<Vec<u32>>, u64) {
        let (plan, mut all) = (self.source.plan, Vec::new());
        let sink = AtOffset::compressed_part(self.shared, plan);
        let mut ordered = Ordered { source: self.source, sink };
        for index in plan.head.layout.compressed() {
            match self.blob(&mut ordered, index).await {
                Ok(frames) => all.extend(frames),
                // The next blob takes this one's place: the plan cannot be finished, but what is fetched is kept.
                Err(error) => {
                    let stop = error.is_final();
                    self.keep(LostBlob { index, error });
                    if stop {
                        break;
                    }
                    ordered.sink.give_up();
                }
            }
        }
        (all, ordered.sink.position())
    }

    /// Writes blob `index` at the position of the sink, after the part that an earlier run has written.
    async fn blob(
        &self,
        ordered: &mut Ordered<'a, AtOffset<'r>>,
        index: usize,
    ) -> Result<Vec<Vec<u32>>, BlobError> {
        let _permit = self.permits.acquire().await;
        let (plan, file) = (self.source.plan, &*self.shared.file);
        let header = archive::member_header(&plan.head.layout, &plan.bundle.blobs, index);
        let begun = tokio::task::block_in_place(|| {
            let data = ordered.sink.position() + header.len() as u64;
            let begun = begun(file, plan, self.past, index, data, &mut |_| {})?;
            let begun = Some(begun).filter(|begun| begun.content > 0);
            if let Some(begun) = &begun {
                ordered.sink.resume(&header, begun)?;
            }
            Ok::<_, TransferError>(begun)
        })?;
        tokio::select! {
            written = ordered.run(index..index + 1, begun) => {
                written.map_err(|WriteFailure { error, .. }| error)
            }
            () = self.shared.stop.cancelled() => Err(BlobError::Cancelled),
        }
    }

    fn keep(&self, blob: LostBlob) {
        if matches!(blob.error, BlobError::Transfer(_)) {
            self.shared.stop.cancel();
        }
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(blob);
    }
}
