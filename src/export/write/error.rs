//! The errors of files that are being written.

use std::io;
use std::path::{Path, PathBuf};

use crate::app::failure::{ExitCode, Explain};
use crate::archive::ArchiveError;
use crate::compact::CompactError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("another run is writing this file: {} is locked", .0.display())]
    Locked(PathBuf),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("a blob cannot be made compact: {0}")]
    Compact(CompactError),
    /// A bug, not bad input: the caller violated a precondition.
    #[error("internal contradiction: {0}")]
    Invariant(&'static str),
}

impl Explain for TransferError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Archive(error) => error.calls_for(),
            Self::Io { error, .. } => error.calls_for().or(Some(ExitCode::Failed)),
            Self::Locked(_) | Self::Compact(_) | Self::Invariant(_) => Some(ExitCode::Failed),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Archive(error) => error.hints(),
            Self::Locked(_) => vec!["wait for the other run, or write elsewhere with -o FILE".to_owned()],
            Self::Io { .. } | Self::Compact(_) | Self::Invariant(_) => Vec::new(),
        }
    }
}

impl TransferError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path: path.clone(), error }
    }
}
