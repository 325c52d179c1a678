//! Level 5: one position for each hash of four bytes, and two for each of seven (level5.go).

use super::history::{History, MAX_OFFSET, Pair, Span, first_four, hash4, hash7};
use super::tables::boxed;
use super::tokens::{MAX_MATCH, Tokens};

const BITS: u32 = 15;
/// The first comparison stops at this length, so that long ones are made only once.
const LIMITED: i32 = MAX_MATCH - 4;

pub(super) struct Level5 {
    history: History,
    short: Box<[i32; 1 << BITS]>,
    long: Box<[Pair; 1 << BITS]>,
}

/// A match that may be longer than has been compared; length 0 is one that has not been compared beyond four bytes.
#[derive(Clone, Copy)]
struct Found {
    position: i32,
    from: i32,
    length: i32,
}

impl Level5 {
    pub(super) fn new(max_base: i32) -> Self {
        Self { history: History::new(max_base), short: boxed(0), long: boxed(Pair::default()) }
    }

    pub(super) fn reset(&mut self) {
        self.history.reset();
    }

    /// Adds the tokens of the next chunk: none where it has no match, or is too small.
    pub(super) fn add(&mut self, chunk: &[u8], tokens: &mut Tokens) {
        if let Some(shift) = self.history.shift() {
            shift.positions(&mut *self.short);
            self.long.iter_mut().for_each(|pair| pair.shift(shift));
        }
        if let Some(span) = self.history.add(chunk) {
            let done = self.search(span, tokens);
            self.history.add_rest(done, span, tokens);
        }
    }

    /// Adds tokens up to the last match, and gives the position after it.
    fn search(&mut self, span: Span, tokens: &mut Tokens) -> i32 {
        let base = self.history.base;
        let mut done = span.start;
        let mut position = span.start;
        let mut bytes = self.history.eight(position);
        loop {
            let Some((found, next)) = self.find(position, bytes, done, span) else { return done };
            let found = self.extend(found, done, span);
            self.history.add_literals(done, found.position, tokens);
            tokens.add_long_match(found.length, (found.position - found.from - 1).cast_unsigned());
            position = found.position + found.length;
            done = position;
            if next >= position {
                position = next + 1;
            }
            if position >= span.limit {
                return done;
            }
            self.insert_between(position - found.length + 1, position - 1);
            let before = self.history.eight(position - 1);
            self.short[hash4::<BITS>(before)] = position - 1 + base;
            self.long[hash7::<BITS>(before)].push(position - 1 + base);
            bytes = before >> 8;
        }
    }

    /// The next match, and the position after the one that was looked at last.
    #[inline]
    fn find(&mut self, mut position: i32, mut bytes: u64, done: i32, span: Span) -> Option<(Found, i32)> {
        let Self { history, short, long } = self;
        let base = history.base;
        let mut next = position;
        loop {
            let short_entry = &mut short[hash4::<BITS>(bytes)];
            let long_entry = &mut long[hash7::<BITS>(bytes)];
            position = next;
            // The longer no match is found, the fewer positions are looked at.
            next = position + 1 + ((position - done) >> 6);
            if next > span.limit {
                return None;
            }
            let short_from = *short_entry - base;
            let long_froms = *long_entry;
            let ahead = history.eight(next);
            *short_entry = position + base;
            long_entry.push(position + base);
            let short_entry = &mut short[hash4::<BITS>(ahead)];
            let long_entry = &mut long[hash7::<BITS>(ahead)];

            let is_match =
                |from: i32| position - from < MAX_OFFSET && first_four(bytes) == history.four(from);
            let is_match_ahead =
                |from: i32| next - from < MAX_OFFSET && first_four(ahead) == history.four(from);
            let length = |position: i32, from: i32| {
                let most = LIMITED.min(span.end - position - 4);
                history.equal(position + 4, from + 4, most) + 4
            };

            let (from, before) = (long_froms.last - base, long_froms.before - base);
            if position - from < MAX_OFFSET {
                if first_four(bytes) == history.four(from) {
                    *short_entry = next + base;
                    long_entry.push(next + base);
                    let mut found = Found { position, from, length: 0 };
                    if is_match(before) {
                        found.length = length(position, from);
                        let other = length(position, before);
                        if other > found.length {
                            found = Found { position, from: before, length: other };
                        }
                    }
                    return Some((found, next));
                }
                if is_match(before) {
                    *short_entry = next + base;
                    long_entry.push(next + base);
                    return Some((Found { position, from: before, length: 0 }, next));
                }
            }

            if is_match(short_from) {
                let found = Found { position, from: short_from, length: length(position, short_from) };
                let (from, before) = (long_entry.last - base, long_entry.before - base);
                *short_entry = next + base;
                long_entry.push(next + base);
                // A longer one may start at the next position.
                if next - from < MAX_OFFSET {
                    for from in [from, before] {
                        if is_match_ahead(from) {
                            let other = length(next, from);
                            if other > found.length {
                                return Some((Found { position: next, from, length: other }, next));
                            }
                        }
                    }
                }
                return Some((found, next));
            }
            bytes = ahead;
        }
    }

    /// Makes the match as long as possible, or takes one that fits its end better.
    #[inline]
    fn extend(&self, mut found: Found, done: i32, span: Span) -> Found {
        /// So many bytes at the start may be different.
        const SKIPPED: i32 = 2;
        let history = &self.history;
        let Found { position, from, length } = found;
        if length == 0 {
            found.length = history.equal(position + 4, from + 4, span.end - position - 4) + 4;
        } else if length == MAX_MATCH {
            found.length += history.equal(position + length, from + length, span.end - position - length);
        }
        let end = position + found.length;
        if found.length < 30 && end < span.limit {
            let entry = self.long[hash7::<BITS>(history.eight(end))].last;
            let (from, position) = (entry - history.base - found.length + SKIPPED, position + SKIPPED);
            if from >= 0 && (1..MAX_OFFSET).contains(&(position - from)) {
                let length = history.equal(position, from, span.end - position);
                if length > found.length {
                    found = Found { position, from, length };
                }
            }
        }
        let more = history.equal_before(found.position, found.from, done);
        Found { position: found.position - more, from: found.from - more, length: found.length + more }
    }

    /// Puts some positions inside of a match into the tables.
    #[inline]
    fn insert_between(&mut self, mut position: i32, end: i32) {
        let Self { history, short, long } = self;
        let base = history.base;
        if position >= end {
            return;
        }
        let bytes = history.eight(position);
        short[hash4::<BITS>(bytes)] = position + base;
        long[hash7::<BITS>(bytes)].push(position + base);
        long[hash7::<BITS>(bytes >> 8)].push(position + 1 + base);
        short[hash4::<BITS>(bytes >> 16)] = position + 2 + base;
        position += 4;
        while position < end {
            let bytes = history.eight(position);
            long[hash7::<BITS>(bytes)].push(position + base);
            short[hash4::<BITS>(bytes >> 8)] = position + 1 + base;
            position += 3;
        }
    }
}
