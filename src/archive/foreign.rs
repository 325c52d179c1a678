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
use serde_json::Value;

use super::contents::{self, Contents, Manifests, Root};
use super::foreign_tar::{each_member, not_a_tar};
use super::holdings::{ContentPieces, Holdings, StreamEvent, StreamSink};
use super::manifest::{
    BundleManifest, CatalogRecord, FORMAT_REVISION, ImageRow, MEDIA_TYPE, PROFILE, SCHEMA_VERSION,
};
use super::{ArchiveError, Input, derived};
use crate::image::{Descriptor, Digest, ManifestKind, ParsedManifest, Platform, Reference, media_type};

/// JSON members of a foreign archive, in bytes.
const MAX_JSON: u64 = 20 << 20;
const MAX_BUNDLE_JSON: u64 = 1 << 30;
const MAX_MANIFEST: u64 = 4 << 20;
/// All manifests of a foreign archive together, in bytes.
const MAX_MANIFESTS: u64 = 256 << 20;
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
}

impl ForeignLayout {
    /// Opens `path`. `name` is for an image that has none of its own.
    pub fn open(path: &Path, name: Option<&Reference>) -> Result<Self, ArchiveError> {
        let place = Place::open(path)?;
        let index = place.read("index.json", MAX_JSON)?;
        let index = index.ok_or_else(|| {
            ArchiveError::NotABundle(format!(
                "there is neither bundle.json nor index.json in {}",
                path.display()
            ))
        })?;
        let parsed = ParsedManifest::of(&index, Some(media_type::OCI_INDEX))
            .map_err(|error| ArchiveError::Json("index.json", error.to_string()))?;
        let mut manifests = HashMap::new();
        place.manifests(&parsed.manifests, &mut manifests)?;
        let own = place.read("bundle.json", MAX_BUNDLE_JSON)?;
        let id = own.as_deref().map(Digest::sha256);
        let bundle = match own {
            Some(own) => unpacked(&own, &index, &manifests)?,
            None => describe(&parsed, &manifests, name)?,
        };
        Ok(Self { path: path.to_owned(), place, manifests, bundle, id })
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
        Ok(Box::new(Pieces { reader, path: self.path.clone(), done: false }))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn id(&self) -> Option<Digest> {
        self.id
    }

    fn is_sequential(&self) -> bool {
        matches!(self.place, Place::Stream(_))
    }

    fn stream(&self, sink: &mut StreamSink<'_>) -> Result<(), ArchiveError> {
        each_member(decompressed(&self.path)?, &self.path, &mut |name, entry| {
            let digest =
                Digest::from_layout_path(&name).filter(|digest| !self.manifests.contains_key(digest));
            let Some(digest) = digest else { return Ok(false) };
            sink(StreamEvent::Begin(digest))?;
            for piece in (Pieces { reader: entry, path: self.path.clone(), done: false }) {
                sink(StreamEvent::Piece(piece?))?;
            }
            sink(StreamEvent::End)?;
            Ok(false)
        })?;
        Ok(())
    }
}

struct Pieces<R> {
    reader: R,
    path: PathBuf,
    done: bool,
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
        if start.starts_with(&[0x1f, 0x8b]) || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Ok(Self::Stream(path.to_owned()));
        }
        let mut members = HashMap::new();
        let reader = BufReader::new(File::open(path).map_err(ArchiveError::io(path))?);
        each_member(reader, path, &mut |name, entry| {
            members.entry(name).or_insert((entry.raw_file_position(), entry.size()));
            Ok(false)
        })?;
        Ok(Self::Tar { file, members })
    }

    /// A small member as a whole.
    fn read(&self, name: &str, cap: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(reader) = self.open_member(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        reader
            .take(cap + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| ArchiveError::Damaged(format!("{name}: {e}")))?;
        if bytes.len() as u64 > cap {
            return Err(ArchiveError::Damaged(format!("{name} is larger than {cap} bytes")));
        }
        Ok(Some(bytes))
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
        each_member(decompressed(path)?, path, &mut |name, entry| {
            let digest = Digest::from_layout_path(&name).filter(|digest| digests.contains(digest));
            if let Some(digest) = digest.filter(|_| entry.size() <= MAX_MANIFEST) {
                let mut bytes = Vec::new();
                entry.take(MAX_MANIFEST).read_to_end(&mut bytes).map_err(|e| not_a_tar(path, &e))?;
                keep(&digest, bytes)?;
            }
            Ok(false)
        })?;
        Ok(found)
    }
}

/// A regular file below `folder`: no pipe that would never end, no link that leads out.
fn open_inside(folder: &Path, name: &str) -> io::Result<File> {
    let (root, path) = (folder.canonicalize()?, folder.join(name).canonicalize()?);
    if !path.starts_with(&root) || !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file inside the folder"));
    }
    File::open(path)
}

/// A member of a compressed tar, read from the start of the file on a thread of its own.
fn find_in_stream(path: &Path, name: &str) -> Result<Option<Box<dyn Read + Send>>, ArchiveError> {
    let (reader, mut writer) = io::pipe().map_err(ArchiveError::io(path))?;
    let (path, name) = (path.to_owned(), name.to_owned());
    let (found, is_found) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut sent = false;
        let result = decompressed(&path).and_then(|reader| {
            each_member(reader, &path, &mut |member, entry| {
                if member != name {
                    return Ok(false);
                }
                sent = true;
                let _ = found.send(Ok(true));
                // A short copy shows as a wrong size and digest at the reader.
                let _ = io::copy(entry, &mut writer);
                Ok(true)
            })
        });
        if !sent {
            let _ = found.send(result.map(|()| false));
        }
    });
    match is_found.recv() {
        Ok(Ok(true)) => Ok(Some(Box::new(reader))),
        Ok(Ok(false)) => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ArchiveError::Invariant("the reading thread is gone")),
    }
}

fn decompressed(path: &Path) -> Result<Box<dyn Read + Send>, ArchiveError> {
    let mut file = BufReader::new(File::open(path).map_err(ArchiveError::io(path))?);
    let start = io::BufRead::fill_buf(&mut file).map_err(ArchiveError::io(path))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file)));
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(ArchiveError::Zstd)?;
    // 128 MiB: what every stock zstd accepts without a flag.
    decoder.window_log_max(27).map_err(ArchiveError::Zstd)?;
    Ok(Box::new(decoder))
}

/// A bundle of this program that was unpacked, or packed by another tool: its own manifest, which must fit the index.
fn unpacked(
    own: &[u8],
    index: &[u8],
    manifests: &HashMap<Digest, Bytes>,
) -> Result<BundleManifest, ArchiveError> {
    let bundle = BundleManifest::from_bytes(own)?;
    if derived::index_json(&bundle)? != index {
        return Err(ArchiveError::Damaged("index.json is not the one that bundle.json implies".to_owned()));
    }
    contents::prove(&bundle, manifests)?;
    Ok(bundle)
}

/// What the index and the manifests say, in the terms of a bundle.
fn describe(
    index: &ParsedManifest,
    manifests: &HashMap<Digest, Bytes>,
    name: Option<&Reference>,
) -> Result<BundleManifest, ArchiveError> {
    let roots: Vec<&Descriptor> =
        index.manifests.iter().filter(|d| media_type::is_manifest(&d.media_type)).collect();
    let (mut images, mut used) = (Vec::new(), false);
    for root in &roots {
        // A given name is for the one image there is: of several, nobody could tell which.
        let given = name.filter(|_| roots.len() == 1).cloned();
        used |= given.is_some();
        let Some(name) = given.or_else(|| name_of(root)) else {
            // Signatures and the like stand beside images without a name. Some tools call images artifacts of the
            // type of their config: those are images.
            let type_of_image = |t: &str| matches!(t, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG);
            if root.artifact_type.as_deref().is_some_and(|t| !type_of_image(t)) {
                continue;
            }
            return Err(ArchiveError::Nameless(root.digest));
        };
        let parsed = manifests.get(&root.digest).map(|b| ParsedManifest::of(b, Some(&root.media_type)));
        let parsed = parsed.ok_or(ArchiveError::MissingManifest(root.digest))?;
        let parsed = parsed.map_err(|e| ArchiveError::Damaged(format!("{}: {e}", root.digest)))?;
        if images.iter().any(|image: &ImageRow| image.name == name) {
            return Err(ArchiveError::Damaged(format!("the name {name} is there twice")));
        }
        images.push(ImageRow {
            artifact_type: None,
            digest: root.digest,
            entries: Vec::new(),
            media_type: parsed.media_type.clone(),
            name: name.clone(),
            platforms: platforms(&parsed),
            size: root.size,
            source: name,
        });
    }
    if let Some(name) = name.filter(|_| !used) {
        return Err(ArchiveError::NameUnused(name.to_string()));
    }
    if images.is_empty() {
        return Err(match roots.first() {
            Some(root) => ArchiveError::Nameless(root.digest),
            None => ArchiveError::NotABundle("its index.json lists no image".to_owned()),
        });
    }
    let root = |image: &ImageRow| Root {
        digest: image.digest,
        media_type: image.media_type.clone(),
        size: image.size,
    };
    let contents = Contents::collect(&images.iter().map(root).collect::<Vec<_>>(), manifests, &|_| false)?;
    if let Some(fault) = contents.faults.first() {
        return Err(ArchiveError::Damaged(format!("{}: {}", images[fault.root].name, fault.why)));
    }
    for (image, size) in images.iter_mut().zip(&contents.sizes) {
        image.size = *size;
    }
    Ok(BundleManifest {
        artifacts: Vec::new(),
        blobs: contents.blobs,
        catalog: CatalogRecord::default(),
        extensions: std::collections::BTreeMap::new(),
        format_revision: FORMAT_REVISION,
        images,
        media_type: MEDIA_TYPE.to_owned(),
        platforms: Vec::new(),
        profile: PROFILE.to_owned(),
        requires: None,
        schema_version: SCHEMA_VERSION,
    })
}

/// The full name in an index entry. Tag-only names say nothing about the repository and do not count.
fn name_of(root: &Descriptor) -> Option<Reference> {
    let annotation = |key: &str| root.annotations.get(key).and_then(Value::as_str);
    let full = |text: &&str| text.contains('/') || text.contains('@');
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
        .into_iter()
        .filter_map(annotation)
        .filter(full)
        .find_map(|text| text.parse().ok())
}

fn platforms(parsed: &ParsedManifest) -> Vec<String> {
    if parsed.kind != ManifestKind::Index {
        return Vec::new();
    }
    let known = parsed.manifests.iter().filter_map(|child| child.platform.as_ref());
    known.filter(|p: &&Platform| !p.is_unknown()).map(ToString::to_string).collect()
}

impl<S: std::hash::BuildHasher> Manifests for HashMap<Digest, Bytes, S> {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.get(digest).cloned().ok_or(ArchiveError::MissingManifest(*digest))
    }
}
