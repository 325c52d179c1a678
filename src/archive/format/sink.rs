//! What the bytes of a head go to.

use crate::archive::ArchiveError;

/// Takes the run piece by piece.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), ArchiveError> + 'a;
