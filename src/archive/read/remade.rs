//! Makes a blob from its compact form, and finds out whether one of its bases is to blame if that gives another blob.

use bytes::Bytes;

use super::compact_members::CompactMembers;
use crate::archive::bases::broken;
use crate::archive::{ArchiveError, BlobRow};
use crate::compact::{CompactError, Remake};
use crate::image::{Digest, Hasher};

/// Iterates over the bytes of one blob. The consumer must compare the digest; a base that is damaged is named instead of
/// the last bytes.
#[derive(Debug)]
pub(in crate::archive) struct Remade {
    remake: Remake<CompactMembers>,
    digest: Digest,
    /// Bytes that are still to be made.
    left: u64,
    /// Of the bytes so far, if the bundle has bases.
    hasher: Option<Hasher>,
}

impl Remade {
    /// The blob that `members` describe.
    pub(in crate::archive) fn new(members: CompactMembers, blob: &BlobRow) -> Self {
        let hasher = members.may_need_bases().then(|| Hasher::for_digest(&blob.digest));
        Self { remake: Remake::new(members, blob.size), digest: blob.digest, left: blob.size, hasher }
    }

    fn checked(&mut self, piece: Result<Bytes, CompactError>) -> Result<Bytes, ArchiveError> {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                if matches!(error, CompactError::Invalid(_) | CompactError::Base(_)) {
                    self.remake.members().check_bases()?;
                }
                return Err(broken(&self.digest, error));
            }
        };
        self.left -= piece.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&piece);
        }
        if self.left == 0
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            self.remake.members().check_bases()?;
        }
        Ok(piece)
    }
}

impl Iterator for Remade {
    type Item = Result<Bytes, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.remake.next()?;
        Some(self.checked(piece))
    }
}
