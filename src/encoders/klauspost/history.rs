//! What levels 1 to 6 know of the past (`fast_encoder.go`).

use super::tables::boxed;
use super::tokens::{MAX_STORED, Tokens};

/// A larger offset is out of reach.
pub(super) const MAX_OFFSET: i32 = 1 << 15;
/// The search stops this many bytes before the end.
const MARGIN: i32 = 11;
/// No matches are searched for in a smaller chunk.
const MIN_CHUNK: usize = 13;
/// How many bytes are kept before older ones make place.
const CAPACITY: usize = 5 * MAX_STORED;
/// When the base gets this large, all positions in the tables are made smaller.
pub(super) const MAX_BASE: i32 = i32::MAX - 6 * 65535;
/// The base at first: nothing in an empty table is in reach of it.
const FIRST_BASE: i32 = 65535;

/// A power of two above `CAPACITY`.
const ROOM: usize = 1 << 19;

/// The bytes that matches can be in, the current chunk last. Tables hold positions in them plus the base, which grows
/// with everything that has left.
///
/// Positions are masked, so that reading never fails. Eight bytes can be read from each.
pub(super) struct History {
    bytes: Box<[u8; ROOM + 8]>,
    length: usize,
    pub(super) base: i32,
    max_base: i32,
}

/// How to make the positions in tables smaller.
#[derive(Clone, Copy)]
pub(super) enum Shift {
    /// None is in reach.
    Clear,
    /// Those up to `oldest` are out of reach.
    By { oldest: i32, base: i32 },
}

/// Where the search in a chunk begins and ends.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) start: i32,
    /// The last position from which to search.
    pub(super) limit: i32,
    pub(super) end: i32,
}

impl History {
    pub(super) fn new(max_base: i32) -> Self {
        Self { bytes: boxed(0), length: 0, base: FIRST_BASE, max_base }
    }

    /// Must be called before `add`. What is to be done with all positions, if anything.
    pub(super) fn shift(&mut self) -> Option<Shift> {
        if self.base < self.max_base {
            return None;
        }
        let base = std::mem::replace(&mut self.base, MAX_OFFSET);
        Some(match self.length {
            0 => Shift::Clear,
            _ => Shift::By { oldest: base + narrow(self.length) - MAX_OFFSET, base },
        })
    }

    /// Adds a chunk of at most `MAX_STORED` bytes. None if it is too small for a search.
    pub(super) fn add(&mut self, chunk: &[u8]) -> Option<Span> {
        const KEPT: usize = MAX_OFFSET as usize;
        if self.length + chunk.len() > CAPACITY {
            let from = self.length - KEPT;
            self.bytes.copy_within(from..self.length, 0);
            self.base += narrow(from);
            self.length = KEPT;
        }
        let start = self.length;
        self.length += chunk.len();
        self.bytes[start..self.length].copy_from_slice(chunk);
        let (start, end) = (narrow(start), narrow(self.length));
        (chunk.len() >= MIN_CHUNK).then_some(Span { start, limit: end - MARGIN, end })
    }

    /// Forgets all that came before.
    pub(super) fn reset(&mut self) {
        // Puts all positions out of reach. A base that is too large needs no more: the tables will be cleared.
        if self.base <= self.max_base {
            self.base += MAX_OFFSET + narrow(self.length);
        }
        self.length = 0;
    }

    #[inline]
    pub(super) fn byte(&self, position: i32) -> u8 {
        self.bytes[masked(position)]
    }

    /// Four bytes.
    #[inline]
    pub(super) fn four(&self, position: i32) -> u32 {
        let at = masked(position);
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.bytes[at..at + 4]);
        u32::from_le_bytes(bytes)
    }

    /// Eight bytes.
    #[inline]
    pub(super) fn eight(&self, position: i32) -> u64 {
        let at = masked(position);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.bytes[at..at + 8]);
        u64::from_le_bytes(bytes)
    }

    /// How many bytes from `a` on are equal to those from `b` on, at most `most`.
    #[inline]
    pub(super) fn equal(&self, a: i32, b: i32, most: i32) -> i32 {
        let mut equal = 0;
        while equal < most {
            let different = self.eight(a + equal) ^ self.eight(b + equal);
            if different != 0 {
                return most.min(equal + (different.trailing_zeros() >> 3).cast_signed());
            }
            equal += 8;
        }
        most
    }

    /// Extends a match at `a` backwards, but not before `start`; how many bytes.
    #[inline]
    pub(super) fn equal_before(&self, a: i32, b: i32, start: i32) -> i32 {
        let most = b.min(a - start);
        let mut equal = 0;
        while equal < most && self.byte(a - equal - 1) == self.byte(b - equal - 1) {
            equal += 1;
        }
        equal
    }

    /// Adds the bytes from `from` to `to` as literals.
    #[inline]
    pub(super) fn add_literals(&self, from: i32, to: i32, tokens: &mut Tokens) {
        tokens.add_literals(self.bytes.get(masked(from)..masked(to)).unwrap_or_default());
    }

    /// Adds the bytes after the last match, unless there was no match at all.
    pub(super) fn add_rest(&self, done: i32, span: Span, tokens: &mut Tokens) {
        if tokens.count() > 0 {
            self.add_literals(done, span.end, tokens);
        }
    }
}

impl Shift {
    pub(super) fn is_out_of_reach(self, position: i32) -> bool {
        match self {
            Self::Clear => true,
            Self::By { oldest, .. } => position <= oldest,
        }
    }

    /// The position of an entry of a table.
    pub(super) fn position(self, position: i32) -> i32 {
        match self {
            Self::By { oldest, base } if position > oldest => position - base + MAX_OFFSET,
            _ => 0,
        }
    }

    pub(super) fn positions(self, table: &mut [i32]) {
        for position in table {
            *position = self.position(*position);
        }
    }
}

/// The last position with a hash, and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pair {
    pub(super) last: i32,
    pub(super) before: i32,
}

impl Pair {
    #[inline]
    pub(super) fn push(&mut self, position: i32) {
        *self = Self { last: position, before: self.last };
    }

    /// Both go when the last one is out of reach (levels 5 and 6).
    pub(super) fn shift(&mut self, shift: Shift) {
        *self = if shift.is_out_of_reach(self.last) { Self::default() } else { self.each(shift) };
    }

    pub(super) fn each(self, shift: Shift) -> Self {
        Self { last: shift.position(self.last), before: shift.position(self.before) }
    }
}

/// A hash of the first four bytes with `BITS` bits.
#[inline]
pub(super) fn hash4<const BITS: u32>(bytes: u64) -> usize {
    let [a, b, c, d, ..] = bytes.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]).wrapping_mul(2_654_435_761) >> (32 - BITS)) as usize
}

/// A hash of the first five bytes with `BITS` bits.
#[inline]
pub(super) fn hash5<const BITS: u32>(bytes: u64) -> usize {
    wide((bytes << 24).wrapping_mul(889_523_592_379) >> (64 - BITS))
}

/// A hash of the first seven bytes with `BITS` bits.
#[inline]
pub(super) fn hash7<const BITS: u32>(bytes: u64) -> usize {
    wide((bytes << 8).wrapping_mul(58_295_818_150_454_627) >> (64 - BITS))
}

#[expect(clippy::cast_possible_truncation, reason = "a hash has at most 17 bits")]
#[inline]
fn wide(hash: u64) -> usize {
    hash as usize
}

/// The first four of eight bytes.
#[inline]
pub(super) fn first_four(bytes: u64) -> u32 {
    let [a, b, c, d, ..] = bytes.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[expect(clippy::cast_sign_loss, reason = "the mask makes an index of anything")]
#[inline]
fn masked(position: i32) -> usize {
    position as u32 as usize & (ROOM - 1)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "at most `CAPACITY`")]
#[inline]
fn narrow(position: usize) -> i32 {
    debug_assert!(position <= CAPACITY);
    position as i32
}
