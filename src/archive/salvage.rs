//! Opening what is left of a damaged bundle: a whole head is enough.
//!
//! The head says where every stored blob stands; compressed ones are found by walking frames from where they begin. The
//! end of the file, with its seek table, is not needed. What cannot be found reads as damage of that blob alone.

use std::ops::Range;
use std::sync::Arc;

use super::holdings::Holdings;
use super::layout::Layout;
use super::manifest::{BlobRow, BundleManifest};
use super::pipe::{read_frame, read_head};
use super::reader::{BundleReader, InputTail, Parts, end_without_zeros};
use super::{ArchiveError, Input, frame, partial};
use crate::signing::Trust;

impl BundleReader {
    /// Opens the bundle in `input` whatever its end looks like, if `trust` lets it in. Without its head there is nothing
    /// to tell what the rest is.
    pub fn salvage(input: &Arc<dyn Input>, trust: &Trust) -> Result<Self, ArchiveError> {
        let mut start = std::io::BufReader::new(InputTail { input: &**input, end: input.len(), at: 0 });
        let (head, _) = read_head(&mut start, trust)?;
        let (head, manifest, layout) = head.into_parts();
        let compressed = walk(&**input, &layout, &manifest.blobs);
        Ok(Self::of_parts(input, Parts { head, manifest, layout, compressed, seek_table: None }))
    }

    /// The error for a bundle whose end cannot be read, which may be that more follows it.
    pub(super) fn explain_end(input: &Arc<dyn Input>, trust: &Trust, error: ArchiveError) -> ArchiveError {
        let is_damaged = matches!(error, ArchiveError::Damaged(_));
        let reader = is_damaged.then(|| Self::salvage(input, trust).ok()).flatten();
        match reader.and_then(|reader| reader.what_follows().ok().flatten()) {
            Some(range) => {
                let what = format!("{} bytes follow the end of the bundle", range.end - range.start);
                ArchiveError::Damaged(format!("{}: {what}", input.place(&range)))
            }
            None => error,
        }
    }

    /// Where the last blob ends; none where the blobs before cannot all be found.
    pub(super) fn content_end(&self) -> Option<u64> {
        let (layout, blobs) = (self.layout(), &self.manifest().blobs);
        let mut end = layout.stored_end();
        for index in layout.compressed().filter(|index| self.is_located(*index, &blobs[*index])) {
            end += layout.joint_lens(blobs, index).0;
            end += self.frames(index).iter().map(|(_, len, _)| len).sum::<u64>();
        }
        self.first_lost().is_none().then_some(end)
    }

    /// The end-of-archive blocks and the seek table, which stand behind the last blob.
    pub(super) fn ending(&self) -> Result<Vec<u8>, ArchiveError> {
        let lens = |index| {
            let frames = self.frames(index).into_iter();
            frames.map(|(_, len, _)| u32::try_from(len).unwrap_or(u32::MAX)).collect()
        };
        let compressed: Vec<Vec<u32>> = self.layout().compressed().map(lens).collect();
        partial::ending(self.layout(), &self.manifest().blobs, &compressed)
    }

    /// Bytes behind the end of the bundle that are more than padding; none where the end is not there.
    pub(super) fn what_follows(&self) -> Result<Option<Range<u64>>, ArchiveError> {
        let Some(start) = self.content_end() else { return Ok(None) };
        let expected = self.ending()?;
        let end = start + expected.len() as u64;
        let is_there = self.file_len() > end && self.input().read_vec(start, expected.len())? == expected;
        let is_padding = |end| end_without_zeros(self.input()).is_ok_and(|content| content <= end);
        Ok((is_there && !is_padding(end)).then(|| end..self.file_len()))
    }

    /// The first blob that could not be found at all, by position.
    pub fn first_lost(&self) -> Option<usize> {
        let bundle: &BundleManifest = self.bundle();
        self.layout().compressed().find(|index| !self.is_located(*index, &bundle.blobs[*index]))
    }
}

/// The frames of each compressed blob, as far as one leads to the next.
fn walk(input: &dyn Input, layout: &Layout, blobs: &[BlobRow]) -> Vec<Vec<(u64, u32)>> {
    let mut found = vec![Vec::new(); layout.compressed().len()];
    let mut at = layout.stored_end();
    for (slot, index) in layout.compressed().enumerate() {
        at += layout.joint_lens(blobs, index).0;
        for (stored, content) in frame::stored_frames(blobs[index].size) {
            let mut tail = InputTail { input, end: input.len(), at };
            let Ok(Some(bytes)) = read_frame(&mut tail, content) else {
                return found;
            };
            let says = frame::FrameHeader::parse(&bytes).and_then(|header| header.content);
            let fits = says == Some(content) && bytes.len() as u64 <= stored;
            let Some(len) = u32::try_from(bytes.len()).ok().filter(|_| fits) else {
                return found;
            };
            found[slot].push((at, len));
            at += u64::from(len);
        }
    }
    found
}
