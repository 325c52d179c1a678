//! Members of other tools' tars: ustar, GNU long names and base-256 sizes, PAX paths and sizes, global headers.
//!
//! Headers are parsed by the tar crate, but the walk is not: the crate would hold a long name of any length in memory,
//! and cannot stop between two members and resume. Data after the end-of-archive marker is read too: zeros are padding,
//! and anything else is left over; the caller decides whether that is an error.

use std::io::{self, BufRead, Read, Seek};
use std::path::Path;

use tar::{Header, PaxExtensions};

use super::compression::{Leftover, TooWide, content_of};
use super::tar_header::{self, Kind, shown};
use crate::app::stop;
use crate::archive::format::expansion::{Gauge, too_far};
use crate::archive::format::member::{self, MAX_PADDING};
use crate::archive::hash::hash;
use crate::archive::{ArchiveError, FormatError};
use crate::image::{Algorithm, Digest};

/// Maximum length of a name, or of a set of PAX records.
const MAX_EXTENSION: u64 = 64 << 10;
/// Maximum number of members of a foreign archive.
pub(in crate::archive) const MAX_MEMBERS: usize = 1_000_000;
/// Members that are read into memory are read in pieces of this many bytes.
const PIECE: u64 = 1 << 20;
/// Bytes of content that are skipped before the request to stop is checked again.
const PASSED: u64 = 64 << 20;

/// Walks a tar, member by member.
pub(in crate::archive) struct Members<R> {
    reader: R,
    skip: fn(&mut R, u64) -> io::Result<()>,
    /// For messages.
    archive: std::path::PathBuf,
    /// Bytes of the tar read or skipped so far.
    at: u64,
    /// Content of the current member that is not read yet, and the padding after it.
    left: u64,
    padding: u64,
    count: usize,
    leftover: Option<String>,
    /// Compressed bytes read, if the input is compressed; and bytes of members that were read into memory.
    gauge: Option<Gauge>,
    held: u64,
}

/// One member of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::archive) struct Member {
    /// As normalised by [`tar_header::plain_name`].
    pub(in crate::archive) name: String,
    pub(in crate::archive) kind: Kind,
    /// In bytes.
    pub(in crate::archive) size: u64,
    /// Offset at which its content begins.
    pub(in crate::archive) at: u64,
}

/// The values of extension headers for the next member.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    size: Option<Vec<u8>>,
    is_sparse: bool,
}

impl<R: Read> Members<R> {
    pub(in crate::archive) fn new(reader: R, archive: &Path) -> Self {
        let skip = |reader: &mut R, bytes: u64| {
            let mut left = bytes;
            while left > 0 {
                if stop::is_requested() {
                    return Err(io::Error::other("stopped"));
                }
                let piece = left.min(PASSED);
                if io::copy(&mut reader.take(piece), &mut io::sink())? != piece {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                left -= piece;
            }
            Ok(())
        };
        Self::with(reader, archive, skip)
    }

    fn with(reader: R, archive: &Path, skip: fn(&mut R, u64) -> io::Result<()>) -> Self {
        Self {
            reader,
            skip,
            archive: archive.to_owned(),
            at: 0,
            left: 0,
            padding: 0,
            count: 0,
            leftover: None,
            gauge: None,
            held: 0,
        }
    }

    /// For compressed input: limits the expansion of members that are read into memory.
    pub(in crate::archive) fn gauged(mut self, gauge: Option<Gauge>) -> Self {
        self.gauge = gauge;
        self
    }

    /// The next regular file; none at the end of the archive. Unread content of the previous one is skipped.
    pub(in crate::archive) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        loop {
            match self.next_of_any_kind()? {
                Some(member) if member.kind != Kind::File => {}
                found => return Ok(found),
            }
        }
    }

    /// The next member of any kind.
    pub(in crate::archive) fn next_of_any_kind(&mut self) -> Result<Option<Member>, ArchiveError> {
        let mut extensions = Extensions::default();
        loop {
            self.pass(self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            self.count += 1;
            if self.count > MAX_MEMBERS {
                return Err(ArchiveError::Format(FormatError::Damaged(format!(
                    "there are more than {MAX_MEMBERS} members"
                ))));
            }
            let kind = Kind::of(&header);
            let is_extension =
                matches!(kind, Some(Kind::LongName | Kind::LongLink | Kind::Records | Kind::GlobalRecords));
            if !is_extension {
                return self.begin(&header, kind, extensions).map(Some);
            }
            let size = tar_header::size(&header);
            self.expect(size.map_err(|why| {
                ArchiveError::Format(FormatError::Damaged(format!("a header of a long name {why}")))
            })?);
            match kind {
                Some(Kind::LongName) => extensions.name = Some(self.long_name()?),
                Some(Kind::Records) => self.records(&mut extensions)?,
                Some(Kind::GlobalRecords) => self.global_records()?,
                _ => drop(self.extension()?),
            }
        }
    }

    /// Begins the member that `header` describes.
    fn begin(
        &mut self,
        header: &Header,
        kind: Option<Kind>,
        extensions: Extensions,
    ) -> Result<Member, ArchiveError> {
        let raw = extensions.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let damaged = |why: &str| {
            ArchiveError::Format(FormatError::Damaged(format!("the member {} {why}", shown(&raw))))
        };
        let mut kind = kind.ok_or_else(|| {
            let letter = header.entry_type().as_byte();
            damaged(&format!("has the tar type {}, which tools read in different ways", shown(&[letter])))
        })?;
        if kind == Kind::Sparse || extensions.is_sparse {
            return Err(damaged("is a sparse file, which a layout must not have"));
        }
        let size = match extensions.size {
            Some(record) => tar_header::size_record(&record),
            None => tar_header::size(header),
        };
        let size = size.map_err(|why| damaged(&why))?;
        // Before POSIX, a folder was a file with a slash at the end of its name.
        if kind == Kind::File && raw.ends_with(b"/") {
            kind = Kind::Folder;
        }
        if kind != Kind::File && size > 0 {
            let noun = kind.noun();
            return Err(damaged(&format!("is {noun} with content, which tools read in different ways")));
        }
        let name = tar_header::plain_name(&raw).map_err(damaged)?;
        if name.is_empty() && kind != Kind::Folder {
            return Err(damaged("has no name"));
        }
        self.expect(size);
        let name = String::from_utf8_lossy(&name).into_owned();
        Ok(Member { name, kind, size, at: self.at })
    }

    /// The unread content of the current member.
    pub(in crate::archive) fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    /// The current member as a whole; none if it is larger than `cap` bytes.
    pub(in crate::archive) fn whole(&mut self, cap: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        if self.left > cap {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        loop {
            ArchiveError::unless_stopped()?;
            let read = self.content().take(PIECE).read_to_end(&mut bytes);
            if read.map_err(|error| self.not_a_tar(&error))? == 0 {
                break;
            }
            let held = self.held + bytes.len() as u64;
            if self.gauge.as_ref().is_some_and(|gauge| !gauge.may_hold(held)) {
                return Err(too_far(&format!("a member of {}", self.archive.display())));
            }
        }
        self.held += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// The sha256 of the current member.
    pub(in crate::archive) fn hash(&mut self) -> Result<Digest, ArchiveError> {
        let hashed = hash(&mut self.content(), Algorithm::Sha256);
        hashed.map(|(_, digest)| digest).map_err(|error| self.not_a_tar(&error))
    }

    /// Data after the end of the archive, except padding. It is only known after all members have been read.
    pub(in crate::archive) fn leftover(&self) -> Option<&str> {
        self.leftover.as_deref()
    }

    /// Expects this many bytes of content next.
    fn expect(&mut self, size: u64) {
        (self.left, self.padding) = (size, member::padding(size));
    }

    /// The next header; none at the end-of-archive marker, or if the archive ends without one.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        match self.block(header.as_mut_bytes()) {
            Ok(0) => return Ok(None),
            Ok(512) => {}
            Ok(_) => return Err(self.not_a_tar(&io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return self.end(&error),
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return self.rest().map(|()| None);
        }
        if !is_intact(&header) {
            return Err(self.not_a_tar(&io::Error::other("a header has a wrong checksum")));
        }
        Ok(Some(header))
    }

    /// Reads the data after the end-of-archive marker.
    fn rest(&mut self) -> Result<(), ArchiveError> {
        let (mut header, mut zeros) = (Header::new_old(), 0);
        loop {
            let at = self.at;
            let read = match self.block(header.as_mut_bytes()) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) => return self.end(&error).map(drop),
            };
            zeros += read as u64;
            if header.as_bytes()[..read].iter().all(|byte| *byte == 0) && zeros <= MAX_PADDING {
                continue;
            }
            let is_member = read == 512 && zeros <= MAX_PADDING && is_intact(&header);
            let what = if is_member {
                format!("the member {}", shown(&header.path_bytes()))
            } else {
                format!("bytes from byte {at} of the tar on")
            };
            self.leftover = Some(format!("{what}, after the end-of-archive marker"));
            return Ok(());
        }
    }

    /// The end of the archive, if reading on gives `error`: other data may follow its compressed form.
    fn end(&mut self, error: &io::Error) -> Result<Option<Header>, ArchiveError> {
        self.leftover = Some(leftover(error).ok_or_else(|| self.not_a_tar(error))?.to_string());
        Ok(None)
    }

    /// Fills `block`, as far as the archive has data.
    fn block(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < block.len() {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Data after the compressed form ends a block that has begun.
                Err(error) if filled > 0 && leftover(&error).is_some() => break,
                Err(error) => return Err(error),
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    fn extension(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let size = self.left;
        let long =
            || ArchiveError::Format(FormatError::Damaged(format!("a member's name takes {size} bytes")));
        self.whole(MAX_EXTENSION)?.ok_or_else(long)
    }

    fn long_name(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut name = self.extension()?;
        // It is a C string.
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    /// Name and size from PAX records, if present.
    fn records(&mut self, extensions: &mut Extensions) -> Result<(), ArchiveError> {
        let records = self.extension()?;
        for record in PaxExtensions::new(&records) {
            let record = record.map_err(|error| self.not_a_tar(&error))?;
            match record.key_bytes() {
                b"path" => extensions.name = Some(record.value_bytes().to_vec()),
                b"size" => extensions.size = Some(record.value_bytes().to_vec()),
                key if key.starts_with(b"GNU.sparse") => extensions.is_sparse = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// Records for all members may contain anything except names and sizes.
    fn global_records(&mut self) -> Result<(), ArchiveError> {
        let records = self.extension()?;
        for record in PaxExtensions::new(&records) {
            let record = record.map_err(|error| self.not_a_tar(&error))?;
            if matches!(record.key_bytes(), b"path" | b"size" | b"linkpath") {
                let key = shown(record.key_bytes());
                return Err(ArchiveError::Format(FormatError::Damaged(format!(
                    "a global header gives all members one {key}, which tools read in different ways"
                ))));
            }
        }
        Ok(())
    }

    fn pass(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        ArchiveError::unless_stopped()?;
        self.at += bytes;
        (self.skip)(&mut self.reader, bytes).map_err(|error| self.not_a_tar(&error))
    }

    fn not_a_tar(&self, error: &io::Error) -> ArchiveError {
        if let Some(wide) = TooWide::found(error, &self.archive) {
            return wide;
        }
        if stop::is_requested() {
            return ArchiveError::Stopped;
        }
        let archive = self.archive.display();
        if let Some(code) = error.raw_os_error() {
            return ArchiveError::io(&self.archive)(io::Error::from_raw_os_error(code));
        }
        match error.kind() {
            _ if self.count == 0 => ArchiveError::Format(FormatError::NotABundle(format!(
                "{archive} is not a readable tar: {error}"
            ))),
            io::ErrorKind::UnexpectedEof => {
                ArchiveError::Format(FormatError::Damaged(format!("{archive} ends inside a member")))
            }
            _ => ArchiveError::Format(FormatError::Damaged(format!(
                "{archive}, byte {} of the tar: {error}",
                self.at
            ))),
        }
    }
}

impl<R: Read + Seek> Members<R> {
    /// For a file, in which unwanted content is skipped by seeking.
    pub(in crate::archive) fn seekable(reader: R, archive: &Path) -> Self {
        Self::with(reader, archive, |reader, bytes| {
            let Some(before_last) = bytes.checked_sub(1) else { return Ok(()) };
            reader.seek_relative(i64::try_from(before_last).map_err(io::Error::other)?)?;
            // Seeking beyond the end of a file succeeds, so that must be checked.
            reader.read_exact(&mut [0])
        })
    }
}

/// The members of the tar in `input`: gzip, zstd, or plain.
pub(in crate::archive) fn decompress(
    input: impl BufRead + Send + 'static,
    path: &Path,
) -> Result<Members<Box<dyn Read + Send>>, ArchiveError> {
    let (content, gauge) = content_of(input, path)?;
    Ok(Members::new(content, path).gauged(gauge))
}

fn leftover(error: &io::Error) -> Option<&Leftover> {
    error.get_ref()?.downcast_ref()
}

fn is_intact(header: &Header) -> bool {
    let mut sum = header.clone();
    sum.set_cksum();
    matches!((sum.cksum(), header.cksum()), (Ok(right), Ok(stated)) if right == stated)
}

/// Reads the content of one member.
pub(in crate::archive) struct Content<'a, R>(&'a mut Members<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let members = &mut *self.0;
        let take = usize::try_from(members.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if take == 0 {
            return Ok(0);
        }
        let read = members.reader.read(&mut buffer[..take])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        members.left -= read as u64;
        members.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
