//! The head of a member: what its content is, and what is made from it.

use std::io::{self, Read};
use std::ops::Range;

use super::deflation::{DEEPEST, Deflation};
use super::error::CompactError;
use super::number::{cut, read_byte, read_number, write_number};
use super::{CONTENT_PER_PART, FREE_PARTS, MEMBER_CONTENT, WINDOW};
use crate::encoders::Encoder;

/// Bits of a part's kind.
const ENCODED: u8 = 1;
const BEGINS: u8 = 2;
const ENDS: u8 = 4;
/// The longest name of an encoder, in bytes.
const MAX_NAME: u64 = 64;
/// The most ranges that stay in a window, and that are added to it.
const MAX_RANGES: u64 = 1024;
/// The most bytes of content in the zstd frame of a member with a window.
pub(super) const MOST_LITERALS: u64 = 32 << 20;

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

/// How the window of a member comes from the one before, and the content from both it and the zstd frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WindowStep {
    /// What stays of the window before; in order, and without overlaps.
    pub(super) kept: Vec<Range<u64>>,
    /// What follows.
    pub(super) added: Vec<Added>,
    pub(super) segments: Vec<Segment>,
}

/// A range of the content of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) base: u32,
    /// Whether the zip entries in its content are inflated.
    pub(super) is_inflated: bool,
    pub(super) at: u64,
    pub(super) len: u64,
}

/// Content of a member: bytes of its zstd frame, and then bytes of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) literals: u64,
    /// Where in the window, and how many; none at position 0.
    pub(super) at: u64,
    pub(super) copied: u64,
}

impl WindowStep {
    /// Bytes of the window.
    pub(super) fn len(&self) -> u64 {
        self.kept.iter().map(|range| range.end - range.start).sum::<u64>()
            + self.added.iter().map(|added| added.len).sum::<u64>()
    }

    /// Bytes of content in the zstd frame.
    pub(super) fn literals(&self) -> u64 {
        self.segments.iter().map(|segment| segment.literals).sum()
    }

    fn write(&self, out: &mut Vec<u8>) {
        for number in [self.len(), self.kept.len() as u64, self.added.len() as u64] {
            write_number(number, out);
        }
        for range in &self.kept {
            write_number(range.start, out);
            write_number(range.end - range.start, out);
        }
        for added in &self.added {
            let base = u64::from(added.base) << 1 | u64::from(added.is_inflated);
            for number in [base, added.at, added.len] {
                write_number(number, out);
            }
        }
        write_number(self.segments.len() as u64, out);
        for segment in &self.segments {
            for number in [segment.literals, segment.copied, segment.at] {
                write_number(number, out);
            }
        }
    }

    /// Reads what follows the length of a window, which is not 0.
    fn read(len: u64, content: u64, input: &mut impl Read) -> Result<Self, CompactError> {
        const WRONG: CompactError = CompactError::Invalid("a window has another length than its parts");
        if len > WINDOW {
            return Err(CompactError::Invalid("a window is too large"));
        }
        let (kept, added) = (read_number(input)?, read_number(input)?);
        if kept > MAX_RANGES || added > MAX_RANGES {
            return Err(CompactError::Invalid("a window has too many parts"));
        }
        let (mut step, mut left) = (Self::default(), len);
        let mut take = |len: u64| {
            left = left.checked_sub(len).filter(|_| len > 0).ok_or(WRONG)?;
            Ok::<_, CompactError>(())
        };
        for _ in 0..kept {
            let (start, len) = (read_number(input)?, read_number(input)?);
            take(len)?;
            step.kept.push(start..start.checked_add(len).ok_or(WRONG)?);
        }
        for _ in 0..added {
            let (base, at, len) = (read_number(input)?, read_number(input)?, read_number(input)?);
            take(len)?;
            let is_inflated = base & 1 == 1;
            let base =
                u32::try_from(base >> 1).map_err(|_| CompactError::Invalid("a base has no such number"))?;
            step.added.push(Added { base, is_inflated, at, len });
        }
        if left > 0 {
            return Err(WRONG);
        }
        let count = read_number(input)?;
        if count > most_parts(content) {
            return Err(CompactError::Invalid("a member has too many segments"));
        }
        let mut left = content;
        for _ in 0..count {
            let (literals, copied, at) = (read_number(input)?, read_number(input)?, read_number(input)?);
            let rest = left.checked_sub(literals).and_then(|rest| rest.checked_sub(copied));
            left = rest.ok_or(CompactError::Invalid("a segment has more content than its member"))?;
            let is_inside = at.checked_add(copied).is_some_and(|end| end <= len);
            if literals + copied == 0 || !is_inside || (copied == 0 && at > 0) {
                return Err(CompactError::Invalid("a segment is empty, or not in the window"));
            }
            step.segments.push(Segment { literals, at, copied });
        }
        if left > 0 {
            return Err(CompactError::Invalid("a member has content without a segment"));
        }
        if step.literals() > MOST_LITERALS {
            return Err(CompactError::Invalid("a member with a window has too much content of its own"));
        }
        Ok(step)
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
    /// None if the content is all in the zstd frame.
    pub(super) window: Option<WindowStep>,
    /// How zip entries in the content are deflated, one after the other.
    pub(super) deflations: Vec<Deflation>,
    pub(super) parts: Vec<Part>,
}

impl MemberHead {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for number in [self.content_at, self.made_at, self.content] {
            write_number(number, out);
        }
        match &self.window {
            Some(window) => window.write(out),
            None => write_number(0, out),
        }
        write_number(self.deflations.len() as u64, out);
        for deflation in &self.deflations {
            deflation.write(out);
        }
        write_number(self.parts.len() as u64, out);
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
        let [content_at, made_at, content] = [read_number(input)?, read_number(input)?, read_number(input)?];
        if content == 0 || content > MEMBER_CONTENT as u64 {
            return Err(CompactError::Invalid("a member has no content, or too much"));
        }
        let window = match read_number(input)? {
            0 => None,
            len => Some(WindowStep::read(len, content, input)?),
        };
        let count = read_number(input)?;
        if count > DEEPEST as u64 {
            return Err(CompactError::Invalid("zip files in zip files are too deep"));
        }
        let (mut deflations, mut deflated) = (Vec::new(), content);
        for _ in 0..count {
            let deflation;
            (deflation, deflated) = Deflation::read(deflated, input)?;
            deflations.push(deflation);
        }
        let count = read_number(input)?;
        if count > most_parts(deflated) {
            return Err(CompactError::Invalid("a member has too many parts"));
        }
        let (mut parts, mut left) = (Vec::new(), deflated);
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
        Ok(Self { content_at, made_at, content, window, deflations, parts })
    }
}

/// The numbers of the bases that the member at the start of `input` reads first.
pub fn bases_of(input: impl Read) -> Result<Vec<u32>, CompactError> {
    let head = MemberHead::read(&mut io::BufReader::new(input))?;
    let mut numbers: Vec<u32> =
        head.window.iter().flat_map(|step| &step.added).map(|added| added.base).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compact::deflation::Entry;

    fn part() -> impl Strategy<Value = Part> {
        let encoder = prop::sample::select(Encoder::all(crate::encoders::PGZIP_BLOCK));
        prop_oneof![
            (0..1_u64 << 20).prop_map(|len| Part::AsIs { len }),
            (prop::option::of(encoder), 0..1_u64 << 20, any::<u64>(), any::<bool>())
                .prop_map(|(begins, raw, made, ends)| Part::Encoded { begins, raw, made, ends }),
        ]
    }

    /// A window of two ranges that stay and one that follows, and segments for `content` bytes.
    fn window(content: u64) -> impl Strategy<Value = Option<WindowStep>> {
        let step = move |(a, b, base, at, copied): (u64, u64, u32, u64, u64)| {
            let copied = copied.min(content);
            let segments = [(content - copied, copied), (0, 0)].into_iter().filter(|(l, c)| l + c > 0);
            WindowStep {
                kept: vec![a..a + b, 1 << 30..(1 << 30) + 1],
                added: vec![Added { base, is_inflated: b % 2 == 0, at, len: b }],
                segments: segments
                    .map(|(literals, copied)| Segment { literals, at: u64::from(copied > 0), copied })
                    .collect(),
            }
        };
        prop::option::of(
            (any::<u32>().prop_map(u64::from), 1..1_u64 << 20, any::<u32>(), any::<u64>(), 0..1_u64 << 20)
                .prop_map(step),
        )
    }

    proptest! {
        #[test]
        fn heads_read_back(
            content_at: u64,
            made_at: u64,
            (parts, window) in prop::collection::vec(part(), 1..20)
                .prop_flat_map(|parts| (window(parts.iter().map(Part::content).sum()), Just(parts)))
                .prop_map(|(window, parts)| (parts, window)),
            level in 1..10_u8,
        ) {
            let content = parts.iter().map(Part::content).sum::<u64>();
            // Two that change no length.
            let entry = Entry { before: 10, raw: 200, made: 200, level };
            let deflations = vec![Deflation { entries: vec![entry] }; if content > 1_000 { 2 } else { 0 }];
            let head = MemberHead { content_at, made_at, content, window, deflations, parts };
            let mut bytes = Vec::new();
            head.write(&mut bytes);
            let mut input = &bytes[..];
            let read = MemberHead::read(&mut input);
            let fits = |step: &WindowStep| {
                step.segments.iter().all(|segment| segment.at + segment.copied <= step.len())
            };
            if content == 0 || !head.window.as_ref().is_none_or(fits) {
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
        for number in [0, 0, content, 0, 0, count] {
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
        let mut bytes = vec![0, 0, 1, 0, 0, 1, ENCODED | BEGINS, 5];
        bytes.extend_from_slice(b"lzw:1\x01\x01");
        let error = MemberHead::read(&mut &bytes[..]).unwrap_err();
        assert!(matches!(&error, CompactError::Encoder(name) if name == "lzw:1"), "{error}");
    }
}
