//! Levels 7 to 9: all earlier positions with the same hash, and matches that wait for a better one (deflate.go).

use super::blocks::Blocks;
use super::buffer::{BUFFER, at, eight, four, narrow};
use super::tables::boxed;
use super::tokens::{LengthPart, MAX_MATCH, OFFSET_EXTRA_BITS, Tokens, offset_code};
use super::variant::Variant;
use super::weights::Weights;

/// The smallest match that is searched for.
const MIN_MATCH: i32 = 4;
/// The largest offset of a match.
const WINDOW: i32 = 1 << 15;
/// So many bytes must be ahead, unless no more come.
const LOOKAHEAD: i32 = MIN_MATCH + MAX_MATCH;
/// The most tokens in a block.
const MAX_TOKENS: usize = 1 << 15;
const HASH_BITS: u32 = 17;
/// When the base gets larger, all positions in the tables are made smaller.
pub(super) const MAX_BASE: i32 = 1 << 28;
/// A better match may start so many bytes later.
const SKIPPED: i32 = 2;

/// How hard to search.
struct Effort {
    /// No better match is searched for after one of this length.
    lazy: i32,
    /// The search ends with a match of this length.
    nice: i32,
    /// How many positions are looked at.
    chain: i32,
}

const EFFORTS: [Effort; 3] = [
    Effort { lazy: 12, nice: 16, chain: 24 },
    Effort { lazy: 30, nice: 40, chain: 64 },
    Effort { lazy: 258, nice: 258, chain: 1024 },
];

#[derive(Clone, Copy)]
struct Match {
    length: i32,
    offset: i32,
}

const NO_MATCH: Match = Match { length: MIN_MATCH - 1, offset: 0 };

pub(super) struct ChainMatcher {
    variant: Variant,
    effort: &'static Effort,
    weights: Option<Weights>,
    /// Positions are masked, so that reading never fails. Eight bytes can be read from each.
    buffer: Box<[u8; BUFFER + 8]>,
    /// How many bytes are in the buffer.
    end: i32,
    /// The position that is looked at.
    index: i32,
    /// Where the tokens start; none when that has left the buffer.
    block_start: Option<i32>,
    /// The last position with each hash, plus `base`.
    heads: Box<[i32; 1 << HASH_BITS]>,
    /// The one before each position.
    previous: Box<[i32; WINDOW as usize]>,
    base: i32,
    max_base: i32,
    /// The last position with the hash that was looked at last, plus `base`.
    head: i32,
    found: Match,
    /// Later positions have too few bytes for a hash.
    unhashable: i32,
    /// The byte before `index` has no token yet.
    byte_pending: bool,
    /// How many literals there were in a row; starts again when it is too large.
    literals: u16,
    tokens: Tokens,
}

impl ChainMatcher {
    /// Levels 7 to 9.
    pub(super) fn new(variant: Variant, level: i8, max_base: i32) -> Option<Self> {
        let effort = EFFORTS.get(usize::try_from(level.checked_sub(7)?).ok()?)?;
        let weights = (level == 9).then(|| Weights::new(BUFFER + 1));
        Some(Self {
            variant,
            effort,
            weights,
            buffer: boxed(0),
            end: 0,
            index: 0,
            block_start: Some(0),
            heads: boxed(0),
            previous: boxed(0),
            base: 1,
            max_base,
            head: -1,
            found: NO_MATCH,
            unhashable: 0,
            byte_pending: false,
            literals: 0,
            tokens: Tokens::new(),
        })
    }

    /// Puts what came before the stream into the window. Must be called first.
    pub(super) fn set_dictionary(&mut self, dictionary: &[u8]) {
        let kept = dictionary.len().min(WINDOW as usize);
        let dictionary = &dictionary[dictionary.len() - kept..];
        self.fill(dictionary);
        for position in 0..=self.end - MIN_MATCH {
            self.insert(position);
        }
        self.index = self.end;
        if self.variant.leaves_out_dictionaries() {
            self.block_start = Some(self.end);
        }
    }

    pub(super) fn write(&mut self, mut raw: &[u8], blocks: &mut Blocks, out: &mut Vec<u8>) {
        while !raw.is_empty() {
            if self.end == 2 * WINDOW {
                self.search(false, blocks, out);
            }
            if self.index >= 2 * WINDOW - LOOKAHEAD {
                self.move_window();
            }
            raw = self.fill(raw);
        }
    }

    pub(super) fn flush(&mut self, blocks: &mut Blocks, out: &mut Vec<u8>) {
        self.search(true, blocks, out);
    }

    /// Takes what fits, and gives back the rest.
    fn fill<'a>(&mut self, raw: &'a [u8]) -> &'a [u8] {
        let end = usize::try_from(self.end).unwrap_or(BUFFER);
        let room = self.buffer.get_mut(end..BUFFER).unwrap_or_default();
        let (now, later) = raw.split_at(raw.len().min(room.len()));
        room[..now.len()].copy_from_slice(now);
        self.end += narrow(now.len());
        later
    }

    fn move_window(&mut self) {
        self.buffer.copy_within(WINDOW as usize..BUFFER, 0);
        self.index -= WINDOW;
        self.end -= WINDOW;
        self.block_start = self.block_start.filter(|start| *start >= WINDOW).map(|start| start - WINDOW);
        self.base += WINDOW;
        if self.base > self.max_base {
            let less = self.base - 1;
            self.base = 1;
            self.head -= less;
            for position in self.heads.iter_mut().chain(self.previous.iter_mut()) {
                *position = (*position - less).max(0);
            }
        }
    }

    fn search(&mut self, sync: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        if self.end - self.index < LOOKAHEAD && !sync {
            return;
        }
        self.weigh();
        self.unhashable = self.end - (MIN_MATCH - 1);
        loop {
            let ahead = self.end - self.index;
            if ahead < LOOKAHEAD {
                if !sync {
                    return;
                }
                if ahead == 0 {
                    if self.byte_pending {
                        self.tokens.add_literal(self.byte(self.index - 1));
                        self.byte_pending = false;
                    }
                    if self.tokens.count() > 0 {
                        self.end_block(sync, blocks, out);
                    }
                    return;
                }
            }
            self.insert_index();
            let before = std::mem::replace(&mut self.found, NO_MATCH);
            let first = self.head - self.base;
            if first >= self.oldest() && ahead > before.length && before.length < self.effort.lazy {
                self.found = self.find(first, ahead).unwrap_or(NO_MATCH);
            }
            if before.length >= MIN_MATCH && self.found.length <= before.length {
                let Match { length, offset } = if self.variant.looks_from_the_start() {
                    self.better_from_the_start(before, ahead)
                } else {
                    self.better_at_the_end(before, ahead, sync, blocks, out)
                };
                self.tokens.add_match(length, (offset - 1).cast_unsigned());
                // The match starts a byte before the index.
                let after = self.index + length - 1;
                for position in (self.index + 1).min(self.unhashable)..after.min(self.unhashable) {
                    self.insert(position);
                }
                self.index = after;
                self.byte_pending = false;
                self.found = NO_MATCH;
                self.end_full_block(sync, blocks, out);
                self.literals = 0;
            } else {
                if self.found.length >= MIN_MATCH {
                    self.literals = 0;
                }
                if self.byte_pending {
                    self.literals = self.literals.wrapping_add(1);
                    self.tokens.add_literal(self.byte(self.index - 1));
                    self.end_full_block(sync, blocks, out);
                    self.index += 1;
                    self.skip(sync, blocks, out);
                } else {
                    self.index += 1;
                    self.byte_pending = true;
                }
            }
        }
    }

    /// After many literals in a row, adds more of them without a search.
    fn skip(&mut self, sync: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        let many = i32::from(self.literals) - self.effort.chain;
        if many <= 0 {
            return;
        }
        for _ in 0..=many >> 6 {
            if self.index >= self.end - 1 {
                break;
            }
            self.tokens.add_literal(self.byte(self.index - 1));
            self.end_full_block(sync, blocks, out);
            self.insert_index();
            self.index += 1;
        }
        self.tokens.add_literal(self.byte(self.index - 1));
        self.byte_pending = false;
        self.end_full_block(sync, blocks, out);
    }

    /// Up to 1.15.14: looks for a longer match by the last four bytes of the match and the two after it.
    fn better_from_the_start(&self, before: Match, ahead: i32) -> Match {
        let start = self.index - 1;
        if start + before.length + SKIPPED >= self.unhashable {
            return before;
        }
        let head = self.heads[self.hash(start + before.length - SKIPPED)];
        let from = head - self.base - before.length + SKIPPED;
        if from > self.oldest() {
            let length = self.equal(start, from, ahead.min(MAX_MATCH));
            if length > before.length {
                return Match { length, offset: start - from };
            }
        }
        before
    }

    /// From 1.15.15 on: looks for a longer match by the four bytes after the match. Up to two bytes at its start may be
    /// different, which become literals.
    fn better_at_the_end(
        &mut self,
        before: Match,
        ahead: i32,
        sync: bool,
        blocks: &mut Blocks,
        out: &mut Vec<u8>,
    ) -> Match {
        let start = self.index - 1;
        if before.length >= MAX_MATCH - SKIPPED || start + before.length >= self.unhashable {
            return before;
        }
        let head = self.heads[self.hash(start + before.length)];
        let from = head - self.base - before.length;
        if start - from == before.offset || from <= self.oldest() + SKIPPED {
            return before;
        }
        let most = ahead.min(MAX_MATCH + SKIPPED) - SKIPPED;
        let mut length = self.equal(start + SKIPPED, from + SKIPPED, most);
        if length <= before.length {
            return before;
        }
        for skipped in (0..SKIPPED).rev() {
            if length >= MAX_MATCH || self.byte(start + skipped) != self.byte(from + skipped) {
                for owed in 0..=skipped {
                    self.tokens.add_literal(self.byte(start + owed));
                    self.end_full_block(sync, blocks, out);
                    self.index += 1;
                    self.insert_index();
                }
                break;
            }
            length += 1;
        }
        Match { length, offset: start - from }
    }

    fn end_full_block(&mut self, sync: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        if self.tokens.count() == MAX_TOKENS {
            self.end_block(sync, blocks, out);
        }
    }

    /// Writes the tokens, which stand for the bytes before the index.
    fn end_block(&mut self, sync: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        let raw = self.block_start.filter(|start| *start <= self.index);
        let end = usize::try_from(self.index).unwrap_or(BUFFER);
        let raw = raw.and_then(|start| self.buffer.get(at(start)..end));
        blocks.dynamic(&mut self.tokens, raw, sync, out);
        self.block_start = Some(self.index);
        self.tokens.clear();
    }

    /// Level 9: works out how many bits each byte ahead would take as a literal.
    fn weigh(&mut self) {
        let Some(weights) = &mut self.weights else { return };
        let ahead = self.buffer.get(at(self.index)..usize::try_from(self.end).unwrap_or(BUFFER));
        weights.weigh(self.variant, at(self.index), ahead.unwrap_or_default());
    }

    /// The first position that matches with the index may have.
    fn oldest(&self) -> i32 {
        (self.index - WINDOW).max(0)
    }

    /// Puts the index into the tables.
    #[inline]
    fn insert_index(&mut self) {
        if self.index < self.unhashable {
            self.head = self.insert(self.index);
        }
    }

    /// Puts a position into the tables, and gives the last one with the same hash, plus `base`.
    #[inline]
    fn insert(&mut self, position: i32) -> i32 {
        let head = &mut self.heads[hash(four(&self.buffer, position))];
        let before = std::mem::replace(head, position + self.base);
        self.previous[at(position) % WINDOW as usize] = before;
        before
    }

    #[inline]
    fn hash(&self, position: i32) -> usize {
        hash(four(&self.buffer, position))
    }

    #[inline]
    fn byte(&self, position: i32) -> u8 {
        self.buffer[at(position)]
    }

    /// How many bytes from `a` on are equal to those from `b` on, at most `most`.
    #[inline]
    fn equal(&self, a: i32, b: i32, most: i32) -> i32 {
        let mut equal = 0;
        while equal < most {
            let different = eight(&self.buffer, a + equal) ^ eight(&self.buffer, b + equal);
            if different != 0 {
                return most.min(equal + (different.trailing_zeros() >> 3).cast_signed());
            }
            equal += 8;
        }
        most
    }

    /// The best match with the index, from the position `candidate` backwards.
    #[inline]
    fn find(&self, mut candidate: i32, ahead: i32) -> Option<Match> {
        let index = self.index;
        let most = ahead.min(MAX_MATCH);
        let nice = self.effort.nice.min(most);
        let oldest = self.oldest();
        let mut best = NO_MATCH;
        let (mut best_gain, cost) = self.variant.least_gain_and_cost();
        let weights = self.weights.as_ref().map(|weights| {
            let weights = weights.from(at(index));
            (weights, weights.first().copied().unwrap_or_default())
        });
        // A longer match has this byte after the best one.
        let mut last = self.byte(index + best.length);
        for _ in 0..self.effort.chain {
            if self.byte(candidate + best.length) == last {
                let length = self.equal(candidate, index, most);
                if length > best.length {
                    let offset = index - candidate;
                    let better = weights.is_none_or(|(weights, before)| {
                        let literals = weights.get(at(length)).copied().unwrap_or_default() - before;
                        // The original does not subtract 1 here.
                        let code = offset_code(offset.cast_unsigned());
                        let extra =
                            LengthPart::extra_bits(length) + i32::from(OFFSET_EXTRA_BITS[code as usize & 31]);
                        let gain = literals - extra - cost;
                        let better = gain > best_gain;
                        if better {
                            best_gain = gain;
                        }
                        better
                    });
                    if better {
                        best = Match { length, offset };
                        if length >= nice {
                            break;
                        }
                        last = self.byte(index + length);
                    }
                }
            }
            if candidate <= oldest {
                // The entry of the oldest position is the one of the index already.
                break;
            }
            candidate = self.previous[at(candidate) % WINDOW as usize] - self.base;
            if candidate < oldest {
                break;
            }
        }
        (best.length >= MIN_MATCH).then_some(best)
    }
}

#[inline]
fn hash(four: u32) -> usize {
    (four.wrapping_mul(2_654_435_761) >> (32 - HASH_BITS)) as usize
}
