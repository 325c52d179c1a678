//! The order of the members of a compact bundle, for readers without its index: pipes, cut files, and unfinished ones.

use super::compact_body::{INDEX, MAX_MEMBER, compact_path};
use super::{frame, member};
use crate::archive::manifest::BlobRow;
use crate::archive::read::head_reader::parse_header;

/// Follows the headers of the body, and requires that each is one that can come next.
#[derive(Clone, Debug, Default)]
pub(in crate::archive) struct Walk {
    /// The blob that comes next.
    next: usize,
    /// The next member of the blob before, if that is in compact form.
    more: usize,
    /// Bytes of the member before.
    before: u64,
}

/// What a header is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Step {
    /// The blob at this position, as it is.
    Stored(usize),
    /// The next member of the compact form of the blob at this position, of so many bytes.
    Compact(usize, u32),
}

impl Walk {
    /// The most content bytes of a header's frame, or of one that holds the index of few blobs: padding, and a header with
    /// PAX records.
    pub(in crate::archive) const MAX_HEADER: u64 = frame::FRAME_CONTENT;

    /// The position of the blob that comes next.
    pub(in crate::archive) fn next(&self) -> usize {
        self.next
    }

    /// Bytes of the member before.
    pub(in crate::archive) fn before(&self) -> u64 {
        self.before
    }

    /// Whether the last step was not the first member of its blob.
    pub(in crate::archive) fn goes_on(&self) -> bool {
        self.more > 1
    }

    /// The step that a header's frame with this content makes among `blobs`, which are those after the head; none if it cannot
    /// come next.
    pub(in crate::archive) fn step(&mut self, blobs: &[BlobRow], content: &[u8]) -> Option<Step> {
        let padding = usize::try_from(member::padding(self.before)).ok()?;
        let header = content.get(padding..)?;
        let whole = |path: &str, size: u64| member::header(path, size) == header;
        if let Some(blob) = blobs.get(self.next)
            && whole(&blob.digest.layout_path(), blob.size)
        {
            (self.next, self.more, self.before) = (self.next + 1, 0, blob.size);
            return Some(Step::Stored(self.next - 1));
        }
        // The last block of a header has the size.
        let size = header.len().checked_sub(512).and_then(|at| parse_header(&header[at..]))?.1;
        let compact = |at: usize, number: usize| {
            let blob = blobs.get(at)?;
            (size <= MAX_MEMBER && whole(&compact_path(&blob.digest, number), size)).then_some(())
        };
        let short = u32::try_from(size).ok()?;
        if self.more > 0 && compact(self.next - 1, self.more).is_some() {
            (self.more, self.before) = (self.more + 1, size);
            return Some(Step::Compact(self.next - 1, short));
        }
        compact(self.next, 0)?;
        (self.next, self.more, self.before) = (self.next + 1, 1, size);
        Some(Step::Compact(self.next - 1, short))
    }

    /// Whether the content of a frame is the index and the end, which come after the last blob.
    pub(in crate::archive) fn is_end(&self, blobs: &[BlobRow], content: &[u8]) -> bool {
        let start = usize::try_from(member::padding(self.before)).unwrap_or(usize::MAX);
        let header = content.get(start..).and_then(|rest| parse_header(rest.get(..512)?));
        self.next == blobs.len() && header.is_some_and(|(path, _)| path == INDEX)
    }
}

/// The content of a header's frame, if it is intact.
pub(in crate::archive) fn header_content(bytes: &[u8]) -> Option<Vec<u8>> {
    let content = frame::FrameHeader::parse(bytes)?.content?;
    let pieces = frame::stored_content(bytes, content, true).ok()?;
    Some(pieces.into_iter().flat_map(|piece| &bytes[piece]).copied().collect())
}
