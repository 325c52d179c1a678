//! Reads the bases of a compact bundle in older bundles.

use std::io::Read;
use std::sync::Arc;

use super::bases::BaseSource;
use super::image_store::ImageStore;
use super::manifest::RequiredBlob;
use super::piece_reader::PieceReader;
use super::{ArchiveError, FormatError, InputError};
use crate::image::Digest;

/// Bases out of bundles or layouts.
#[derive(Clone, Debug, Default)]
pub struct StoredBases(pub Vec<Arc<dyn ImageStore>>);

impl StoredBases {
    /// Whether one of them has the blob.
    pub fn has(&self, digest: &Digest) -> bool {
        self.store_of(digest).is_some()
    }

    fn store_of(&self, digest: &Digest) -> Option<&Arc<dyn ImageStore>> {
        self.0.iter().find(|store| store.bundle().index().position(digest).is_some())
    }
}

impl BaseSource for StoredBases {
    fn place(&self, blob: &RequiredBlob) -> String {
        self.store_of(&blob.digest).map_or_else(String::new, |store| store.name())
    }

    fn open(&self, blob: &RequiredBlob) -> Result<Box<dyn Read + Send>, ArchiveError> {
        let mut failed = ArchiveError::Input(InputError::NoBase(blob.digest));
        for store in &self.0 {
            match store.open(&blob.digest, 0) {
                Ok(pieces) => return Ok(Box::new(PieceReader::new(pieces))),
                Err(ArchiveError::Format(FormatError::MissingManifest(_))) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}
