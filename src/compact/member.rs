//! The head of a member: what its content is, and what is made from it.

use std::io::{self, Read};

use super::{CONTENT_PER_PART, FREE_PARTS, MEMBER_CONTENT};
use crate::encoders::Encoder;

/// Bits of a part's kind.
const ENCODED: u8 = 1;
const BEGINS: u8 = 2;
const ENDS: u8 = 4;
/// The longest name of an encoder, in bytes.
const MAX_NAME: u64 = 64;
/// No head is longer than this, in bytes, beside its parts.
const MAX_NUMBER: usize = 10;

/// Why a compact blob cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The bytes could not be read, or were cut short.
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("its compact form is not valid: {0}")]
    Invalid(&'static str),
    /// A later version of this program can read it.
    #[error("it needs the encoder {0:?}, which this version does not have")]
    Encoder(String),
}

/// What is made from the next bytes of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// So many bytes of content are bytes of the blob.
    AsIs { len: u64 },
    /// `raw` bytes of content go into an encoder, and the next `made` bytes of the blob are what comes out.
    Encoded {
        /// A new encoder; none if the one of the part before goes on.
        begins: Option<Encoder>,
        raw: u64,
        made: u64,
        /// The encoder's stream ends after this part.
        ends: bool,
    },
}

impl Part {
    /// Bytes of content that it takes.
    pub(super) fn content(&self) -> u64 {
        match self {
            Self::AsIs { len } => *len,
            Self::Encoded { raw, .. } => *raw,
        }
    }

    /// Bytes of the blob that it makes.
    pub(super) fn made(&self) -> u64 {
        match self {
            Self::AsIs { len } => *len,
            Self::Encoded { made, .. } => *made,
        }
    }
}

/// What stands before the zstd frame of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MemberHead {
    /// Bytes of content in the members before.
    pub(super) content_at: u64,
    /// Bytes of the blob made from the members before.
    pub(super) made_at: u64,
    /// Bytes of content in this one.
    pub(super) content: u64,
    pub(super) parts: Vec<Part>,
}

impl MemberHead {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for number in [self.content_at, self.made_at, self.content, self.parts.len() as u64] {
            write_number(number, out);
        }
        for part in &self.parts {
            match part {
                Part::AsIs { len } => {
                    out.push(0);
                    write_number(*len, out);
                }
                Part::Encoded { begins, raw, made, ends } => {
                    let begin = if begins.is_some() { BEGINS } else { 0 };
                    out.push(ENCODED | begin | if *ends { ENDS } else { 0 });
                    if let Some(encoder) = begins {
                        let name = encoder.to_string();
                        write_number(name.len() as u64, out);
                        out.extend_from_slice(name.as_bytes());
                    }
                    write_number(*raw, out);
                    write_number(*made, out);
                }
            }
        }
    }

    /// Reads what [`Self::write`] wrote; anything else is refused.
    pub(super) fn read(input: &mut impl Read) -> Result<Self, CompactError> {
        let [content_at, made_at, content, count] =
            [read_number(input)?, read_number(input)?, read_number(input)?, read_number(input)?];
        if content == 0 || content > MEMBER_CONTENT as u64 {
            return Err(CompactError::Invalid("a member has no content, or too much"));
        }
        if count > most_parts(content) {
            return Err(CompactError::Invalid("a member has too many parts"));
        }
        let (mut parts, mut left) = (Vec::new(), content);
        for _ in 0..count {
            let part = read_part(input)?;
            left = left
                .checked_sub(part.content())
                .ok_or(CompactError::Invalid("a part has more content than its member"))?;
            parts.push(part);
        }
        if left > 0 {
            return Err(CompactError::Invalid("a member has content without a part"));
        }
        Ok(Self { content_at, made_at, content, parts })
    }
}

/// The parts that a member with this many bytes of content may have.
pub(super) const fn most_parts(content: u64) -> u64 {
    content / CONTENT_PER_PART + FREE_PARTS
}

fn read_part(input: &mut impl Read) -> Result<Part, CompactError> {
    let kind = read_byte(input)?;
    if kind == 0 {
        return Ok(Part::AsIs { len: read_number(input)? });
    }
    if kind & ENCODED == 0 || kind & !(ENCODED | BEGINS | ENDS) != 0 {
        return Err(CompactError::Invalid("a part is of an unknown kind"));
    }
    let begins = if kind & BEGINS == 0 { None } else { Some(read_encoder(input)?) };
    let (raw, made) = (read_number(input)?, read_number(input)?);
    Ok(Part::Encoded { begins, raw, made, ends: kind & ENDS != 0 })
}

fn read_encoder(input: &mut impl Read) -> Result<Encoder, CompactError> {
    let len = read_number(input)?;
    if len > MAX_NAME {
        return Err(CompactError::Invalid("the name of an encoder is too long"));
    }
    let mut name = Vec::new();
    input.take(len).read_to_end(&mut name)?;
    if name.len() as u64 != len {
        return Err(cut());
    }
    let name = String::from_utf8_lossy(&name);
    name.parse().map_err(|_| CompactError::Encoder(name.into_owned()))
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
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

fn read_number(input: &mut impl Read) -> Result<u64, CompactError> {
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

fn read_byte(input: &mut impl Read) -> Result<u8, CompactError> {
    let mut byte = [0];
    input.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn cut() -> CompactError {
    CompactError::Read(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = Part> {
        let encoder = prop::sample::select(Encoder::all(crate::encoders::PGZIP_BLOCK));
        prop_oneof![
            (0..1_u64 << 20).prop_map(|len| Part::AsIs { len }),
            (prop::option::of(encoder), 0..1_u64 << 20, any::<u64>(), any::<bool>())
                .prop_map(|(begins, raw, made, ends)| Part::Encoded { begins, raw, made, ends }),
        ]
    }

    proptest! {
        #[test]
        fn heads_read_back(content_at: u64, made_at: u64, parts in prop::collection::vec(part(), 1..20)) {
            let content = parts.iter().map(Part::content).sum::<u64>();
            let head = MemberHead { content_at, made_at, content, parts };
            let mut bytes = Vec::new();
            head.write(&mut bytes);
            let mut input = &bytes[..];
            let read = MemberHead::read(&mut input);
            if content == 0 {
                prop_assert!(read.is_err());
            } else {
                prop_assert_eq!(read.unwrap(), head);
                prop_assert!(input.is_empty());
                for end in 0..bytes.len() {
                    prop_assert!(MemberHead::read(&mut &bytes[..end]).is_err());
                }
            }
        }

        #[test]
        fn anything_else_is_an_error_at_most(bytes: Vec<u8>) {
            if let Ok(head) = MemberHead::read(&mut &bytes[..]) {
                let mut again = Vec::new();
                head.write(&mut again);
                prop_assert!(bytes.starts_with(&again));
            }
        }
    }

    /// A member of these numbers, with parts of one byte as they are.
    fn with(content: u64, count: u64) -> Result<MemberHead, CompactError> {
        let mut bytes = Vec::new();
        for number in [0, 0, content, count] {
            write_number(number, &mut bytes);
        }
        for at in 0..count {
            bytes.push(0);
            write_number(if at + 1 == count { content - (count - 1) } else { 1 }, &mut bytes);
        }
        MemberHead::read(&mut &bytes[..])
    }

    #[test]
    fn limits() {
        let full = MEMBER_CONTENT as u64;
        assert!(with(full, 1).is_ok());
        assert!(matches!(with(full + 1, 1), Err(CompactError::Invalid(_))));
        assert!(matches!(with(0, 0), Err(CompactError::Invalid(_))));
        assert!(with(5120, 10 + FREE_PARTS).is_ok());
        assert!(matches!(with(5120, 11 + FREE_PARTS), Err(CompactError::Invalid(_))));
    }

    #[test]
    fn unknown_encoders_are_named() {
        let mut bytes = vec![0, 0, 1, 1, ENCODED | BEGINS, 5];
        bytes.extend_from_slice(b"lzw:1\x01\x01");
        let error = MemberHead::read(&mut &bytes[..]).unwrap_err();
        assert!(matches!(&error, CompactError::Encoder(name) if name == "lzw:1"), "{error}");
    }

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
