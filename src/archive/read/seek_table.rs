//! The seek table of a file, and the end of the file, where it is.

use std::io::{self, Read, Seek, SeekFrom};

use crate::archive::format::member;
use crate::archive::input::Input;
use crate::archive::{ArchiveError, FormatError};

/// The frames of a file, as its seek table lists them.
#[derive(Debug)]
pub(crate) struct FrameTable {
    table: zeekstd::SeekTable,
}

impl FrameTable {
    pub(in crate::archive) fn new(table: zeekstd::SeekTable) -> Self {
        Self { table }
    }

    pub(crate) fn len(&self) -> u32 {
        self.table.num_frames()
    }

    /// File offset, file length and content length of frame `index`.
    pub(crate) fn get(&self, index: u32) -> Result<(u64, u32, u32), ArchiveError> {
        let bad = |e: zeekstd::Error| ArchiveError::Format(FormatError::SeekTable(e.to_string()));
        let at = self.table.frame_start_comp(index).map_err(bad)?;
        let file = self.table.frame_size_comp(index).map_err(bad)?;
        let content = self.table.frame_size_decomp(index).map_err(bad)?;
        let lens = u32::try_from(file).ok().zip(u32::try_from(content).ok());
        let (file, content) =
            lens.ok_or_else(|| ArchiveError::Format(FormatError::SeekTable("a frame over 4 GiB".into())))?;
        Ok((at, file, content))
    }
}

/// Where the content of the file ends: zero bytes may follow.
pub(in crate::archive) fn end_without_zeros(input: &dyn Input) -> Result<u64, ArchiveError> {
    let mut end = input.len();
    let floor = input.len().saturating_sub(member::MAX_PADDING);
    while end > floor {
        let take = (end - floor).min(64 << 10);
        let chunk = input.read_vec(end - take, usize::try_from(take).unwrap_or(0))?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            return Ok(end - take + last as u64 + 1);
        }
        end -= take;
    }
    Err(ArchiveError::Format(FormatError::Damaged(format!("{} ends with too many zero bytes", input.name()))))
}

/// `Read + Seek` over the input up to `end`, as the seek table parser needs it.
pub(in crate::archive) struct InputTail<'a> {
    pub(in crate::archive) input: &'a dyn Input,
    pub(in crate::archive) end: u64,
    pub(in crate::archive) at: u64,
}

impl Read for InputTail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.at);
        let take = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.input.read_at(self.at, &mut buffer[..take]).map_err(io::Error::other)?;
        self.at += take as u64;
        Ok(take)
    }
}

impl Seek for InputTail<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.end.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.at.checked_add_signed(delta),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
