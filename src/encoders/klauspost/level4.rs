//! Level 4: one position for each hash of four bytes, and one for each of seven (level4.go).

use super::history::{History, MAX_OFFSET, Span, first_four, hash4, hash7};
use super::tables::boxed;
use super::tokens::Tokens;
use super::variant::Variant;

const BITS: u32 = 15;

pub(super) struct Level4 {
    variant: Variant,
    history: History,
    short: Box<[i32; 1 << BITS]>,
    long: Box<[i32; 1 << BITS]>,
}

impl Level4 {
    pub(super) fn new(variant: Variant, max_base: i32) -> Self {
        Self { variant, history: History::new(max_base), short: boxed(0), long: boxed(0) }
    }

    pub(super) fn reset(&mut self) {
        self.history.reset();
    }

    /// Adds the tokens of the next chunk: none where it has no match, or is too small.
    pub(super) fn add(&mut self, chunk: &[u8], tokens: &mut Tokens) {
        if let Some(shift) = self.history.shift() {
            shift.positions(&mut *self.short);
            shift.positions(&mut *self.long);
        }
        if let Some(span) = self.history.add(chunk) {
            let done = self.search(span, tokens);
            self.history.add_rest(done, span, tokens);
        }
    }

    /// Adds tokens up to the last match, and gives the position after it.
    fn search(&mut self, span: Span, tokens: &mut Tokens) -> i32 {
        let Self { variant, history, short, long } = self;
        let mistakes_offsets = variant.mistakes_offsets();
        let base = history.base;
        let mut done = span.start;
        let mut position = span.start;
        let mut bytes = history.eight(position);
        loop {
            let mut next = position;
            let mut from;
            loop {
                let short_entry = &mut short[hash4::<BITS>(bytes)];
                let long_entry = &mut long[hash7::<BITS>(bytes)];
                position = next;
                // The longer no match is found, the fewer positions are looked at.
                next = position + 1 + ((position - done) >> 6);
                if next > span.limit {
                    return done;
                }
                let ahead = history.eight(next);
                let short_from = std::mem::replace(short_entry, position + base) - base;
                from = std::mem::replace(long_entry, position + base) - base;
                if position - from < MAX_OFFSET && first_four(bytes) == history.four(from) {
                    break;
                }
                from = short_from;
                if position - from < MAX_OFFSET && first_four(bytes) == history.four(from) {
                    // A longer one may start at the next position.
                    let other = long[hash7::<BITS>(ahead)] - base;
                    if next - other < MAX_OFFSET && first_four(ahead) == history.four(other) {
                        let compared = if mistakes_offsets { next - other } else { other };
                        let length = history.equal(position + 4, from + 4, span.end - position - 4);
                        if history.equal(next + 4, compared + 4, span.end - next - 4) > length {
                            (position, from) = (next, other);
                        }
                    }
                    break;
                }
                bytes = ahead;
            }

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
                if position + 8 < span.end {
                    let bytes = history.eight(position);
                    short[hash4::<BITS>(bytes)] = position + base;
                    long[hash7::<BITS>(bytes)] = position + base;
                }
                return done;
            }
            let mut inside = next;
            while inside < position - 1 {
                let bytes = history.eight(inside);
                long[hash7::<BITS>(bytes)] = inside + base;
                long[hash7::<BITS>(bytes >> 8)] = inside + 1 + base;
                short[hash4::<BITS>(bytes >> 8)] = inside + 1 + base;
                inside += 3;
            }
            let before = history.eight(position - 1);
            short[hash4::<BITS>(before)] = position - 1 + base;
            long[hash7::<BITS>(before)] = position - 1 + base;
            bytes = before >> 8;
        }
    }
}
