//! Level 3: two positions for each hash of five bytes (level3.go).

use super::history::{History, MAX_OFFSET, Pair, Span, first_four, hash5};
use super::tables::boxed;
use super::tokens::Tokens;

const BITS: u32 = 16;
/// Matches start at most this far back.
const REACH: i32 = MAX_OFFSET - 4;

pub(super) struct Level3 {
    history: History,
    table: Box<[Pair; 1 << BITS]>,
}

impl Level3 {
    pub(super) fn new(max_base: i32) -> Self {
        Self { history: History::new(max_base), table: boxed(Pair::default()) }
    }

    pub(super) fn reset(&mut self) {
        self.history.reset();
    }

    /// Adds the tokens of the next chunk: none where it has no match, or is too small.
    pub(super) fn add(&mut self, chunk: &[u8], tokens: &mut Tokens) {
        if let Some(shift) = self.history.shift() {
            self.table.iter_mut().for_each(|pair| *pair = pair.each(shift));
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
                next = position + 1 + ((position - done) >> 7);
                if next > span.limit {
                    return done;
                }
                let Pair { last, before } = *entry;
                let ahead = history.eight(next);
                entry.push(position + base);
                let oldest = position - REACH;
                let (last, before) = (last - base, before - base);
                if last >= oldest {
                    if first_four(bytes) == history.four(last) {
                        from = last;
                        if before >= oldest && first_four(bytes) == history.four(before) {
                            let most = span.end - position - 4;
                            let length = history.equal(position + 4, last + 4, most);
                            if history.equal(position + 4, before + 4, most) > length {
                                from = before;
                            }
                        }
                        break;
                    }
                    if before > oldest && first_four(bytes) == history.four(before) {
                        from = before;
                        break;
                    }
                }
                bytes = ahead;
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
                    from += length;
                    if from > 0 && from + 8 < span.end {
                        table[hash5::<BITS>(history.eight(from))].push(from + base);
                    }
                    return done;
                }
                let mut inside = position - length + 2;
                while inside < position - 5 {
                    table[hash5::<BITS>(history.eight(inside))].push(inside + base);
                    inside += 6;
                }
                let bytes_before = history.eight(position - 2);
                table[hash5::<BITS>(bytes_before)].push(position - 2 + base);
                table[hash5::<BITS>(bytes_before >> 8)].push(position - 1 + base);
                bytes = bytes_before >> 16;
                let entry = &mut table[hash5::<BITS>(bytes)];
                let (last, before) = (entry.last - base, entry.before - base);
                entry.push(position + base);
                let oldest = position - REACH;
                if last > oldest {
                    if first_four(bytes) == history.four(last) {
                        from = last;
                        continue;
                    }
                    if before > oldest && first_four(bytes) == history.four(before) {
                        from = before;
                        continue;
                    }
                }
                bytes >>= 8;
                position += 1;
                break;
            }
        }
    }
}
