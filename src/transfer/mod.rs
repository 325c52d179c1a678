//! Bytes in motion: bounded concurrency, verification beside I/O, and the journal that makes an export resumable.

pub mod journal;
mod spool;

use std::io;
use std::path::{Path, PathBuf};

pub use spool::Spool;

use crate::archive::ArchiveError;

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("another run is writing here: {} is locked", .0.display())]
    Locked(PathBuf),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A bug, not an input: the caller broke a promise.
    #[error("internal contradiction: {0}")]
    Invariant(&'static str),
}

impl TransferError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path: path.clone(), error }
    }
}
