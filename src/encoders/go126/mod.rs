//! Deflate as Go 1.26.8 writes it, bit for bit.
//!
//! Follows `compress/flate` (deflate.go, deflatefast.go, `huffman_bit_writer.go`, `huffman_code.go`, token.go), which is
//! under a BSD-3-Clause licence: see NOTICE.

mod bits;
mod blocks;
mod codes;
mod fast;
mod lengths;
mod matches;
mod tables;
mod tokens;

use std::fmt;

use blocks::Blocks;
use fast::FastMatcher;
use matches::ChainMatcher;
use tokens::MAX_STORED;

/// At level 1, less than this at a flush is written without a search for matches.
const FEW: usize = 128;
/// At level 1, up to this at a flush is stored.
const VERY_FEW: usize = 16;

/// Deflate as Go's compress/flate up to 1.26 writes it.
///
/// Like there, the sizes of writes rarely matter, but can: at levels 2 to 9, the window moves at a write.
pub(super) struct Encoder {
    method: Method,
    blocks: Blocks,
}

enum Method {
    /// Level 0.
    Stored(Chunk),
    /// Level -2: Huffman codes, but no matches.
    Literals(Chunk),
    /// Level 1.
    Fast(Chunk, FastMatcher),
    /// Levels 2 to 9.
    Chains(ChainMatcher),
}

/// Bytes for the next block, at most `MAX_STORED`.
struct Chunk(Vec<u8>);

impl Encoder {
    /// Levels -2 (Huffman codes only) and 0 (stored) to 9. None for any other.
    pub(super) fn new(level: i32) -> Option<Self> {
        let method = match level {
            -2 => Method::Literals(Chunk::new()),
            0 => Method::Stored(Chunk::new()),
            1 => Method::Fast(Chunk::new(), FastMatcher::new()),
            _ => Method::Chains(ChainMatcher::new(level)?),
        };
        Some(Self { method, blocks: Blocks::new() })
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
                        chunk.without_matches(blocks, out);
                    }
                    raw = chunk.fill(raw);
                }
            }
            Method::Fast(chunk, matcher) => {
                while !raw.is_empty() {
                    if chunk.is_full() {
                        chunk.with_matches(matcher, blocks, out);
                    }
                    raw = chunk.fill(raw);
                }
            }
            Method::Chains(matcher) => matcher.write(raw, blocks, out),
        }
    }

    /// Like Go's Flush: ends the block, and adds an empty stored block (sync marker).
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        self.end_block(out);
        self.blocks.marker(false, out);
    }

    /// Ends the stream.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        self.end_block(out);
        self.blocks.marker(true, out);
    }

    fn end_block(&mut self, out: &mut Vec<u8>) {
        let blocks = &mut self.blocks;
        match &mut self.method {
            Method::Stored(chunk) => chunk.store(blocks, out),
            Method::Literals(chunk) => chunk.without_matches(blocks, out),
            Method::Fast(chunk, matcher) => match chunk.0.len() {
                0 => {}
                FEW.. => chunk.with_matches(matcher, blocks, out),
                few => {
                    if few <= VERY_FEW {
                        chunk.store(blocks, out);
                    } else {
                        chunk.without_matches(blocks, out);
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

impl Chunk {
    fn new() -> Self {
        Self(Vec::with_capacity(MAX_STORED))
    }

    fn is_full(&self) -> bool {
        self.0.len() == MAX_STORED
    }

    /// Takes what fits, and gives back the rest.
    fn fill<'a>(&mut self, raw: &'a [u8]) -> &'a [u8] {
        let (now, later) = raw.split_at(raw.len().min(MAX_STORED - self.0.len()));
        self.0.extend_from_slice(now);
        later
    }

    fn store(&mut self, blocks: &mut Blocks, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            blocks.stored(&self.0, out);
            self.0.clear();
        }
    }

    fn without_matches(&mut self, blocks: &mut Blocks, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            blocks.without_matches(&self.0, out);
            self.0.clear();
        }
    }

    fn with_matches(&mut self, matcher: &mut FastMatcher, blocks: &mut Blocks, out: &mut Vec<u8>) {
        let tokens = matcher.tokens(&self.0);
        // With a match for less than a 16th of the bytes, codes for offsets are not worth it.
        if tokens.len() > self.0.len() - (self.0.len() >> 4) {
            blocks.without_matches(&self.0, out);
        } else {
            blocks.dynamic(tokens, &self.0, out);
        }
        self.0.clear();
    }
}
