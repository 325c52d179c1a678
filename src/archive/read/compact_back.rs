//! Reads back what an unfinished export has written of a compact bundle.

use std::ops::Range;

use super::seek_table::InputTail;
use crate::archive::format::compact_body::Form;
use crate::archive::format::compact_walk::{Step, Walk, header_content};
use crate::archive::format::frame;
use crate::archive::format::layout::Layout;
use crate::archive::manifest::BlobRow;
use crate::archive::stream::read_frame::read_frame;
use crate::archive::{ArchiveError, FormatError, Input};

/// Reads blob after blob, in order, and requires that every frame is intact.
#[derive(Debug)]
pub struct CompactReadBack<'a> {
    input: &'a dyn Input,
    blobs: &'a [BlobRow],
    walk: Walk,
    /// File offset after what has been read.
    at: u64,
}

impl<'a> CompactReadBack<'a> {
    /// Begins after the head.
    pub fn new(input: &'a dyn Input, layout: &Layout, blobs: &'a [BlobRow]) -> Self {
        Self { input, blobs: &blobs[layout.compressed()], walk: Walk::default(), at: layout.head_len() }
    }

    /// File offset after what has been read, and the bytes of the last member.
    pub fn position(&self) -> (u64, u64) {
        (self.at, self.walk.before())
    }

    /// The form of the next blob, whose members are in `range`; its frames go to `each`. None if anything is not as it was
    /// written: then nothing was read.
    pub fn blob(
        &mut self,
        range: Range<u64>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Form>, ArchiveError> {
        let (mut walk, mut at, mut form) = (self.walk.clone(), self.at, None);
        if range.start != at {
            return Ok(None);
        }
        while at < range.end {
            let Some(bytes) = self.frame(at, range.end)? else { return Ok(None) };
            let Some(content) = header_content(&bytes) else { return Ok(None) };
            let Some(step) = walk.step(self.blobs, &content) else { return Ok(None) };
            let size = match (step, &mut form) {
                (Step::Stored(index), None) => {
                    form = Some(Form::Stored);
                    self.blobs[index].size
                }
                (Step::Compact(_, size), None) => {
                    form = Some(Form::Compact(vec![size]));
                    u64::from(size)
                }
                (Step::Compact(_, size), Some(Form::Compact(members))) if walk.goes_on() => {
                    members.push(size);
                    u64::from(size)
                }
                _ => return Ok(None),
            };
            each(&bytes);
            at += bytes.len() as u64;
            for (file, held) in frame::stored_frames(size) {
                let Some(bytes) = self.bytes(at, file)? else { return Ok(None) };
                if frame::stored_content(&bytes, held, true).is_err() {
                    return Ok(None);
                }
                each(&bytes);
                at += file;
            }
        }
        if at != range.end {
            return Ok(None);
        }
        (self.walk, self.at) = (walk, at);
        Ok(form)
    }

    /// The frame of a header.
    fn frame(&self, at: u64, end: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        match read_frame(&mut InputTail { input: self.input, end, at }, Walk::MAX_HEADER) {
            Err(ArchiveError::Format(_)) => Ok(None),
            read => read,
        }
    }

    fn bytes(&self, at: u64, len: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        match self.input.read_vec(at, usize::try_from(len).unwrap_or(0)) {
            Err(ArchiveError::Format(FormatError::Damaged(_))) => Ok(None),
            read => read.map(Some),
        }
    }
}
