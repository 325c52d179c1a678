//! Another tool's layout from a pipe, or a bundle that was packed again: a tar, plain, gzip or zstd.
//!
//! Its index and manifests must come before its layers. Content that comes earlier is held: up to 32 MiB in memory, and
//! beyond that in a spool folder if there is one. Members that are not allowed are detected one by one, to the end of
//! the pipe.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::archive::foreign::foreign_index::{Chosen, Described, LayoutOptions, describe};
use crate::archive::foreign::foreign_tar::{Member, Members, decompress};
use crate::archive::foreign::layout::{check_version, ignored, stream_member};
use crate::archive::foreign::listing::{Listing, stranger_in_bundle};
use crate::archive::foreign::place::{
    Budget, MAX_BUNDLE_JSON, MAX_JSON, MAX_LAYOUT, MAX_MANIFEST, SmallMembers, too_large,
};
use crate::archive::foreign::platforms::Known;
use crate::archive::foreign::tar_header::{Kind, shown};
use crate::archive::foreign::{other_tools, repacked};
use crate::archive::format::contents::MAX_DEPTH;
use crate::archive::format::head::{self, Derived};
use crate::archive::format::manifest_source::Manifests;
use crate::archive::format::proof;
use crate::archive::image_store::{ContentPieces, ImageStore, StreamSink};
use crate::archive::manifest::BundleManifest;
use crate::archive::read::head_reader::MAX_SIGNATURE;
use crate::archive::volumes::pipe_error;
use crate::archive::{ArchiveError, FormatError, InputError, PipeBuffer};
use crate::image::{Descriptor, Digest, ParsedManifest, Platform, media_type};
use crate::signing::Trust;

const STDIN: &str = "stdin";

/// What is known about a layout before its layers come.
#[derive(Debug)]
pub(in crate::archive) struct StreamedLayout {
    manifests: HashMap<Digest, Bytes>,
    bundle: BundleManifest,
    chosen: Vec<Chosen>,
    notes: Mutex<Vec<String>>,
    id: Option<Digest>,
    signature: Option<Vec<u8>>,
}

/// The rest of the pipe.
pub(in crate::archive) struct PipedRest {
    members: Members<Box<dyn Read + Send>>,
    /// The member whose content is next.
    pending: Option<Digest>,
    layout: Arc<StreamedLayout>,
    listing: Listing,
    small: SmallMembers,
}

/// Reads as much as is needed to know the content of the layout. `trust` must accept it before any of it is trusted.
pub(in crate::archive) fn open(
    mut input: impl BufRead + Send + 'static,
    options: &LayoutOptions,
    pipe_buffer: &PipeBuffer,
    trust: &Trust,
) -> Result<(Arc<StreamedLayout>, PipedRest), ArchiveError> {
    let path = Path::new(STDIN);
    let start = input.fill_buf().map_err(pipe_error)?;
    if let Some(error) = other_tools::compressed(path, start) {
        return Err(error);
    }
    let mut members = decompress(input, path)?;
    let mut opening = Opening {
        listing: Listing::default(),
        small: SmallMembers::default(),
        index: None,
        manifests: HashMap::new(),
        missing: HashMap::new(),
        platform: options.platform.as_ref(),
        budget: Budget::default(),
        pipe_buffer,
    };
    let mut pending = None;
    while let Some(member) = members.next_of_any_kind()? {
        opening.listing.add(&member)?;
        let digest = Digest::from_layout_path(&member.name).filter(|_| member.kind == Kind::File);
        if let Some(digest) = digest.filter(|_| opening.is_complete()) {
            pending = Some(digest);
            break;
        }
        opening.take(&member, digest, &mut members)?;
    }
    opening.listing.leftover = members.leftover().map(str::to_owned);
    let is_whole = pending.is_none();
    let (layout, listing, small) = opening.finish(options, trust, is_whole)?;
    let layout = Arc::new(layout);
    Ok((layout.clone(), PipedRest { members, pending, layout, listing, small }))
}

/// A layout of which not everything is known yet.
struct Opening<'a> {
    listing: Listing,
    small: SmallMembers,
    index: Option<ParsedManifest>,
    manifests: HashMap<Digest, Bytes>,
    /// Manifests that are needed and have not come yet, with their descriptors and depth.
    missing: HashMap<Digest, (Descriptor, usize)>,
    /// For images with several platforms, the wanted one.
    platform: Option<&'a Platform>,
    budget: Budget,
    /// Takes content that comes too early.
    pipe_buffer: &'a PipeBuffer,
}

impl Opening<'_> {
    fn is_complete(&self) -> bool {
        self.index.is_some() && self.missing.is_empty()
    }

    fn take<R: Read>(
        &mut self,
        member: &Member,
        digest: Option<Digest>,
        members: &mut Members<R>,
    ) -> Result<(), ArchiveError> {
        let Some(digest) = digest else {
            if member.kind == Kind::File && self.small.take(member, members)? && member.name == head::INDEX {
                let index = self.small.whole(head::INDEX, MAX_JSON)?.unwrap_or_default();
                let parsed = ParsedManifest::of(&index, Some(media_type::OCI_INDEX)).map_err(|error| {
                    ArchiveError::Format(FormatError::Json("index.json", error.to_string()))
                })?;
                self.need(&parsed.manifests, 0)?;
                self.index = Some(parsed);
            }
            return Ok(());
        };
        if self.missing.contains_key(&digest) {
            let bytes = members.whole(MAX_MANIFEST)?;
            return self.manifest(digest, bytes.ok_or_else(|| too_large(&member.name, MAX_MANIFEST))?);
        }
        let is_held = self.pipe_buffer.add(digest, member.size, members.content())?;
        if is_held { Ok(()) } else { Err(ArchiveError::Input(InputError::TooEarly(digest))) }
    }

    /// Adds needed manifests; some may have come already.
    fn need(&mut self, descriptors: &[Descriptor], depth: usize) -> Result<(), ArchiveError> {
        if depth > MAX_DEPTH {
            return Err(ArchiveError::Format(FormatError::Damaged(
                "indexes are nested too deeply".to_owned(),
            )));
        }
        let wanted = |descriptor: &&Descriptor| {
            // Below an index, only the wanted platform is needed.
            let is_wanted = |wanted: &Platform| {
                let platform = descriptor.platform.as_ref();
                depth == 0 || platform.is_none_or(|platform| platform.satisfies(wanted))
            };
            media_type::is_manifest(&descriptor.media_type) && self.platform.is_none_or(is_wanted)
        };
        for descriptor in descriptors.iter().filter(wanted).cloned().collect::<Vec<_>>() {
            let digest = descriptor.digest;
            // A previous manifest of this list may have added it already.
            if self.manifests.contains_key(&digest) {
                continue;
            }
            self.missing.insert(digest, (descriptor, depth));
            if let Some(bytes) = self.pipe_buffer.whole(&digest, MAX_MANIFEST)? {
                self.pipe_buffer.forget(&digest);
                self.manifest(digest, bytes)?;
            }
        }
        Ok(())
    }

    /// Takes a manifest that was missing.
    fn manifest(&mut self, digest: Digest, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        let bytes = self.budget.manifest(&digest, bytes)?;
        let Some((descriptor, depth)) = self.missing.remove(&digest) else {
            return Ok(());
        };
        let parsed = ParsedManifest::of(&bytes, Some(&descriptor.media_type))
            .map_err(|error| ArchiveError::Format(FormatError::Damaged(format!("{digest}: {error}"))))?;
        self.manifests.insert(digest, bytes);
        self.need(&parsed.manifests, depth + 1)
    }

    /// The result; `is_whole` means that the pipe has ended.
    fn finish(
        mut self,
        options: &LayoutOptions,
        trust: &Trust,
        is_whole: bool,
    ) -> Result<(StreamedLayout, Listing, SmallMembers), ArchiveError> {
        let own = self.small.whole(head::BUNDLE, MAX_BUNDLE_JSON)?;
        let signature = self.small.whole(head::SIGNATURE, MAX_SIGNATURE)?;
        let Some(index) = &self.index else {
            let docker = self.small.whole(head::DOCKER, other_tools::MAX_DOCKER).ok().flatten();
            return Err(other_tools::recognised(&self.listing.marks, Path::new(STDIN), docker.as_deref())
                .unwrap_or_else(|| {
                    let why = "the archive from stdin has neither bundle.json nor index.json";
                    ArchiveError::Format(FormatError::NotABundle(why.to_owned()))
                }));
        };
        let mut notes = Vec::new();
        let (bundle, chosen, id) = if let Some(own) = own {
            options.refuse_for_bundle()?;
            trust.check(&own, signature.as_deref())?;
            let id = Digest::sha256(&own);
            let bundle = BundleManifest::from_bytes(&own)?;
            self.prove(&bundle, id, signature.as_deref())?;
            (bundle, Vec::new(), Some(id))
        } else {
            trust.check_foreign()?;
            if self.small.has(head::OCI_LAYOUT) {
                check_version(self.small.whole(head::OCI_LAYOUT, MAX_LAYOUT)?.as_deref(), &mut notes)?;
            }
            let has = |digest: &Digest| !is_whole || self.listing.has(digest);
            let known = Known { manifests: &self.manifests, has: &has };
            let Described { bundle, chosen, notes: more } =
                describe(index, &known, &self.manifests, options)?;
            notes.extend(more);
            (bundle, chosen, None)
        };
        let notes = Mutex::new(notes);
        let layout = StreamedLayout { manifests: self.manifests, bundle, chosen, notes, id, signature };
        Ok((layout, self.listing, self.small))
    }

    /// Proves that everything that has come so far belongs to `bundle`.
    fn prove(
        &self,
        bundle: &BundleManifest,
        id: Digest,
        signature: Option<&[u8]>,
    ) -> Result<(), ArchiveError> {
        self.listing.refuse_strangers()?;
        proof::prove(bundle, &self.manifests)?;
        let listed = bundle.index();
        let came = self.pipe_buffer.digests().into_iter().chain(self.manifests.keys().copied());
        if let Some(other) = came.into_iter().find(|digest| listed.position(digest).is_none()) {
            return Err(stranger_in_bundle(&shown(other.layout_path().as_bytes())));
        }
        let derived = Derived::of(bundle, id, signature, &self.manifests)?;
        repacked::check_derived(&derived, &|name| Ok(self.small.digest(name)), true)
    }
}

impl Manifests for StreamedLayout {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.manifests.get(digest).cloned().ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))
    }
}

impl ImageStore for StreamedLayout {
    fn bundle(&self) -> &BundleManifest {
        &self.bundle
    }

    fn open(&self, digest: &Digest, _from: u64) -> Result<ContentPieces, ArchiveError> {
        Err(ArchiveError::Input(InputError::PassedBy(*digest)))
    }

    fn name(&self) -> String {
        STDIN.to_owned()
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
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl PipedRest {
    /// Reads everything to the end of the archive.
    pub(in crate::archive) fn stream(mut self, sink: &mut StreamSink<'_>) -> Result<(), ArchiveError> {
        let (path, layout) = (Path::new(STDIN), self.layout.clone());
        let listed = layout.bundle.index();
        let mut next = self.pending.take();
        loop {
            if let Some(digest) = next {
                if layout.id.is_some() && listed.position(&digest).is_none() {
                    return Err(stranger_in_bundle(&shown(digest.layout_path().as_bytes())));
                }
                if !layout.manifests.contains_key(&digest) {
                    stream_member(digest, self.members.content(), path, sink)?;
                }
            }
            let Some(member) = self.members.next_of_any_kind()? else { break };
            self.listing.add(&member)?;
            next = Digest::from_layout_path(&member.name).filter(|_| member.kind == Kind::File);
            if next.is_none() && member.kind == Kind::File {
                self.small.take(&member, &mut self.members)?;
            }
            if layout.id.is_some() {
                self.listing.refuse_strangers()?;
            } else if self.small.has(head::BUNDLE) {
                return Err(ArchiveError::Input(InputError::LateBundle));
            }
        }
        self.listing.leftover = self.members.leftover().map(str::to_owned);
        self.finish()
    }

    /// Checks the members that came after the layers had begun.
    fn finish(mut self) -> Result<(), ArchiveError> {
        let layout = &self.layout;
        if let Some(id) = layout.id {
            self.listing.refuse_strangers()?;
            let late = self.small.whole(head::SIGNATURE, MAX_SIGNATURE)?;
            let signature = layout.signature.as_ref().or(late.as_ref()).map(Vec::as_slice);
            let derived = Derived::of(&layout.bundle, id, signature, &layout.manifests)?;
            return repacked::check_derived(&derived, &|name| Ok(self.small.digest(name)), false);
        }
        let mut notes = layout.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let late = self.small.whole(head::OCI_LAYOUT, MAX_LAYOUT)?;
        if late.is_some() || !self.small.has(head::OCI_LAYOUT) {
            check_version(late.as_deref(), &mut notes)?;
        }
        notes.extend(self.listing.leftover.as_deref().map(ignored));
        Ok(())
    }
}
