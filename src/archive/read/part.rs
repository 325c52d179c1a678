//! A part of a blob, in order, checked against the checksums of the frames that contain it.
//!
//! The last piece from each frame is held back until the frame's checksum was compared, so that a caller never gets the
//! whole part if one of its frames is damaged. For this, a frame is read from its start even if the part begins later.
//! The checksums detect damage, not forgery: a caller that joins parts compares the digest of the whole.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::opened::OpenBundle;
use crate::archive::format::frame;
use crate::archive::{ArchiveError, FormatError};

/// Raw blocks read at a time: 1 MiB of content.
const BLOCKS: u64 = 8;

/// Iterates over the content of a part of one blob.
#[derive(Debug)]
pub(in crate::archive) struct PartReader {
    bundle: Arc<OpenBundle>,
    /// File offset, file length and content length of the frames that are not begun yet.
    frames: VecDeque<(u64, u64, u64)>,
    stored: bool,
    current: Option<Current>,
    /// Content bytes before the part in the frames that are not begun yet.
    skip: u64,
    /// Content bytes of the part in the frames that are not begun yet.
    left: u64,
    ready: VecDeque<Bytes>,
    /// The last piece of the current frame, until its checksum was compared.
    held_back: Option<Bytes>,
}

/// The stored frame that is being read.
#[derive(Debug)]
struct Current {
    at: u64,
    len: u64,
    content: u64,
    taken: u64,
    /// Of the frame's content.
    wanted: Range<u64>,
    checksum: frame::Checksum,
}

impl PartReader {
    /// The bytes `range` of blob `index`.
    pub(in crate::archive) fn new(
        bundle: &Arc<OpenBundle>,
        index: usize,
        range: Range<u64>,
    ) -> Result<Self, ArchiveError> {
        let mut part = Self {
            bundle: Arc::clone(bundle),
            frames: VecDeque::new(),
            stored: bundle.is_stored(index),
            current: None,
            skip: range.start,
            left: range.end.saturating_sub(range.start),
            ready: VecDeque::new(),
            held_back: None,
        };
        if index < bundle.layout.stored().start {
            // Its digest was compared already.
            part.take_whole(&bundle.head_blob(index)?);
            return Ok(part);
        }
        let blob = &bundle.manifest.blobs[index];
        if !bundle.is_located(index, blob) {
            return Err(ArchiveError::Format(FormatError::Damaged(format!(
                "{} cannot be found",
                blob.digest
            ))));
        }
        part.frames = bundle.frames(index).into();
        while part.frames.front().is_some_and(|(_, _, held)| *held <= part.skip) {
            let passed = part.frames.pop_front().map_or(0, |(_, _, held)| held);
            part.skip -= passed;
        }
        Ok(part)
    }

    /// The wanted part of the next frame, which has `held` bytes of content.
    fn wanted(&mut self, held: u64) -> Range<u64> {
        let start = self.skip.min(held);
        let end = start + self.left.min(held - start);
        self.skip -= start;
        self.left -= end - start;
        start..end
    }

    fn take_whole(&mut self, content: &Bytes) {
        let wanted = self.wanted(content.len() as u64);
        self.ready.push_back(slice(content, &wanted, 0));
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> Result<bool, ArchiveError> {
        if let Some(current) = self.current.take() {
            self.current = self.fill_stored(current)?;
            return Ok(true);
        }
        if self.left == 0 {
            return Ok(false);
        }
        let Some((at, len, held)) = self.frames.pop_front() else {
            return Ok(false);
        };
        if self.stored {
            let (wanted, checksum) = (self.wanted(held), frame::Checksum::new());
            self.current = Some(Current { at, len, content: held, taken: 0, wanted, checksum });
            return Ok(true);
        }
        let bytes = self.read(at, len)?;
        let content = if frame::FrameHeader::parse(&bytes).is_some_and(|header| header.checksum) {
            frame::decompress(&bytes, usize::try_from(held).unwrap_or(0))
        } else {
            Err("the frame has no checksum".to_owned())
        };
        let content = content.map_err(|why| self.damaged(at, len, &why))?;
        self.take_whole(&content.into());
        Ok(true)
    }

    /// Reads a piece of a stored frame. None if the frame is finished.
    fn fill_stored(&mut self, mut current: Current) -> Result<Option<Current>, ArchiveError> {
        let (at, len) = (current.at, current.len);
        let piece = frame::StoredPiece::of(current.taken, current.content, BLOCKS);
        let bytes = Bytes::from(self.read(at + piece.offset, piece.len as u64)?);
        let ranges = piece.check(&bytes, current.content).map_err(|why| self.damaged(at, len, &why))?;
        for range in ranges {
            let block = bytes.slice(range);
            current.checksum.update(&block);
            let wanted = slice(&block, &current.wanted, current.taken);
            current.taken += block.len() as u64;
            if !wanted.is_empty() {
                self.ready.extend(self.held_back.replace(wanted));
            }
        }
        if current.taken < current.content {
            return Ok(Some(current));
        }
        let checksum_at = at + len - frame::Checksum::LEN;
        let found = self.read(checksum_at, frame::Checksum::LEN)?;
        current.checksum.check(&found).map_err(|why| self.damaged(at, len, &why))?;
        self.ready.extend(self.held_back.take());
        Ok(None)
    }

    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, ArchiveError> {
        self.bundle.input.read_vec(at, usize::try_from(len).unwrap_or(0))
    }

    fn damaged(&self, at: u64, len: u64, why: &str) -> ArchiveError {
        ArchiveError::Format(FormatError::Damaged(format!(
            "{}: {why}",
            self.bundle.input.place(&(at..at + len))
        )))
    }
}

/// The part of `wanted` that is in `content`, which begins at `start`.
fn slice(content: &Bytes, wanted: &Range<u64>, start: u64) -> Bytes {
    let within =
        |at: u64| usize::try_from(at.saturating_sub(start)).map_or(content.len(), |at| at.min(content.len()));
    content.slice(within(wanted.start)..within(wanted.end).max(within(wanted.start)))
}

impl Iterator for PartReader {
    type Item = Result<Bytes, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(piece) = self.ready.pop_front() {
                if !piece.is_empty() {
                    return Some(Ok(piece));
                }
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    (self.left, self.current) = (0, None);
                    self.frames.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}
