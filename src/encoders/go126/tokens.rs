//! Tokens, and the codes they are written with (Go's token.go).

/// The smallest length that deflate can express.
pub(super) const BASE_LENGTH: u32 = 3;
/// The smallest match that is searched for.
pub(super) const MIN_MATCH: usize = 4;
/// The longest match.
pub(super) const MAX_MATCH: usize = 258;
/// The largest offset of a match.
pub(super) const MAX_OFFSET: u32 = 1 << 15;
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

const LENGTH_SHIFT: u32 = 22;
const OFFSET_MASK: u32 = (1 << LENGTH_SHIFT) - 1;
const MATCH: u32 = 1 << 30;

/// A literal byte, or a match: 2 bits for which it is, 8 bits for the length, 22 bits for the offset or the byte.
#[derive(Clone, Copy)]
pub(super) struct Token(u32);

impl Token {
    pub(super) fn literal(byte: u8) -> Self {
        Self(u32::from(byte))
    }

    pub(super) fn matched(length: u32, offset: u32) -> Self {
        Self(MATCH + ((length - BASE_LENGTH) << LENGTH_SHIFT) + (offset - 1))
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        if self.0 < MATCH {
            Kind::Literal(usize::from(self.0.to_le_bytes()[0]))
        } else {
            Kind::Match {
                length: LengthPart::of((self.0 - MATCH) >> LENGTH_SHIFT),
                offset: OffsetPart::of(self.0 & OFFSET_MASK),
            }
        }
    }
}

/// A token by the symbols that it is written with.
pub(super) enum Kind {
    Literal(usize),
    Match { length: LengthPart, offset: OffsetPart },
}

/// A length as a code and extra bits.
#[derive(Clone, Copy)]
pub(super) struct LengthPart {
    code: u8,
    pub(super) extra_bits: u8,
    pub(super) extra: u8,
}

impl LengthPart {
    /// Of a length less `BASE_LENGTH`.
    fn of(length: u32) -> Self {
        LENGTHS[usize::from(length.to_le_bytes()[0])]
    }

    /// Its symbol among the literals.
    pub(super) fn symbol(self) -> usize {
        FIRST_LENGTH + usize::from(self.code)
    }
}

/// An offset as a code and extra bits.
pub(super) struct OffsetPart {
    pub(super) code: usize,
    pub(super) extra_bits: u32,
    pub(super) extra: u32,
}

impl OffsetPart {
    /// Of an offset less 1, which is below `MAX_OFFSET`. Two codes share each number of extra bits.
    #[inline]
    fn of(offset: u32) -> Self {
        if offset < 4 {
            return Self { code: offset as usize, extra_bits: 0, extra: 0 };
        }
        let extra_bits = offset.ilog2() - 1;
        let code = 2 * extra_bits + (offset >> extra_bits);
        Self { code: code as usize, extra_bits, extra: offset & ((1 << extra_bits) - 1) }
    }
}

/// Extra bits of each length code.
pub(super) const LENGTH_EXTRA_BITS: [u8; LITERALS - FIRST_LENGTH] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

/// Extra bits of each offset code.
pub(super) const OFFSET_EXTRA_BITS: [u8; OFFSETS] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];

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
