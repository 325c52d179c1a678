//! Writes one blob of a bundle: takes content, and passes hashed frames to a [`Sink`].
//!
//! This is the only place where content becomes frames, whatever the target is and in whatever order blobs arrive. A
//! frame is compressed on the threads for computing while the next ones are gathered.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};

use tokio::sync::Notify;

use super::blob_error::BlobError;
use super::error::TransferError;
use super::sink::Sink;
use crate::archive::{self, ArchiveError, BlobRow, FRAME_CONTENT, StoredEncoder};
use crate::export::resume::readback::Begun;
use crate::image::Hasher;
use crate::plan::ExportPlan;

/// Frames that are compressed at the same time; each holds 8 MiB.
const IN_FLIGHT: usize = 2;
/// Stored frames are written in pieces of about this many bytes, and at the end of each frame.
const WRITE_PIECE: usize = 1 << 20;

/// A frame that is being compressed.
struct Compressing {
    /// Gives it once. Its wait is that of a plain thread: one of tokio's would take the wake-ups of the whole run.
    frame: mpsc::Receiver<Result<Vec<u8>, ArchiveError>>,
    /// Notified when it is there.
    ready: Arc<Notify>,
}

impl Compressing {
    fn wait(&self) -> Result<Vec<u8>, TransferError> {
        let frame = self.frame.recv();
        Ok(frame.map_err(|_| TransferError::Invariant("compressing a frame panicked"))??)
    }
}

/// One blob that is being written.
pub(crate) struct BlobWriter<'a> {
    plan: &'a ExportPlan,
    index: usize,
    is_stored: bool,
    hasher: Hasher,
    /// Content bytes taken.
    content: u64,
    /// Its member header is written, or in `out`.
    opened: bool,
    encoder: StoredEncoder,
    /// Content of a frame that has yet to be compressed.
    frame: Vec<u8>,
    compressing: VecDeque<Compressing>,
    /// File lengths of compressed frames.
    frames: Vec<u32>,
    /// Encoded, but not yet written.
    out: Vec<u8>,
}

impl<'a> BlobWriter<'a> {
    /// A writer for blob `index` of `plan`, of which `begun` is already written.
    pub(crate) fn new(plan: &'a ExportPlan, index: usize, begun: Option<Begun>) -> Self {
        let blob = &plan.bundle.blobs[index];
        let opened = begun.is_some();
        let Begun { hasher, content, frames } = begun.unwrap_or_else(|| Begun::nothing(blob));
        Self {
            plan,
            index,
            is_stored: plan.head.layout.stored().contains(&index),
            hasher,
            content,
            opened,
            encoder: StoredEncoder::new(blob.size - content),
            frame: Vec::new(),
            compressing: VecDeque::new(),
            frames,
            out: Vec::new(),
        }
    }

    /// Content bytes taken so far, including those of an earlier run.
    pub(crate) fn content(&self) -> u64 {
        self.content
    }

    /// Whether some of it is written, or about to be.
    pub(crate) fn is_opened(&self) -> bool {
        self.opened
    }

    /// Takes the next bytes of content. Blocks while the disk or the processor cannot keep up.
    pub(crate) fn push(&mut self, chunk: &[u8], sink: &mut impl Sink) -> Result<(), TransferError> {
        self.open();
        self.hasher.update(chunk);
        if self.is_stored { self.store(chunk, sink) } else { self.compress(chunk, sink) }
    }

    fn open(&mut self) {
        if !self.opened {
            self.opened = true;
            self.out = archive::member_header(&self.plan.head.layout, &self.plan.bundle.blobs, self.index);
        }
    }

    fn store(&mut self, mut chunk: &[u8], sink: &mut impl Sink) -> Result<(), TransferError> {
        while !chunk.is_empty() {
            let to_boundary = FRAME_CONTENT - self.content % FRAME_CONTENT;
            let taken = chunk.len().min(WRITE_PIECE).min(usize::try_from(to_boundary).unwrap_or(usize::MAX));
            let (now, later) = chunk.split_at(taken);
            self.encoder.push(now, &mut self.out)?;
            self.content += taken as u64;
            chunk = later;
            // Frame boundaries are always written, so that a frame that is recorded is in the file.
            if self.content.is_multiple_of(FRAME_CONTENT) {
                self.flush(sink)?;
                sink.stored(self.index, self.content / FRAME_CONTENT)?;
            } else if self.out.len() >= WRITE_PIECE {
                self.flush(sink)?;
            }
        }
        Ok(())
    }

    /// Gathers content into frames, and compresses each when it is full or the last.
    fn compress(&mut self, mut chunk: &[u8], sink: &mut impl Sink) -> Result<(), TransferError> {
        let size = self.plan.bundle.blobs[self.index].size;
        let full = usize::try_from(FRAME_CONTENT).unwrap_or(usize::MAX);
        while !chunk.is_empty() {
            if self.frame.is_empty() {
                // Allocated at its full size, because a buffer that grows leaves as much unused memory behind.
                let held = FRAME_CONTENT.min(size.saturating_sub(self.content));
                self.frame.reserve_exact(usize::try_from(held).unwrap_or(0));
            }
            let (now, later) = chunk.split_at(chunk.len().min(full - self.frame.len()));
            self.frame.extend_from_slice(now);
            self.content += now.len() as u64;
            chunk = later;
            if self.frame.len() == full || self.content == size {
                if self.compressing.len() >= IN_FLIGHT {
                    self.take_frame(sink)?;
                }
                self.compressing.push_back(compress(std::mem::take(&mut self.frame)));
            }
        }
        Ok(())
    }

    /// The next frame, as soon as it is compressed; never, while none is being compressed.
    pub(crate) async fn compressed(&mut self) -> Result<Vec<u8>, TransferError> {
        let Some(compressing) = self.compressing.front() else { return std::future::pending().await };
        compressing.ready.notified().await;
        let frame = compressing.wait();
        self.compressing.pop_front();
        frame
    }

    /// Waits for the next frame, and writes it.
    fn take_frame(&mut self, sink: &mut impl Sink) -> Result<(), TransferError> {
        let Some(compressing) = self.compressing.pop_front() else { return Ok(()) };
        let bytes = compressing.wait()?;
        self.write_frame(&bytes, sink)
    }

    /// Writes one frame from [`Self::compressed`].
    pub(crate) fn write_frame(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), TransferError> {
        self.flush(sink)?;
        let len = u32::try_from(bytes.len()).map_err(|_| TransferError::Invariant("a frame over 4 GiB"))?;
        sink.write(bytes)?;
        sink.compressed(self.index, len)?;
        self.frames.push(len);
        Ok(())
    }

    fn flush(&mut self, sink: &mut impl Sink) -> Result<(), TransferError> {
        if !self.out.is_empty() {
            sink.write(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Compares the digest, and writes the rest.
    pub(crate) fn finish(&mut self, sink: &mut impl Sink) -> Result<(), BlobError> {
        compare(&self.plan.bundle.blobs[self.index], self.hasher.clone())?;
        self.open();
        while !self.compressing.is_empty() {
            self.take_frame(sink)?;
        }
        Ok(self.flush(sink)?)
    }

    /// File lengths of its frames, if it is compressed.
    pub(crate) fn into_frames(self) -> Option<Vec<u32>> {
        (!self.is_stored).then_some(self.frames)
    }
}

/// Compresses a frame on the threads for computing.
fn compress(content: Vec<u8>) -> Compressing {
    let (send, frame) = mpsc::sync_channel(1);
    let ready = Arc::new(Notify::new());
    let notified = Arc::clone(&ready);
    rayon::spawn(move || {
        // A receiver that is gone has failed, and says why itself.
        let _ = send.send(archive::compressed_frame(&content));
        notified.notify_one();
    });
    Compressing { frame, ready }
}

/// Whether the content that `hasher` has seen is `blob`.
pub(crate) fn compare(blob: &BlobRow, hasher: Hasher) -> Result<(), BlobError> {
    let found = hasher.finish();
    if found == blob.digest {
        Ok(())
    } else {
        Err(BlobError::Digest { wanted: blob.digest.into(), found: found.into() })
    }
}
