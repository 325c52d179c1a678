//! Level 2: like level 1, with a larger table and more positions in it (level2.go).

use super::history::{History, MAX_OFFSET, Span, first_four, hash5};
use super::tables::boxed;
use super::tokens::Tokens;

const BITS: u32 = 17;

pub(super) struct Level2 {
    history: History,
    table: Box<[i32; 1 << BITS]>,
}

impl Level2 {
    pub(super) fn new(max_base: i32) -> Self {
        Self { history: History::new(max_base), table: boxed(0) }
    }

    pub(super) fn reset(&mut self) {
        self.history.reset();
    }

    /// Adds the tokens of the next chunk: none where it has no match, or is too small.
    pub(super) fn add(&mut self, chunk: &[u8], tokens: &mut Tokens) {
        if let Some(shift) = self.history.shift() {
            shift.positions(&mut *self.table);
        }
        if let Some(span) = self.history.add(chunk) {
            let done = self.search(span, tokens);
            self.history.add_rest(done, span, tokens);
        }
    }

    /// Adds tokens up to the last match, and gives the position after it.
    fn search(&mut self, span: Span, tokens: &mut Tokens) -> i32 {
        let Self { history, table } = self;
        let base = history.base;
        let mut done = span.start;
        let mut position = span.start;
        let mut bytes = history.eight(position);
        loop {
            let mut next = position;
            let mut from;
            loop {
                let entry = &mut table[hash5::<BITS>(bytes)];
                position = next;
                // The longer no match is found, the fewer positions are looked at.
                next = position + 2 + ((position - done) >> 5);
                if next > span.limit {
                    return done;
                }
                let ahead = history.eight(next);
                from = std::mem::replace(entry, position + base) - base;
                let entry = &mut table[hash5::<BITS>(ahead)];
                if position - from < MAX_OFFSET && first_four(bytes) == history.four(from) {
                    *entry = next + base;
                    break;
                }
                bytes = ahead;
                position = next;
                next += 1;
                from = std::mem::replace(entry, position + base) - base;
                if position - from < MAX_OFFSET && first_four(bytes) == history.four(from) {
                    break;
                }
                bytes = ahead >> 8;
            }

            // Matches that follow each other directly.
            loop {
                let mut length = history.equal(position + 4, from + 4, span.end - position - 4) + 4;
                let more = history.equal_before(position, from, done);
                (position, from, length) = (position - more, from - more, length + more);
                history.add_literals(done, position, tokens);
                tokens.add_long_match(length, (position - from - 1).cast_unsigned());
                position += length;
                done = position;
                if next >= position {
                    position = next + 1;
                }
                if position >= span.limit {
                    if position + length + 8 < span.end {
                        table[hash5::<BITS>(history.eight(position))] = position + base;
                    }
                    return done;
                }
                let mut inside = position - length + 2;
                while inside < position - 5 {
                    let bytes = history.eight(inside);
                    table[hash5::<BITS>(bytes)] = inside + base;
                    table[hash5::<BITS>(bytes >> 16)] = inside + 2 + base;
                    table[hash5::<BITS>(bytes >> 32)] = inside + 4 + base;
                    inside += 7;
                }
                let bytes_before = history.eight(position - 2);
                table[hash5::<BITS>(bytes_before)] = position - 2 + base;
                table[hash5::<BITS>(bytes_before >> 8)] = position - 1 + base;
                let bytes_here = bytes_before >> 16;
                let entry = &mut table[hash5::<BITS>(bytes_here)];
                from = std::mem::replace(entry, position + base) - base;
                if position - from > MAX_OFFSET || first_four(bytes_here) != history.four(from) {
                    bytes = bytes_here >> 8;
                    position += 1;
                    break;
                }
            }
        }
    }
}
