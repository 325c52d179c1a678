//! Content that stands in no registry but on this machine: it is handed out as if it had come over the wire.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::image::{Algorithm, Digest};

/// Manifests and blobs by digest. Clones share them.
#[derive(Clone, Default)]
pub struct Held(Arc<HashMap<Digest, Bytes>>);

impl Held {
    pub fn contains(&self, digest: &Digest) -> bool {
        self.0.contains_key(digest)
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.0.get(digest).cloned()
    }
}

impl Extend<Bytes> for Held {
    fn extend<T: IntoIterator<Item = Bytes>>(&mut self, contents: T) {
        let held = Arc::make_mut(&mut self.0);
        held.extend(contents.into_iter().map(|bytes| (Digest::of(Algorithm::Sha256, &bytes), bytes)));
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
