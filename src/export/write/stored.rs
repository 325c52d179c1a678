//! The stored part of an export: each blob straight into its place in the partial, several at a time.
//!
//! The network side of a blob runs as a task; hashing, framing and writing run on a thread of their own beside it,
//! joined by a channel of a few pieces, so that memory is bounded by jobs and neither side waits for the other.

use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc;

use super::blob_error::{BlobError, LostBlob};
use super::download::{Download, QUEUE};
use super::error::TransferError;
use super::fetch::{Attempts, Piece};
use crate::archive::{self, FRAME_CONTENT, StoredWriter};
use crate::image::{Digest, Hasher};
use crate::registry::BlobPlace;

pub(crate) struct StoredPart<'r, 'a>(pub(crate) &'r Download<'a>);

impl StoredPart<'_, '_> {
    /// Fetches blob `index`, unless an earlier run has.
    pub(crate) async fn blob(&self, index: usize, received: &AtomicU64) -> Result<(), LostBlob> {
        let key = u32::try_from(index).unwrap_or(u32::MAX);
        if !self.0.past.done.contains(&key) {
            let _permit = self.0.permits.acquire().await;
            self.fetch_anywhere(index, received).await.map_err(|error| LostBlob { index, error })?;
        }
        self.0.front.finished(index);
        Ok(())
    }

    async fn fetch_anywhere(&self, index: usize, received: &AtomicU64) -> Result<(), BlobError> {
        let blob = &self.0.plan.bundle.blobs[index];
        let mut place = BlobPlace::from(self.0.plan.source(index));
        let mut attempts: Option<Attempts> = None;
        let mut go_on = true;
        while let Err(error) = self.fetch_from(&place, index, go_on, received).await {
            let attempts =
                attempts.get_or_insert_with(|| Attempts::new(&place, self.0.places.of(&blob.digest)));
            // Content that was wrong is fetched from its start.
            go_on = !matches!(error, BlobError::Digest { .. });
            place = attempts.after(error)?;
            self.0.front.rewrites();
        }
        Ok(())
    }

    async fn fetch_from(
        &self,
        place: &BlobPlace,
        index: usize,
        go_on: bool,
        received: &AtomicU64,
    ) -> Result<(), BlobError> {
        let blob = &self.0.plan.bundle.blobs[index];
        let frames =
            self.0.past.progress.get(&u32::try_from(index).unwrap_or(u32::MAX)).copied().unwrap_or(0);
        let resume = if go_on && frames > 0 { self.resume(index, frames)? } else { None };
        let from = resume.as_ref().map_or(0, |(content, _)| *content);
        let bar = self.0.reporter.transfer(&format!("{place} {}", blob.digest.short()), blob.size, from);
        let (send, receive) = mpsc::channel::<Piece>(QUEUE);
        let writer = self.write(index, resume, receive);
        let fetch = self.0.fetch(place, blob, from, send, &bar, received);
        let (fetched, written) = tokio::join!(fetch, writer);
        // A writer that fails closes the channel: its error is the cause.
        let found = written?;
        fetched?;
        if found != blob.digest {
            return Err(BlobError::Digest { wanted: blob.digest.into(), found: found.into() });
        }
        self.0.journal.done(index)?;
        Ok(())
    }

    /// The hasher of what an earlier run left of a blob, as far as its frames are intact.
    fn resume(&self, index: usize, frames: u64) -> Result<Option<(u64, Hasher)>, BlobError> {
        let blob = &self.0.plan.bundle.blobs[index];
        let mut hasher = Hasher::for_digest(&blob.digest);
        let data = self.0.plan.head.layout.data_offset(index);
        let intact = archive::read_back(self.0.file, data, blob.size, frames * FRAME_CONTENT, &mut |frame| {
            frame.content().for_each(|piece| hasher.update(piece));
            Ok(())
        })
        .map_err(TransferError::from)?;
        Ok((intact > 0).then_some((intact, hasher)))
    }

    /// Hashes, frames and writes what arrives, on a blocking thread's time; returns the digest of all content.
    async fn write(
        &self,
        index: usize,
        resume: Option<(u64, Hasher)>,
        mut receive: mpsc::Receiver<Piece>,
    ) -> Result<Digest, TransferError> {
        let mut known = resume.as_ref().map_or(0, |(content, _)| content / FRAME_CONTENT);
        let blobs = &self.0.plan.bundle.blobs;
        let mut writer = StoredWriter::new(self.0.file, &self.0.plan.head.layout, blobs, index, resume);
        while let Some(piece) = receive.recv().await {
            tokio::task::block_in_place(|| {
                for chunk in piece {
                    let frames = writer.push(&chunk)?;
                    if frames > known {
                        known = frames;
                        self.0.journal.progress(index, frames)?;
                    }
                    self.0.front.advanced(index, frames);
                    self.0.front.wrote(chunk.len() as u64);
                }
                Ok::<_, TransferError>(())
            })?;
        }
        Ok(tokio::task::block_in_place(|| writer.finish())?)
    }
}
