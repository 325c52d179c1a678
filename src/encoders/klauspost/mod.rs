//! Deflate as klauspost/compress writes it, bit for bit, and Go from 1.27 on, whose `compress/flate` came from there.
//!
//! Follows `flate` of [`Variant`]'s releases (deflate.go, `fast_encoder.go`, level1.go to level6.go,
//! `huffman_bit_writer.go`, `huffman_code.go`, token.go), and gzip.go of klauspost/pgzip. These are under BSD-3-Clause
//! and MIT licences: see NOTICE.
//!
//! Whether codes are used again depends on estimates in floating point: see `tokens.rs`, and for blocks without matches
//! `blocks.rs`. They are computed as Go does for amd64.
//!
//! Not followed: sorting by frequency in klauspost/compress (not in Go) falls back to an order that is wrong after 2
//! log2(n) bad choices of a pivot. That takes frequencies made for it.

mod bits;
mod blocks;
mod buffer;
mod chains;
mod codes;
mod history;
mod lengths;
mod level1;
mod level2;
mod level3;
mod level4;
mod level5;
mod level6;
mod pgzip;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
mod variant;
mod weights;

use std::fmt;

use blocks::Blocks;
use chains::ChainMatcher;
use level1::Level1;
use level2::Level2;
use level3::Level3;
use level4::Level4;
use level5::Level5;
use level6::Level6;
use tokens::{MAX_STORED, Tokens};

pub(super) use pgzip::{LEAST_BLOCK, Pgzip};
pub use variant::Variant;

/// At levels 1 to 6, less than this at a flush is written without a search for matches.
const FEW: usize = 128;
/// At levels 1 to 6, up to this at a flush is stored.
const VERY_FEW: usize = 32;
/// The bytes of a block at level -2.
const LITERALS_AT_ONCE: usize = 32 << 10;

/// Deflate as klauspost/compress writes it.
///
/// The sizes of writes do not matter, only where it is flushed.
pub(super) struct Encoder {
    method: Method,
    blocks: Blocks,
}

enum Method {
    /// Level 0.
    Stored(Chunk),
    /// Level -2: Huffman codes, but no matches.
    Literals(Chunk),
    /// Levels 1 to 6.
    Tables(Chunk, TableMatcher, Box<Tokens>),
    /// Levels 7 to 9.
    Chains(Box<ChainMatcher>),
}

/// The levels that look up a few positions in tables.
enum TableMatcher {
    One(Level1),
    Two(Level2),
    Three(Level3),
    Four(Level4),
    Five(Level5),
    Six(Level6),
}

/// Bytes for the next block.
struct Chunk {
    bytes: Vec<u8>,
    size: usize,
}

impl Encoder {
    /// Levels -2 (Huffman codes only) and 0 (stored) to 9. None for any other.
    pub(super) fn new(variant: Variant, level: i8) -> Option<Self> {
        Self::with_limits(variant, level, history::MAX_BASE, chains::MAX_BASE)
    }

    /// As if `dictionary` had been written before, without the output. Levels -2 and 0 make no use of it.
    pub(super) fn with_dictionary(variant: Variant, level: i8, dictionary: &[u8]) -> Option<Self> {
        let mut encoder = Self::new(variant, level)?;
        match &mut encoder.method {
            Method::Stored(_) | Method::Literals(_) => {}
            Method::Tables(_, matcher, tokens) => {
                let kept = dictionary.len().min(history::MAX_OFFSET as usize);
                matcher.add(&dictionary[dictionary.len() - kept..], tokens);
                tokens.clear();
            }
            Method::Chains(matcher) => matcher.set_dictionary(dictionary),
        }
        Some(encoder)
    }

    /// With other limits at which positions are made smaller, for tests.
    fn with_limits(variant: Variant, level: i8, tables: i32, chains: i32) -> Option<Self> {
        let (method, penalty) = match level {
            -2 => (Method::Literals(Chunk::new(LITERALS_AT_ONCE)), 10),
            0 => (Method::Stored(Chunk::new(MAX_STORED)), 0),
            1..=6 => {
                let matcher = match level {
                    1 => TableMatcher::One(Level1::new(tables)),
                    2 => TableMatcher::Two(Level2::new(tables)),
                    3 => TableMatcher::Three(Level3::new(tables)),
                    4 => TableMatcher::Four(Level4::new(variant, tables)),
                    5 => TableMatcher::Five(Level5::new(tables)),
                    _ => TableMatcher::Six(Level6::new(tables)),
                };
                (Method::Tables(Chunk::new(MAX_STORED), matcher, Box::new(Tokens::new())), 7)
            }
            _ => (Method::Chains(Box::new(ChainMatcher::new(variant, level, chains)?)), 8),
        };
        Some(Self { method, blocks: Blocks::new(variant, penalty) })
    }

    /// Compresses the next bytes; what is ready is appended to `out`.
    pub(super) fn write(&mut self, mut raw: &[u8], out: &mut Vec<u8>) {
        let blocks = &mut self.blocks;
        match &mut self.method {
            Method::Stored(chunk) => {
                while !raw.is_empty() {
                    if chunk.is_full() {
                        chunk.store(blocks, out);
                    }
                    raw = chunk.fill(raw);
                }
            }
            Method::Literals(chunk) => {
                while !raw.is_empty() {
                    if chunk.is_full() {
                        chunk.without_matches(false, blocks, out);
                    }
                    raw = chunk.fill(raw);
                }
            }
            Method::Tables(chunk, matcher, tokens) => {
                while !raw.is_empty() {
                    if chunk.is_full() {
                        chunk.with_matches(matcher, tokens, false, blocks, out);
                    }
                    raw = chunk.fill(raw);
                }
            }
            Method::Chains(matcher) => matcher.write(raw, blocks, out),
        }
    }

    /// Like the original's Flush: ends the block, and adds an empty stored block (sync marker).
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        self.end_block(out);
        self.blocks.marker(out);
    }

    /// Ends the stream.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        self.end_block(out);
        self.blocks.end(out);
    }

    fn end_block(&mut self, out: &mut Vec<u8>) {
        let blocks = &mut self.blocks;
        match &mut self.method {
            Method::Stored(chunk) => chunk.store(blocks, out),
            Method::Literals(chunk) => chunk.without_matches(true, blocks, out),
            Method::Tables(chunk, matcher, tokens) => match chunk.bytes.len() {
                0 => {}
                FEW.. => chunk.with_matches(matcher, tokens, true, blocks, out),
                few => {
                    if few <= VERY_FEW {
                        chunk.store(blocks, out);
                    } else {
                        chunk.without_matches(true, blocks, out);
                    }
                    matcher.reset();
                }
            },
            Method::Chains(matcher) => matcher.flush(blocks, out),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl TableMatcher {
    /// Adds the tokens of a chunk: none where it has no match.
    fn add(&mut self, chunk: &[u8], tokens: &mut Tokens) {
        match self {
            Self::One(level) => level.add(chunk, tokens),
            Self::Two(level) => level.add(chunk, tokens),
            Self::Three(level) => level.add(chunk, tokens),
            Self::Four(level) => level.add(chunk, tokens),
            Self::Five(level) => level.add(chunk, tokens),
            Self::Six(level) => level.add(chunk, tokens),
        }
    }

    /// Forgets all that came before.
    fn reset(&mut self) {
        match self {
            Self::One(level) => level.reset(),
            Self::Two(level) => level.reset(),
            Self::Three(level) => level.reset(),
            Self::Four(level) => level.reset(),
            Self::Five(level) => level.reset(),
            Self::Six(level) => level.reset(),
        }
    }
}

impl Chunk {
    fn new(size: usize) -> Self {
        Self { bytes: Vec::with_capacity(size), size }
    }

    fn is_full(&self) -> bool {
        self.bytes.len() == self.size
    }

    /// Takes what fits, and gives back the rest.
    fn fill<'a>(&mut self, raw: &'a [u8]) -> &'a [u8] {
        let (now, later) = raw.split_at(raw.len().min(self.size - self.bytes.len()));
        self.bytes.extend_from_slice(now);
        later
    }

    fn store(&mut self, blocks: &mut Blocks, out: &mut Vec<u8>) {
        if !self.bytes.is_empty() {
            blocks.stored(&self.bytes, out);
            self.bytes.clear();
        }
    }

    fn without_matches(&mut self, sync: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        if !self.bytes.is_empty() {
            blocks.without_matches(&self.bytes, sync, out);
            self.bytes.clear();
        }
    }

    fn with_matches(
        &mut self,
        matcher: &mut TableMatcher,
        tokens: &mut Tokens,
        sync: bool,
        blocks: &mut Blocks,
        out: &mut Vec<u8>,
    ) {
        matcher.add(&self.bytes, tokens);
        let bytes = self.bytes.len();
        if tokens.count() == 0 {
            blocks.stored(&self.bytes, out);
        } else if tokens.count() > bytes - (bytes >> 4) {
            // With a match for less than a 16th of the bytes, codes for offsets are not worth it.
            blocks.without_matches(&self.bytes, sync, out);
        } else {
            blocks.dynamic(tokens, Some(&self.bytes), sync, out);
        }
        tokens.clear();
        self.bytes.clear();
    }
}
