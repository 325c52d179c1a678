//! Deflate as klauspost/pgzip writes it: blocks that do not depend on each other's codes, each with the end of the one
//! before as its dictionary.
//!
//! 1.2.5 and 1.2.6 have the same gzip.go; what differs is the version of klauspost/compress.

use super::Encoder;
use super::variant::Variant;

/// How much of a block is the dictionary of the next one, when it is longer than that.
const TAIL: usize = 16384;

/// The smallest block that pgzip takes, in bytes.
pub(in super::super) const LEAST_BLOCK: u32 = 16385;

/// A stream of blocks.
#[derive(Debug)]
pub(in super::super) struct Pgzip {
    variant: Variant,
    level: i8,
    block_size: usize,
    /// What is not encoded yet: less than a block.
    block: Vec<u8>,
    tail: Vec<u8>,
}

impl Pgzip {
    /// Levels -2 and 0 to 9, with blocks of more than 16 KiB, 1 MiB by default. None for any other.
    pub(in super::super) fn new(variant: Variant, level: i8, block_size: usize) -> Option<Self> {
        (matches!(level, -2 | 0..=9) && block_size > TAIL).then(|| Self {
            variant,
            level,
            block_size,
            block: Vec::with_capacity(block_size),
            tail: Vec::new(),
        })
    }

    /// Encodes the next bytes, and appends to `out` what is ready: whole blocks.
    pub(in super::super) fn write(&mut self, mut raw: &[u8], out: &mut Vec<u8>) {
        while !raw.is_empty() {
            let (now, later) = raw.split_at(raw.len().min(self.block_size - self.block.len()));
            self.block.extend_from_slice(now);
            if self.block.len() == self.block_size {
                self.end_block(false, out);
            }
            raw = later;
        }
    }

    /// Ends the block, even an empty one.
    pub(in super::super) fn flush(&mut self, out: &mut Vec<u8>) {
        self.end_block(false, out);
    }

    /// Ends the stream with one more block, which may be empty.
    pub(in super::super) fn finish(mut self, out: &mut Vec<u8>) {
        self.end_block(true, out);
    }

    fn end_block(&mut self, last: bool, out: &mut Vec<u8>) {
        encode_block(self.variant, self.level, &self.block, &self.tail, last, out);
        self.tail.clear();
        self.tail.extend_from_slice(tail(&self.block));
        self.block.clear();
    }
}

/// The dictionary of the block after this one.
fn tail(block: &[u8]) -> &[u8] {
    match block.len().checked_sub(TAIL) {
        Some(from @ 1..) => &block[from..],
        _ => &[],
    }
}

/// Appends a block, which depends on nothing but the parameters. `tail` is that of the block before, empty at first.
fn encode_block(variant: Variant, level: i8, block: &[u8], tail: &[u8], last: bool, out: &mut Vec<u8>) {
    let Some(mut encoder) = Encoder::with_dictionary(variant, level, tail) else { return };
    encoder.write(block, out);
    encoder.flush(out);
    if last {
        encoder.finish(out);
    }
}
