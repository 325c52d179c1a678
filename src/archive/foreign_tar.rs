//! Members of other tools' tars: ustar, GNU long names and base-256 sizes, PAX paths and sizes, global headers.
//!
//! Headers are the tar crate's. The walk is not: it would hold a long name of any length in memory, and cannot be
//! left between two members and gone on with.

use std::io::{self, Read, Seek};
use std::path::Path;

use tar::{EntryType, Header, PaxExtensions};

use super::expansion::{Gauge, too_far};
use super::{ArchiveError, member};

/// A name, or a set of PAX records, is never longer.
const MAX_EXTENSION: u64 = 64 << 10;
/// Members of a foreign archive.
const MAX_MEMBERS: usize = 2_000_000;
const MAX_SIZE: u64 = 1 << 53;
/// Members that are taken as a whole come in pieces of this many bytes.
const PIECE: u64 = 1 << 20;

/// Walks a tar, member by member.
pub(super) struct Members<R> {
    reader: R,
    skip: fn(&mut R, u64) -> io::Result<()>,
    /// For messages.
    archive: String,
    /// Bytes of the tar read or skipped so far.
    at: u64,
    /// Content of the current member that is still to come, and the padding after it.
    left: u64,
    padding: u64,
    count: usize,
    /// Of the compressed input, if it is compressed; and the bytes of members that were taken as a whole.
    gauge: Option<Gauge>,
    held: u64,
}

/// A regular file in a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Without `./` before it.
    pub(super) name: String,
    /// In bytes.
    pub(super) size: u64,
    /// Where its content begins.
    pub(super) at: u64,
}

impl<R: Read> Members<R> {
    pub(super) fn new(reader: R, archive: &Path) -> Self {
        let skip = |reader: &mut R, bytes: u64| {
            let skipped = io::copy(&mut reader.take(bytes), &mut io::sink())?;
            if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        };
        Self::with(reader, archive, skip)
    }

    fn with(reader: R, archive: &Path, skip: fn(&mut R, u64) -> io::Result<()>) -> Self {
        let archive = archive.display().to_string();
        Self { reader, skip, archive, at: 0, left: 0, padding: 0, count: 0, gauge: None, held: 0 }
    }

    /// For what comes out of compressed input: members that are taken as a whole may not expand too far.
    pub(super) fn gauged(mut self, gauge: Option<Gauge>) -> Self {
        self.gauge = gauge;
        self
    }

    /// The next regular file; none at the end of the archive. What was not read of the one before is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let (mut name, mut size) = (None, None);
        loop {
            self.pass(self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            self.count += 1;
            if self.count > MAX_MEMBERS {
                return Err(ArchiveError::Damaged(format!("there are more than {MAX_MEMBERS} members")));
            }
            let stated = header.entry_size().map_err(|error| self.not_a_tar(&error))?;
            let kind = header.entry_type();
            self.begins(if matches!(kind, EntryType::Regular) { size.unwrap_or(stated) } else { stated })?;
            match kind {
                EntryType::GNULongName => name = Some(text(&self.extension()?)),
                EntryType::XHeader => (name, size) = self.pax(name, size)?,
                EntryType::GNULongLink | EntryType::XGlobalHeader => drop(self.extension()?),
                EntryType::GNUSparse => return Err(sparse(&text(&header.path_bytes()))),
                EntryType::Regular | EntryType::Continuous => {
                    let name = name.take().unwrap_or_else(|| text(&header.path_bytes()));
                    let name = name.trim_start_matches("./").to_owned();
                    // Before POSIX a folder was a file with a slash at its end.
                    if !name.ends_with('/') {
                        return Ok(Some(Member { name, size: self.left, at: self.at }));
                    }
                    size = None;
                }
                _ => (name, size) = (None, None),
            }
        }
    }

    /// The content of the current member, as far as it has not been read.
    pub(super) fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    /// The current member as a whole; none when it is larger than `cap` bytes.
    pub(super) fn whole(&mut self, cap: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        if self.left > cap {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        loop {
            let read = self.content().take(PIECE).read_to_end(&mut bytes);
            if read.map_err(|error| self.not_a_tar(&error))? == 0 {
                break;
            }
            let held = self.held + bytes.len() as u64;
            if self.gauge.as_ref().is_some_and(|gauge| !gauge.may_hold(held)) {
                return Err(too_far(&format!("a member of {}", self.archive)));
            }
        }
        self.held += bytes.len() as u64;
        Ok(Some(bytes))
    }

    fn begins(&mut self, size: u64) -> Result<(), ArchiveError> {
        if size >= MAX_SIZE {
            return Err(ArchiveError::Damaged(format!("a member claims {size} bytes")));
        }
        (self.left, self.padding) = (size, member::padding(size));
        Ok(())
    }

    /// The next header; none at the end blocks, or where the archive ends without them.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        let mut filled = 0;
        while filled < header.as_bytes().len() {
            match self.reader.read(&mut header.as_mut_bytes()[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.not_a_tar(&io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.not_a_tar(&error)),
            }
        }
        self.at += filled as u64;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut sum = header.clone();
        sum.set_cksum();
        match (sum.cksum(), header.cksum()) {
            (Ok(right), Ok(stated)) if right == stated => Ok(Some(header)),
            _ => Err(self.not_a_tar(&io::Error::other("a header has a wrong checksum"))),
        }
    }

    fn extension(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let size = self.left;
        let long = || ArchiveError::Damaged(format!("a member's name takes {size} bytes"));
        self.whole(MAX_EXTENSION)?.ok_or_else(long)
    }

    /// Name and size among PAX records, where they are there.
    fn pax(
        &mut self,
        mut name: Option<String>,
        mut size: Option<u64>,
    ) -> Result<(Option<String>, Option<u64>), ArchiveError> {
        let records = self.extension()?;
        for record in PaxExtensions::new(&records) {
            let record = record.map_err(|error| self.not_a_tar(&error))?;
            match record.key_bytes() {
                b"path" => name = Some(text(record.value_bytes())),
                b"size" => {
                    let bad = |_| ArchiveError::Damaged("a member's size is no number".to_owned());
                    size = Some(text(record.value_bytes()).parse().map_err(bad)?);
                }
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(sparse(name.as_deref().unwrap_or("a member")));
                }
                _ => {}
            }
        }
        Ok((name, size))
    }

    fn pass(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.at += bytes;
        (self.skip)(&mut self.reader, bytes).map_err(|error| self.not_a_tar(&error))
    }

    fn not_a_tar(&self, error: &io::Error) -> ArchiveError {
        let archive = &self.archive;
        if error.kind() == io::ErrorKind::UnexpectedEof && self.count > 0 {
            return ArchiveError::Damaged(format!("{archive} ends inside a member"));
        }
        ArchiveError::NotABundle(format!("{archive} is no readable tar: {error}"))
    }
}

impl<R: Read + Seek> Members<R> {
    /// For a file, in which content that nobody wants is passed over.
    pub(super) fn seekable(reader: R, archive: &Path) -> Self {
        Self::with(reader, archive, |reader, bytes| {
            reader.seek_relative(i64::try_from(bytes).map_err(io::Error::other)?)
        })
    }
}

/// Reads the content of one member.
pub(super) struct Content<'a, R>(&'a mut Members<R>);

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

fn sparse(name: &str) -> ArchiveError {
    ArchiveError::Damaged(format!("{name:?} is a sparse file, which no layout needs"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let mut found = Vec::new();
        let mut members = Members::new(bytes, Path::new("x.tar"));
        while let Some(member) = members.next()? {
            found.push((member.name, members.whole(u64::MAX)?.unwrap()));
        }
        Ok(found)
    }

    fn with(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        build(&mut builder);
        builder.into_inner().unwrap()
    }

    fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
    }

    #[test]
    fn long_names_of_both_dialects_are_read() {
        let long = format!("blobs/sha512/{}", "a".repeat(128));
        let gnu = with(|b| file(b, &long, b"one"));
        assert_eq!(names(&gnu).unwrap(), [(long.clone(), b"one".to_vec())]);
        let pax = with(|b| {
            b.append_pax_extensions([("path", long.as_bytes())]).unwrap();
            file(b, "short", b"two");
            file(b, "./next", b"three");
        });
        assert_eq!(names(&pax).unwrap(), [(long, b"two".to_vec()), ("next".to_owned(), b"three".to_vec())]);
    }

    #[test]
    fn sizes_beyond_8_gib_are_read_in_every_dialect() {
        let size = 9_u64 << 30;
        // As Python writes it: nothing in the header, all in the record.
        let pax = with(|b| {
            b.append_pax_extensions([("size", size.to_string().as_bytes())]).unwrap();
            file(b, "large", b"");
        });
        let mut gnu = Header::new_gnu();
        gnu.set_path("large").unwrap();
        gnu.set_size(size);
        gnu.set_cksum();
        let gnu = gnu.as_bytes().to_vec();
        for start in [&pax[..pax.len() - 1024], &gnu[..]] {
            let tail = with(|b| file(b, "next", b"x"));
            // Nobody reads 9 GiB of zeros for this: they are passed over without being there.
            let mut members = Members::with(start.chain(&tail[..]), Path::new("x.tar"), |reader, bytes| {
                let held = if bytes >= 8 << 30 { 0 } else { bytes };
                io::copy(&mut reader.take(held), &mut io::sink()).map(drop)
            });
            let large = members.next().unwrap().unwrap();
            assert_eq!((large.name.as_str(), large.size), ("large", size));
            assert_eq!(members.next().unwrap().unwrap().name, "next");
            assert_eq!(members.at, start.len() as u64 + size + 512);
            assert_eq!(members.next().unwrap(), None);
        }
    }

    #[test]
    fn other_members_are_passed_over_and_sparse_ones_refused() {
        let mixed = with(|b| {
            let mut global = Header::new_ustar();
            global.set_entry_type(EntryType::XGlobalHeader);
            let record = b"20 comment=whatever\n";
            global.set_size(record.len() as u64);
            b.append_data(&mut global, "pax_global_header", &record[..]).unwrap();
            for kind in [EntryType::Directory, EntryType::Symlink, EntryType::Fifo] {
                let mut header = Header::new_ustar();
                header.set_entry_type(kind);
                header.set_size(0);
                b.append_data(&mut header, "other", io::empty()).unwrap();
            }
            file(b, "file", b"content");
        });
        assert_eq!(names(&mixed).unwrap(), [("file".to_owned(), b"content".to_vec())]);
        let pax = with(|b| {
            b.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
            file(b, "holes", b"x");
        });
        let mut gnu = Header::new_gnu();
        gnu.set_entry_type(EntryType::GNUSparse);
        gnu.set_size(0);
        gnu.set_cksum();
        for bytes in [&pax[..], gnu.as_bytes()] {
            assert!(names(bytes).unwrap_err().to_string().contains("sparse"));
        }
    }

    #[test]
    fn no_cut_is_taken_for_the_end() {
        let tar = with(|b| {
            file(b, "a", &[1; 600]);
            file(b, "b", b"x");
        });
        // Whole members without end blocks are common enough.
        let ends = [0, 512 + 1024, 512 + 1024 + 1024];
        for len in 0..tar.len() - 1024 {
            assert_eq!(names(&tar[..len]).is_ok(), ends.contains(&len), "{len}");
        }
        let mut seeking = Members::seekable(io::Cursor::new(&tar), Path::new("x.tar"));
        let first = seeking.next().unwrap().unwrap();
        assert_eq!((first.at, seeking.next().unwrap().unwrap().at), (512, 512 + 1024 + 512));
    }

    #[test]
    fn a_name_that_would_fill_memory_is_refused() {
        for kind in [EntryType::GNULongName, EntryType::XHeader] {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(MAX_EXTENSION + 1);
            header.set_cksum();
            let bytes = header.as_bytes().chain(io::repeat(b'a').take(MAX_EXTENSION + 1));
            let error = Members::new(bytes, Path::new("x.tar")).next().unwrap_err();
            assert!(error.to_string().contains("name takes"), "{error}");
        }
    }
}
