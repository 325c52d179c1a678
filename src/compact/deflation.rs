//! Content of zip entries that a member holds inflated, and that is deflated again when it is read.

use std::io::Read;

use super::MEMBER_CONTENT;
use super::error::CompactError;
use super::number::{read_number, write_number};
use super::queue::Queue;
use crate::encoders::Zlib;

/// How deep zip files in zip files are inflated.
pub(super) const DEEPEST: usize = 3;
/// Content of a member for each zip entry at least, in bytes.
pub(super) const CONTENT_PER_ENTRY: u32 = 128;
/// Content that is deflated at a time, in bytes.
const PIECE: usize = 64 << 10;

/// One zip entry in the content of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Bytes of content before it, which stay as they are.
    pub(super) before: u32,
    /// Its bytes in the content, and how many are made from them.
    pub(super) raw: u32,
    pub(super) made: u32,
    /// The level of zlib that it is deflated with.
    pub(super) level: u8,
}

impl Entry {
    /// None if a number is larger than any member.
    pub(super) fn new(before: usize, level: u8, raw: usize, made: usize) -> Option<Self> {
        let number = |number: usize| u32::try_from(number).ok();
        Some(Self { before: number(before)?, raw: number(raw)?, made: number(made)?, level })
    }
}

/// The entries of a member that are deflated together. What follows the last one stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Deflation {
    pub(super) entries: Vec<Entry>,
}

impl Deflation {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_number(self.entries.len() as u64, out);
        for Entry { before, raw, made, level } in &self.entries {
            for number in [*before, *raw, *made, u32::from(*level)] {
                write_number(number.into(), out);
            }
        }
    }

    /// Reads a deflation of `content` bytes. Returns how many bytes are made of them, too.
    pub(super) fn read(content: u64, input: &mut impl Read) -> Result<(Self, u64), CompactError> {
        const TOO_LARGE: CompactError = CompactError::Invalid("the zip entries of a member are too large");
        let count = read_number(input)?;
        if count == 0 || count > content / u64::from(CONTENT_PER_ENTRY) {
            return Err(CompactError::Invalid(
                "a member has no zip entries where some are announced, or too many",
            ));
        }
        let (mut entries, mut left, mut total) = (Vec::new(), content, content);
        for _ in 0..count {
            let mut number = || u32::try_from(read_number(input)?).map_err(|_| TOO_LARGE);
            let (before, raw, made, level) = (number()?, number()?, number()?, number()?);
            let level = u8::try_from(level).ok().filter(|level| (1..=9).contains(level));
            let level = level.ok_or(CompactError::Invalid("a zip entry has no such level"))?;
            let rest = left.checked_sub(u64::from(before) + u64::from(raw));
            left = rest.ok_or(CompactError::Invalid("a zip entry has more content than its member"))?;
            if raw < CONTENT_PER_ENTRY || made == 0 {
                return Err(CompactError::Invalid("a zip entry is too short"));
            }
            total = total - u64::from(raw) + u64::from(made);
            entries.push(Entry { before, raw, made, level });
        }
        // Deflating can make an entry longer, and those around it inflated.
        if total > 2 * MEMBER_CONTENT as u64 {
            return Err(TOO_LARGE);
        }
        Ok((Self { entries }, total))
    }
}

/// Reads content in which the entries of a deflation are deflated.
#[derive(Debug)]
pub(super) struct Deflated {
    entries: std::vec::IntoIter<Entry>,
    /// What is left of the current entry.
    current: Entry,
    is_last_read: bool,
    /// For each level.
    zlib: [Option<Zlib>; 10],
    ready: Queue,
}

impl Deflated {
    pub(super) fn new(deflation: Deflation) -> Self {
        let mut entries = deflation.entries.into_iter();
        let current = entries.next();
        Self {
            entries,
            current: current.unwrap_or(Entry { before: 0, raw: 0, made: 0, level: 0 }),
            is_last_read: current.is_none(),
            zlib: Default::default(),
            ready: Queue::default(),
        }
    }

    /// Fills `buffer`. `read` fills another with the content in which the entries are inflated.
    pub(super) fn read(
        &mut self,
        mut buffer: &mut [u8],
        read: &mut dyn FnMut(&mut [u8]) -> Result<(), CompactError>,
    ) -> Result<(), CompactError> {
        while !buffer.is_empty() {
            if self.is_last_read {
                return read(buffer);
            }
            let is_before = self.current.before > 0;
            let left = if is_before { self.current.before } else { self.current.made };
            let count = buffer.len().min(left as usize);
            let (now, later) = buffer.split_at_mut(count);
            if is_before {
                read(now)?;
                self.current.before -= u32::try_from(count).unwrap_or(u32::MAX);
            } else {
                self.deflate(now, read)?;
            }
            buffer = later;
        }
        Ok(())
    }

    /// Fills `buffer` with bytes of the current entry.
    fn deflate(
        &mut self,
        buffer: &mut [u8],
        read: &mut dyn FnMut(&mut [u8]) -> Result<(), CompactError>,
    ) -> Result<(), CompactError> {
        const NO_LEVEL: CompactError = CompactError::Invalid("a zip entry has no such level");
        let level = self.current.level;
        let zlib = self.zlib.get_mut(usize::from(level)).ok_or(NO_LEVEL)?;
        if zlib.is_none() {
            *zlib = Zlib::new(level);
        }
        let zlib = zlib.as_mut().ok_or(NO_LEVEL)?;
        while self.current.raw > 0 && self.ready.bytes().len() < buffer.len() {
            let mut raw = vec![0; PIECE.min(self.current.raw as usize)];
            read(&mut raw)?;
            self.current.raw -= u32::try_from(raw.len()).unwrap_or(u32::MAX);
            zlib.write(&raw, self.ready.end());
            if self.current.raw == 0 {
                zlib.end(self.ready.end());
            }
        }
        let ready = self.ready.bytes();
        let stated = self.current.made as usize;
        if (self.current.raw == 0 && ready.len() != stated) || !(buffer.len()..=stated).contains(&ready.len())
        {
            return Err(CompactError::Invalid("a zip entry makes another number of bytes than stated"));
        }
        buffer.copy_from_slice(&ready[..buffer.len()]);
        self.ready.drop(buffer.len());
        self.current.made -= u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        if self.current.made == 0 {
            if self.current.raw > 0 {
                return Err(CompactError::Invalid("a zip entry makes more bytes than stated"));
            }
            match self.entries.next() {
                Some(next) => self.current = next,
                None => self.is_last_read = true,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(entries: Vec<Entry>) -> Result<u64, CompactError> {
        let (deflation, mut bytes) = (Deflation { entries }, Vec::new());
        deflation.write(&mut bytes);
        let (read, made) = Deflation::read(MEMBER_CONTENT as u64, &mut &bytes[..])?;
        assert_eq!(read, deflation);
        Ok(made)
    }

    #[test]
    fn what_is_made_may_be_longer_than_a_member_but_not_twice_as_long() {
        let full = u32::try_from(MEMBER_CONTENT).unwrap();
        let entry = |raw, made| Entry { before: 0, raw, made, level: 6 };
        // Longer after the first entry, and not in the end.
        let made = read_back(vec![entry(1 << 20, (1 << 20) + 300), entry(1 << 20, 10)]);
        assert_eq!(made.unwrap(), u64::from(full) - (1 << 20) + 310);
        assert_eq!(read_back(vec![entry(full, full * 2)]).unwrap(), u64::from(full) * 2);
        assert!(read_back(vec![entry(full, full * 2 + 1)]).is_err());
        assert!(read_back(vec![entry(CONTENT_PER_ENTRY, 1)]).is_ok());
        assert!(read_back(vec![entry(CONTENT_PER_ENTRY - 1, 1)]).is_err());
        assert!(read_back(vec![entry(full, 1), entry(CONTENT_PER_ENTRY, 1)]).is_err());
        assert!(read_back(Vec::new()).is_err());
    }
}
