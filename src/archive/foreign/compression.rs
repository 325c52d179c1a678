//! The compression of another tool's tar: none, gzip with any number of members, or zstd with any number of frames.
//!
//! Both formats allow several parts, one after another; zstd also allows skippable frames anywhere, and pzstd begins
//! with one. Zero bytes after the last part are padding. Anything else there is a separate error, [`Leftover`], so that
//! the reader of the tar can distinguish it from damage.

use std::io::{self, BufRead, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::app::foreign_text::GZIP;
use crate::archive::format::expansion::{Counted, Expanding, Gauge};
use crate::archive::format::frame;
use crate::archive::format::member::MAX_PADDING;
use crate::archive::{ArchiveError, FormatError, InputError};

/// The window that every zstd program accepts without a flag, in bytes.
pub(in crate::archive) const MAX_WINDOW: u64 = 128 << 20;

/// The first byte of a skippable frame's magic number is any of 0x50 to 0x5f (RFC 8878, 3.1.2).
const SKIPPABLE_MAGIC: [u8; 3] = [0x2a, 0x4d, 0x18];
/// Magic number and length.
const SKIPPABLE_HEADER: usize = 8;

/// The compression of a tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// Detects it from the first bytes of the file.
    pub(in crate::archive) fn of(start: &[u8]) -> Self {
        if start.starts_with(&GZIP) {
            Self::Gzip
        } else if start.starts_with(&frame::ZSTD_MAGIC) || is_skippable(start) {
            Self::Zstd
        } else {
            Self::Plain
        }
    }

    /// The usual suffix of such a file.
    pub(in crate::archive) fn name(self) -> &'static str {
        match self {
            Self::Plain => "tar",
            Self::Gzip => "tar.gz",
            Self::Zstd => "tar.zst",
        }
    }

    /// The name of one of its parts.
    fn part(self) -> &'static str {
        match self {
            Self::Plain => "member",
            Self::Gzip => "gzip member",
            Self::Zstd => "zstd frame",
        }
    }

    fn begins(self, start: &[u8]) -> bool {
        Self::of(start) == self
    }
}

fn is_skippable(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, rest @ ..] if rest.starts_with(&SKIPPABLE_MAGIC))
}

/// Compressions and containers that are not supported, by the first bytes of the file, with the command that unpacks
/// them.
pub(in crate::archive) fn unread(start: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNREAD: [(&[u8], &str, &str); 5] = [
        (b"\xfd7zXZ\0", "xz", "xz -dk"),
        (b"BZh", "bzip2", "bzip2 -dk"),
        (b"\x04\x22\x4d\x18", "lz4", "lz4 -dk"),
        (b"PK\x03\x04", "zip", "unzip"),
        (b"7z\xbc\xaf\x27\x1c", "7z", "7z x"),
    ];
    UNREAD.iter().find(|(magic, ..)| start.starts_with(magic)).map(|(_, name, command)| (*name, *command))
}

/// Data after the last part that is neither padding nor another part.
#[derive(Debug, thiserror::Error)]
#[error("bytes after the last {part}, from byte {at} of the file on")]
pub(in crate::archive) struct Leftover {
    part: &'static str,
    at: u64,
}

/// A frame that needs a larger window than allowed.
#[derive(Debug, thiserror::Error)]
#[error("a zstd window of {0} MiB")]
pub(in crate::archive) struct TooWide(u64);

impl TooWide {
    /// The error for the archive at `path`, if `error` is one of these.
    pub(in crate::archive) fn found(error: &io::Error, path: &Path) -> Option<ArchiveError> {
        let wide: &Self = error.get_ref()?.downcast_ref()?;
        Some(ArchiveError::Input(InputError::Window { path: path.to_owned(), mib: wide.0 }))
    }
}

/// The error for a failed read in `archive`: the medium failed, or the compressed data is invalid.
pub(in crate::archive) fn content_error(archive: &Path, error: io::Error) -> ArchiveError {
    if error.raw_os_error().is_some() {
        return ArchiveError::Io { path: archive.to_owned(), error };
    }
    if let Some(wide) = TooWide::found(&error, archive) {
        return wide;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            ArchiveError::Format(FormatError::Damaged(format!("{} ends inside a member", archive.display())))
        }
        _ => ArchiveError::Format(FormatError::Damaged(format!("{}: {error}", archive.display()))),
    }
}

/// The content of `input`: gzip, zstd, or plain. The expansion of compressed content is limited.
pub(in crate::archive) fn content_of(
    mut input: impl BufRead + Send + 'static,
    path: &Path,
) -> Result<(Box<dyn Read + Send>, Option<Gauge>), ArchiveError> {
    let packing = Packing::of(input.fill_buf().map_err(ArchiveError::io(path))?);
    if packing == Packing::Plain {
        return Ok((Box::new(input), None));
    }
    let (input, gauge) = Counted::new(input);
    let content: Box<dyn Read + Send> = match packing {
        Packing::Zstd => Box::new(Expanding::new(Frames::new(input)?, gauge.clone())),
        _ => Box::new(Expanding::new(GzipMembers(Some(State::Between(input))), gauge.clone())),
    };
    Ok((content, Some(gauge)))
}

/// Whether another part follows. Padding is skipped, and only the end may follow it.
fn another<R: BufRead>(input: &mut Counted<R>, packing: Packing) -> io::Result<bool> {
    let mut padding = 0;
    loop {
        let start = input.peek(4)?;
        if start.is_empty() {
            return Ok(false);
        }
        if padding == 0 && packing.begins(start) {
            return Ok(true);
        }
        if start[0] != 0 || padding > MAX_PADDING {
            return Err(io::Error::other(Leftover { part: packing.part(), at: input.position() }));
        }
        let zeros = input.fill_buf()?.iter().take_while(|byte| **byte == 0).count();
        input.consume(zeros);
        padding += zeros as u64;
    }
}

/// The content of zstd frames, one after another.
struct Frames<R> {
    input: Counted<R>,
    decoder: Decoder<'static>,
    is_inside: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(input: Counted<R>) -> Result<Self, ArchiveError> {
        let mut decoder = Decoder::new().map_err(|error| ArchiveError::Format(FormatError::Zstd(error)))?;
        let limit = DParameter::WindowLogMax(MAX_WINDOW.ilog2());
        decoder.set_parameter(limit).map_err(|error| ArchiveError::Format(FormatError::Zstd(error)))?;
        Ok(Self { input, decoder, is_inside: false })
    }

    /// Moves to the next frame that has content; false at the end.
    fn begin(&mut self) -> io::Result<bool> {
        while another(&mut self.input, Packing::Zstd)? {
            if is_skippable(self.input.peek(4)?) {
                self.skip()?;
                continue;
            }
            let header = self.input.peek(frame::MAX_FRAME_HEADER)?;
            match frame::FrameHeader::parse(header) {
                Some(header) if header.window > MAX_WINDOW => {
                    return Err(io::Error::other(TooWide(header.window >> 20)));
                }
                Some(_) => return Ok(true),
                None if header.len() < frame::MAX_FRAME_HEADER => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => return Err(io::Error::other("the header of a zstd frame is not valid")),
            }
        }
        Ok(false)
    }

    fn skip(&mut self) -> io::Result<()> {
        let mut header = [0; SKIPPABLE_HEADER];
        self.input.read_exact(&mut header)?;
        let length = u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]]));
        let skipped = io::copy(&mut (&mut self.input).take(length), &mut io::sink())?;
        if skipped == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_inside {
                if !self.begin()? {
                    return Ok(0);
                }
                self.is_inside = true;
            }
            let input = self.input.fill_buf()?;
            let is_end = input.is_empty();
            let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(&mut *buffer));
            let more = self.decoder.run(&mut from, &mut to)?;
            let (taken, given) = (from.pos(), to.pos());
            self.input.consume(taken);
            self.is_inside = more != 0;
            if given > 0 {
                return Ok(given);
            }
            if is_end && self.is_inside {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The content of gzip members, one after another. None during a read.
struct GzipMembers<R>(Option<State<R>>);

enum State<R> {
    Between(Counted<R>),
    Inside(Box<GzDecoder<Counted<R>>>),
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.0.take() {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(State::Between(mut input)) => {
                    let follows = another(&mut input, Packing::Gzip);
                    if !matches!(follows, Ok(true)) {
                        self.0 = Some(State::Between(input));
                        return follows.map(|_| 0);
                    }
                    self.0 = Some(State::Inside(Box::new(GzDecoder::new(input))));
                }
                Some(State::Inside(mut decoder)) => match decoder.read(buffer) {
                    Ok(0) => self.0 = Some(State::Between(decoder.into_inner())),
                    read => {
                        self.0 = Some(State::Inside(decoder));
                        return read;
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::archive::foreign::foreign_tar::decompress;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A tar in two parts of this packing, with a skippable frame between them where there can be one.
    fn packed(packing: Packing) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, size) in [("a", 700), ("b", 90_000), ("c", 0)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(size);
            tar.append_data(&mut header, name, io::repeat(b'x').take(size)).unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let (one, two) = tar.split_at(1000);
        let zst = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        match packing {
            Packing::Plain => tar,
            Packing::Gzip => [gzip(one), gzip(two)].concat(),
            Packing::Zstd => [zst(one), vec![0x5f, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7], zst(two)].concat(),
        }
    }

    /// Names and sizes in a tar, and what is left over.
    type Found = (Vec<(String, usize)>, Option<String>);

    fn read(bytes: Vec<u8>) -> Result<Found, ArchiveError> {
        let mut members = decompress(io::Cursor::new(bytes), Path::new("x"))?;
        let mut found = Vec::new();
        while let Some(member) = members.next()? {
            let content = members.whole(1 << 20)?.unwrap_or_default();
            found.push((member.name, content.len()));
        }
        Ok((found, members.leftover().map(str::to_owned)))
    }

    #[test]
    fn parts_are_read_one_after_another() {
        for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
            let (found, leftover) = read(packed(packing)).unwrap();
            assert_eq!(found, [("a".into(), 700), ("b".into(), 90_000), ("c".into(), 0)], "{packing:?}");
            assert_eq!(leftover, None, "{packing:?}");
        }
    }

    #[test]
    fn no_end_but_the_right_one_is_taken_for_it() {
        for packing in [Packing::Gzip, Packing::Zstd] {
            let bytes = packed(packing);
            for length in 1..bytes.len() {
                let cut = read(bytes[..length].to_vec());
                assert!(cut.is_err(), "{packing:?} {length} of {}: {cut:?}", bytes.len());
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_altered_makes_it_panic(
            packing in prop_oneof![Just(Packing::Gzip), Just(Packing::Zstd)],
            at in any::<prop::sample::Index>(),
            put in proptest::collection::vec(any::<u8>(), 0..12),
            taken in 0..12_usize,
        ) {
            let mut bytes = packed(packing);
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + taken);
            bytes.splice(at..end, put);
            let _ = read(bytes);
        }
    }
}
