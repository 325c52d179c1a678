//! Blocks, each in its smallest form (Go's `huffman_bit_writer.go`).

use super::bits::Bits;
use super::codes::{Codes, FIXED_LITERALS, FIXED_OFFSETS, NO_OFFSETS};
use super::lengths::Lengths;
use super::tables::narrow;
use super::tokens::{
    END_OF_BLOCK, FIRST_LENGTH, Kind, LENGTH_EXTRA_BITS, LITERALS, MAX_STORED, OFFSET_EXTRA_BITS, OFFSETS,
    Token,
};

/// The most bits of a code for literals or offsets.
const MAX_BITS: usize = 15;

pub(super) struct Blocks {
    bits: Bits,
    literal_frequencies: [u32; LITERALS],
    offset_frequencies: [u32; OFFSETS],
    literals: Codes<LITERALS>,
    offsets: Codes<OFFSETS>,
    lengths: Lengths,
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self {
            bits: Bits::default(),
            literal_frequencies: [0; LITERALS],
            offset_frequencies: [0; OFFSETS],
            literals: Codes::empty(),
            offsets: Codes::empty(),
            lengths: Lengths::new(),
        }
    }

    /// A stored block, which is at most `MAX_STORED` bytes long.
    pub(super) fn stored(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        debug_assert!(raw.len() <= MAX_STORED);
        self.stored_header(raw.len(), false, out);
        out.extend_from_slice(raw);
    }

    /// An empty stored block, after which the output ends with a whole byte.
    pub(super) fn marker(&mut self, last: bool, out: &mut Vec<u8>) {
        self.stored_header(0, last, out);
    }

    fn stored_header(&mut self, length: usize, last: bool, out: &mut Vec<u8>) {
        self.bits.put(u64::from(last), 3, out);
        self.bits.align(out);
        let [low, high, ..] = length.to_le_bytes();
        out.extend_from_slice(&[low, high, !low, !high]);
    }

    /// A stored, fixed or dynamic block. Without `raw`, the bytes that the tokens stand for, it is not stored.
    pub(super) fn smallest(&mut self, tokens: &[Token], raw: Option<&[u8]>, out: &mut Vec<u8>) {
        self.count(tokens);
        let storable = raw.filter(|raw| raw.len() <= MAX_STORED);
        // Extra bits are the same in fixed and dynamic blocks, so they matter only beside a stored one.
        let extra = if storable.is_some() { self.extra_bits() } else { 0 };
        let fixed = 3
            + FIXED_LITERALS.size(&self.literal_frequencies)
            + FIXED_OFFSETS.size(&self.offset_frequencies)
            + extra;
        let dynamic = self.dynamic_size() + extra;
        if let Some(raw) = storable
            && stored_size(raw) < fixed.min(dynamic)
        {
            return self.stored(raw, out);
        }
        if dynamic < fixed {
            self.lengths.write(&mut self.bits, out);
            write_tokens(&mut self.bits, tokens, &self.literals, &self.offsets, out);
        } else {
            self.bits.put(2, 3, out);
            write_tokens(&mut self.bits, tokens, &FIXED_LITERALS, &FIXED_OFFSETS, out);
        }
    }

    /// A dynamic block, or a stored one where the dynamic one would save less than a 16th. Extra bits are left out
    /// of that reckoning.
    pub(super) fn dynamic(&mut self, tokens: &[Token], raw: &[u8], out: &mut Vec<u8>) {
        self.count(tokens);
        let size = self.dynamic_size();
        if stored_size(raw) < size + (size >> 4) {
            return self.stored(raw, out);
        }
        self.lengths.write(&mut self.bits, out);
        write_tokens(&mut self.bits, tokens, &self.literals, &self.offsets, out);
    }

    /// A dynamic block without matches, or a stored one where that would save less than a 16th.
    pub(super) fn without_matches(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        self.literal_frequencies = [0; LITERALS];
        for &byte in raw {
            self.literal_frequencies[usize::from(byte)] += 1;
        }
        self.literal_frequencies[END_OF_BLOCK] = 1;
        self.literals.generate(&self.literal_frequencies, MAX_BITS);
        self.lengths.set(&self.literals.0[..=END_OF_BLOCK], &NO_OFFSETS.0[..1]);
        // One bit is for the offset, although none is written.
        let size = self.lengths.size() + self.literals.size(&self.literal_frequencies) + 1;
        if stored_size(raw) < size + (size >> 4) {
            return self.stored(raw, out);
        }
        self.lengths.write(&mut self.bits, out);
        for &byte in raw {
            self.bits.put_code(self.literals.0[usize::from(byte)], out);
        }
        self.bits.put_code(self.literals.0[END_OF_BLOCK], out);
    }

    /// Makes the codes for `tokens` and the end of the block.
    fn count(&mut self, tokens: &[Token]) {
        self.literal_frequencies = [0; LITERALS];
        self.offset_frequencies = [0; OFFSETS];
        for token in tokens {
            match token.kind() {
                Kind::Literal(byte) => self.literal_frequencies[byte] += 1,
                Kind::Match { length, offset } => {
                    self.literal_frequencies[length.symbol()] += 1;
                    self.offset_frequencies[offset.code] += 1;
                }
            }
        }
        self.literal_frequencies[END_OF_BLOCK] += 1;
        if used(&self.offset_frequencies) == 0 {
            // A dynamic block has at least one offset code.
            self.offset_frequencies[0] = 1;
        }
        self.literals.generate(&self.literal_frequencies, MAX_BITS);
        self.offsets.generate(&self.offset_frequencies, MAX_BITS);
        self.lengths.set(
            &self.literals.0[..used(&self.literal_frequencies)],
            &self.offsets.0[..used(&self.offset_frequencies)],
        );
    }

    /// The bits of a dynamic block, without extra bits.
    fn dynamic_size(&self) -> u32 {
        self.lengths.size()
            + self.literals.size(&self.literal_frequencies)
            + self.offsets.size(&self.offset_frequencies)
    }

    fn extra_bits(&self) -> u32 {
        let lengths = self.literal_frequencies[FIRST_LENGTH..].iter().zip(&LENGTH_EXTRA_BITS);
        let offsets = self.offset_frequencies.iter().zip(&OFFSET_EXTRA_BITS);
        lengths.chain(offsets).map(|(count, &bits)| count * u32::from(bits)).sum()
    }
}

/// How many symbols there are up to the last one that occurs.
fn used(frequencies: &[u32]) -> usize {
    frequencies.iter().rposition(|&count| count != 0).map_or(0, |last| last + 1)
}

/// The bits of a stored block.
fn stored_size(raw: &[u8]) -> u32 {
    debug_assert!(raw.len() <= MAX_STORED);
    (narrow(raw.len()) + 5) * 8
}

/// Writes `tokens` and the end of the block.
fn write_tokens(
    bits: &mut Bits,
    tokens: &[Token],
    literals: &Codes<LITERALS>,
    offsets: &Codes<OFFSETS>,
    out: &mut Vec<u8>,
) {
    for token in tokens {
        match token.kind() {
            Kind::Literal(byte) => bits.put_code(literals.0[byte], out),
            Kind::Match { length, offset } => {
                let code = literals.0[length.symbol()];
                bits.put_extended(code, u32::from(length.extra), u32::from(length.extra_bits), out);
                bits.put_extended(offsets.0[offset.code], offset.extra, offset.extra_bits, out);
            }
        }
    }
    bits.put_code(literals.0[END_OF_BLOCK], out);
}
