//! Bits into bytes (a part of `huffman_bit_writer.go`).

use super::codes::Code;

/// Bytes that are collected before they go to the output.
const CHUNK: usize = 256;

/// Bits that do not fill a byte yet.
#[derive(Clone, Copy, Default)]
pub(super) struct Bits {
    /// The first bit is the lowest.
    pending: u64,
    /// Below 8 between calls.
    count: u32,
}

impl Bits {
    /// At most 32 bits.
    #[inline]
    pub(super) fn put(&mut self, value: u64, bits: u32, out: &mut Vec<u8>) {
        self.pending |= value << self.count;
        self.count += bits;
        let whole = self.count / 8;
        out.extend_from_slice(self.pending.to_le_bytes().get(..whole as usize).unwrap_or_default());
        self.pending >>= whole * 8;
        self.count %= 8;
    }

    #[inline]
    pub(super) fn put_code(&mut self, code: Code, out: &mut Vec<u8>) {
        self.put(u64::from(code.bits), u32::from(code.length), out);
    }

    /// Fills the last byte with zeros.
    pub(super) fn align(&mut self, out: &mut Vec<u8>) {
        if self.count > 0 {
            out.push(self.pending.to_le_bytes()[0]);
        }
        *self = Self::default();
    }
}

/// Writes many bits quickly. [`ManyBits::end`] must follow.
pub(super) struct ManyBits<'a> {
    bits: Bits,
    bytes: [u8; CHUNK + 8],
    /// Below `CHUNK` between calls.
    filled: usize,
    out: &'a mut Vec<u8>,
}

impl<'a> ManyBits<'a> {
    #[inline]
    pub(super) fn new(bits: Bits, out: &'a mut Vec<u8>) -> Self {
        Self { bits, bytes: [0; CHUNK + 8], filled: 0, out }
    }

    /// Adds bits, of which at most 56 may be added between two calls of `settle`.
    #[inline]
    pub(super) fn add(&mut self, value: u64, bits: u32) {
        self.bits.pending |= value << (self.bits.count & 63);
        self.bits.count += bits;
    }

    #[inline]
    pub(super) fn add_code(&mut self, code: Code) {
        self.add(u64::from(code.bits), u32::from(code.length));
    }

    #[inline]
    pub(super) fn settle(&mut self) {
        let at = self.filled % CHUNK;
        self.bytes[at..at + 8].copy_from_slice(&self.bits.pending.to_le_bytes());
        let whole = self.bits.count / 8;
        self.bits.pending >>= (whole * 8) & 63;
        self.bits.count %= 8;
        self.filled = at + whole as usize;
        if self.filled >= CHUNK {
            self.out.extend_from_slice(self.bytes.get(..self.filled).unwrap_or_default());
            self.filled = 0;
        }
    }

    #[inline]
    pub(super) fn end(mut self) -> Bits {
        self.settle();
        self.out.extend_from_slice(self.bytes.get(..self.filled).unwrap_or_default());
        self.bits
    }
}
