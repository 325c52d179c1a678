//! Finds deflated entries of zip files (APPNOTE 6.3.10, 4.3) in content, and inflates them.
//!
//! Only local headers are looked at, wherever they lie, so that jars in a tar, and zip files that are stored in zip files,
//! need no parser of their own. An entry counts only if its sizes are those that its header, or the data descriptor behind
//! it, states. What is found in a base never changes: the reader of a bundle must find the same entries as its writer did.

use std::borrow::Cow;

use flate2::{Decompress, FlushDecompress, Status};
use memchr::memmem;

use super::deflation::{CONTENT_PER_ENTRY, DEEPEST, Deflation, Entry};

/// The start of a local header.
const LOCAL: &[u8] = b"PK\x03\x04";
/// The start of a data descriptor.
const DESCRIPTOR: &[u8] = b"PK\x07\x08";
/// Bytes of a local header before the name, and of a data descriptor.
const HEADER: usize = 30;
const DESCRIPTOR_LEN: usize = 16;
/// Entries that are not worth it have fewer bytes than this, larger ones need too much memory.
const SMALLEST: usize = CONTENT_PER_ENTRY as usize;
pub(super) const LARGEST: usize = 16 << 20;
/// The longest entry, in deflated bytes, of content that is compared with other content: it must be inflated in both or
/// in neither, so each is looked at in blocks of at least twice as much.
pub(super) const LONGEST_COMPARED: usize = 2 << 20;
/// What is read and inflated at most, successful or not, as a multiple of what the result may have.
const PATIENCE: usize = 2;

/// Says how an entry, whose deflated and inflated bytes are given, is made again; none if it stays as it is.
pub(super) type Level<'a> = dyn FnMut(&[u8], &[u8]) -> Option<u8> + 'a;

/// How much is inflated at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of the result, or those of the content if that is more.
    pub(super) most: usize,
    /// Deflated bytes of an entry.
    pub(super) longest: usize,
}

/// Content with its zip entries inflated.
#[derive(Debug)]
pub(super) struct Inflated<'a> {
    /// Bytes of the given content that it is made from.
    pub(super) taken: usize,
    pub(super) content: Cow<'a, [u8]>,
    /// How the given content is made from it, in this order.
    pub(super) deflations: Vec<Deflation>,
}

/// Inflates the zip entries in `content`, and those in zip files that were deflated themselves.
///
/// Unless it is the last content, an entry that goes on behind its end is left for the next time. So of content of which at
/// least twice the longest entry is looked at together, each entry is found, wherever it lies.
pub(super) fn inflate<'a>(
    content: &'a [u8],
    is_last: bool,
    limits: Limits,
    level: &mut Level<'_>,
) -> Inflated<'a> {
    let mut inflated = Scan::new(content, is_last, limits, level).run();
    while !inflated.deflations.is_empty() && inflated.deflations.len() < DEEPEST {
        let deeper = Scan::new(&inflated.content, true, limits, level).run();
        if deeper.deflations.is_empty() {
            break;
        }
        // The deepest entries are deflated first.
        inflated.deflations.splice(..0, deeper.deflations);
        inflated.content = Cow::Owned(deeper.content.into_owned());
    }
    inflated
}

/// One look at content.
struct Scan<'a, 's, 'l> {
    content: &'a [u8],
    is_last: bool,
    limits: Limits,
    level: &'s mut Level<'l>,
    inflater: Decompress,
    /// Bytes that may still be read and inflated.
    patience: usize,
}

/// What begins with a local header.
enum Found {
    /// Where its deflated bytes begin, how many they are, and what they hold.
    Entry {
        start: usize,
        len: usize,
        raw: Vec<u8>,
    },
    /// It may go on behind the content.
    Unfinished,
    Nothing,
}

impl<'a, 's, 'l> Scan<'a, 's, 'l> {
    fn new(content: &'a [u8], is_last: bool, limits: Limits, level: &'s mut Level<'l>) -> Self {
        let patience = limits.most.saturating_mul(PATIENCE);
        Self { content, is_last, limits, level, inflater: Decompress::new(false), patience }
    }

    fn run(mut self) -> Inflated<'a> {
        let (mut out, mut entries) = (Vec::new(), Vec::new());
        // Content up to here is in `out`, and the entry before ended at `ended` of `out`.
        let (mut done, mut ended) = (0, 0);
        let mut at = 0;
        while let Some(found) = memmem::find(&self.content[at..], LOCAL) {
            let header = at + found;
            at = header + LOCAL.len();
            // What is left has to fit, too.
            let room = self.limits.most.saturating_sub(out.len() + (self.content.len() - done));
            match self.entry(header, room) {
                Found::Entry { start, len, raw } => {
                    let end = start + len;
                    let before = out.len() - ended + (start - done);
                    let level = (self.level)(&self.content[start..end], &raw);
                    if let Some(entry) = level.and_then(|level| Entry::new(before, level, raw.len(), len)) {
                        entries.push(entry);
                        out.extend_from_slice(&self.content[done..start]);
                        out.extend_from_slice(&raw);
                        (done, ended) = (end, out.len());
                    }
                    at = end;
                }
                // At least half is taken at a time, so that no content makes this slow.
                Found::Unfinished if !self.is_last && header > self.content.len() / 2 => {
                    return self.until(header, done, out, entries);
                }
                Found::Unfinished | Found::Nothing => {}
            }
        }
        let end = self.content.len();
        self.until(end, done, out, entries)
    }

    fn until(self, end: usize, done: usize, mut out: Vec<u8>, entries: Vec<Entry>) -> Inflated<'a> {
        if entries.is_empty() {
            let content = Cow::Borrowed(&self.content[..end]);
            return Inflated { taken: end, content, deflations: Vec::new() };
        }
        out.extend_from_slice(&self.content[done..end]);
        Inflated { taken: end, content: Cow::Owned(out), deflations: vec![Deflation { entries }] }
    }

    /// The entry whose header is here, if it has at most `room` bytes more inflated than deflated.
    fn entry(&mut self, header: usize, room: usize) -> Found {
        const ENCRYPTED: u16 = 1;
        const WITH_DESCRIPTOR: u16 = 1 << 3;
        const DEFLATED: u16 = 8;
        let fields = &self.content[header..];
        if fields.len() < HEADER {
            return Found::Unfinished;
        }
        let flags = short(fields, 6);
        if short(fields, 8) != DEFLATED || flags & ENCRYPTED != 0 {
            return Found::Nothing;
        }
        let stated = (long(fields, 18), long(fields, 22));
        let start = header + HEADER + usize::from(short(fields, 26)) + usize::from(short(fields, 28));
        let Some(data) = self.content.get(start..) else { return Found::Unfinished };
        let longest = self.limits.longest;
        let (data, most) = if flags & WITH_DESCRIPTOR != 0 {
            (&data[..data.len().min(longest + DESCRIPTOR_LEN)], LARGEST)
        } else if stated.0 > longest || stated.1 > LARGEST {
            return Found::Nothing;
        } else {
            let Some(data) = data.get(..stated.0) else { return Found::Unfinished };
            (data, stated.1)
        };
        let (len, raw) = match self.inflate(data, most) {
            Stream::Whole(len, raw) if len <= longest => (len, raw),
            Stream::Unfinished if flags & WITH_DESCRIPTOR != 0 && data.len() <= longest => {
                return Found::Unfinished;
            }
            Stream::Whole(..) | Stream::Unfinished | Stream::Wrong => return Found::Nothing,
        };
        let sizes = if flags & WITH_DESCRIPTOR == 0 {
            stated
        } else {
            let Some(descriptor) = data.get(len..len + DESCRIPTOR_LEN) else { return Found::Unfinished };
            if !descriptor.starts_with(DESCRIPTOR) {
                return Found::Nothing;
            }
            (long(descriptor, 8), long(descriptor, 12))
        };
        let fits = raw.len() >= SMALLEST && raw.len().saturating_sub(len) <= room;
        if fits && sizes == (len, raw.len()) { Found::Entry { start, len, raw } } else { Found::Nothing }
    }

    /// Inflates the stream at the start of `data`, of at most `most` bytes.
    fn inflate(&mut self, data: &[u8], most: usize) -> Stream {
        const STEP: usize = 16 << 10;
        self.inflater.reset(false);
        let mut raw = Vec::new();
        while self.patience > 0 {
            let taken = self.inflater.total_in();
            if raw.len() == raw.capacity() {
                // One byte more than may be, so that a longer stream shows.
                raw.reserve_exact(raw.len().max(STEP).min(most + 1 - raw.len()));
            }
            let (had, at) = (raw.len(), usize::try_from(taken).unwrap_or(usize::MAX));
            let input = data.get(at..).unwrap_or_default();
            let status = self.inflater.decompress_vec(input, &mut raw, FlushDecompress::None);
            // A stream may also go on for long without giving anything.
            let read = usize::try_from(self.inflater.total_in() - taken).unwrap_or(usize::MAX);
            self.patience = self.patience.saturating_sub((raw.len() - had).saturating_add(read));
            match status {
                Ok(Status::StreamEnd) => {
                    let len = usize::try_from(self.inflater.total_in()).unwrap_or(usize::MAX);
                    return Stream::Whole(len, raw);
                }
                Ok(_) if raw.len() > most => return Stream::Wrong,
                Ok(_) if raw.len() == had && self.inflater.total_in() == taken => return Stream::Unfinished,
                Ok(_) => {}
                Err(_) => return Stream::Wrong,
            }
        }
        Stream::Wrong
    }
}

/// What a deflate stream is.
enum Stream {
    /// The number of its bytes, and what they hold.
    Whole(usize, Vec<u8>),
    Unfinished,
    /// None, or a too long one.
    Wrong,
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> usize {
    let long = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    usize::try_from(long).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A long stream that gives nothing, behind many headers that all say that it is theirs.
    #[test]
    fn streams_that_give_nothing_are_not_read_again_and_again() {
        let (count, len) = (3_000, 34);
        let mut content = Vec::new();
        for at in 0..count {
            let behind = (count - at) * len - HEADER;
            let [name, extra] = [behind.min(0xffff), behind.saturating_sub(0xffff)]
                .map(|len| u16::try_from(len).unwrap().to_le_bytes());
            content.extend_from_slice(b"PK\x03\x04\x14\0\x08\0\x08\0");
            content.extend_from_slice(&[0; 16]);
            content.extend_from_slice(&[name, extra].concat());
            content.extend_from_slice(&[0; 4]);
        }
        content.extend([0, 0, 0, 0xff, 0xff].repeat(1_600_000));
        content.push(7);
        let inflated =
            inflate(&content, true, Limits { most: 64 << 20, longest: LARGEST }, &mut |_, _| Some(6));
        assert!(inflated.deflations.is_empty() && inflated.content == content);
    }
}
