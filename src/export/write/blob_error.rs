//! The reasons why a blob could not be fetched.

use super::error::TransferError;
use crate::app::failure::{ExitCode, Explain};
use crate::image::Digest;
use crate::inputs::content_source::ContentError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("the registry sent content with digest {found}, not {wanted}")]
    Digest { wanted: Box<Digest>, found: Box<Digest> },
    #[error("stopped")]
    Cancelled,
}

impl Explain for BlobError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Content(error) => error.calls_for(),
            Self::Transfer(error) => error.calls_for(),
            Self::Digest { .. } => Some(ExitCode::Content),
            Self::Cancelled => Some(ExitCode::Interrupted),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Content(error) => error.hints(),
            Self::Transfer(error) => error.hints(),
            Self::Digest { .. } | Self::Cancelled => Vec::new(),
        }
    }
}

impl BlobError {
    /// Whether trying other blobs makes no sense, because the disk failed or the user interrupted the run.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Transfer(_) | Self::Cancelled)
    }
}

/// A blob that could not be fetched.
#[derive(Debug)]
pub(crate) struct LostBlob {
    pub index: usize,
    pub error: BlobError,
}

/// A blob that could not be written; all blobs before it are written.
#[derive(Debug)]
pub(crate) struct WriteFailure {
    pub index: usize,
    pub error: BlobError,
}
