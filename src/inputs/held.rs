//! Content on this machine that needs no registry: packed charts in memory, and the blobs of bundles.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::image::{Algorithm, Digest, MediaType};
use crate::registry::BlobSource;

/// One manifest or blob that needs no registry.
#[derive(Clone)]
pub(crate) struct HeldContent {
    /// In bytes.
    pub(crate) size: u64,
    /// The media type that its store states.
    pub(crate) media_type: Option<MediaType>,
    pub(crate) source: Arc<dyn BlobSource>,
}

/// A store of manifests and blobs on this machine.
pub(crate) trait HeldStore: Send + Sync + fmt::Debug {
    fn find(&self, digest: &Digest) -> Option<HeldContent>;
}

/// Manifests and blobs by digest, in memory and in stores. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Held {
    bytes: Arc<HashMap<Digest, Bytes>>,
    store: Option<Arc<dyn HeldStore>>,
}

impl Held {
    /// Only the content of `store`; no registry is contacted.
    pub(crate) fn only(store: Arc<dyn HeldStore>) -> Self {
        Self { bytes: Arc::default(), store: Some(store) }
    }

    /// Whether no registry is contacted.
    pub(crate) fn is_all(&self) -> bool {
        self.store.is_some()
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.find(digest).is_some()
    }

    /// The content of `digest`, if it is held.
    pub(crate) fn find(&self, digest: &Digest) -> Option<HeldContent> {
        let in_memory = self.bytes.get(digest).map(|bytes| HeldContent {
            size: bytes.len() as u64,
            media_type: None,
            source: Arc::new(bytes.clone()),
        });
        in_memory.or_else(|| self.store.as_ref()?.find(digest))
    }
}

impl fmt::Debug for HeldContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldContent").field("size", &self.size).finish_non_exhaustive()
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
