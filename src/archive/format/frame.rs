//! zstd frames (RFC 8878): stored ones, whose length follows from the length of their content, and compressed ones.
//!
//! Every frame written here has its content size and an XXH64 checksum, holds 1 byte to 8 MiB of content, and needs a
//! window of at most 8 MiB, so that every decoder reads it without a flag.

use std::ops::Range;

use xxhash_rust::xxh64::Xxh64;

use crate::archive::{ArchiveError, FormatError};

/// Content bytes of a full stored or compressed frame in the blob part of a bundle.
pub(crate) const FRAME_CONTENT: u64 = 8 << 20;
/// Content bytes of a full frame in the head of a bundle.
pub(crate) const HEAD_FRAME_CONTENT: usize = 1 << 20;
/// Content bytes of a full raw block: `Block_Maximum_Size` of a 128 KiB window (RFC 8878, 3.1.1.2.4).
pub(crate) const BLOCK_CONTENT: u64 = 128 << 10;

/// The first bytes of a zstd frame (RFC 8878, 3.1.1).
pub use crate::app::foreign_text::ZSTD as ZSTD_MAGIC;
/// `Frame_Header_Descriptor`: 8-byte content size, no single segment, content checksum, no dictionary.
const STORED_DESCRIPTOR: u8 = 0xc4;
/// `Window_Descriptor` of a 128 KiB window.
const STORED_WINDOW: u8 = 7 << 3;
const HEADER_LEN: u64 = 14;
const BLOCK_HEADER_LEN: u64 = 3;
const CHECKSUM_LEN: u64 = 4;
/// Longest frame header: magic, descriptor, window, dictionary id, content size.
pub(crate) const MAX_FRAME_HEADER: usize = 18;
/// Levels of zstd. Another level gives other bytes for the same content: raise `FORMAT_REVISION` with it.
const HEAD_LEVEL: i32 = 3;
const BLOB_LEVEL: i32 = 3;
/// The largest window that a reader allocates, whatever a frame header says.
const MAX_WINDOW: u64 = 8 << 20;

/// The file bytes that `content` bytes take as one stored frame.
fn stored_frame_len(content: u64) -> u64 {
    HEADER_LEN + content.div_ceil(BLOCK_CONTENT) * BLOCK_HEADER_LEN + content + CHECKSUM_LEN
}

/// The file bytes that `content` bytes take in stored frames. Zero for no content, because no frame is empty.
pub(crate) fn stored_len(content: u64) -> u64 {
    let full = content / FRAME_CONTENT;
    let rest = content % FRAME_CONTENT;
    full * stored_frame_len(FRAME_CONTENT) + if rest == 0 { 0 } else { stored_frame_len(rest) }
}

/// The lengths, in file and content bytes, of the stored frames of `content` bytes.
pub(crate) fn stored_frames(content: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..content.div_ceil(FRAME_CONTENT)).map(move |i| {
        let held = FRAME_CONTENT.min(content - i * FRAME_CONTENT);
        (stored_frame_len(held), held)
    })
}

/// The same for frames from file offset `at` on: file offset, file length and content length of each.
pub(crate) fn stored_frames_at(mut at: u64, content: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    stored_frames(content).map(move |(file, held)| {
        at += file;
        (at - file, file, held)
    })
}

/// Writes content as stored frames, piece by piece, without buffering.
#[derive(Debug)]
pub struct StoredEncoder {
    /// Content bytes not yet pushed.
    left: u64,
    frame_left: u64,
    block_left: u64,
    checksum: Checksum,
}

/// The checksum of a frame, computed while its content passes.
pub(crate) struct Checksum(Xxh64);

impl Checksum {
    /// In file bytes, at the end of the frame.
    pub(crate) const LEN: u64 = CHECKSUM_LEN;

    pub(crate) fn new() -> Self {
        Self(Xxh64::new(0))
    }

    pub(crate) fn update(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    /// Compares it with `found`, the value at the end of the frame.
    pub(crate) fn check(&self, found: &[u8]) -> Result<(), String> {
        if found == checksum_bytes(&self.0) {
            return Ok(());
        }
        Err("the content does not match its XXH64 checksum".to_owned())
    }
}

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checksum")
    }
}

impl StoredEncoder {
    /// An encoder for the last `content` bytes of a blob; they must begin on a frame boundary.
    pub fn new(content: u64) -> Self {
        Self { left: content, frame_left: 0, block_left: 0, checksum: Checksum::new() }
    }

    /// Appends the encoding of `piece` to `out`. More content than announced is a caller's error and is refused.
    pub fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError> {
        if piece.len() as u64 > self.left {
            return Err(ArchiveError::Invariant("more content than announced"));
        }
        while !piece.is_empty() {
            if self.frame_left == 0 {
                self.begin_frame(out);
            }
            if self.block_left == 0 {
                self.begin_block(out);
            }
            let taken = usize::try_from(self.block_left).map_or(piece.len(), |left| left.min(piece.len()));
            let (now, later) = piece.split_at(taken);
            out.extend_from_slice(now);
            self.checksum.0.update(now);
            self.left -= taken as u64;
            self.frame_left -= taken as u64;
            self.block_left -= taken as u64;
            piece = later;
            if self.frame_left == 0 {
                out.extend_from_slice(&checksum_bytes(&self.checksum.0));
            }
        }
        Ok(())
    }

    fn begin_frame(&mut self, out: &mut Vec<u8>) {
        self.frame_left = self.left.min(FRAME_CONTENT);
        self.checksum.0.reset(0);
        out.extend_from_slice(&stored_header(self.frame_left));
    }

    fn begin_block(&mut self, out: &mut Vec<u8>) {
        self.block_left = self.frame_left.min(BLOCK_CONTENT);
        out.extend_from_slice(&raw_block_header(self.block_left, self.block_left == self.frame_left));
    }
}

/// `content` as stored frames.
pub(crate) fn store(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 1024 + 64);
    let mut encoder = StoredEncoder::new(content.len() as u64);
    let pushed = encoder.push(content, &mut out);
    debug_assert!(pushed.is_ok(), "exactly the announced content is pushed");
    out
}

fn stored_header(content: u64) -> [u8; 14] {
    let mut header = [0; 14];
    header[..4].copy_from_slice(&ZSTD_MAGIC);
    header[4] = STORED_DESCRIPTOR;
    header[5] = STORED_WINDOW;
    header[6..].copy_from_slice(&content.to_le_bytes());
    header
}

fn raw_block_header(content: u64, last: bool) -> [u8; 3] {
    let word = (content << 3) | u64::from(last);
    let [a, b, c, ..] = word.to_le_bytes();
    [a, b, c]
}

/// `Content_Checksum`: the low four bytes of XXH64, little endian.
fn checksum_bytes(hash: &Xxh64) -> [u8; 4] {
    let [a, b, c, d, ..] = hash.digest().to_le_bytes();
    [a, b, c, d]
}

/// The content of one stored frame, as ranges of `frame`. The frame must be exactly the one that this writer makes for
/// `content` bytes; its checksum is compared if `check` is set.
pub(crate) fn stored_content(frame: &[u8], content: u64, check: bool) -> Result<Vec<Range<usize>>, String> {
    if frame.len() as u64 != stored_frame_len(content) {
        return Err("the frame is cut short".to_owned());
    }
    if frame[..14] != stored_header(content) {
        return Err("the frame header is not the one of a stored frame of this length".to_owned());
    }
    let mut ranges = Vec::with_capacity(frame.len() / (128 << 10) + 1);
    let mut hash = Xxh64::new(0);
    let (mut at, mut left) = (14, content);
    while left > 0 {
        let held = left.min(BLOCK_CONTENT);
        if frame[at..at + 3] != raw_block_header(held, held == left) {
            return Err("a block header is damaged".to_owned());
        }
        let end = at + 3 + usize::try_from(held).map_err(|_| "block too long")?;
        if check {
            hash.update(&frame[at + 3..end]);
        }
        ranges.push(at + 3..end);
        at = end;
        left -= held;
    }
    if check && frame[at..] != checksum_bytes(&hash) {
        return Err("the content does not match its XXH64 checksum".to_owned());
    }
    Ok(ranges)
}

/// A few blocks of a stored frame, for readers that do not hold a whole frame in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredPiece {
    /// Where it begins, in file bytes from the start of the frame.
    pub(crate) offset: u64,
    /// In file bytes.
    pub(crate) len: usize,
    /// Content bytes before it.
    before: u64,
    /// Content bytes in it.
    pub(crate) content: u64,
}

impl StoredPiece {
    /// Up to `blocks` blocks of a frame of `held` content bytes, after `before` of them (a multiple of a block).
    pub(crate) fn of(before: u64, held: u64, blocks: u64) -> Self {
        let content = (held - before).min(blocks * BLOCK_CONTENT);
        let count = content.div_ceil(BLOCK_CONTENT);
        let header = if before == 0 { HEADER_LEN } else { 0 };
        let skipped = if before == 0 { 0 } else { HEADER_LEN };
        let offset = skipped + before / BLOCK_CONTENT * BLOCK_HEADER_LEN + before;
        let len = header + count * BLOCK_HEADER_LEN + content;
        Self { offset, len: usize::try_from(len).unwrap_or(0), before, content }
    }

    /// The content in `bytes`, which must have exactly the headers that this writer makes for a frame of `held` bytes.
    pub(crate) fn check(&self, bytes: &[u8], held: u64) -> Result<Vec<Range<usize>>, String> {
        let mut at = 0;
        if self.before == 0 {
            if bytes[..14] != stored_header(held) {
                return Err("the frame header is not the one of a stored frame of this length".to_owned());
            }
            at = 14;
        }
        let mut ranges = Vec::new();
        let (mut left, mut after) = (self.content, held - self.before);
        while left > 0 {
            let size = left.min(BLOCK_CONTENT);
            if bytes[at..at + 3] != raw_block_header(size, size == after) {
                return Err("a block header is damaged".to_owned());
            }
            let end = at + 3 + usize::try_from(size).map_err(|_| "block too long")?;
            ranges.push(at + 3..end);
            at = end;
            left -= size;
            after -= size;
        }
        Ok(ranges)
    }
}

/// One compressed frame of the head of a bundle.
pub(crate) fn compress_head(content: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    compress(content, HEAD_LEVEL)
}

/// One frame of an uncompressed blob: compressed, or stored if compression saves less than 3 %.
pub(crate) fn compress_or_store(content: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let compressed = compress(content, BLOB_LEVEL)?;
    let stored = stored_len(content.len() as u64);
    if compressed.len() as u64 * 100 <= stored * 97 {
        return Ok(compressed);
    }
    // A frame is 8 MiB, and its compressed form needs as much again.
    drop(compressed);
    Ok(store(content))
}

fn compress(content: &[u8], level: i32) -> Result<Vec<u8>, ArchiveError> {
    let mut compressor =
        zstd::bulk::Compressor::new(level).map_err(|error| ArchiveError::Format(FormatError::Zstd(error)))?;
    compressor.include_checksum(true).map_err(|error| ArchiveError::Format(FormatError::Zstd(error)))?;
    compressor.include_contentsize(true).map_err(|error| ArchiveError::Format(FormatError::Zstd(error)))?;
    compressor.compress(content).map_err(|error| ArchiveError::Format(FormatError::Zstd(error)))
}

/// The content of one whole frame of any kind that holds exactly `content` bytes. libzstd checks the checksum.
pub(crate) fn decompress(frame: &[u8], content: usize) -> Result<Vec<u8>, String> {
    let header = FrameHeader::parse(frame).ok_or("not a zstd frame")?;
    if header.window > MAX_WINDOW.max(content as u64) || header.content.is_some_and(|c| c != content as u64) {
        return Err("the frame header contradicts the plan".to_owned());
    }
    let mut out = vec![0; content];
    let got = zstd::bulk::decompress_to_buffer(frame, &mut out).map_err(|e| format!("zstd: {e}"))?;
    if got == content { Ok(out) } else { Err(format!("{got} bytes, but {content} were expected")) }
}

/// What a frame header says (RFC 8878, 3.1.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// In bytes, the magic number included.
    pub(crate) len: usize,
    pub(crate) window: u64,
    pub(crate) content: Option<u64>,
    pub(crate) checksum: bool,
}

impl FrameHeader {
    /// Reads the header at the start of `bytes`; none if it is not a zstd frame or is cut short.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let descriptor = *bytes.strip_prefix(&ZSTD_MAGIC)?.first()?;
        let single = descriptor & 0x20 != 0;
        if descriptor & 0x08 != 0 {
            return None;
        }
        let mut at = 5;
        let mut window = 0;
        if !single {
            let byte = u64::from(*bytes.get(at)?);
            let base = 1u64 << (10 + (byte >> 3));
            window = base + (base / 8) * (byte & 7);
            at += 1;
        }
        at += [0, 1, 2, 4][usize::from(descriptor & 3)];
        let width = match (descriptor >> 6, single) {
            (0, false) => 0,
            (0, true) => 1,
            (flag, _) => 1usize << flag,
        };
        let mut field = [0; 8];
        field[..width].copy_from_slice(bytes.get(at..at + width)?);
        let value = u64::from_le_bytes(field) + if width == 2 { 256 } else { 0 };
        let content = (width > 0).then_some(value);
        if single {
            window = value;
        }
        Some(Self { len: at + width, window, content, checksum: descriptor & 4 != 0 })
    }
}

/// The length of a block's data in the file and whether it is the last, from its 3-byte header (3.1.1.2).
/// None for the reserved type.
pub(crate) fn block_len(header: [u8; 3]) -> Option<(usize, bool)> {
    let word = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let size = (word >> 3) as usize;
    match (word >> 1) & 3 {
        0 | 2 => Some((size, word & 1 == 1)),
        1 => Some((1, word & 1 == 1)),
        _ => None,
    }
}

/// Length of the block headers and of the checksum, for readers that walk frames.
pub(crate) const BLOCK_HEADER: usize = 3;
pub(crate) const CHECKSUM: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_frame_costs_210_bytes() {
        assert_eq!(stored_len(FRAME_CONTENT), FRAME_CONTENT + 210);
        assert_eq!(stored_len(0), 0);
    }

    #[test]
    fn stock_libzstd_reads_stored_frames() {
        let content: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let stored = store(&content);
        assert_eq!(zstd::decode_all(&stored[..]).unwrap(), content);
        let empty = store(b"");
        assert!(empty.is_empty());
    }

    #[test]
    fn every_flipped_bit_of_a_stored_frame_is_found() {
        let content = b"the content of a small frame";
        let stored = store(content);
        for bit in 0..stored.len() * 8 {
            let mut bad = stored.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(stored_content(&bad, content.len() as u64, true).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn headers_of_libzstd_are_understood() {
        for len in [1usize, 255, 256, 300, 65_791, 65_792, 3_000_000] {
            let content = vec![7; len];
            let frame = compress(&content, 3).unwrap();
            let header = FrameHeader::parse(&frame).unwrap();
            assert_eq!((header.content, header.checksum), (Some(len as u64), true));
            assert_eq!(decompress(&frame, len).unwrap(), content);
            assert!(decompress(&frame, len + 1).is_err());
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(len in 0usize..400_000, cut in 1usize..200_000) {
            let content: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut out = Vec::new();
            let mut encoder = StoredEncoder::new(len as u64);
            for piece in content.chunks(cut) {
                encoder.push(piece, &mut out).unwrap();
            }
            prop_assert_eq!(out.len() as u64, stored_len(len as u64));
            prop_assert_eq!(&out, &store(&content));
            let mut back = Vec::new();
            for (range, held) in stored_frames(len as u64).scan(0usize, |at, (file, held)| {
                let range = *at..*at + usize::try_from(file).unwrap();
                *at = range.end;
                Some((range, held))
            }) {
                let frame = &out[range];
                for piece in stored_content(frame, held, true).unwrap() {
                    back.extend_from_slice(&frame[piece]);
                }
            }
            prop_assert_eq!(back, content);
        }

        #[test]
        fn pieces_of_a_frame_are_found_by_arithmetic(len in 1u64..4_000_000, blocks in 1u64..9) {
            let content: Vec<u8> = (0..len).map(|i| u8::try_from(i % 249).unwrap()).collect();
            let frame = store(&content);
            let (mut before, mut back) = (0, Vec::new());
            while before < len {
                let piece = StoredPiece::of(before, len, blocks);
                let at = usize::try_from(piece.offset).unwrap();
                let bytes = &frame[at..at + piece.len];
                for range in piece.check(bytes, len).unwrap() {
                    back.extend_from_slice(&bytes[range]);
                }
                before += piece.content;
            }
            prop_assert_eq!(back, content);
        }

        #[test]
        fn hostile_headers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut framed = ZSTD_MAGIC.to_vec();
            framed.extend(&bytes);
            let _ = FrameHeader::parse(&framed);
            let _ = decompress(&framed, 100);
        }
    }
}
