//! The compressed part of an export: blobs worth compressing, one after another, frames in parallel.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::blob_error::{BlobError, LostBlob};
use super::download::{Download, QUEUE};
use super::error::TransferError;
use super::fetch::{Attempts, Piece};
use crate::archive::{self, ArchiveError, FRAME_CONTENT, Input};
use crate::export::resume::readback::OldPartial;
use crate::image::{Digest, Hasher};
use crate::registry::BlobPlace;

/// Frames that are being compressed at once; each holds 8 MiB.
const IN_FLIGHT: usize = 2;

/// Frames of one blob that are in the file, and the hasher of their content.
struct Written {
    at: u64,
    frames: Vec<u32>,
    hasher: Hasher,
    content: u64,
}

impl Written {
    fn new(at: u64, digest: &Digest) -> Self {
        Self { at, frames: Vec::new(), hasher: Hasher::for_digest(digest), content: 0 }
    }
}

type Compressing = JoinHandle<Result<(Vec<u8>, u64), ArchiveError>>;

pub(crate) struct CompressedPart<'r, 'a>(pub(crate) &'r Download<'a>);

impl CompressedPart<'_, '_> {
    /// Fetches and writes the compressed blobs; their frame lengths and the end of the part come back.
    pub(crate) async fn all(
        &self,
        received: &AtomicU64,
        lost: &Mutex<Vec<LostBlob>>,
    ) -> Result<(Vec<Vec<u32>>, u64), BlobError> {
        let layout = &self.0.plan.head.layout;
        let mut at = layout.stored_end();
        let mut all = Vec::with_capacity(layout.compressed().len());
        for index in layout.compressed() {
            match self.compressed_blob(index, at, received).await {
                Ok(written) => {
                    at = written.at;
                    self.0.front.extended(at);
                    all.push(written.frames);
                }
                // The next one takes its place: this plan will not be finished, but what is fetched is not lost.
                Err(error) => {
                    let stop = matches!(error, BlobError::Transfer(_) | BlobError::Cancelled);
                    self.0.keep(Err(LostBlob { index, error }), lost);
                    if stop {
                        break;
                    }
                }
            }
        }
        Ok((all, at))
    }

    async fn compressed_blob(
        &self,
        index: usize,
        at: u64,
        received: &AtomicU64,
    ) -> Result<Written, BlobError> {
        let blob = &self.0.plan.bundle.blobs[index];
        let joint = archive::joint(&self.0.plan.head.layout, &self.0.plan.bundle.blobs, index);
        let data = at + joint.len() as u64;
        let mut written = tokio::task::block_in_place(|| self.compressed_past(index, data))?;
        self.0.file.write_at(at, &joint).map_err(TransferError::from)?;
        if written.content == 0 && tokio::task::block_in_place(|| self.take_over(index, &mut written))? {
            self.0.journal.done(index)?;
            return Ok(written);
        }
        let _permit = self.0.permits.acquire().await;
        let mut place = BlobPlace::from(self.0.plan.source(index));
        let mut attempts: Option<Attempts> = None;
        while let Err(error) = self.compressed_from(&place, index, &mut written, received).await {
            // Content that was wrong is fetched from its start.
            if matches!(error, BlobError::Digest { .. }) {
                written = Written::new(data, &blob.digest);
            }
            let attempts =
                attempts.get_or_insert_with(|| Attempts::new(&place, self.0.places.of(&blob.digest)));
            place = attempts.after(error)?;
        }
        self.0.journal.done(index)?;
        Ok(written)
    }

    async fn compressed_from(
        &self,
        place: &BlobPlace,
        index: usize,
        written: &mut Written,
        received: &AtomicU64,
    ) -> Result<(), BlobError> {
        let blob = &self.0.plan.bundle.blobs[index];
        let label = format!("{place} {}", blob.digest.short());
        let bar = self.0.reporter.transfer(&label, blob.size, written.content);
        let (send, receive) = mpsc::channel::<Piece>(QUEUE);
        let from = written.content;
        let fetch = self.0.fetch(place, blob, from, send, &bar, received);
        let (fetched, wrote) = tokio::join!(fetch, self.write_compressed(index, written, receive));
        wrote?;
        fetched?;
        let found: Digest = written.hasher.clone().finish();
        if found != blob.digest {
            return Err(BlobError::Digest { wanted: blob.digest.into(), found: found.into() });
        }
        Ok(())
    }

    /// What an earlier run left of the blob at this very place, as far as its frames open.
    fn compressed_past(&self, index: usize, data: u64) -> Result<Written, TransferError> {
        let blob = &self.0.plan.bundle.blobs[index];
        let mut written = Written::new(data, &blob.digest);
        let key = u32::try_from(index).unwrap_or(u32::MAX);
        for &(at, len) in self.0.past.compressed.get(&key).into_iter().flatten() {
            let held = FRAME_CONTENT.min(blob.size - written.content);
            if at != written.at || held == 0 {
                break;
            }
            let bytes = self.0.file.read_vec(at, len as usize)?;
            let Ok(content) = archive::open_frame(&bytes, usize::try_from(held).unwrap_or(0)) else {
                break;
            };
            written.hasher.update(&content);
            written.frames.push(len);
            written.at += u64::from(len);
            written.content += held;
        }
        Ok(written)
    }

    /// Copies the blob's frames from an earlier partial of another request, if one has all of them and they are right.
    fn take_over(&self, index: usize, written: &mut Written) -> Result<bool, TransferError> {
        for donor in self.0.old_partials {
            if self.take_over_from(donor, index, written)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take_over_from(
        &self,
        donor: &OldPartial,
        index: usize,
        written: &mut Written,
    ) -> Result<bool, TransferError> {
        let blob = &self.0.plan.bundle.blobs[index];
        let (at, frames, hasher) = (written.at, Vec::new(), Hasher::for_digest(&blob.digest));
        let mut copied = Written { at, frames, hasher, content: 0 };
        let lens = donor.frames(&blob.digest).unwrap_or_default();
        let mut lens = lens.iter().map(|(_, len)| *len);
        donor.each_frame(blob, &mut |bytes, content| {
            copied.hasher.update(content);
            self.0.file.write_at(copied.at, bytes)?;
            let len = lens.next().unwrap_or(0);
            self.0.journal.compressed(index, copied.at, len)?;
            copied.frames.push(len);
            copied.at += u64::from(len);
            copied.content += content.len() as u64;
            Ok(())
        })?;
        let right = copied.content == blob.size && copied.hasher.clone().finish() == blob.digest;
        if right {
            *written = copied;
        } else if !copied.frames.is_empty() {
            self.0.journal.begun_again(index)?;
        }
        Ok(right)
    }

    async fn write_compressed(
        &self,
        index: usize,
        written: &mut Written,
        mut receive: mpsc::Receiver<Piece>,
    ) -> Result<(), TransferError> {
        let size = self.0.plan.bundle.blobs[index].size;
        let mut pending: VecDeque<Compressing> = VecDeque::new();
        let mut frame: Vec<u8> = Vec::new();
        let mut taken = written.content;
        while let Some(piece) = receive.recv().await {
            for mut chunk in piece {
                written.hasher.update(&chunk);
                while !chunk.is_empty() {
                    if frame.is_empty() {
                        // Made at its full size: one that grows leaves as much behind again.
                        let held = FRAME_CONTENT.min(size.saturating_sub(taken));
                        frame.reserve_exact(usize::try_from(held).unwrap_or(0));
                    }
                    let room = usize::try_from(FRAME_CONTENT).unwrap_or(0) - frame.len();
                    let now = chunk.split_to(room.min(chunk.len()));
                    frame.extend_from_slice(&now);
                    taken += now.len() as u64;
                    if frame.len() as u64 == FRAME_CONTENT || taken == size {
                        if pending.len() >= IN_FLIGHT {
                            self.take_frame(index, written, &mut pending).await?;
                        }
                        pending.push_back(compress(std::mem::take(&mut frame)));
                    }
                }
            }
        }
        while !pending.is_empty() {
            self.take_frame(index, written, &mut pending).await?;
        }
        Ok(())
    }

    async fn take_frame(
        &self,
        index: usize,
        written: &mut Written,
        pending: &mut VecDeque<Compressing>,
    ) -> Result<(), TransferError> {
        let Some(task) = pending.pop_front() else {
            return Ok(());
        };
        let done = task.await.map_err(|_| TransferError::Invariant("compressing a frame panicked"))?;
        let (bytes, content) = done?;
        tokio::task::block_in_place(|| self.0.file.write_at(written.at, &bytes))?;
        let len = u32::try_from(bytes.len()).map_err(|_| TransferError::Invariant("a frame over 4 GiB"))?;
        self.0.journal.compressed(index, written.at, len)?;
        self.0.front.wrote(u64::from(len));
        written.frames.push(len);
        written.at += u64::from(len);
        written.content += content;
        Ok(())
    }
}

/// Compresses a frame on the threads for computing.
fn compress(content: Vec<u8>) -> Compressing {
    tokio::spawn(async move {
        let (send, receive) = tokio::sync::oneshot::channel();
        rayon::spawn(move || {
            let result = archive::compressed_frame(&content).map(|bytes| (bytes, content.len() as u64));
            let _ = send.send(result);
        });
        receive.await.unwrap_or(Err(ArchiveError::Invariant("compressing a frame was dropped")))
    })
}
