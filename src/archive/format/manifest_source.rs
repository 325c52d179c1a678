//! Reads manifests by digest, from wherever they are.

use bytes::Bytes;

use crate::archive::ArchiveError;
use crate::image::Digest;

/// Where manifest bytes come from: the spool of an export, the head of a bundle. The bytes match the digest.
pub trait Manifests: Sync {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError>;
}
