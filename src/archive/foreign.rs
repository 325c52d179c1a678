//! OCI layouts that other tools made: a folder, or a tar of one, plain, gzip or zstd.
//!
//! Read leniently, as tools differ: `./` before names, extra files, names in either annotation. Every manifest is
//! compared with its digest before it is believed; blobs are compared where they are sent. Nothing is unpacked: a
//! plain tar is read in place, a compressed one is read anew for each blob.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::contents::Manifests;
use super::described::{describe, unpacked};
use super::expansion::{Counted, Expanding, Gauge};
use super::foreign_tar::Members;
use super::head_reader::MAX_SIGNATURE;
use super::holdings::{ContentPieces, Holdings, StreamEvent, StreamSink};
use super::manifest::{BundleManifest, MAX_HEAD_CONFIG};
use super::{ArchiveError, Input, frame};
use crate::app::small_file;
use crate::image::{Descriptor, Digest, ParsedManifest, Reference, media_type};
use crate::signing::Trust;

/// JSON members of a foreign archive, in bytes.
pub(super) const MAX_JSON: u64 = 20 << 20;
pub(super) const MAX_BUNDLE_JSON: u64 = 1 << 30;
pub(super) const MAX_MANIFEST: u64 = 4 << 20;
/// All manifests of a foreign archive together, in bytes.
pub(super) const MAX_MANIFESTS: u64 = 256 << 20;
/// What every stock zstd accepts without a flag, in bytes.
const MAX_WINDOW: u64 = 128 << 20;
/// Content is handed over in pieces of this size.
const PIECE: usize = 1 << 20;

/// Where the members are.
#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    /// A plain tar: offset and length of each member.
    Tar {
        file: super::FileInput,
        members: HashMap<String, (u64, u64)>,
    },
    /// A compressed tar: it has to be read from its start.
    Stream(PathBuf),
}

#[derive(Debug)]
pub struct ForeignLayout {
    path: PathBuf,
    place: Place,
    manifests: HashMap<Digest, Bytes>,
    bundle: BundleManifest,
    /// Set for a bundle of this program that was unpacked, or packed by another tool.
    id: Option<Digest>,
    signature: Option<Vec<u8>>,
}

impl ForeignLayout {
    /// Opens `path`. `name` is for an image that has none of its own.
    pub fn open(path: &Path, name: Option<&Reference>) -> Result<Self, ArchiveError> {
        Self::open_trusted(path, name, &Trust::default())
    }

    /// The same, if `trust` lets it in.
    pub fn open_trusted(path: &Path, name: Option<&Reference>, trust: &Trust) -> Result<Self, ArchiveError> {
        let place = Place::open(path)?;
        let own = place.read("bundle.json", MAX_BUNDLE_JSON)?;
        let signature = match &own {
            Some(own) => {
                let signature = place.read("bundle.json.sig", MAX_SIGNATURE)?;
                trust.check(own, signature.as_deref())?;
                signature
            }
            None => None,
        };
        let index = place.read("index.json", MAX_JSON)?;
        let index = index.ok_or_else(|| {
            ArchiveError::NotABundle(format!(
                "there is neither bundle.json nor index.json in {}",
                path.display()
            ))
        })?;
        if own.is_none() {
            trust.check_foreign()?;
        }
        let parsed = ParsedManifest::of(&index, Some(media_type::OCI_INDEX))
            .map_err(|error| ArchiveError::Json("index.json", error.to_string()))?;
        let mut manifests = HashMap::new();
        place.manifests(&parsed.manifests, &mut manifests)?;
        let id = own.as_deref().map(Digest::sha256);
        let small = SmallBlobs { manifests: &manifests, place: &place };
        let bundle = match own {
            Some(own) => unpacked(&own, &index, &small)?,
            None => describe(&parsed, &manifests, &small, name)?,
        };
        Ok(Self { path: path.to_owned(), place, manifests, bundle, id, signature })
    }
}

/// The manifests of a layout that is being opened, and its configs where they can be read without a pass over the whole.
struct SmallBlobs<'a> {
    manifests: &'a HashMap<Digest, Bytes>,
    place: &'a Place,
}

impl Manifests for SmallBlobs<'_> {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        if let Some(bytes) = self.manifests.get(digest) {
            return Ok(bytes.clone());
        }
        let missing = ArchiveError::MissingManifest(*digest);
        if matches!(self.place, Place::Stream(_)) {
            return Err(missing);
        }
        let bytes = self.place.read(&digest.layout_path(), MAX_HEAD_CONFIG)?.ok_or(missing)?;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            return Err(ArchiveError::Damaged(format!("{digest}: the content has digest {actual}")));
        }
        Ok(bytes.into())
    }
}

impl Manifests for ForeignLayout {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.manifests.get(digest).cloned().ok_or(ArchiveError::MissingManifest(*digest))
    }
}

impl Holdings for ForeignLayout {
    fn bundle(&self) -> &BundleManifest {
        &self.bundle
    }

    fn open(&self, digest: &Digest, from: u64) -> Result<ContentPieces, ArchiveError> {
        let reader = self.place.open_member(&digest.layout_path())?;
        let mut reader =
            reader.ok_or_else(|| ArchiveError::Damaged(format!("{digest} is not in the archive")))?;
        let at = ArchiveError::io(&self.path);
        let skipped = io::copy(&mut (&mut reader).take(from), &mut io::sink()).map_err(at)?;
        if skipped != from {
            return Err(ArchiveError::Damaged(format!("{digest} is shorter than its descriptor says")));
        }
        Ok(Box::new(Pieces::new(reader, &self.path)))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn id(&self) -> Option<Digest> {
        self.id
    }

    fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    fn is_sequential(&self) -> bool {
        matches!(self.place, Place::Stream(_))
    }

    fn stream(&self, sink: &mut StreamSink<'_>) -> Result<(), ArchiveError> {
        let mut members = decompressed(&self.path)?;
        while let Some(member) = members.next()? {
            let digest = Digest::from_layout_path(&member.name);
            if let Some(digest) = digest.filter(|digest| !self.manifests.contains_key(digest)) {
                stream_member(digest, members.content(), &self.path, sink)?;
            }
        }
        Ok(())
    }
}

/// Gives one blob to `sink`.
pub(super) fn stream_member(
    digest: Digest,
    content: impl Read,
    path: &Path,
    sink: &mut StreamSink<'_>,
) -> Result<(), ArchiveError> {
    sink(StreamEvent::Begin(digest))?;
    for piece in Pieces::new(content, path) {
        sink(StreamEvent::Piece(piece?))?;
    }
    sink(StreamEvent::End)
}

/// The content of a reader in pieces.
pub(super) struct Pieces<R> {
    reader: R,
    path: PathBuf,
    done: bool,
}

impl<R> Pieces<R> {
    pub(super) fn new(reader: R, path: &Path) -> Self {
        Self { reader, path: path.to_owned(), done: false }
    }
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = Result<Bytes, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let mut piece = Vec::new();
        match (&mut self.reader).take(PIECE as u64).read_to_end(&mut piece) {
            Ok(0) => None,
            Ok(_) => Some(Ok(piece.into())),
            Err(error) => {
                self.done = true;
                Some(Err(ArchiveError::Io { path: self.path.clone(), error }))
            }
        }
    }
}

impl Place {
    fn open(path: &Path) -> Result<Self, ArchiveError> {
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let file = super::FileInput::open(path)?;
        let start = file.read_vec(0, usize::try_from(file.len().min(4)).unwrap_or(0))?;
        if start.starts_with(&[0x1f, 0x8b]) || start.starts_with(&frame::ZSTD_MAGIC) {
            return Ok(Self::Stream(path.to_owned()));
        }
        let mut members = HashMap::new();
        let reader = BufReader::new(small_file::regular(path).map_err(ArchiveError::io(path))?);
        let mut walk = Members::seekable(reader, path);
        while let Some(member) = walk.next()? {
            members.entry(member.name).or_insert((member.at, member.size));
        }
        Ok(Self::Tar { file, members })
    }

    /// A small member as a whole.
    fn read(&self, name: &str, cap: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let too_large = || ArchiveError::Damaged(format!("{name} is larger than {cap} bytes"));
        if let Self::Stream(path) = self {
            let mut members = decompressed(path)?;
            while let Some(member) = members.next()? {
                if member.name == name {
                    return members.whole(cap)?.ok_or_else(too_large).map(Some);
                }
            }
            return Ok(None);
        }
        let Some(reader) = self.open_member(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        reader
            .take(cap + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| ArchiveError::Damaged(format!("{name}: {e}")))?;
        if bytes.len() as u64 > cap { Err(too_large()) } else { Ok(Some(bytes)) }
    }

    fn open_member(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, ArchiveError> {
        match self {
            Self::Folder(folder) => match open_inside(folder, name) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(ArchiveError::Io { path: folder.join(name), error }),
            },
            Self::Tar { file, members } => {
                let Some(&(at, len)) = members.get(name) else {
                    return Ok(None);
                };
                let mut reader = file.reader()?;
                io::Seek::seek(&mut reader, io::SeekFrom::Start(at))
                    .map_err(|error| ArchiveError::Io { path: PathBuf::from(file.name()), error })?;
                Ok(Some(Box::new(reader.take(len))))
            }
            Self::Stream(path) => find_in_stream(path, name),
        }
    }

    /// Reads the manifests below `descriptors` level by level; a compressed tar is read once per level.
    fn manifests(
        &self,
        descriptors: &[Descriptor],
        found: &mut HashMap<Digest, Bytes>,
    ) -> Result<(), ArchiveError> {
        let mut level: Vec<Descriptor> = descriptors.to_vec();
        let (mut seen, mut budget) = (HashSet::new(), MAX_MANIFESTS);
        for _ in 0..=super::MAX_DEPTH {
            level.retain(|d| media_type::is_manifest(&d.media_type) && seen.insert(d.digest));
            if level.is_empty() {
                return Ok(());
            }
            let bytes = self.read_all(&level, &mut budget)?;
            let mut next = Vec::new();
            for descriptor in &level {
                let Some(bytes) = bytes.get(&descriptor.digest) else {
                    return Err(ArchiveError::MissingManifest(descriptor.digest));
                };
                let parsed = ParsedManifest::of(bytes, Some(&descriptor.media_type))
                    .map_err(|error| ArchiveError::Damaged(format!("{}: {error}", descriptor.digest)))?;
                next.extend(parsed.manifests);
            }
            found.extend(bytes);
            level = next;
        }
        Err(ArchiveError::Damaged("indexes are nested too deep".to_owned()))
    }

    fn read_all(
        &self,
        wanted: &[Descriptor],
        budget: &mut u64,
    ) -> Result<HashMap<Digest, Bytes>, ArchiveError> {
        let mut found = HashMap::new();
        let mut keep = |digest: &Digest, bytes: Vec<u8>| {
            *budget = budget.checked_sub(bytes.len() as u64).ok_or_else(|| {
                ArchiveError::Damaged(format!(
                    "its manifests are larger than {} MiB together",
                    MAX_MANIFESTS >> 20
                ))
            })?;
            let actual = Digest::of(digest.algorithm(), &bytes);
            if actual != *digest {
                return Err(ArchiveError::Damaged(format!("{digest}: the content has digest {actual}")));
            }
            found.insert(*digest, Bytes::from(bytes));
            Ok(())
        };
        let Self::Stream(path) = self else {
            for descriptor in wanted {
                if let Some(bytes) = self.read(&descriptor.digest.layout_path(), MAX_MANIFEST)? {
                    keep(&descriptor.digest, bytes)?;
                }
            }
            return Ok(found);
        };
        let digests: HashSet<Digest> = wanted.iter().map(|d| d.digest).collect();
        let mut members = decompressed(path)?;
        while let Some(member) = members.next()? {
            let digest = Digest::from_layout_path(&member.name).filter(|digest| digests.contains(digest));
            if let Some(digest) = digest
                && let Some(bytes) = members.whole(MAX_MANIFEST)?
            {
                keep(&digest, bytes)?;
            }
        }
        Ok(found)
    }
}

/// A regular file below `folder`: no pipe that would never end, no link that leads out.
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
                // A short copy shows as a wrong size and digest at the reader.
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

fn decompressed(path: &Path) -> Result<Members<Box<dyn Read + Send>>, ArchiveError> {
    decompress(BufReader::new(small_file::regular(path).map_err(ArchiveError::io(path))?), path)
}

/// The members of the tar in `input`: gzip, zstd, or plain.
pub(super) fn decompress(
    input: impl io::BufRead + Send + 'static,
    path: &Path,
) -> Result<Members<Box<dyn Read + Send>>, ArchiveError> {
    let (content, gauge) = content_of(input, path)?;
    Ok(Members::new(content, path).gauged(gauge))
}

/// The content of `input`: gzip, zstd, or plain. Compressed content is measured against what it expands from.
pub(super) fn content_of(
    mut input: impl io::BufRead + Send + 'static,
    path: &Path,
) -> Result<(Box<dyn Read + Send>, Option<Gauge>), ArchiveError> {
    let start = input.fill_buf().map_err(ArchiveError::io(path))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        let (input, gauge) = Counted::new(input);
        let content = Expanding::new(flate2::bufread::MultiGzDecoder::new(input), gauge.clone());
        return Ok((Box::new(content), Some(gauge)));
    }
    if !start.starts_with(&frame::ZSTD_MAGIC) {
        return Ok((Box::new(input), None));
    }
    if let Some(header) = frame::FrameHeader::parse(start).filter(|header| header.window > MAX_WINDOW) {
        return Err(ArchiveError::Window { path: path.to_owned(), mib: header.window >> 20 });
    }
    let (input, gauge) = Counted::new(input);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(ArchiveError::Zstd)?;
    decoder.window_log_max(MAX_WINDOW.ilog2()).map_err(ArchiveError::Zstd)?;
    let content = Expanding::new(decoder, gauge.clone());
    Ok((Box::new(content), Some(gauge)))
}

impl<S: std::hash::BuildHasher + Sync> Manifests for HashMap<Digest, Bytes, S> {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.get(digest).cloned().ok_or(ArchiveError::MissingManifest(*digest))
    }
}
