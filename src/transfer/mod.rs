//! Bytes in motion: bounded concurrency, verification beside I/O, and the journal that makes an export resumable.

mod ahead;
mod appended;
mod arrival;
mod artifacts;
mod blob_spool;
mod bundles;
mod checksum;
mod compressed;
mod download;
mod fetch;
mod file_export;
mod front;
pub mod journal;
mod medium;
mod once;
mod ordered;
mod past;
mod piped;
mod places;
mod refused;
mod resolve;
mod resolve_children;
mod source;
mod spool;
mod upload;
mod workspace;

use std::io;
use std::path::{Path, PathBuf};

pub use arrival::{Beside, artifacts_there, present};
pub use blob_spool::BlobSpool;
pub use bundles::OpenBundles;
pub use checksum::{add_parity, complete_sidecar};
pub use download::{BlobError, Download, Downloaded, LostBlob};
pub use file_export::{FileExport, FileExportError, Outcome, Prepared, Stale};
pub use front::{Front, keep_barriers};
pub use medium::{FAT_LARGEST, Medium, free_space, largest_file};
pub use ordered::{Broken, StreamExport};
pub use past::{Donor, recheck};
pub use places::Places;
pub use resolve::{ResolveError, Resolved, Unresolved, resolve};
pub use source::{HeldBlob, WrongContent};
pub use spool::Spool;
pub use upload::{ArrivalError, Arrived, Import, Sent};
pub use workspace::{Unfinished, Workspace, occupied};

use crate::app::failure::{ExitCode, Explain};
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

impl Explain for TransferError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Archive(error) => error.calls_for(),
            Self::Io { error, .. } => error.calls_for().or(Some(ExitCode::Failed)),
            Self::Locked(_) | Self::Invariant(_) => Some(ExitCode::Failed),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Archive(error) => error.hints(),
            Self::Locked(_) => vec!["wait for the other run, or choose another output with -o".to_owned()],
            Self::Io { .. } | Self::Invariant(_) => Vec::new(),
        }
    }
}

impl TransferError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path: path.clone(), error }
    }
}
