//! Level 1: matches by a table with one position for each hash (Go's deflatefast.go).

use super::tables::{boxed, equal_bytes, narrow};
use super::tokens::{MAX_MATCH, MAX_OFFSET, MAX_STORED, Token};

const TABLE_BITS: u32 = 14;
const TABLE: usize = 1 << TABLE_BITS;
/// The search stops this many bytes before the end of a chunk.
const MARGIN: usize = 15;
/// No matches are searched for in a smaller chunk.
const MIN_CHUNK: usize = MARGIN + 2;
/// When `base` gets this large, all positions in the table are made smaller. Twice the largest chunk below Go's
/// largest 32-bit integer.
const MAX_BASE: u32 = (1 << 31) - 1 - 2 * 65535;

/// Four bytes, and their position plus the base of their time.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    bytes: u32,
    position: u32,
}

pub(super) struct FastMatcher {
    table: Box<[Entry; TABLE]>,
    /// The chunk before, empty when there is none to match with.
    before: Vec<u8>,
    /// The position of the start of the chunk, counted from long ago.
    base: u32,
    tokens: Vec<Token>,
}

impl FastMatcher {
    pub(super) fn new() -> Self {
        Self {
            table: boxed(Entry::default()),
            before: Vec::with_capacity(MAX_STORED),
            base: narrow(MAX_STORED),
            tokens: Vec::with_capacity(MAX_STORED),
        }
    }

    /// The tokens of the next chunk, which has at most `MAX_STORED` bytes.
    pub(super) fn tokens(&mut self, chunk: &[u8]) -> &[Token] {
        self.tokens.clear();
        if self.base >= MAX_BASE {
            self.shift();
        }
        if chunk.len() < MIN_CHUNK {
            self.base += narrow(MAX_STORED);
            self.before.clear();
            self.add_literals(chunk);
            return &self.tokens;
        }
        let rest = self.search(chunk);
        self.add_literals(&chunk[rest..]);
        self.base += narrow(chunk.len());
        self.before.clear();
        self.before.extend_from_slice(chunk);
        &self.tokens
    }

    /// Forgets all that came before.
    pub(super) fn reset(&mut self) {
        self.before.clear();
        // Puts all entries out of reach.
        self.base += MAX_OFFSET;
        if self.base >= MAX_BASE {
            self.shift();
        }
    }

    /// Adds tokens up to the last match, and gives the position after it.
    fn search(&mut self, chunk: &[u8]) -> usize {
        let limit = chunk.len() - MARGIN;
        let mut done = 0;
        let mut position = 0;
        let mut bytes = load(chunk, 0);
        loop {
            // The longer no match is found, the fewer positions are looked at.
            let mut skip = 32;
            let mut next = position;
            let mut offset;
            loop {
                position = next;
                let step = skip >> 5;
                next += step;
                skip += step;
                if next > limit {
                    return done;
                }
                let candidate = self.exchange(position, bytes);
                let before = bytes;
                bytes = load(chunk, next);
                offset = self.offset(position, candidate);
                if offset <= MAX_OFFSET && before == candidate.bytes {
                    break;
                }
            }
            self.add_literals(&chunk[done..position]);

            // Matches that follow each other directly.
            loop {
                position += 4;
                let more = self.equal_bytes(chunk, position, offset as usize);
                self.tokens.push(Token::matched(narrow(more + 4), offset));
                position += more;
                done = position;
                if position >= limit {
                    return done;
                }
                self.exchange(position - 1, load(chunk, position - 1));
                bytes = load(chunk, position);
                let candidate = self.exchange(position, bytes);
                offset = self.offset(position, candidate);
                if offset > MAX_OFFSET || bytes != candidate.bytes {
                    position += 1;
                    bytes = load(chunk, position);
                    break;
                }
            }
        }
    }

    /// Puts a position of the chunk into the table, and gives the entry that was there.
    #[inline]
    fn exchange(&mut self, position: usize, bytes: u32) -> Entry {
        let entry = Entry { bytes, position: narrow(position) + self.base };
        std::mem::replace(&mut self.table[hash(bytes)], entry)
    }

    #[inline]
    fn offset(&self, position: usize, candidate: Entry) -> u32 {
        (narrow(position) + self.base).wrapping_sub(candidate.position)
    }

    /// How many bytes from `position` on are equal to those `offset` before, beside the four before that are known
    /// to be. May start in the chunk before.
    #[inline]
    fn equal_bytes(&self, chunk: &[u8], position: usize, offset: usize) -> usize {
        let end = (position + MAX_MATCH - 4).min(chunk.len());
        let here = &chunk[position..end];
        if offset <= position {
            return equal_bytes(here, &chunk[position - offset..]);
        }
        let Some(start) = (self.before.len() + position).checked_sub(offset) else { return 0 };
        let there = &self.before[start..];
        let equal = equal_bytes(here, there);
        if equal < there.len() || equal == here.len() {
            return equal;
        }
        equal + equal_bytes(&here[equal..], chunk)
    }

    fn add_literals(&mut self, bytes: &[u8]) {
        self.tokens.extend(bytes.iter().map(|&byte| Token::literal(byte)));
    }

    /// Makes positions smaller before they get too large.
    fn shift(&mut self) {
        const BASE: u32 = MAX_OFFSET + 1;
        if self.before.is_empty() {
            self.table.fill(Entry::default());
        } else {
            for entry in self.table.iter_mut() {
                // Those out of reach may all become 0.
                entry.position = (entry.position + BASE).saturating_sub(self.base);
            }
        }
        self.base = BASE;
    }
}

/// Four bytes of `chunk`.
#[inline]
fn load(chunk: &[u8], position: usize) -> u32 {
    let [a, b, c, d] = [0, 1, 2, 3].map(|next| chunk[position + next]);
    u32::from_le_bytes([a, b, c, d])
}

#[inline]
fn hash(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x1e35_a7bd) >> (32 - TABLE_BITS)) as usize
}
