//! The offset of every part of a bundle, known once the head is written and the sizes are known.
//!
//! After the head, each blob is a *member header* (the padding of the previous member and this member's tar header, in
//! one stored frame) and its data, which begins on a frame boundary. Compressed blobs come last; their offsets are
//! upper bounds until they are written. In a compact bundle, every blob after the head is of this kind, and
//! [`super::compact_body`] has its exact place.

use super::head::FrameLens;
use super::{compact_bounds, frame, member};
use crate::archive::manifest::{BlobRow, BundleManifest, Group, Profile};

/// Skippable frame header and seek table footer (zstd seekable format, "Seek Table Format").
const SEEK_TABLE_FIXED: u64 = 8 + 9;
const SEEK_TABLE_ENTRY: u64 = 8;

/// The positions of one bundle.
#[derive(Clone, Debug)]
pub struct Layout {
    head: FrameLens,
    head_len: u64,
    /// Index of the first blob outside the head.
    first: usize,
    /// File offset of each blob's data from `first` on; an upper bound for compressed blobs.
    data: Vec<u64>,
    stored_end: u64,
    /// Index of the first compressed blob.
    first_compressed: usize,
    max_len: u64,
    profile: Profile,
}

impl Layout {
    pub(crate) fn new(head: FrameLens, bundle: &BundleManifest) -> Self {
        match bundle.profile {
            Profile::Layout => Self::of_layout(head, &bundle.blobs),
            Profile::Compact => Self::of_compact(head, &bundle.blobs),
        }
    }

    /// Every blob after the head is held in a form that is not known yet.
    fn of_compact(head: FrameLens, blobs: &[BlobRow]) -> Self {
        let head_len: u64 = head.iter().map(|(file, _)| u64::from(*file)).sum();
        let first = blobs.partition_point(|blob| blob.group() == Group::Head);
        let (mut at, mut data) = (head_len, Vec::with_capacity(blobs.len() - first));
        for blob in &blobs[first..] {
            data.push(at);
            at += compact_bounds::longest(blob);
        }
        let max_len = at + compact_bounds::longest_ending(&blobs[first..], head.len() as u64);
        Self {
            head,
            head_len,
            first,
            data,
            stored_end: head_len,
            first_compressed: first,
            max_len,
            profile: Profile::Compact,
        }
    }

    fn of_layout(head: FrameLens, blobs: &[BlobRow]) -> Self {
        let head_len: u64 = head.iter().map(|(file, _)| u64::from(*file)).sum();
        let first = blobs.partition_point(|blob| blob.group() == Group::Head);
        let first_compressed = blobs.partition_point(|blob| blob.group() < Group::Compressed);
        let mut frames = head.len() as u64;
        let mut at = head_len;
        let mut stored_end = head_len;
        let mut data = Vec::with_capacity(blobs.len() - first);
        for (index, blob) in blobs.iter().enumerate().skip(first) {
            at += frame::stored_len(joint_content_len(blobs, first, index));
            data.push(at);
            at += frame::stored_len(blob.size);
            frames += 1 + blob.size.div_ceil(frame::FRAME_CONTENT);
            if index < first_compressed {
                stored_end = at;
            }
        }
        at += frame::stored_len(tail_content(blobs, first).len() as u64);
        let max_len = at + SEEK_TABLE_FIXED + SEEK_TABLE_ENTRY * (frames + 1);
        let profile = Profile::Layout;
        Self { head, head_len, first, data, stored_end, first_compressed, max_len, profile }
    }

    /// The form of the blobs after the head.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// File bytes of the whole bundle: exact without compressed blobs, otherwise an upper bound.
    pub fn max_len(&self) -> u64 {
        self.max_len
    }

    /// Whether [`Self::max_len`] is exact.
    pub fn is_exact(&self) -> bool {
        self.first_compressed == self.first + self.data.len()
    }

    /// The fewest bytes that a file with this head has: exact without compressed blobs.
    pub(crate) fn min_len(&self) -> u64 {
        if self.is_exact() { self.max_len } else { self.stored_end }
    }

    /// `8000 bytes of 9000`, or `8000 bytes of at least 9000`, if a file of `len` bytes is too short for this head.
    pub(crate) fn shortfall(&self, len: u64) -> Option<String> {
        let least = if self.is_exact() { "" } else { "at least " };
        (len < self.min_len()).then(|| format!("it has {len} bytes of {least}{} bytes", self.min_len()))
    }

    /// File bytes of the head.
    pub fn head_len(&self) -> u64 {
        self.head_len
    }

    pub(crate) fn head_frames(&self) -> &FrameLens {
        &self.head
    }

    /// Positions, in the list of blobs, of those with known offsets.
    pub fn stored(&self) -> std::ops::Range<usize> {
        self.first..self.first_compressed
    }

    /// Positions of those that are compressed.
    pub fn compressed(&self) -> std::ops::Range<usize> {
        self.first_compressed..self.first + self.data.len()
    }

    /// File offset of the data of stored blob `index`.
    pub fn data_offset(&self, index: usize) -> u64 {
        self.data[index - self.first]
    }

    /// Offset where the stored part ends and the compressed part begins.
    pub fn stored_end(&self) -> u64 {
        self.stored_end
    }

    /// The encoded member header before blob `index`.
    pub(crate) fn member_header(&self, blobs: &[BlobRow], index: usize) -> Vec<u8> {
        frame::store(&joint_content(blobs, self.first, index))
    }

    /// The encoded end: padding of the last member and the end-of-archive blocks.
    pub(crate) fn tail(&self, blobs: &[BlobRow]) -> Vec<u8> {
        frame::store(&tail_content(blobs, self.first))
    }

    /// Content bytes of the end.
    pub(crate) fn tail_content_len(&self, blobs: &[BlobRow]) -> u64 {
        tail_content(blobs, self.first).len() as u64
    }

    /// The length of the member header before `index`, in file and content bytes.
    pub(crate) fn member_header_lens(&self, blobs: &[BlobRow], index: usize) -> (u64, u64) {
        let content = joint_content_len(blobs, self.first, index);
        (frame::stored_len(content), content)
    }
}

fn joint_content_len(blobs: &[BlobRow], first: usize, index: usize) -> u64 {
    let before = if index > first { member::padding(blobs[index - 1].size) } else { 0 };
    before + member::header_len(&blobs[index].digest.layout_path(), blobs[index].size)
}

fn joint_content(blobs: &[BlobRow], first: usize, index: usize) -> Vec<u8> {
    let before = if index > first { member::padding(blobs[index - 1].size) } else { 0 };
    let mut content = vec![0; usize::try_from(before).unwrap_or(0)];
    content.extend(member::header(&blobs[index].digest.layout_path(), blobs[index].size));
    content
}

fn tail_content(blobs: &[BlobRow], first: usize) -> Vec<u8> {
    let padding = blobs.last().filter(|_| blobs.len() > first).map_or(0, |blob| member::padding(blob.size));
    vec![0; usize::try_from(padding + member::END_LEN).unwrap_or(0)]
}
