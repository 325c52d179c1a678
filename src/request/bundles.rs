//! Bundles on this machine as the place where images come from, in the place of registries.

use std::collections::HashMap;
use std::sync::Arc;

use crate::archive::Holdings;
use crate::image::Digest;
use crate::inputs::blob_sources::LocalBlob;
use crate::registry::{HeldContent, HeldStore};

/// What several bundles have together. What more than one has is taken from the first.
#[derive(Debug)]
pub(crate) struct OpenBundles {
    bundles: Vec<Arc<dyn Holdings>>,
    /// Position of the bundle, and of the blob in it.
    places: HashMap<Digest, (usize, usize)>,
}

impl OpenBundles {
    pub(crate) fn new(bundles: Vec<Arc<dyn Holdings>>) -> Self {
        let mut places = HashMap::new();
        for (at, holdings) in bundles.iter().enumerate() {
            for (index, blob) in holdings.bundle().blobs.iter().enumerate() {
                places.entry(blob.digest).or_insert((at, index));
            }
        }
        Self { bundles, places }
    }

    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.places.contains_key(digest)
    }
}

impl HeldStore for OpenBundles {
    fn find(&self, digest: &Digest) -> Option<HeldContent> {
        let &(at, index) = self.places.get(digest)?;
        let holdings = self.bundles.get(at)?.clone();
        let row = holdings.bundle().blobs.get(index)?;
        let (size, media_type) = (row.size, Some(row.media_type.clone()));
        let source = Arc::new(LocalBlob { holdings, digest: *digest, size, bar: None });
        Some(HeldContent { size, media_type, source })
    }
}
