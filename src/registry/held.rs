//! Content on this machine, which is returned as if it had come from a registry.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::error_kind::ErrorKind;
use super::{BlobSource, FetchedManifest, SourceError};
use crate::image::{Algorithm, Digest, MediaType, RawManifest};

/// One manifest or blob that needs no registry.
#[derive(Clone)]
pub struct HeldContent {
    /// In bytes.
    pub size: u64,
    /// The key under which its store has it.
    pub media_type: Option<MediaType>,
    pub source: Arc<dyn BlobSource>,
}

/// A store of manifests and blobs on this machine.
pub trait HeldStore: Send + Sync + fmt::Debug {
    fn find(&self, digest: &Digest) -> Option<HeldContent>;
}

/// Manifests and blobs by digest, in memory and in stores. Clones share them.
#[derive(Clone, Default)]
pub struct Held {
    bytes: Arc<HashMap<Digest, Bytes>>,
    store: Option<Arc<dyn HeldStore>>,
}

impl Held {
    /// Only the content of `store`; no registry is contacted.
    pub fn only(store: Arc<dyn HeldStore>) -> Self {
        Self { bytes: Arc::default(), store: Some(store) }
    }

    /// Whether no registry is contacted.
    pub(super) fn is_all(&self) -> bool {
        self.store.is_some()
    }

    pub fn contains(&self, digest: &Digest) -> bool {
        self.bytes.contains_key(digest) || self.store.as_ref().is_some_and(|s| s.find(digest).is_some())
    }

    /// The content of `digest`; none if a registry has to be asked.
    pub(super) fn find(&self, digest: &Digest) -> Result<Option<HeldContent>, ErrorKind> {
        if let Some(bytes) = self.bytes.get(digest) {
            let size = bytes.len() as u64;
            return Ok(Some(HeldContent { size, media_type: None, source: Arc::new(bytes.clone()) }));
        }
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let nowhere = || ErrorKind::Content("none of the given files has it".to_owned());
        store.find(digest).map(Some).ok_or_else(nowhere)
    }
}

impl fmt::Debug for HeldContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldContent").field("size", &self.size).finish_non_exhaustive()
    }
}

impl HeldContent {
    /// The whole content, as the manifest `digest`.
    pub(super) async fn manifest(self, digest: &Digest, limit: usize) -> Result<FetchedManifest, ErrorKind> {
        if self.size > limit as u64 {
            return Err(ErrorKind::Content(format!("a manifest of {} bytes is too large", self.size)));
        }
        let mut bytes = BytesMut::new();
        let mut stream = self.source.open(0, self.size);
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(ErrorKind::Held)?);
        }
        let manifest = RawManifest::new(bytes.freeze(), self.media_type.as_deref(), Some(digest));
        let manifest = manifest.map_err(|error| ErrorKind::Content(error.to_string()))?;
        Ok(FetchedManifest { manifest, warnings: Vec::new(), rate_limit: None })
    }
}

impl BlobSource for Bytes {
    fn open(&self, from: u64, length: u64) -> BoxStream<'static, Result<Bytes, SourceError>> {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let piece = self.slice(at(from)..at(from.saturating_add(length)));
        futures_util::stream::iter((!piece.is_empty()).then_some(Ok(piece))).boxed()
    }
}

impl Extend<Bytes> for Held {
    fn extend<T: IntoIterator<Item = Bytes>>(&mut self, contents: T) {
        let held = Arc::make_mut(&mut self.bytes);
        held.extend(contents.into_iter().map(|bytes| (Digest::of(Algorithm::Sha256, &bytes), bytes)));
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("bytes", &self.bytes.keys()).field("store", &self.store).finish()
    }
}
