//! The target for the bytes of a head.

use crate::archive::ArchiveError;

/// Takes the bytes piece by piece.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), ArchiveError> + 'a;
