//! Makes a blob from its compact form, and finds out whether one of its bases is to blame if that gives another blob.

use std::collections::BTreeSet;
use std::io::Read;

use bytes::Bytes;

use super::bases::{Bases, broken};
use super::{ArchiveError, BlobRow};
use crate::compact::{BaseContent, CompactError, Members, Remake};
use crate::image::{Digest, Hasher};

/// Makes the bytes of one blob. The consumer must compare the digest.
#[derive(Debug)]
pub(in crate::archive) struct Remade<M> {
    remake: Remake<Used<M>>,
    digest: Digest,
    /// Bytes that are still to be made.
    left: u64,
    /// Of the bytes so far, if the bundle has bases.
    hasher: Option<Hasher>,
}

/// Members, and the bases that they needed.
struct Used<M> {
    members: M,
    bases: BTreeSet<u32>,
}

impl<M: Members> Members for Used<M> {
    fn next(&mut self) -> Option<Result<Box<dyn Read + Send>, CompactError>> {
        self.members.next()
    }

    fn base(&mut self, number: u32) -> Result<BaseContent, CompactError> {
        self.bases.insert(number);
        self.members.base(number)
    }
}

impl<M: Members> Remade<M> {
    /// The blob that `members` describe, in a bundle with these bases.
    pub(in crate::archive) fn new(members: M, blob: &BlobRow, bases: &Bases) -> Self {
        let has_bases = !bases.listed.references.is_empty();
        Self {
            remake: Remake::new(Used { members, bases: BTreeSet::new() }, blob.size),
            digest: blob.digest,
            left: blob.size,
            hasher: has_bases.then(|| Hasher::for_digest(&blob.digest)),
        }
    }

    /// The next bytes; none at the end. A base that is damaged is named instead of the last ones.
    pub(in crate::archive) fn next(&mut self, bases: &Bases) -> Option<Result<Bytes, ArchiveError>> {
        let piece = self.remake.next()?;
        Some(self.checked(piece, bases))
    }

    fn checked(&mut self, piece: Result<Bytes, CompactError>, bases: &Bases) -> Result<Bytes, ArchiveError> {
        let used = || self.remake.members().bases.iter().copied();
        let piece = match piece {
            Ok(piece) => piece,
            Err(error @ (CompactError::Invalid(_) | CompactError::Base(_))) => {
                bases.check(used())?;
                return Err(broken(&self.digest, error));
            }
            Err(error) => return Err(broken(&self.digest, error)),
        };
        self.left -= piece.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&piece);
        }
        if self.left == 0
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            bases.check(used())?;
        }
        Ok(piece)
    }
}
