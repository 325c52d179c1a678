//! Why an image cannot be exported.

use std::sync::Arc;

use crate::app::failure::{ExitCode, Explain};
use crate::archive::{MAX_DEPTH, MAX_MANIFESTS};
use crate::export::write::error::TransferError;
use crate::image::{Digest, ManifestError, ParsedManifest, RawManifest};
use crate::inputs::content_source::ContentError;
use crate::registry::RegistryError;

/// Why an image cannot be exported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("{digest}: {error}")]
    Manifest { digest: Digest, error: ManifestError },
    #[error("its indexes are nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("it has none of the requested platforms ({wanted}); it has {found}")]
    NoPlatform { wanted: String, found: String },
    #[error("the entry pins an index by digest, and leaving out platforms would change that digest")]
    Pinned,
    #[error("it is pinned to {pin}, but the registry or the lock has {found}")]
    OtherDigest { pin: Digest, found: Digest },
    #[error("it has more than {MAX_MANIFESTS} manifests")]
    TooMany,
    #[error(
        "an index lists {digest} with the type {what:?}, but it is a manifest: some tools run it, others ignore it"
    )]
    ListedAsBlob { digest: Digest, what: String },
    #[error("blob {digest}: {why}")]
    Blob { digest: Digest, why: String },
    #[error("stopped")]
    Cancelled,
}

impl Explain for ResolveError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Content(error) => error.calls_for(),
            Self::Transfer(error) => error.calls_for(),
            Self::Manifest { .. }
            | Self::TooDeep
            | Self::TooMany
            | Self::ListedAsBlob { .. }
            | Self::OtherDigest { .. }
            | Self::Blob { .. } => Some(ExitCode::Content),
            Self::NoPlatform { .. } | Self::Pinned => Some(ExitCode::Failed),
            Self::Cancelled => Some(ExitCode::Interrupted),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Content(error) => error.hints(),
            Self::Transfer(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl From<RegistryError> for ResolveError {
    fn from(error: RegistryError) -> Self {
        Self::Content(error.into())
    }
}

pub(crate) fn parse(raw: &RawManifest) -> Result<ParsedManifest, Arc<ResolveError>> {
    raw.parse().map_err(|error| Arc::new(ResolveError::Manifest { digest: raw.digest, error }))
}

pub(crate) fn wrap(error: impl Into<ResolveError>) -> Arc<ResolveError> {
    Arc::new(error.into())
}
