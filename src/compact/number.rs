//! Numbers of the compact form: unsigned LEB128 (DWARF 5, 7.6), in their shortest form.

use std::io::{self, Read};

use super::error::CompactError;

/// Bytes of the longest number.
const MAX_NUMBER: usize = 10;
/// Appends a number.
pub(super) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Reads a number; one that is not in its shortest form is refused.
pub(super) fn read_number(input: &mut impl Read) -> Result<u64, CompactError> {
    const WRONG: CompactError = CompactError::Invalid("a number is too large, or not in its shortest form");
    let mut number = 0;
    for at in 0..MAX_NUMBER {
        let byte = read_byte(input)?;
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(at).unwrap_or(u32::MAX);
        if bits << shift >> shift != bits {
            return Err(WRONG);
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return if byte == 0 && at > 0 { Err(WRONG) } else { Ok(number) };
        }
    }
    Err(WRONG)
}

pub(super) fn read_byte(input: &mut impl Read) -> Result<u8, CompactError> {
    let mut byte = [0];
    input.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// The input ends too early.
pub(super) fn cut() -> CompactError {
    CompactError::Read(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form() {
        for (bytes, number) in [
            (&[0_u8][..], 0),
            (&[0x7f], 127),
            (&[0x80, 1], 128),
            (&[255, 255, 255, 255, 255, 255, 255, 255, 255, 1], u64::MAX),
        ] {
            assert_eq!(read_number(&mut &bytes[..]).unwrap(), number);
        }
        for bytes in
            [&[0x80_u8, 0][..], &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2], &[0x80; 11], &[0x80], &[]]
        {
            assert!(read_number(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }
}
