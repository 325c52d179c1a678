//! Blocks, each in the form that seems smallest, with codes that may serve more than one (`huffman_bit_writer.go`).

use super::bits::{Bits, ManyBits};
use super::codes::{Codes, FIXED_LITERALS, FIXED_OFFSETS, LITERAL_ROOM, NO_OFFSETS, OFFSET_ROOM};
use super::lengths::Lengths;
use super::tokens::{
    END_OF_BLOCK, FIRST_LENGTH, LENGTH_EXTRA_BITS, LITERALS, MAX_STORED, OFFSET_EXTRA_BITS, OFFSETS, Tokens,
};
use super::variant::Variant;

/// The most bits of a code for literals or offsets.
const MAX_BITS: usize = 15;
/// With fewer tokens, a fixed block is considered.
const FEW_TOKENS: usize = 250;
/// What the header of a block without matches is thought to take, in bits.
const USUAL_HEADER: u32 = 70 * 8;
/// Less is never stored without looking at Huffman codes.
const LITTLE: usize = 1024;

/// Writes blocks. A dynamic block stays open, so that the next tokens can go on in it with the same codes.
pub(super) struct Blocks {
    variant: Variant,
    /// New codes are taken to cost as much more as their block shifted by this.
    penalty: u32,
    bits: Bits,
    literal_frequencies: [u16; LITERALS],
    offset_frequencies: [u16; OFFSETS],
    literals: Codes<LITERAL_ROOM>,
    /// Becomes `literals` when it is better.
    other_literals: Codes<LITERAL_ROOM>,
    offsets: Codes<OFFSET_ROOM>,
    lengths: Lengths,
    /// The bits of the header of the open block; none if none is open.
    open: Option<u32>,
    /// The last codes are for literals only.
    literals_only: bool,
}

impl Blocks {
    pub(super) fn new(variant: Variant, penalty: u32) -> Self {
        Self {
            variant,
            penalty,
            bits: Bits::default(),
            literal_frequencies: [0; LITERALS],
            offset_frequencies: [0; OFFSETS],
            literals: Codes::empty(),
            other_literals: Codes::empty(),
            offsets: Codes::empty(),
            lengths: Lengths::new(),
            open: None,
            literals_only: false,
        }
    }

    /// A stored block, which is at most `MAX_STORED` bytes long.
    pub(super) fn stored(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        debug_assert!(raw.len() <= MAX_STORED);
        self.close(out);
        self.bits.put(0, 3, out);
        self.bits.align(out);
        let [low, high, ..] = raw.len().to_le_bytes();
        out.extend_from_slice(&[low, high, !low, !high]);
        out.extend_from_slice(raw);
    }

    /// An empty stored block, after which the output ends with a whole byte.
    pub(super) fn marker(&mut self, out: &mut Vec<u8>) {
        self.stored(&[], out);
    }

    /// An empty fixed block, which is the last one.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        self.bits.put(3, 3 + 7, out);
        self.bits.align(out);
    }

    /// Ends the open block.
    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            self.bits.put_code(self.literals.0[END_OF_BLOCK], out);
        }
    }

    /// Writes tokens with the codes of the open block, with new ones, with fixed ones, or stored. Without `raw`, the
    /// bytes that the tokens stand for, they are not stored. With `sync`, the block is ended.
    pub(super) fn dynamic(&mut self, tokens: &mut Tokens, raw: Option<&[u8]>, sync: bool, out: &mut Vec<u8>) {
        if sync {
            tokens.add_end();
        }
        if self.open.is_some() && self.literals_only {
            self.close(out);
            self.literals_only = false;
        }
        if self.open.is_some() && !self.can_go_on(tokens) {
            self.close(out);
        }
        let (literals, offsets) = self.count(tokens, sync);
        let storable = raw.filter(|raw| raw.len() <= MAX_STORED);
        let extra = if storable.is_some() || self.open.is_some() { self.extra_bits() } else { 0 };

        if let Some(header) = self.open {
            let new = header + tokens.estimated_bits();
            let end = u32::from(self.literals.0[END_OF_BLOCK].length);
            let new = new + end + (new >> self.penalty);
            let same = self.literals.size(&self.literal_frequencies)
                + self.offsets.size(&self.offset_frequencies)
                + extra;
            let size = new.min(same);
            if new < same {
                self.close(out);
            }
            let fixed = tokens.count() < FEW_TOKENS && self.fixed_size(extra) + 7 < size;
            if let Some(raw) = storable
                && stored_size(raw) <= size
            {
                return self.stored(raw, out);
            }
            if fixed {
                return self.fixed(tokens, out);
            }
        }

        if self.open.is_none() {
            self.literal_frequencies[END_OF_BLOCK] = 1;
            self.literals.generate(&self.literal_frequencies, MAX_BITS);
            self.offsets.generate(&self.offset_frequencies, MAX_BITS);
            self.lengths.set(&self.literals.0[..literals], &self.offsets.0[..offsets]);
            let size = self.lengths.size()
                + self.literals.size(&self.literal_frequencies)
                + self.offsets.size(&self.offset_frequencies)
                + extra;
            if tokens.count() < FEW_TOKENS {
                let fixed = self.fixed_size(extra);
                if fixed <= size {
                    return match storable {
                        Some(raw) if stored_size(raw) <= fixed => self.stored(raw, out),
                        _ => self.fixed(tokens, out),
                    };
                }
            }
            if let Some(raw) = storable
                && stored_size(raw) <= size
            {
                return self.stored(raw, out);
            }
            self.lengths.write(&mut self.bits, out);
            self.open = Some(self.lengths.size());
            self.literals_only = false;
        }
        self.bits = write_tokens(self.bits, tokens, &self.literals, &self.offsets, out);
        if sync {
            self.close(out);
        }
    }

    /// Writes bytes with Huffman codes for literals, those of the open block or new ones, or stored where there is too
    /// little to gain. With `sync`, the block is ended.
    pub(super) fn without_matches(&mut self, raw: &[u8], sync: bool, out: &mut Vec<u8>) {
        self.literal_frequencies = [0; LITERALS];
        histogram(raw, &mut self.literal_frequencies);
        if raw.len() > LITTLE && self.is_even(raw.len()) {
            return self.stored(raw, out);
        }
        self.literal_frequencies[END_OF_BLOCK] = 1;
        let frequencies = &self.literal_frequencies[..=END_OF_BLOCK];
        self.other_literals.generate(frequencies, MAX_BITS);
        let new = self.other_literals.size(frequencies) + self.open.unwrap_or(USUAL_HEADER);
        let new = new + (new >> self.penalty);
        if stored_size(raw) <= new {
            return self.stored(raw, out);
        }
        if self.open.is_some() {
            let same = self.literals.size_if_possible(&self.literal_frequencies[..END_OF_BLOCK]);
            if same.is_none_or(|same| new < same) {
                self.close(out);
            }
        }
        if self.open.is_none() {
            std::mem::swap(&mut self.literals, &mut self.other_literals);
            self.lengths.set(&self.literals.0[..=END_OF_BLOCK], &NO_OFFSETS.0[..1]);
            self.lengths.write(&mut self.bits, out);
            self.literals_only = true;
            self.open = Some(self.lengths.size());
        }
        self.bits = write_bytes(self.bits, raw, &self.literals, out);
        if sync {
            self.close(out);
            self.literals_only = false;
        }
    }

    fn fixed(&mut self, tokens: &Tokens, out: &mut Vec<u8>) {
        self.close(out);
        self.bits.put(2, 3, out);
        self.bits = write_tokens(self.bits, tokens, &FIXED_LITERALS, &FIXED_OFFSETS, out);
        self.bits.put_code(FIXED_LITERALS.0[END_OF_BLOCK], out);
    }

    /// Whether the codes of the open block have all symbols of the tokens.
    fn can_go_on(&self, tokens: &Tokens) -> bool {
        self.offsets.covers(tokens.offsets())
            && self.literals.covers(tokens.literals())
            && (self.literals.0[END_OF_BLOCK..].iter().zip(tokens.lengths()))
                .all(|(code, &count)| count == 0 || code.length != 0)
    }

    /// Takes the frequencies of the tokens, and gives how many codes of each kind a new header has.
    fn count(&mut self, tokens: &Tokens, sync: bool) -> (usize, usize) {
        self.literal_frequencies[..END_OF_BLOCK].copy_from_slice(tokens.literals());
        self.literal_frequencies[END_OF_BLOCK..].copy_from_slice(tokens.lengths());
        self.offset_frequencies = *tokens.offsets();
        if self.variant.has_full_headers() {
            if !sync {
                return (LITERALS, OFFSETS);
            }
        } else {
            self.literal_frequencies[END_OF_BLOCK] = 1;
        }
        if self.offset_frequencies.iter().all(|count| *count == 0) {
            // A dynamic block has at least one offset code.
            self.offset_frequencies[0] = 1;
        }
        (used(&self.literal_frequencies).max(FIRST_LENGTH), used(&self.offset_frequencies))
    }

    fn fixed_size(&self, extra: u32) -> u32 {
        3 + FIXED_LITERALS.size(&self.literal_frequencies)
            + FIXED_OFFSETS.size(&self.offset_frequencies)
            + extra
    }

    fn extra_bits(&self) -> u32 {
        let lengths = self.literal_frequencies[FIRST_LENGTH..].iter().zip(&LENGTH_EXTRA_BITS);
        let offsets = self.offset_frequencies.iter().zip(&OFFSET_EXTRA_BITS);
        lengths.chain(offsets).map(|(&count, &bits)| u32::from(count) * u32::from(bits)).sum()
    }

    /// Whether all bytes are about as frequent, so that Huffman codes would gain nothing.
    ///
    /// Floating point, but exact: these are whole numbers of a 65536th, and small.
    fn is_even(&self, length: usize) -> bool {
        let length = f64::from(u16::try_from(length).unwrap_or(u16::MAX));
        let average = length / 256.0;
        let most = length * 2.0;
        let mut sum = 0.0;
        for &count in &self.literal_frequencies[..END_OF_BLOCK] {
            let difference = f64::from(count) - average;
            sum += difference * difference;
            if sum >= most {
                return false;
            }
        }
        true
    }
}

fn histogram(raw: &[u8], frequencies: &mut [u16; LITERALS]) {
    // Equal bytes in a row would wait for each other in a single table.
    let mut others = [[0u16; 256]; 3];
    let (fours, rest) = raw.as_chunks::<4>();
    for &[a, b, c, d] in fours {
        for (byte, other) in [a, b, c].into_iter().zip(&mut others) {
            let frequency = &mut other[usize::from(byte)];
            *frequency = frequency.wrapping_add(1);
        }
        frequencies[usize::from(d)] = frequencies[usize::from(d)].wrapping_add(1);
    }
    for &byte in rest {
        frequencies[usize::from(byte)] = frequencies[usize::from(byte)].wrapping_add(1);
    }
    for other in &others {
        for (frequency, more) in frequencies.iter_mut().zip(other) {
            *frequency = frequency.wrapping_add(*more);
        }
    }
}

/// How many symbols there are up to the last one that occurs.
fn used(frequencies: &[u16]) -> usize {
    frequencies.iter().rposition(|&count| count != 0).map_or(0, |last| last + 1)
}

/// The bits of a stored block.
fn stored_size(raw: &[u8]) -> u32 {
    let length = u16::try_from(raw.len()).unwrap_or(u16::MAX);
    (u32::from(length) + 5) * 8
}

fn write_tokens(
    bits: Bits,
    tokens: &Tokens,
    literals: &Codes<LITERAL_ROOM>,
    offsets: &Codes<OFFSET_ROOM>,
    out: &mut Vec<u8>,
) -> Bits {
    let mut writer = ManyBits::new(bits, out);
    for token in tokens.list() {
        if let Some(byte) = token.literal() {
            writer.add_code(literals.0[usize::from(byte)]);
        } else {
            let length = token.length();
            writer.add_code(literals.0[length.symbol()]);
            writer.add(length.extra.into(), length.extra_bits.into());
            let (offset, code) = token.offset();
            let extra_bits = u32::from(OFFSET_EXTRA_BITS[code]);
            writer.add_code(offsets.0[code]);
            writer.add(u64::from(offset & ((1 << extra_bits) - 1)), extra_bits);
        }
        writer.settle();
    }
    writer.end()
}

fn write_bytes(bits: Bits, raw: &[u8], literals: &Codes<LITERAL_ROOM>, out: &mut Vec<u8>) -> Bits {
    let mut writer = ManyBits::new(bits, out);
    let (threes, rest) = raw.as_chunks::<3>();
    for three in threes {
        for &byte in three {
            writer.add_code(literals.0[usize::from(byte)]);
        }
        writer.settle();
    }
    for &byte in rest {
        writer.add_code(literals.0[usize::from(byte)]);
    }
    writer.end()
}
