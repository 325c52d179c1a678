//! What import, serve and values need of a set of images, whatever holds it: a bundle, or another tool's layout.

use bytes::Bytes;

use super::{ArchiveError, BundleManifest, BundleReader, Manifests};
use crate::image::Digest;

/// The content of a blob, piece by piece.
pub type ContentPieces = Box<dyn Iterator<Item = Result<Bytes, ArchiveError>> + Send>;

/// Images with their blobs, readable by many threads.
pub trait Holdings: Manifests + Send + Sync + std::fmt::Debug {
    /// What is in it. For a foreign layout, what its index and manifests say.
    fn bundle(&self) -> &BundleManifest;

    /// The content of `digest` from byte `from` on, unverified.
    fn open(&self, digest: &Digest, from: u64) -> Result<ContentPieces, ArchiveError>;

    /// For messages.
    fn name(&self) -> String;
}

impl Holdings for BundleReader {
    fn bundle(&self) -> &BundleManifest {
        self.manifest()
    }

    fn open(&self, digest: &Digest, from: u64) -> Result<ContentPieces, ArchiveError> {
        let index = self.index_of(digest).ok_or(ArchiveError::MissingManifest(*digest))?;
        Ok(Box::new(self.content(index, from)?))
    }

    fn name(&self) -> String {
        BundleReader::name(self)
    }
}
