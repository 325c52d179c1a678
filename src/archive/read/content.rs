//! The content of a blob, in order, from any byte on: stored frames in small pieces, compressed frames as a whole, and
//! blobs in compact form as they are made again.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::compact_members::CompactMembers;
use super::opened::OpenBundle;
use super::remade::Remade;
use crate::archive::format::compact_body::Form;
use crate::archive::format::frame;
use crate::archive::{ArchiveError, FormatError, Input};

/// Raw blocks read at a time: 1 MiB of content.
const BLOCKS: u64 = 8;

/// Iterates over the content of one blob and checks the framing; the consumer must compare the digest.
#[derive(Debug)]
pub struct ContentReader {
    bundle: Arc<OpenBundle>,
    /// Of a blob in compact form: makes its bytes.
    remake: Option<Box<Remade>>,
    frames: VecDeque<(u64, u64, u64)>,
    stored: bool,
    ready: VecDeque<Bytes>,
    /// Content bytes of the first of `frames` that were read already.
    taken: u64,
    /// Content bytes to drop before the first wanted one.
    skip: u64,
}

impl ContentReader {
    /// The content of blob `index` from byte `from` on.
    pub(in crate::archive) fn new(
        bundle: &Arc<OpenBundle>,
        index: usize,
        from: u64,
    ) -> Result<Self, ArchiveError> {
        let blob = &bundle.manifest.blobs[index];
        let mut content = Self {
            bundle: Arc::clone(bundle),
            remake: None,
            frames: VecDeque::new(),
            stored: bundle.is_stored(index),
            ready: VecDeque::new(),
            taken: 0,
            skip: from,
        };
        if index < bundle.layout.stored().start {
            content.ready.push_back(bundle.head_blob(index)?);
            return Ok(content);
        }
        if !bundle.is_located(index, blob) {
            return Err(ArchiveError::Format(FormatError::Damaged(format!(
                "{} cannot be found",
                blob.digest
            ))));
        }
        if let Some((Form::Compact(_), placed)) = bundle.compact(index) {
            let members = CompactMembers::new(bundle, placed.clone());
            content.remake = Some(Box::new(Remade::new(members, blob)));
            return Ok(content);
        }
        content.frames = bundle.frames(index).into();
        while content.frames.front().is_some_and(|(_, _, held)| *held <= content.skip) {
            let passed = content.frames.pop_front().map_or(0, |(_, _, held)| held);
            content.skip -= passed;
        }
        if content.stored {
            content.taken = content.skip / frame::BLOCK_CONTENT * frame::BLOCK_CONTENT;
            content.skip -= content.taken;
        }
        Ok(content)
    }

    fn fill(&mut self) -> Result<(), ArchiveError> {
        if let Some(remake) = &mut self.remake {
            match remake.next() {
                Some(piece) => self.ready.push_back(piece?),
                None => self.remake = None,
            }
            return Ok(());
        }
        let Some(&(at, len, held)) = self.frames.front() else {
            return Ok(());
        };
        let input = &*self.bundle.input;
        if !self.stored {
            self.frames.pop_front();
            let bytes = input.read_vec(at, usize::try_from(len).unwrap_or(0))?;
            let content = frame::decompress(&bytes, usize::try_from(held).unwrap_or(0));
            self.ready.push_back(content.map_err(|why| damaged(input, at, len, &why))?.into());
            return Ok(());
        }
        let piece = frame::StoredPiece::of(self.taken, held, BLOCKS);
        let bytes = Bytes::from(input.read_vec(at + piece.offset, piece.len)?);
        let ranges = piece.check(&bytes, held).map_err(|why| damaged(input, at, len, &why))?;
        self.ready.extend(ranges.into_iter().map(|range| bytes.slice(range)));
        self.taken += piece.content;
        if self.taken == held {
            self.frames.pop_front();
            self.taken = 0;
        }
        Ok(())
    }
}

fn damaged(input: &dyn Input, at: u64, len: u64, why: &str) -> ArchiveError {
    ArchiveError::Format(FormatError::Damaged(format!("{}: {why}", input.place(&(at..at + len)))))
}

impl Iterator for ContentReader {
    type Item = Result<Bytes, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(mut piece) = self.ready.pop_front() {
                let drop = usize::try_from(self.skip).map_or(piece.len(), |skip| skip.min(piece.len()));
                let rest = piece.split_off(drop);
                self.skip -= drop as u64;
                if !rest.is_empty() {
                    return Some(Ok(rest));
                }
            }
            if self.frames.is_empty() && self.remake.is_none() {
                return None;
            }
            if let Err(error) = self.fill() {
                self.frames.clear();
                self.remake = None;
                return Some(Err(error));
            }
        }
    }
}
