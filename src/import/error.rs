//! Why an image did not arrive.

use std::sync::Arc;

use crate::app::failure::{ExitCode, Explain};
use crate::archive::{ArchiveError, FormatError, InputError};
use crate::image::Digest;
use crate::inputs::blob_sources::WrongContent;
use crate::registry::RegistryError;

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Content(Box<WrongContent>),
    #[error("blob {digest}: {error}")]
    Blob { digest: Box<Digest>, error: Arc<UploadError> },
    /// The blob was read from a pipe, and the registry lost what it received of it.
    #[error("{0}; a pipe cannot be read again")]
    LostInPipe(Box<RegistryError>),
    /// The blob was skipped in a pipe because the registry said that it had it, which was wrong.
    #[error("{0}; a pipe cannot be read again")]
    PassedBy(Box<RegistryError>),
    #[error("pushed, but the registry returns {found} for {place} instead of {wanted}")]
    Unproven { place: String, wanted: Box<Digest>, found: String },
    #[error("{place} is {there}, and the registry refuses to change it to {wanted}: {error}")]
    TagKept {
        place: String,
        there: Box<Digest>,
        wanted: Box<Digest>,
        /// It is the tag of a signature or another referrer, not of an image.
        is_artifact: bool,
        error: Box<RegistryError>,
    },
    #[error("{error}; {about}")]
    ManifestRefused { about: String, hint: Option<&'static str>, error: Box<RegistryError> },
    #[error("stopped")]
    Cancelled,
}

impl From<WrongContent> for UploadError {
    fn from(error: WrongContent) -> Self {
        Self::Content(Box::new(error))
    }
}

impl Explain for UploadError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Registry(error) => error.calls_for(),
            Self::LostInPipe(_)
            | Self::PassedBy(_)
            | Self::Archive(ArchiveError::Input(InputError::PassedBy(_))) => Some(ExitCode::Partly),
            Self::Archive(error) => error.calls_for(),
            Self::Content(_) => Some(ExitCode::Content),
            Self::Cancelled => Some(ExitCode::Interrupted),
            Self::Blob { error, .. } => error.calls_for(),
            Self::TagKept { .. } | Self::ManifestRefused { .. } | Self::Unproven { .. } => {
                Some(ExitCode::Failed)
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Blob { error, .. } => error.hints(),
            Self::TagKept { is_artifact, .. } => {
                let mut hints =
                    vec!["keep tags with other content: --on-conflict skip".to_owned()];
                if *is_artifact {
                    hints.push("or leave out signatures and other referrers: --with none".to_owned());
                }
                hints
            }
            Self::ManifestRefused { hint, error, .. } => {
                hint.map_or_else(|| error.hints(), |hint| vec![hint.to_owned()])
            }
            Self::LostInPipe(_) => vec![
                "send the same stream again; what arrived is not sent twice. With --spool DIR, failed uploads can \
                 be retried"
                    .to_owned(),
            ],
            Self::PassedBy(_) | Self::Archive(ArchiveError::Input(InputError::PassedBy(_))) => vec![
                "the registry says that it has blobs that it lacks, or does not mount blobs: import from a \
                 file, which can be read again"
                    .to_owned(),
            ],
            // What to do about damage is said once, for all images.
            Self::Archive(ArchiveError::Format(_)) | Self::Content(_) | Self::Unproven { .. } | Self::Cancelled => {
                Vec::new()
            }
            Self::Archive(error) => error.hints(),
        }
    }
}

impl UploadError {
    /// The error itself, or the error of the blob if several images share it.
    pub fn innermost(&self) -> &Self {
        match self {
            Self::Blob { error, .. } => error.innermost(),
            other => other,
        }
    }
}

/// An upload that failed because reading failed is the bundle's fault, not the registry's.
pub(crate) fn unwrap_source(error: RegistryError) -> UploadError {
    let Some(source) = error.source_error() else {
        return UploadError::Registry(error);
    };
    let source: &(dyn std::error::Error + 'static) = source;
    if let Some(WrongContent { wanted, found, place }) = source.downcast_ref() {
        let place = place.clone();
        return UploadError::Content(Box::new(WrongContent { wanted: *wanted, found: *found, place }));
    }
    let Some(source) = source.downcast_ref::<ArchiveError>() else { return UploadError::Registry(error) };
    UploadError::Archive(match source {
        ArchiveError::Input(InputError::PassedBy(digest)) => {
            ArchiveError::Input(InputError::PassedBy(*digest))
        }
        ArchiveError::Input(InputError::BadBase { digest, place, why }) => {
            let (digest, place, why) = (*digest, place.clone(), why.clone());
            ArchiveError::Input(InputError::BadBase { digest, place, why })
        }
        ArchiveError::Storage { name, why, answer, hint } => {
            let (name, why, hint) = (name.clone(), why.clone(), hint.clone());
            ArchiveError::Storage { name, why, answer: *answer, hint }
        }
        damage => ArchiveError::Format(FormatError::Damaged(damage.damage())),
    })
}
