//! What import, serve and values need from a set of images, whether it is a bundle or another tool's layout.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::bases::{BaseSource, CompactHead};
use super::manifest::MAX_HEAD_CONFIG;
use super::{ArchiveError, BundleManifest, Chosen, FormatError, Manifests};
use crate::image::{Descriptor, Digest, RawManifest};

/// The content of a blob, piece by piece.
pub type ContentPieces = Box<dyn Iterator<Item = Result<Bytes, ArchiveError>> + Send>;

/// The events of reading in order: a blob begins, its content comes, it ends.
#[derive(Clone, Debug)]
pub enum StreamEvent {
    Begin(Digest),
    Piece(Bytes),
    End,
}

/// Takes the events of reading in order; an error ends the reading.
pub type StreamSink<'a> = dyn FnMut(StreamEvent) -> Result<(), ArchiveError> + 'a;

/// Images with their blobs, readable by many threads.
pub trait ImageStore: Manifests + Send + Sync + std::fmt::Debug {
    /// The content as a bundle manifest. For a foreign layout it is made from its index and manifests.
    fn bundle(&self) -> &BundleManifest;

    /// The content of `digest` from byte `from` on, unverified.
    fn open(&self, digest: &Digest, from: u64) -> Result<ContentPieces, ArchiveError>;

    /// The bytes `range` of `digest`. If a part of it is damaged, there is an error before the last of them. `None` if
    /// only the whole blob can be checked.
    fn open_part(&self, digest: &Digest, range: Range<u64>) -> Result<Option<ContentPieces>, ArchiveError> {
        let _ = (digest, range);
        Ok(None)
    }

    /// Whether [`Self::open_part`] returns content.
    fn has_parts(&self) -> bool {
        false
    }

    /// A small blob such as a config, verified: from the head of a bundle, or read from elsewhere.
    fn small(&self, blob: &Descriptor) -> Option<Vec<u8>> {
        if blob.size > MAX_HEAD_CONFIG {
            return None;
        }
        let mut bytes = Vec::new();
        if let Ok(head) = self.manifest(&blob.digest) {
            bytes.extend_from_slice(&head);
        } else {
            for piece in self.open(&blob.digest, 0).ok()? {
                bytes.extend_from_slice(&piece.ok()?);
                if bytes.len() as u64 > MAX_HEAD_CONFIG {
                    return None;
                }
            }
        }
        (Digest::of(blob.digest.algorithm(), &bytes) == blob.digest).then_some(bytes)
    }

    /// For messages.
    fn name(&self) -> String;

    /// The position of a blob, for messages.
    fn place(&self, digest: &Digest) -> String {
        let _ = digest;
        self.name()
    }

    /// What to do about damaged content, for hints.
    fn remedy(&self) -> String {
        "copy or export it again".to_owned()
    }

    /// The bundle's id; none for a layout of another tool.
    fn id(&self) -> Option<Digest> {
        None
    }

    /// The blobs that are elsewhere, to which its blobs may refer; none if it is not a compact bundle.
    fn references(&self) -> Option<&CompactHead> {
        None
    }

    /// The bundle without which this one is not complete, if it is a delta.
    fn base(&self) -> Option<Digest> {
        let requires = self.bundle().requires.as_ref().map(|requires| requires.base);
        let referred = self.references().filter(|head| !head.references.is_empty());
        requires.or_else(|| referred.and_then(|head| head.base))
    }

    /// Reads the blobs that are elsewhere from `source`.
    fn read_bases_from(&self, source: Arc<dyn BaseSource>) {
        let _ = source;
    }

    /// The positions, in the list of [`Self::references`], of those without which this blob cannot be read; none if that is
    /// not known before it is read.
    fn bases_of(&self, digest: &Digest) -> Result<Option<Vec<u32>>, ArchiveError> {
        let _ = digest;
        Ok(Some(Vec::new()))
    }

    /// The signature that was embedded when the bundle was made.
    fn signature(&self) -> Option<&[u8]> {
        None
    }

    /// Images of which one platform was used, and not the index that lists it.
    fn chosen(&self) -> &[Chosen] {
        &[]
    }

    /// Notes for the user. When reading from a pipe, more may be added until its end.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether every [`Self::open`] reads the whole archive: then [`Self::stream`] is the way to read many blobs.
    fn is_sequential(&self) -> bool {
        false
    }

    /// Reads all blobs once, in the order of the file.
    fn stream(&self, sink: &mut StreamSink<'_>) -> Result<(), ArchiveError> {
        for blob in &self.bundle().blobs {
            sink(StreamEvent::Begin(blob.digest))?;
            for piece in self.open(&blob.digest, 0)? {
                sink(StreamEvent::Piece(piece?))?;
            }
            sink(StreamEvent::End)?;
        }
        Ok(())
    }
}

/// A store of manifests in memory, for tests and small sets.
impl<S: std::hash::BuildHasher + Sync> Manifests for HashMap<Digest, RawManifest, S> {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.get(digest)
            .map(|m| m.bytes.clone())
            .ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))
    }
}

/// Like `insert`, for callers that need only the bytes.
impl<S: std::hash::BuildHasher + Sync> Manifests for HashMap<Digest, Bytes, S> {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.get(digest).cloned().ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))
    }
}
