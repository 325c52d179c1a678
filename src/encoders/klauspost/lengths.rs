//! The code lengths at the start of a dynamic block (parts of `huffman_bit_writer.go`).

use super::bits::Bits;
use super::codes::{Code, Codes};
use super::tokens::{FIRST_LENGTH, LITERALS, OFFSETS};

/// Symbols for code lengths: 0 to 15 is a length, 16 to 18 repeat one.
const SYMBOLS: usize = 19;
/// Repeats the last length 3 to 6 times.
const REPEAT: u8 = 16;
/// 3 to 10 zeros.
const ZEROS: u8 = 17;
/// 11 to 138 zeros.
const MANY_ZEROS: u8 = 18;
/// The order in which the lengths of the symbols' own codes are written.
const ORDER: [usize; SYMBOLS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The code lengths of a block with repetitions shortened (RFC 1951, 3.2.7).
pub(super) struct Lengths {
    literals: usize,
    offsets: usize,
    /// Symbols and their extra bits.
    symbols: Vec<(u8, u8)>,
    frequencies: [u16; SYMBOLS],
    codes: Codes<SYMBOLS>,
    /// How many entries of `ORDER` are written.
    ordered: u32,
}

impl Lengths {
    pub(super) fn new() -> Self {
        Self {
            literals: 0,
            offsets: 0,
            symbols: Vec::with_capacity(LITERALS + OFFSETS),
            frequencies: [0; SYMBOLS],
            codes: Codes::empty(),
            ordered: 0,
        }
    }

    /// Of the codes of a block.
    pub(super) fn set(&mut self, literals: &[Code], offsets: &[Code]) {
        (self.literals, self.offsets) = (literals.len(), offsets.len());
        self.symbols.clear();
        self.frequencies = [0; SYMBOLS];
        let mut lengths = [0u8; LITERALS + OFFSETS];
        for (length, code) in lengths.iter_mut().zip(literals.iter().chain(offsets)) {
            *length = code.length;
        }
        // A run may go on from the literals to the offsets.
        for run in lengths[..literals.len() + offsets.len()].chunk_by(|a, b| a == b) {
            self.add_run(run);
        }
        self.codes.generate(&self.frequencies, 7);
        let last = ORDER.iter().rposition(|&symbol| self.frequencies[symbol] != 0).unwrap_or(0);
        self.ordered = (0u32..).nth(last + 1).unwrap_or(0).max(4);
    }

    /// Of equal lengths.
    fn add_run(&mut self, run: &[u8]) {
        let length = run[0];
        let mut count = run.len();
        if length == 0 {
            while count >= 11 {
                count -= self.repeat(MANY_ZEROS, 11, count.min(138));
            }
            if count >= 3 {
                count -= self.repeat(ZEROS, 3, count);
            }
        } else {
            self.add(length, 0);
            count -= 1;
            while count >= 3 {
                count -= self.repeat(REPEAT, 3, count.min(6));
            }
        }
        for _ in 0..count {
            self.add(length, 0);
        }
    }

    /// Adds a symbol that stands for `count` lengths, and for `least` when its extra bits are zero.
    fn repeat(&mut self, symbol: u8, least: usize, count: usize) -> usize {
        self.add(symbol, (count - least).to_le_bytes()[0]);
        count
    }

    fn add(&mut self, symbol: u8, extra: u8) {
        self.symbols.push((symbol, extra));
        self.frequencies[usize::from(symbol)] += 1;
    }

    /// The bits that `write` writes.
    pub(super) fn size(&self) -> u32 {
        let extra: u32 = [REPEAT, ZEROS, MANY_ZEROS]
            .map(|symbol| u32::from(self.frequencies[usize::from(symbol)]) * extra_bits(symbol))
            .iter()
            .sum();
        3 + 5 + 5 + 4 + 3 * self.ordered + self.codes.size(&self.frequencies) + extra
    }

    /// The start of a dynamic block.
    pub(super) fn write(&self, bits: &mut Bits, out: &mut Vec<u8>) {
        bits.put(4, 3, out);
        bits.put((self.literals - FIRST_LENGTH) as u64, 5, out);
        bits.put((self.offsets - 1) as u64, 5, out);
        bits.put(u64::from(self.ordered - 4), 4, out);
        for &symbol in ORDER.iter().take(self.ordered as usize) {
            bits.put(u64::from(self.codes.0[symbol].length), 3, out);
        }
        for &(symbol, extra) in &self.symbols {
            bits.put_code(self.codes.0[usize::from(symbol)], out);
            bits.put(u64::from(extra), extra_bits(symbol), out);
        }
    }
}

fn extra_bits(symbol: u8) -> u32 {
    match symbol {
        REPEAT => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}
