//! Where the members of a layout are: in a folder, or in a tar of one, plain, gzip or zstd.
//!
//! A tar is read once to its last byte when it is opened, so that all problems with its members are known before
//! anything is sent. After that, a plain tar is read in place; a compressed one is read again from its start.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::compression::Packing;
use super::foreign_tar::{Member, Members, decompress};
use super::kind::Marks;
use super::listing::Listing;
use super::other_tools;
use crate::app::small_file;
use crate::archive::format::head::{self, Sum};
use crate::archive::hash::hash;
use crate::archive::{ArchiveError, FileInput, FormatError, Input};
use crate::image::{Algorithm, Digest};

/// Maximum size of a JSON member of a foreign archive, in bytes.
pub(in crate::archive) const MAX_JSON: u64 = 20 << 20;
pub(in crate::archive) const MAX_BUNDLE_JSON: u64 = 1 << 30;
pub(in crate::archive) const MAX_MANIFEST: u64 = 4 << 20;
pub(in crate::archive) const MAX_LAYOUT: u64 = 64 << 10;
/// Maximum size of all manifests of a foreign archive together, in bytes.
pub(in crate::archive) const MAX_MANIFESTS: u64 = 256 << 20;

/// Where the members are.
#[derive(Debug)]
pub(in crate::archive) enum Place {
    Folder(PathBuf),
    /// A plain tar, which is read in place.
    Tar {
        file: FileInput,
        listing: Listing,
    },
    /// A compressed tar, which can only be read from its start.
    Stream {
        path: PathBuf,
        packing: Packing,
        listing: Listing,
        small: SmallMembers,
    },
}

/// Small members that were kept during the first pass.
#[derive(Debug, Default)]
pub(in crate::archive) struct SmallMembers {
    whole: BTreeMap<&'static str, Vec<u8>>,
    /// Members that were too large to be kept.
    large: BTreeSet<&'static str>,
    /// Size and sha256 of all of them.
    digests: BTreeMap<&'static str, (u64, Digest)>,
}

impl SmallMembers {
    /// Names of members that are kept as a whole up to this size, and of members for which only the digest is needed.
    const KEPT: [(&'static str, u64); 7] = [
        (head::OCI_LAYOUT, MAX_LAYOUT),
        (head::INDEX, MAX_JSON),
        (head::BUNDLE, MAX_BUNDLE_JSON),
        (head::SIGNATURE, crate::archive::read::head_reader::MAX_SIGNATURE),
        (head::DOCKER, other_tools::MAX_DOCKER),
        (head::SHA256SUMS, 0),
        (head::SHA512SUMS, 0),
    ];

    /// Takes the current member, if it is wanted.
    pub(in crate::archive) fn take<R: Read>(
        &mut self,
        member: &Member,
        members: &mut Members<R>,
    ) -> Result<bool, ArchiveError> {
        let Some((name, cap)) = Self::KEPT.into_iter().find(|(name, _)| *name == member.name) else {
            return Ok(false);
        };
        let digest = if let Some(bytes) = members.whole(cap)? {
            let digest = Digest::sha256(&bytes);
            self.whole.insert(name, bytes);
            digest
        } else {
            self.large.insert(name);
            members.hash()?
        };
        self.digests.insert(name, (member.size, digest));
        Ok(true)
    }

    /// The member as a whole, once; none if it does not exist.
    pub(in crate::archive) fn whole(
        &mut self,
        name: &str,
        cap: u64,
    ) -> Result<Option<Vec<u8>>, ArchiveError> {
        if self.large.contains(name) { Err(too_large(name, cap)) } else { Ok(self.whole.remove(name)) }
    }

    pub(in crate::archive) fn has(&self, name: &str) -> bool {
        self.digests.contains_key(name)
    }

    pub(in crate::archive) fn digest(&self, name: &str) -> Sum {
        self.digests.get(name).copied()
    }
}

pub(in crate::archive) fn too_large(name: &str, cap: u64) -> ArchiveError {
    ArchiveError::Format(FormatError::Damaged(format!("{name} is larger than {cap} bytes")))
}

impl Place {
    pub(in crate::archive) fn open(path: &Path) -> Result<Self, ArchiveError> {
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let file = FileInput::open(path)?;
        let start = file.read_vec(0, usize::try_from(file.len().min(8)).unwrap_or(0))?;
        if let Some(error) = other_tools::compressed(path, &start) {
            return Err(error);
        }
        let (packing, mut listing) = (Packing::of(&start), Listing::default());
        if packing == Packing::Plain {
            let mut walk = Members::seekable(reader(path)?, path);
            while let Some(member) = walk.next_of_any_kind()? {
                listing.add(&member)?;
            }
            listing.leftover = walk.leftover().map(str::to_owned);
            return Ok(Self::Tar { file, listing });
        }
        let (mut walk, mut small) = (decompressed(path)?, SmallMembers::default());
        while let Some(member) = walk.next_of_any_kind()? {
            listing.add(&member)?;
            small.take(&member, &mut walk)?;
        }
        listing.leftover = walk.leftover().map(str::to_owned);
        Ok(Self::Stream { path: path.to_owned(), packing, listing, small })
    }

    /// Its container for the user: `folder`, or the usual suffix of such a file.
    pub(in crate::archive) fn name(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Tar { .. } => Packing::Plain.name(),
            Self::Stream { packing, .. } => packing.name(),
        }
    }

    /// Its members, if it was read once.
    pub(in crate::archive) fn listing(&self) -> Option<&Listing> {
        match self {
            Self::Folder(_) => None,
            Self::Tar { listing, .. } | Self::Stream { listing, .. } => Some(listing),
        }
    }

    /// The kind that its marks show.
    pub(in crate::archive) fn recognised(&mut self, path: &Path) -> Option<ArchiveError> {
        let docker = self.whole(head::DOCKER, other_tools::MAX_DOCKER).ok().flatten();
        match self.listing() {
            Some(listing) => other_tools::recognised(&listing.marks, path, docker.as_deref()),
            None => other_tools::recognised(&Marks::of_folder(path), path, docker.as_deref()),
        }
    }

    /// A small member as a whole, once.
    pub(in crate::archive) fn whole(
        &mut self,
        name: &str,
        cap: u64,
    ) -> Result<Option<Vec<u8>>, ArchiveError> {
        match self {
            Self::Stream { small, .. } => small.whole(name, cap),
            _ => self.read(name, cap),
        }
    }

    /// Size and sha256 of a small member.
    pub(in crate::archive) fn digest(&self, name: &str) -> Result<Sum, ArchiveError> {
        if let Self::Stream { small, .. } = self {
            return Ok(small.digest(name));
        }
        let Some(mut reader) = self.open_member(name)? else { return Ok(None) };
        hash(&mut reader, Algorithm::Sha256)
            .map(Some)
            .map_err(|error| ArchiveError::Format(FormatError::Damaged(format!("{name}: {error}"))))
    }

    /// A member that is read in place, as a whole. A compressed tar is not searched for it.
    pub(in crate::archive) fn read(&self, name: &str, cap: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let (reader, size): (Box<dyn Read + Send>, u64) = match self {
            Self::Folder(folder) => match open_inside(folder, name) {
                Ok(file) => {
                    let size = file.metadata().map_err(ArchiveError::io(&folder.join(name)))?.len();
                    (Box::new(file), size)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(ArchiveError::Io { path: folder.join(name), error }),
            },
            Self::Tar { listing, .. } => match (listing.file(name), self.open_member(name)?) {
                (Some((_, size)), Some(reader)) => (reader, size),
                _ => return Ok(None),
            },
            Self::Stream { .. } => return Ok(None),
        };
        if size > cap {
            return Err(too_large(name, cap));
        }
        // Allocated once at full size, because it may be large.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let read = reader.take(cap + 1).read_to_end(&mut bytes);
        read.map_err(|error| ArchiveError::Format(FormatError::Damaged(format!("{name}: {error}"))))?;
        if bytes.len() as u64 > cap { Err(too_large(name, cap)) } else { Ok(Some(bytes)) }
    }

    /// The content of a member.
    pub(in crate::archive) fn open_member(
        &self,
        name: &str,
    ) -> Result<Option<Box<dyn Read + Send>>, ArchiveError> {
        match self {
            Self::Folder(folder) => match open_inside(folder, name) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(ArchiveError::Io { path: folder.join(name), error }),
            },
            Self::Tar { file, listing } => {
                let Some((at, len)) = listing.file(name) else {
                    return Ok(None);
                };
                let mut reader = file.reader()?;
                io::Seek::seek(&mut reader, io::SeekFrom::Start(at))
                    .map_err(|error| ArchiveError::Io { path: PathBuf::from(file.name()), error })?;
                Ok(Some(Box::new(reader.take(len))))
            }
            Self::Stream { path, listing, .. } => match listing.file(name) {
                Some(_) => find_in_stream(path, name),
                None => Ok(None),
            },
        }
    }

    /// Whether it has a file or any other entry with this name.
    pub(in crate::archive) fn has_file(&self, name: &str) -> bool {
        match self {
            Self::Folder(folder) => folder.join(name).symlink_metadata().is_ok(),
            Self::Tar { listing, .. } | Self::Stream { listing, .. } => listing.file(name).is_some(),
        }
    }

    /// Whether it has a blob.
    pub(in crate::archive) fn has(&self, digest: &Digest) -> bool {
        match self {
            Self::Folder(folder) => open_inside(folder, &digest.layout_path()).is_ok(),
            Self::Tar { listing, .. } | Self::Stream { listing, .. } => listing.has(digest),
        }
    }

    /// Adds the existing manifests among `wanted` to `found`, after comparing their digests.
    pub(in crate::archive) fn manifests(
        &self,
        wanted: &HashSet<Digest>,
        budget: &mut Budget,
        found: &mut HashMap<Digest, Bytes>,
    ) -> Result<(), ArchiveError> {
        let Self::Stream { path, listing, .. } = self else {
            for digest in wanted {
                if let Some(bytes) = self.read(&digest.layout_path(), MAX_MANIFEST)? {
                    found.insert(*digest, budget.manifest(digest, bytes)?);
                }
            }
            return Ok(());
        };
        let mut left = wanted.iter().filter(|digest| listing.has(digest)).count();
        let mut members = decompressed(path)?;
        while left > 0
            && let Some(member) = members.next()?
        {
            let digest = Digest::from_layout_path(&member.name).filter(|digest| wanted.contains(digest));
            if let Some(digest) = digest {
                let bytes = members.whole(MAX_MANIFEST)?;
                let bytes = bytes.ok_or_else(|| too_large(&member.name, MAX_MANIFEST))?;
                found.insert(digest, budget.manifest(&digest, bytes)?);
                left -= 1;
            }
        }
        Ok(())
    }
}

/// Bytes that the manifests of one archive may still have together.
#[derive(Debug)]
pub(in crate::archive) struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_MANIFESTS)
    }
}

impl Budget {
    /// Accepts `bytes`, which must have the digest `digest`.
    pub(in crate::archive) fn manifest(
        &mut self,
        digest: &Digest,
        bytes: Vec<u8>,
    ) -> Result<Bytes, ArchiveError> {
        self.0 = self.0.checked_sub(bytes.len() as u64).ok_or_else(|| {
            let most = MAX_MANIFESTS >> 20;
            ArchiveError::Format(FormatError::Damaged(format!(
                "its manifests are larger than {most} MiB together"
            )))
        })?;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual == *digest {
            return Ok(bytes.into());
        }
        Err(ArchiveError::Format(FormatError::Damaged(format!("{digest}: the content has digest {actual}"))))
    }
}

/// Opens a regular file below `folder`: not a pipe, which might never end, and not a link, which might lead outside.
fn open_inside(folder: &Path, name: &str) -> io::Result<File> {
    let (root, path) = (folder.canonicalize()?, folder.join(name).canonicalize()?);
    if !path.starts_with(&root) || !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file inside the folder"));
    }
    small_file::regular(&path)
}

/// A member of a compressed tar, read from the start of the file on a thread of its own.
fn find_in_stream(path: &Path, name: &str) -> Result<Option<Box<dyn Read + Send>>, ArchiveError> {
    let (reader, mut writer) = io::pipe().map_err(ArchiveError::io(path))?;
    let (path, name) = (path.to_owned(), name.to_owned());
    let (found, is_found) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let search = || {
            let mut members = decompressed(&path)?;
            while let Some(member) = members.next()? {
                if member.name == name {
                    return Ok(Some(members));
                }
            }
            Ok(None)
        };
        match search() {
            Ok(Some(mut members)) => {
                let _ = found.send(Ok(true));
                // A copy that ends too early is noticed by the reader as a wrong size and digest.
                let _ = io::copy(&mut members.content(), &mut writer);
            }
            Ok(None) => drop(found.send(Ok(false))),
            Err(error) => drop(found.send(Err(error))),
        }
    });
    match is_found.recv() {
        Ok(Ok(true)) => Ok(Some(Box::new(reader))),
        Ok(Ok(false)) => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ArchiveError::Invariant("the reading thread is gone")),
    }
}

fn reader(path: &Path) -> Result<BufReader<File>, ArchiveError> {
    Ok(BufReader::new(small_file::regular(path).map_err(ArchiveError::io(path))?))
}

/// The members of the compressed tar at `path`.
pub(in crate::archive) fn decompressed(path: &Path) -> Result<Members<Box<dyn Read + Send>>, ArchiveError> {
    decompress(reader(path)?, path)
}
