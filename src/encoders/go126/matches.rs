//! Levels 2 to 9: the longest match within reach, found by chains of positions with one hash (Go's deflate.go).

use super::blocks::Blocks;
use super::tables::{boxed, equal_bytes, narrow};
use super::tokens::{MAX_MATCH, MIN_MATCH, Token};

const WINDOW: usize = 1 << 15;
const WINDOW_MASK: usize = WINDOW - 1;
const HASH_BITS: u32 = 17;
const HASHES: usize = 1 << HASH_BITS;
/// When `base` gets larger than this, all positions in the tables are made smaller.
const MAX_BASE: u32 = 1 << 24;
/// The most tokens in a block.
const MAX_TOKENS: usize = 1 << 14;
/// With fewer bytes ahead than this, no match is searched for until the stream or block ends.
const LOOKAHEAD: usize = MIN_MATCH + MAX_MATCH;
/// A match of `MIN_MATCH` bytes is not worth a larger offset than this.
const MAX_SHORT_OFFSET: usize = 4096;

/// How hard to search.
struct Effort {
    strategy: Strategy,
    /// A match of this length is good enough to end the search.
    nice: usize,
    /// The most earlier positions to look at.
    chain: usize,
}

#[derive(Clone, Copy)]
enum Strategy {
    /// Takes each match at once. After a match longer than `hashed`, the positions within are not kept.
    Greedy { hashed: usize },
    /// Takes a match only if none that starts a byte later is longer. After a match of `lazy` bytes, that search is left out.
    Lazy { lazy: usize },
}

impl Effort {
    fn of(level: i32) -> Option<Self> {
        let greedy = |hashed, nice, chain| Self { strategy: Strategy::Greedy { hashed }, nice, chain };
        let lazy = |lazy, nice, chain| Self { strategy: Strategy::Lazy { lazy }, nice, chain };
        // Go's "good" has no effect, because its search always starts from the shortest match.
        Some(match level {
            2 => greedy(5, 16, 8),
            3 => greedy(6, 32, 32),
            4 => lazy(4, 16, 16),
            5 => lazy(16, 32, 32),
            6 => lazy(16, 128, 128),
            7 => lazy(32, 128, 256),
            8 => lazy(128, 258, 1024),
            9 => lazy(258, 258, 4096),
            _ => return None,
        })
    }
}

/// A match, or with fewer than `MIN_MATCH` bytes none.
#[derive(Clone, Copy)]
struct Match {
    length: usize,
    offset: usize,
}

const NO_MATCH: Match = Match { length: MIN_MATCH - 1, offset: 0 };

pub(super) struct ChainMatcher {
    effort: Effort,
    /// Bytes before `index` are in tokens, up to `end` are those to come.
    window: Box<[u8; 2 * WINDOW]>,
    index: usize,
    end: usize,
    /// Where the bytes of `tokens` start, unless they have left the window.
    block_start: Option<usize>,
    tokens: Vec<Token>,
    /// What was found at the position before `index`, when lazy.
    found: Match,
    /// The byte before `index` is not in the tokens yet.
    byte_pending: bool,
    /// From here on, fewer than `MIN_MATCH` bytes are known.
    unhashable: usize,
    /// By hash, the last position plus `base`.
    heads: Box<[u32; HASHES]>,
    /// By position, the one before with the same hash, plus `base`.
    previous: Box<[u32; WINDOW]>,
    /// Grows when the window moves, so that positions in the tables stay valid. At least 1.
    base: u32,
}

impl ChainMatcher {
    /// Of levels 2 to 9 and -1.
    pub(super) fn new(level: i32) -> Option<Self> {
        Some(Self {
            effort: Effort::of(level)?,
            window: boxed(0),
            index: 0,
            end: 0,
            block_start: Some(0),
            tokens: Vec::with_capacity(MAX_TOKENS),
            found: NO_MATCH,
            byte_pending: false,
            unhashable: 0,
            heads: boxed(0),
            previous: boxed(0),
            base: 1,
        })
    }

    pub(super) fn write(&mut self, mut raw: &[u8], blocks: &mut Blocks, out: &mut Vec<u8>) {
        while !raw.is_empty() {
            self.compress(false, blocks, out);
            raw = self.fill(raw);
        }
    }

    /// Writes all that is left.
    pub(super) fn flush(&mut self, blocks: &mut Blocks, out: &mut Vec<u8>) {
        self.compress(true, blocks, out);
    }

    /// Copies into the window what fits, and gives back the rest.
    fn fill<'a>(&mut self, raw: &'a [u8]) -> &'a [u8] {
        if self.index >= 2 * WINDOW - LOOKAHEAD {
            self.window.copy_within(WINDOW.., 0);
            self.index -= WINDOW;
            self.end -= WINDOW;
            self.block_start = self.block_start.and_then(|start| start.checked_sub(WINDOW));
            self.base += narrow(WINDOW);
            if self.base > MAX_BASE {
                let less = self.base - 1;
                self.base = 1;
                for position in self.previous.iter_mut().chain(self.heads.iter_mut()) {
                    *position = position.saturating_sub(less);
                }
            }
        }
        let free = &mut self.window[self.end..];
        let (now, later) = raw.split_at(free.len().min(raw.len()));
        free[..now.len()].copy_from_slice(now);
        self.end += now.len();
        later
    }

    fn compress(&mut self, flush: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        if self.end - self.index < LOOKAHEAD && !flush {
            return;
        }
        self.unhashable = (self.end + 1).saturating_sub(MIN_MATCH);
        match self.effort.strategy {
            Strategy::Greedy { hashed } => self.compress_greedily(hashed, flush, blocks, out),
            Strategy::Lazy { lazy } => self.compress_lazily(lazy, flush, blocks, out),
        }
        if flush {
            if self.byte_pending {
                self.tokens.push(Token::literal(self.window[self.index - 1]));
                self.byte_pending = false;
            }
            if !self.tokens.is_empty() {
                self.end_block(self.index, blocks, out);
            }
        }
    }

    fn compress_greedily(&mut self, hashed: usize, flush: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        while let Some(ahead) = self.ahead(flush) {
            let head = self.insert(self.index);
            let found = if ahead >= MIN_MATCH { self.find(head, ahead) } else { NO_MATCH };
            let Match { length, offset } = found;
            if length >= MIN_MATCH {
                self.tokens.push(Token::matched(narrow(length), narrow(offset)));
                if length <= hashed {
                    self.insert_all(self.index + 1, self.index + length);
                }
                self.index += length;
            } else {
                self.tokens.push(Token::literal(self.window[self.index]));
                self.index += 1;
            }
            if self.tokens.len() == MAX_TOKENS {
                self.end_block(self.index, blocks, out);
            }
        }
    }

    fn compress_lazily(&mut self, lazy: usize, flush: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        while let Some(ahead) = self.ahead(flush) {
            let head = self.insert(self.index);
            let before = self.found;
            self.found =
                if ahead > before.length && before.length < lazy { self.find(head, ahead) } else { NO_MATCH };
            if before.length >= MIN_MATCH && self.found.length <= before.length {
                self.tokens.push(Token::matched(narrow(before.length), narrow(before.offset)));
                // The match starts a byte before the index.
                let after = self.index + before.length - 1;
                self.insert_all(self.index + 1, after);
                self.index = after;
                self.byte_pending = false;
                self.found = NO_MATCH;
                if self.tokens.len() == MAX_TOKENS {
                    self.end_block(self.index, blocks, out);
                }
            } else {
                if self.byte_pending {
                    self.tokens.push(Token::literal(self.window[self.index - 1]));
                    if self.tokens.len() == MAX_TOKENS {
                        self.end_block(self.index, blocks, out);
                    }
                }
                self.index += 1;
                self.byte_pending = true;
            }
        }
    }

    /// How many bytes are ahead, when there are enough to go on.
    fn ahead(&self, flush: bool) -> Option<usize> {
        let ahead = self.end - self.index;
        (ahead >= LOOKAHEAD || flush && ahead > 0).then_some(ahead)
    }

    /// Writes the tokens, which stand for the bytes before `end`.
    fn end_block(&mut self, end: usize, blocks: &mut Blocks, out: &mut Vec<u8>) {
        let raw = self.block_start.and_then(|start| self.window.get(start..end));
        blocks.smallest(&self.tokens, raw, out);
        self.block_start = Some(end);
        self.tokens.clear();
    }

    /// Puts a position into the tables, and gives the last one with the same hash, plus `base`. Zero, which is below
    /// all valid ones, where there are too few bytes for a hash.
    #[inline]
    fn insert(&mut self, position: usize) -> u32 {
        if position >= self.unhashable {
            return 0;
        }
        let head = &mut self.heads[hash(&self.window, position)];
        let before = *head;
        self.previous[position & WINDOW_MASK] = before;
        *head = narrow(position) + self.base;
        before
    }

    fn insert_all(&mut self, from: usize, to: usize) {
        for position in from..to.min(self.unhashable) {
            self.insert(position);
        }
    }

    /// The first one of the longest matches with `index`, from the position `head` (plus `base`) backwards. At least
    /// `MIN_MATCH` bytes are ahead.
    #[inline]
    fn find(&self, head: u32, ahead: usize) -> Match {
        let index = self.index;
        let most = ahead.min(MAX_MATCH);
        let nice = self.effort.nice.min(most);
        let window = &self.window[..index + most];
        let here = &window[index..];
        let oldest = self.base + narrow(index.saturating_sub(WINDOW));
        let mut best = NO_MATCH;
        // A longer match has these four bytes at the end of the best one and after it.
        let mut last = four_bytes(here, best.length);
        let mut candidate = head;
        for _ in 0..self.effort.chain {
            if candidate < oldest {
                break;
            }
            let position = (candidate - self.base) as usize;
            if four_bytes(window, position + best.length) == last {
                let length = equal_bytes(here, &window[position..]);
                let offset = index - position;
                if length > best.length && (length > MIN_MATCH || offset <= MAX_SHORT_OFFSET) {
                    best = Match { length, offset };
                    if length >= nice {
                        break;
                    }
                    last = four_bytes(here, length);
                }
            }
            if candidate == oldest {
                // The entry of the oldest position is the one of `index` already.
                break;
            }
            candidate = self.previous[position & WINDOW_MASK];
        }
        best
    }
}

/// Those up to `last`.
#[inline]
fn four_bytes(bytes: &[u8], last: usize) -> [u8; 4] {
    let from = &bytes[last + 1 - 4..=last];
    [from[0], from[1], from[2], from[3]]
}

#[inline]
fn hash(window: &[u8; 2 * WINDOW], position: usize) -> usize {
    (u32::from_be_bytes(four_bytes(window, position + 3)).wrapping_mul(0x1e35_a7bd) >> (32 - HASH_BITS))
        as usize
}
