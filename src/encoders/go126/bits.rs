//! Bits into bytes (a part of Go's `huffman_bit_writer.go`).

use super::codes::Code;

/// Bits that do not fill four bytes yet.
#[derive(Default)]
pub(super) struct Bits {
    /// The first bit is the lowest.
    pending: u64,
    /// Below 32 between calls.
    count: u32,
}

impl Bits {
    /// At most 32 bits.
    #[inline]
    pub(super) fn put(&mut self, value: u64, bits: u32, out: &mut Vec<u8>) {
        self.pending |= value << self.count;
        self.count += bits;
        if self.count >= 32 {
            let bytes: [u8; 8] = self.pending.to_le_bytes();
            out.extend_from_slice(&bytes[..4]);
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    #[inline]
    pub(super) fn put_code(&mut self, code: Code, out: &mut Vec<u8>) {
        self.put(u64::from(code.bits), u32::from(code.length), out);
    }

    /// A code and the extra bits after it.
    #[inline]
    pub(super) fn put_extended(&mut self, code: Code, extra: u32, extra_bits: u32, out: &mut Vec<u8>) {
        let value = u64::from(code.bits) | u64::from(extra) << code.length;
        self.put(value, u32::from(code.length) + extra_bits, out);
    }

    /// Fills the last byte with zeros.
    pub(super) fn align(&mut self, out: &mut Vec<u8>) {
        let bytes = self.count.div_ceil(8) as usize;
        out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
        *self = Self::default();
    }
}
