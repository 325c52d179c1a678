//! Reads the bases of a compact bundle in older bundles.

use std::io::{self, Read};
use std::sync::Arc;

use super::bases::BaseSource;
use super::image_store::{ContentPieces, ImageStore};
use super::manifest::RequiredBlob;
use super::{ArchiveError, FormatError, InputError};
use crate::image::Digest;

/// Bases out of bundles or layouts.
#[derive(Clone, Debug, Default)]
pub struct StoredBases(pub Vec<Arc<dyn ImageStore>>);

impl StoredBases {
    /// Whether one of them has the blob.
    pub fn has(&self, digest: &Digest) -> bool {
        self.0.iter().any(|store| store.bundle().index().position(digest).is_some())
    }
}

impl BaseSource for StoredBases {
    fn open(&self, blob: &RequiredBlob) -> Result<Box<dyn Read + Send>, ArchiveError> {
        let mut failed = ArchiveError::Input(InputError::NoBase(blob.digest));
        for store in &self.0 {
            match store.open(&blob.digest, 0) {
                Ok(pieces) => return Ok(Box::new(Pieces { pieces, current: bytes::Bytes::new() })),
                Err(ArchiveError::Format(FormatError::MissingManifest(_))) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// Pieces as one run of bytes.
struct Pieces {
    pieces: ContentPieces,
    current: bytes::Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.next() {
                Some(piece) => self.current = piece.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let now = self.current.split_to(buffer.len().min(self.current.len()));
        buffer[..now.len()].copy_from_slice(&now);
        Ok(now.len())
    }
}
