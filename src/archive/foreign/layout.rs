//! OCI layouts made by other tools, and bundles in another container: a folder, or a tar of one, plain, gzip or zstd.
//!
//! Layouts of other tools are read leniently: `./` before names, extra files, names in either annotation. A bundle must
//! have exactly its own members ([`super::repacked`]). Every manifest is compared with its digest before it is trusted;
//! blobs are compared when they are sent. Nothing is unpacked: a plain tar is read in place, and a compressed tar is
//! read again for each blob.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use super::compression::content_error;
use super::foreign_index::{Chosen, Described, LayoutOptions, describe};
use super::listing::Listing;
use super::place::{Budget, MAX_BUNDLE_JSON, MAX_JSON, MAX_LAYOUT, Place, decompressed};
use super::platforms::Known;
use super::{repacked, verify_layout};
use crate::archive::format::head::{self, Derived};
use crate::archive::format::manifest_source::Manifests;
use crate::archive::format::proof;
use crate::archive::image_store::{ContentPieces, ImageStore, StreamEvent, StreamSink};
use crate::archive::manifest::{BundleManifest, MAX_HEAD_CONFIG};
use crate::archive::read::head_reader::MAX_SIGNATURE;
use crate::archive::read::problem::Problem;
use crate::archive::{ArchiveError, FormatError, MAX_DEPTH};
use crate::image::{Descriptor, Digest, ParsedManifest, Reference, layout_version, media_type};
use crate::signing::Trust;

/// Content is passed on in pieces of this size.
const PIECE: usize = 1 << 20;
/// The supported version of the OCI image layout.
const LAYOUT_VERSION: &str = "1.0.0";

#[derive(Debug)]
pub struct ForeignLayout {
    path: PathBuf,
    place: Place,
    manifests: HashMap<Digest, Bytes>,
    bundle: BundleManifest,
    chosen: Vec<Chosen>,
    notes: Vec<String>,
    /// Set for a bundle of this program that was unpacked, or packed by another tool.
    id: Option<Digest>,
    signature: Option<Vec<u8>>,
}

impl ForeignLayout {
    /// Opens `path`. `name` is for an image without its own name.
    pub fn open(path: &Path, name: Option<&Reference>) -> Result<Self, ArchiveError> {
        let options = LayoutOptions { name: name.cloned(), ..LayoutOptions::default() };
        Self::open_trusted(path, &options, &Trust::default())
    }

    /// Like [`Self::open`], if `trust` accepts it.
    pub fn open_trusted(path: &Path, options: &LayoutOptions, trust: &Trust) -> Result<Self, ArchiveError> {
        let mut place = Place::open(path)?;
        let mut of_folder = None;
        if let Place::Folder(folder) = &place
            && place.has_file(head::BUNDLE)
        {
            of_folder = Some(Listing::of_folder(folder)?);
        }
        let members = of_folder.as_ref().or(place.listing()).map_or(0, Listing::len);
        match place.whole(head::BUNDLE, repacked::own_cap(members, MAX_BUNDLE_JSON))? {
            Some(own) => {
                options.refuse_for_bundle()?;
                Self::bundle(path, place, of_folder.as_ref(), own, trust)
            }
            None => Self::layout(path, place, options, trust),
        }
    }

    /// A bundle in another container.
    fn bundle(
        path: &Path,
        mut place: Place,
        of_folder: Option<&Listing>,
        own: Vec<u8>,
        trust: &Trust,
    ) -> Result<Self, ArchiveError> {
        let signature = place.whole(head::SIGNATURE, MAX_SIGNATURE)?;
        trust.check(&own, signature.as_deref())?;
        let (id, bundle) = (Digest::sha256(&own), BundleManifest::from_bytes(&own)?);
        drop(own);
        let listing =
            of_folder.or(place.listing()).ok_or(ArchiveError::Invariant("a place without a list"))?;
        listing.refuse_strangers()?;
        let mut manifests = HashMap::new();
        place.manifests(&repacked::manifests(&bundle), &mut Budget::default(), &mut manifests)?;
        proof::prove(&bundle, &SmallBlobs { manifests: &manifests, place: &place })?;
        repacked::refuse_others(&bundle, &place, listing)?;
        let derived = Derived::of(&bundle, id, signature.as_deref(), &manifests)?;
        repacked::check_derived(&derived, &|name| place.digest(name), false)?;
        let (path, id) = (path.to_owned(), Some(id));
        Ok(Self { path, place, manifests, bundle, chosen: Vec::new(), notes: Vec::new(), id, signature })
    }

    /// A layout of another tool.
    fn layout(
        path: &Path,
        mut place: Place,
        options: &LayoutOptions,
        trust: &Trust,
    ) -> Result<Self, ArchiveError> {
        let Some(index) = place.whole(head::INDEX, MAX_JSON)? else {
            return Err(place.recognised(path).unwrap_or_else(|| {
                let path = path.display();
                ArchiveError::Format(FormatError::NotABundle(format!(
                    "there is neither bundle.json nor index.json in {path}"
                )))
            }));
        };
        trust.check_foreign()?;
        let mut notes = Vec::new();
        check_version(place.whole(head::OCI_LAYOUT, MAX_LAYOUT)?.as_deref(), &mut notes)?;
        notes.extend(place.listing().and_then(|listing| listing.leftover.as_deref()).map(ignored));
        let parsed = ParsedManifest::of(&index, Some(media_type::OCI_INDEX))
            .map_err(|error| ArchiveError::Format(FormatError::Json("index.json", error.to_string())))?;
        drop(index);
        let manifests = manifests_below(&place, &parsed.manifests)?;
        let known = Known { manifests: &manifests, has: &|digest| place.has(digest) };
        let small = SmallBlobs { manifests: &manifests, place: &place };
        let Described { bundle, chosen, notes: more } = describe(&parsed, &known, &small, options)?;
        notes.extend(more);
        let path = path.to_owned();
        Ok(Self { path, place, manifests, bundle, chosen, notes, id: None, signature: None })
    }

    /// Its container for the user: `folder`, or the usual suffix of such a file.
    pub fn container(&self) -> &'static str {
        self.place.name()
    }

    /// Checks every blob that has not been compared with its digest yet. `moved` is called with the number of content
    /// bytes that have been checked.
    pub fn verify(
        &self,
        cancelled: &AtomicBool,
        moved: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Problem>, ArchiveError> {
        Ok(verify_layout::verify(self, &self.manifests, &self.place, cancelled, moved))
    }
}

/// Refuses a layout of an unknown version.
pub(in crate::archive) fn check_version(
    found: Option<&[u8]>,
    notes: &mut Vec<String>,
) -> Result<(), ArchiveError> {
    let Some(bytes) = found else {
        notes.push("the file oci-layout is missing; other tools may refuse this layout".to_owned());
        return Ok(());
    };
    let version = layout_version(bytes)
        .map_err(|error| ArchiveError::Format(FormatError::Json("oci-layout", error.to_string())))?;
    match version {
        Some(version) if version == LAYOUT_VERSION => Ok(()),
        Some(version) => Err(ArchiveError::Format(FormatError::Damaged(format!(
            "oci-layout says imageLayoutVersion {}; only {LAYOUT_VERSION} is supported",
            super::tar_header::shown(version.as_bytes())
        )))),
        None => {
            Err(ArchiveError::Format(FormatError::Damaged("oci-layout has no imageLayoutVersion".to_owned())))
        }
    }
}

/// The note about data after the end of another tool's archive.
pub(in crate::archive) fn ignored(leftover: &str) -> String {
    format!("data after the end of the archive is ignored: {leftover}")
}

/// The manifests below `descriptors`, as far as they are present; a compressed tar is read once per level.
fn manifests_below(
    place: &Place,
    descriptors: &[Descriptor],
) -> Result<HashMap<Digest, Bytes>, ArchiveError> {
    let (mut found, mut seen, mut budget) = (HashMap::new(), HashSet::new(), Budget::default());
    let mut level: Vec<Descriptor> = descriptors.to_vec();
    for _ in 0..=MAX_DEPTH {
        level.retain(|d| media_type::is_manifest(&d.media_type) && seen.insert(d.digest));
        if level.is_empty() {
            return Ok(found);
        }
        let wanted: HashSet<Digest> = level.iter().map(|descriptor| descriptor.digest).collect();
        place.manifests(&wanted, &mut budget, &mut found)?;
        let mut next = Vec::new();
        for descriptor in &level {
            let Some(bytes) = found.get(&descriptor.digest) else { continue };
            let parsed = ParsedManifest::of(bytes, Some(&descriptor.media_type)).map_err(|error| {
                ArchiveError::Format(FormatError::Damaged(format!("{}: {error}", descriptor.digest)))
            })?;
            next.extend(parsed.manifests);
        }
        level = next;
    }
    Err(ArchiveError::Format(FormatError::Damaged("indexes are nested too deeply".to_owned())))
}

/// The manifests of a layout that is being opened, and its configs if they can be read without a pass over the archive.
struct SmallBlobs<'a> {
    manifests: &'a HashMap<Digest, Bytes>,
    place: &'a Place,
}

impl Manifests for SmallBlobs<'_> {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        if let Some(bytes) = self.manifests.get(digest) {
            return Ok(bytes.clone());
        }
        let bytes = self.place.read(&digest.layout_path(), MAX_HEAD_CONFIG)?;
        let bytes = bytes.ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))?;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            return Err(ArchiveError::Format(FormatError::Damaged(format!(
                "{digest}: the content has digest {actual}"
            ))));
        }
        Ok(bytes.into())
    }
}

impl Manifests for ForeignLayout {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.manifests.get(digest).cloned().ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))
    }
}

impl ImageStore for ForeignLayout {
    fn bundle(&self) -> &BundleManifest {
        &self.bundle
    }

    fn open(&self, digest: &Digest, from: u64) -> Result<ContentPieces, ArchiveError> {
        let reader = self.place.open_member(&digest.layout_path())?;
        let mut reader = reader.ok_or_else(|| {
            ArchiveError::Format(FormatError::Damaged(format!("{digest} is not in the archive")))
        })?;
        let at = ArchiveError::io(&self.path);
        let skipped = io::copy(&mut (&mut reader).take(from), &mut io::sink()).map_err(at)?;
        if skipped != from {
            return Err(ArchiveError::Format(FormatError::Damaged(format!(
                "{digest} is shorter than its descriptor says"
            ))));
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

    fn chosen(&self) -> &[Chosen] {
        &self.chosen
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn is_sequential(&self) -> bool {
        matches!(self.place, Place::Stream { .. })
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

/// Passes one blob to `sink`.
pub(in crate::archive) fn stream_member(
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
pub(in crate::archive) struct Pieces<R> {
    reader: R,
    path: PathBuf,
    done: bool,
}

impl<R> Pieces<R> {
    pub(in crate::archive) fn new(reader: R, path: &Path) -> Self {
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
                Some(Err(content_error(&self.path, error)))
            }
        }
    }
}
