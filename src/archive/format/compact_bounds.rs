//! How long a compact bundle can become, before it is known what each blob takes.

use super::seek_table_builder::SeekTableBuilder;
use super::{frame, member};
use crate::archive::manifest::BlobRow;

/// The most bytes that a blob takes in the file.
///
/// A blob stays as it is unless its first member is smaller; only its other members can be larger than what they make, as
/// far as zstd is worse than the encoder of the blob.
pub(in crate::archive) fn longest(blob: &BlobRow) -> u64 {
    const HEADER: u64 = 4096;
    let stored = frame::stored_len(blob.size) + HEADER;
    stored + blob.size / 16
}

/// The most bytes after the blobs `body`.
pub(in crate::archive) fn longest_ending(body: &[BlobRow], head_frames: u64) -> u64 {
    const NUMBER: u64 = 12;
    let members: u64 = body.iter().map(|blob| 2 + blob.size / frame::FRAME_CONTENT).sum();
    let frames = head_frames + members * 2;
    frame::stored_len(member::END_LEN + 2048 + members * NUMBER)
        + SeekTableBuilder::encoded_len(u32::try_from(frames).unwrap_or(u32::MAX))
}
