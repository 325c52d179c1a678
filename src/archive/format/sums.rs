//! `SHA256SUMS` and `SHA512SUMS`, in the format of coreutils, written line by line because they are large for many
//! blobs.

use super::sink::Sink;
use crate::archive::ArchiveError;
use crate::archive::manifest::BundleManifest;
use crate::image::{Algorithm, Digest, Hasher};

/// Lines are passed on in pieces of about this many bytes.
const PIECE: usize = 64 << 10;

/// One of the two lists: the small members that were added, then every blob with such a digest, in member order.
pub(in crate::archive) struct Sums<'a> {
    small: Vec<(&'static str, Digest)>,
    bundle: &'a BundleManifest,
    algorithm: Algorithm,
}

impl<'a> Sums<'a> {
    pub(in crate::archive) fn of_blobs(bundle: &'a BundleManifest, algorithm: Algorithm) -> Self {
        Self { small: Vec::new(), bundle, algorithm }
    }

    /// Adds a member with this `content`.
    pub(in crate::archive) fn add(&mut self, path: &'static str, content: &[u8]) {
        self.add_digest(path, Digest::of(self.algorithm, content));
    }

    /// Adds a member whose digest is known.
    pub(in crate::archive) fn add_digest(&mut self, path: &'static str, digest: Digest) {
        self.small.push((path, digest));
    }

    pub(in crate::archive) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.blobs().next().is_none()
    }

    /// In bytes.
    pub(in crate::archive) fn len(&self) -> u64 {
        let hex = |digest: &Digest| 2 * digest.as_bytes().len() as u64;
        let line = |digest: &Digest, path: u64| hex(digest) + 2 + path + 1;
        let small = self.small.iter().map(|(path, digest)| line(digest, path.len() as u64));
        let folder = "blobs/".len() + self.algorithm.name().len() + "/".len();
        let blobs = self.blobs().map(|digest| line(digest, folder as u64 + hex(digest)));
        small.chain(blobs).sum()
    }

    /// The sha256 of the list.
    pub(in crate::archive) fn digest(&self) -> Result<Digest, ArchiveError> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        self.put(&mut |piece| {
            hasher.update(piece);
            Ok(())
        })?;
        Ok(hasher.finish())
    }

    pub(in crate::archive) fn put(&self, sink: &mut Sink<'_>) -> Result<(), ArchiveError> {
        let mut lines = String::with_capacity(PIECE + 512);
        let mut line = |digest: &Digest, path: &str| {
            for part in [&digest.hex(), "  ", path, "\n"] {
                lines.push_str(part);
            }
            if lines.len() >= PIECE {
                sink(lines.as_bytes())?;
                lines.clear();
            }
            Ok::<_, ArchiveError>(())
        };
        for (path, digest) in &self.small {
            line(digest, path)?;
        }
        for digest in self.blobs() {
            line(digest, &digest.layout_path())?;
        }
        sink(lines.as_bytes())
    }

    fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let digests = self.bundle.blobs.iter().map(|blob| &blob.digest);
        digests.filter(|digest| digest.algorithm() == self.algorithm)
    }
}
