//! Bundles on this machine as the source of images, instead of registries.

use std::collections::HashMap;
use std::sync::Arc;

use crate::archive::ImageStore;
use crate::image::Digest;
use crate::inputs::blob_sources::LocalBlob;
use crate::inputs::held::{HeldContent, HeldStore};

/// The content of several bundles. A blob that is in more than one is read from the first.
#[derive(Debug)]
pub(crate) struct OpenBundles {
    bundles: Vec<Arc<dyn ImageStore>>,
    /// Position of the bundle, and of the blob in it.
    places: HashMap<Digest, (usize, usize)>,
}

impl OpenBundles {
    pub(crate) fn new(bundles: Vec<Arc<dyn ImageStore>>) -> Self {
        let mut places = HashMap::new();
        for (at, image_store) in bundles.iter().enumerate() {
            for (index, blob) in image_store.bundle().blobs.iter().enumerate() {
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
        let image_store = self.bundles.get(at)?.clone();
        let row = image_store.bundle().blobs.get(index)?;
        let (size, media_type) = (row.size, Some(row.media_type.clone()));
        let source = Arc::new(LocalBlob { image_store, digest: *digest, size, bar: None });
        Some(HeldContent { size, media_type, source })
    }
}
