//! Another tool's layout out of a pipe, or a bundle that was packed again: a tar, plain, gzip or zstd.
//!
//! It has to be said first what is in it: index and manifests before layers. What comes before that is held, up to
//! 32 MiB in memory, and beyond that in a spool folder if there is one.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::contents::{MAX_DEPTH, Manifests};
use super::described::{describe, unpacked};
use super::foreign::{MAX_BUNDLE_JSON, MAX_JSON, MAX_MANIFEST, MAX_MANIFESTS, decompress, stream_member};
use super::foreign_tar::Members;
use super::head_reader::MAX_SIGNATURE;
use super::holdings::{ContentPieces, Holdings, StreamSink};
use super::manifest::BundleManifest;
use super::{ArchiveError, Stash};
use crate::image::{Descriptor, Digest, ParsedManifest, Reference, media_type};
use crate::signing::Trust;

const STDIN: &str = "stdin";

/// What is known of a layout before its layers come.
#[derive(Debug)]
pub(super) struct PipedLayout {
    manifests: HashMap<Digest, Bytes>,
    bundle: BundleManifest,
    id: Option<Digest>,
    signature: Option<Vec<u8>>,
}

/// The rest of the pipe.
pub(super) struct PipedRest {
    members: Members<Box<dyn Read + Send>>,
    /// The member whose content is next.
    pending: Option<Digest>,
    layout: Arc<PipedLayout>,
}

/// Reads as far as it takes to know what the layout holds, and asks `trust` before any of it is believed.
pub(super) fn open(
    input: impl BufRead + Send + 'static,
    name: Option<&Reference>,
    stash: &Stash,
    trust: &Trust,
) -> Result<(Arc<PipedLayout>, PipedRest), ArchiveError> {
    let path = Path::new(STDIN);
    let mut members = decompress(input, path)?;
    let mut opening = Opening {
        index: None,
        own: None,
        signature: None,
        manifests: HashMap::new(),
        missing: HashMap::new(),
        budget: MAX_MANIFESTS,
        stash,
    };
    let mut pending = None;
    while let Some(member) = members.next()? {
        let digest = Digest::from_layout_path(&member.name);
        if let Some(digest) = digest.filter(|_| opening.is_complete()) {
            pending = Some(digest);
            break;
        }
        opening.take(&member.name, digest, member.size, &mut members)?;
    }
    let layout = Arc::new(opening.finish(name, trust)?);
    Ok((layout.clone(), PipedRest { members, pending, layout }))
}

/// A layout of which not everything is known yet.
struct Opening<'a> {
    index: Option<(Vec<u8>, ParsedManifest)>,
    own: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    manifests: HashMap<Digest, Bytes>,
    /// Manifests that are needed and have not come, with their descriptors and depth.
    missing: HashMap<Digest, (Descriptor, usize)>,
    /// Bytes that manifests may still have together.
    budget: u64,
    /// Takes what comes too early.
    stash: &'a Stash,
}

impl Opening<'_> {
    fn is_complete(&self) -> bool {
        self.index.is_some() && self.missing.is_empty()
    }

    fn take<R: Read>(
        &mut self,
        name: &str,
        digest: Option<Digest>,
        size: u64,
        members: &mut Members<R>,
    ) -> Result<(), ArchiveError> {
        let large = |cap| ArchiveError::Damaged(format!("{name} is larger than {cap} bytes"));
        match (name, digest) {
            ("index.json", _) if self.index.is_none() => {
                let bytes = members.whole(MAX_JSON)?.ok_or_else(|| large(MAX_JSON))?;
                let parsed = ParsedManifest::of(&bytes, Some(media_type::OCI_INDEX))
                    .map_err(|error| ArchiveError::Json("index.json", error.to_string()))?;
                self.need(&parsed.manifests, 0)?;
                self.index = Some((bytes, parsed));
            }
            ("bundle.json", _) => {
                self.own = Some(members.whole(MAX_BUNDLE_JSON)?.ok_or_else(|| large(MAX_BUNDLE_JSON))?);
            }
            ("bundle.json.sig", _) => {
                self.signature = Some(members.whole(MAX_SIGNATURE)?.ok_or_else(|| large(MAX_SIGNATURE))?);
            }
            (_, Some(digest)) if self.missing.contains_key(&digest) => {
                let bytes = members.whole(MAX_MANIFEST)?.ok_or_else(|| large(MAX_MANIFEST))?;
                self.manifest(digest, bytes)?;
            }
            (_, Some(digest)) if !self.manifests.contains_key(&digest) => {
                let is_held = self.stash.add(digest, size, members.content())?;
                return if is_held { Ok(()) } else { Err(ArchiveError::TooEarly(digest)) };
            }
            _ => {}
        }
        Ok(())
    }

    /// These manifests are part of it; some may have come already.
    fn need(&mut self, descriptors: &[Descriptor], depth: usize) -> Result<(), ArchiveError> {
        if depth > MAX_DEPTH {
            return Err(ArchiveError::Damaged("indexes are nested too deep".to_owned()));
        }
        let manifests = descriptors.iter().filter(|d| media_type::is_manifest(&d.media_type));
        for descriptor in manifests.filter(|d| !self.manifests.contains_key(&d.digest)).collect::<Vec<_>>() {
            let digest = descriptor.digest;
            // Another one of the list may have brought it meanwhile.
            if self.manifests.contains_key(&digest) {
                continue;
            }
            self.missing.insert(digest, (descriptor.clone(), depth));
            if let Some(bytes) = self.stash.whole(&digest, MAX_MANIFEST)? {
                self.stash.forget(&digest);
                self.manifest(digest, bytes)?;
            }
        }
        Ok(())
    }

    /// A manifest that was missing is here.
    fn manifest(&mut self, digest: Digest, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        self.budget = self.budget.checked_sub(bytes.len() as u64).ok_or_else(|| {
            let cap = MAX_MANIFESTS >> 20;
            ArchiveError::Damaged(format!("its manifests are larger than {cap} MiB together"))
        })?;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != digest {
            return Err(ArchiveError::Damaged(format!("{digest}: the content has digest {actual}")));
        }
        let Some((descriptor, depth)) = self.missing.remove(&digest) else {
            return Ok(());
        };
        let parsed = ParsedManifest::of(&bytes, Some(&descriptor.media_type))
            .map_err(|error| ArchiveError::Damaged(format!("{digest}: {error}")))?;
        self.manifests.insert(digest, bytes.into());
        self.need(&parsed.manifests, depth + 1)
    }

    fn finish(self, name: Option<&Reference>, trust: &Trust) -> Result<PipedLayout, ArchiveError> {
        match &self.own {
            Some(own) => trust.check(own, self.signature.as_deref()).map(|_| ())?,
            None => trust.check_foreign()?,
        }
        let Some((index, parsed)) = self.index else {
            let why = "there is neither bundle.json nor index.json in what comes from stdin";
            return Err(ArchiveError::NotABundle(why.to_owned()));
        };
        if let Some(digest) = self.missing.keys().min() {
            return Err(ArchiveError::MissingManifest(*digest));
        }
        let id = self.own.as_deref().map(Digest::sha256);
        let bundle = match self.own {
            Some(own) => unpacked(&own, &index, &self.manifests)?,
            None => describe(&parsed, &self.manifests, &self.manifests, name)?,
        };
        Ok(PipedLayout { manifests: self.manifests, bundle, id, signature: self.signature })
    }
}

impl Manifests for PipedLayout {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.manifests.get(digest).cloned().ok_or(ArchiveError::MissingManifest(*digest))
    }
}

impl Holdings for PipedLayout {
    fn bundle(&self) -> &BundleManifest {
        &self.bundle
    }

    fn open(&self, digest: &Digest, _from: u64) -> Result<ContentPieces, ArchiveError> {
        Err(ArchiveError::PassedBy(*digest))
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
}

impl PipedRest {
    /// Reads everything to the end of the archive.
    pub(super) fn stream(mut self, sink: &mut StreamSink<'_>) -> Result<(), ArchiveError> {
        let path = Path::new(STDIN);
        let mut next = self.pending.take();
        loop {
            if let Some(digest) = next.filter(|digest| !self.layout.manifests.contains_key(digest)) {
                stream_member(digest, self.members.content(), path, sink)?;
            }
            match self.members.next()? {
                Some(member) => next = Digest::from_layout_path(&member.name),
                None => return Ok(()),
            }
        }
    }
}
