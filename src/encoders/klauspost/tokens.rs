//! The tokens of a block with their frequencies, and the codes they are written with (token.go).

use super::tables::boxed;

/// The smallest length that deflate can express.
const BASE_LENGTH: i32 = 3;
/// The longest match.
pub(super) const MAX_MATCH: i32 = 258;
/// The most bytes in one stored block.
pub(super) const MAX_STORED: usize = 65535;

/// The symbol that ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The symbol of the first length code.
pub(super) const FIRST_LENGTH: usize = 257;
/// Literals, the end of a block, and length codes.
pub(super) const LITERALS: usize = 286;
/// Offset codes.
pub(super) const OFFSETS: usize = 30;

/// How many tokens fit; a count of 16 bits is always below.
const ROOM: usize = 1 << 16;

const LENGTH_SHIFT: u32 = 22;
const OFFSET_CODE_SHIFT: u32 = 16;
const MATCH: u32 = 1 << 30;

/// A literal byte, or a match: 2 bits for which it is, 8 bits for the length, 6 bits for the code of the offset, and 16
/// bits for the offset or the byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token(u32);

impl Token {
    /// The byte, where it is a literal.
    #[inline]
    pub(super) fn literal(self) -> Option<u8> {
        (self.0 < MATCH).then_some(self.0.to_le_bytes()[0])
    }

    #[inline]
    pub(super) fn length(self) -> LengthPart {
        LENGTHS[usize::from((self.0 >> LENGTH_SHIFT).to_le_bytes()[0])]
    }

    /// The offset less 1, and its code.
    #[inline]
    pub(super) fn offset(self) -> (u32, usize) {
        (self.0 & 0xffff, (self.0 >> OFFSET_CODE_SHIFT & 31) as usize)
    }
}

/// The tokens of a block, and how often each symbol occurs in them.
pub(super) struct Tokens {
    list: Box<[Token; ROOM]>,
    count: u16,
    /// Whether the end of the block is counted as a token after those of the list.
    ended: bool,
    literals: [u16; 256],
    /// The end of a block comes first.
    lengths: [u16; 32],
    offsets: [u16; 32],
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self {
            list: boxed(Token(0)),
            count: 0,
            ended: false,
            literals: [0; 256],
            lengths: [0; 32],
            offsets: [0; 32],
        }
    }

    /// With the end of the block, if that is counted.
    pub(super) fn count(&self) -> usize {
        usize::from(self.count) + usize::from(self.ended)
    }

    pub(super) fn list(&self) -> &[Token] {
        &self.list[..usize::from(self.count)]
    }

    pub(super) fn literals(&self) -> &[u16; 256] {
        &self.literals
    }

    /// Of the end of a block and the length codes.
    pub(super) fn lengths(&self) -> &[u16; LITERALS - END_OF_BLOCK] {
        self.lengths.first_chunk().unwrap_or(&[0; LITERALS - END_OF_BLOCK])
    }

    pub(super) fn offsets(&self) -> &[u16; OFFSETS] {
        self.offsets.first_chunk().unwrap_or(&[0; OFFSETS])
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.ended = false;
        self.literals = [0; 256];
        self.lengths = [0; 32];
        self.offsets = [0; 32];
    }

    #[inline]
    fn push(&mut self, token: u32) {
        self.list[usize::from(self.count)] = Token(token);
        self.count = self.count.wrapping_add(1);
    }

    #[inline]
    pub(super) fn add_literal(&mut self, byte: u8) {
        self.push(u32::from(byte));
        let frequency = &mut self.literals[usize::from(byte)];
        *frequency = frequency.wrapping_add(1);
    }

    #[inline]
    pub(super) fn add_literals(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.add_literal(byte);
        }
    }

    /// A match of 3 to 258 bytes; `offset` is less 1.
    #[inline]
    pub(super) fn add_match(&mut self, length: i32, offset: u32) {
        let code = offset_code(offset);
        self.add_coded(length, offset | code << OFFSET_CODE_SHIFT, code);
    }

    /// As many matches as it takes for a length above 3; `offset` is less 1.
    #[inline]
    pub(super) fn add_long_match(&mut self, mut length: i32, offset: u32) {
        let code = offset_code(offset);
        let coded = offset | code << OFFSET_CODE_SHIFT;
        while length > MAX_MATCH {
            // At least the smallest length must be left.
            let now = if length > MAX_MATCH + BASE_LENGTH { MAX_MATCH } else { MAX_MATCH - BASE_LENGTH };
            self.add_coded(now, coded, code);
            length -= now;
        }
        self.add_coded(length, coded, code);
    }

    #[inline]
    fn add_coded(&mut self, length: i32, coded: u32, offset_code: u32) {
        let length = (length - BASE_LENGTH).to_le_bytes()[0];
        let frequency = &mut self.lengths[usize::from((LENGTHS[usize::from(length)].code + 1) & 31)];
        *frequency = frequency.wrapping_add(1);
        let frequency = &mut self.offsets[(offset_code & 31) as usize];
        *frequency = frequency.wrapping_add(1);
        self.push(MATCH | u32::from(length) << LENGTH_SHIFT | coded);
    }

    /// Counts the end of the block.
    pub(super) fn add_end(&mut self) {
        self.ended = true;
        self.lengths[0] = self.lengths[0].wrapping_add(1);
    }

    /// About how many bits the best codes would take, without a header.
    ///
    /// Floating point: the order of the operations is that of Go, and nothing is fused, as in Go's code for amd64
    /// (`GOAMD64` below v3). Go's compiler fuses for other processors, so that there another estimate may lead to other
    /// bytes.
    pub(super) fn estimated_bits(&self) -> u32 {
        let mut bits = 0;
        let mut matches = 0u16;
        let mut shannon = 0f32;
        let total = self.count.saturating_add(self.ended.into());
        if total > 0 {
            let inverse = 1.0 / f32::from(total);
            for &count in self.literals.iter().filter(|count| **count > 0) {
                shannon += information(count, inverse);
            }
            // The end of the block.
            shannon += 15.0;
            for (&count, &extra) in self.lengths[1..].iter().zip(&LENGTH_EXTRA_BITS) {
                if count > 0 {
                    shannon += information(count, inverse);
                    bits += u32::from(extra) * u32::from(count);
                    matches = matches.wrapping_add(count);
                }
            }
        }
        if matches > 0 {
            let inverse = 1.0 / f32::from(matches);
            for (&count, &extra) in self.offsets.iter().zip(&OFFSET_EXTRA_BITS) {
                if count > 0 {
                    shannon += information(count, inverse);
                    bits += u32::from(extra) * u32::from(count);
                }
            }
        }
        whole(shannon) + bits
    }
}

/// The bits of all occurrences of a symbol.
fn information(count: u16, inverse_of_all: f32) -> f32 {
    let count = f32::from(count);
    (-fast_log2(count * inverse_of_all)).clamp(1.0, 15.0) * count
}

/// Roughly the logarithm.
#[expect(clippy::excessive_precision, reason = "the digits are those of the original")]
fn fast_log2(value: f32) -> f32 {
    const EXPONENT: u32 = 0xff << 23;
    let bits = value.to_bits();
    let [.., exponent] = (bits << 1).to_le_bytes();
    let log2 = f32::from(exponent) - 128.0;
    let mantissa = f32::from_bits((bits & !EXPONENT) + (127 << 23));
    log2 + ((-0.344_848_43 * mantissa + 2.024_665_78) * mantissa - 0.674_877_59)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and at most 15 bits for each of 65536 tokens and offsets"
)]
fn whole(shannon: f32) -> u32 {
    shannon as u32
}

/// A length as a code and extra bits.
#[derive(Clone, Copy)]
pub(super) struct LengthPart {
    code: u8,
    pub(super) extra_bits: u8,
    pub(super) extra: u8,
}

impl LengthPart {
    /// Its symbol among the literals.
    #[inline]
    pub(super) fn symbol(self) -> usize {
        FIRST_LENGTH + usize::from(self.code & 31)
    }

    /// The extra bits of a match of 3 to 258 bytes.
    pub(super) fn extra_bits(length: i32) -> i32 {
        LENGTHS[usize::from((length - BASE_LENGTH).to_le_bytes()[0])].extra_bits.into()
    }
}

/// The code of an offset less 1, which is below 32768.
#[inline]
pub(super) fn offset_code(offset: u32) -> u32 {
    if offset < 256 {
        u32::from(OFFSET_CODES[usize::from(offset.to_le_bytes()[0])])
    } else {
        let [_, high, ..] = (offset << 1).to_le_bytes();
        u32::from(OFFSET_CODES[usize::from(high)]) + 14
    }
}

/// Extra bits of each length code.
pub(super) const LENGTH_EXTRA_BITS: [u8; LITERALS - FIRST_LENGTH] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

/// Extra bits of each offset code.
pub(super) const OFFSET_EXTRA_BITS: [u8; 32] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 0, 0];

/// By the length less `BASE_LENGTH`.
static LENGTHS: [LengthPart; 256] = lengths();

const fn lengths() -> [LengthPart; 256] {
    let mut parts = [LengthPart { code: 0, extra_bits: 0, extra: 0 }; 256];
    let (mut length, mut code) = (0, 0);
    while length < 255 {
        let extra_bits = LENGTH_EXTRA_BITS[code as usize];
        let mut extra = 0;
        while extra < 1 << extra_bits && length < 255 {
            parts[length] = LengthPart { code, extra_bits, extra };
            length += 1;
            extra += 1;
        }
        code += 1;
    }
    // The longest match has a code of its own.
    parts[255] = LengthPart { code: 28, extra_bits: 0, extra: 0 };
    parts
}

/// Of offsets less 1. Those of larger offsets are 14 more, by the offset without its last 7 bits.
static OFFSET_CODES: [u8; 256] = offset_codes();

const fn offset_codes() -> [u8; 256] {
    let mut codes = [0; 256];
    let (mut offset, mut code) = (0, 0u8);
    while offset < 256 {
        let mut same = 0;
        while same < 1usize << OFFSET_EXTRA_BITS[code as usize] && offset < 256 {
            codes[offset] = code;
            offset += 1;
            same += 1;
        }
        code += 1;
    }
    codes
}
