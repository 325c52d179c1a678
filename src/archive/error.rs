//! What can go wrong with a bundle file.

use std::io;
use std::path::PathBuf;

use super::volumes::WrongVolume;
use crate::app::own_file::is_no_space;
use crate::image::Digest;
use crate::signing::Untrusted;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("zstd: {0}")]
    Zstd(io::Error),
    #[error("seek table: {0}")]
    SeekTable(String),
    #[error("{0}: {1}")]
    Json(&'static str, String),
    #[error("the bundle is of a newer kind ({0}); a newer bundle program reads it")]
    UnknownVersion(String),
    #[error("manifest {0} is not in the bundle")]
    MissingManifest(Digest),
    #[error(
        "image {0} has no full name in the archive (a single one can be named with --name; several need theirs in index.json)"
    )]
    Nameless(Digest),
    #[error("--name {0} is for an archive of one image, and this one has several")]
    NameUnused(String),
    #[error("--name {0} is for layouts of other tools; the images of a bundle have their names")]
    NameUnneeded(String),
    #[error("{0} cannot be sent again, since it comes from a pipe")]
    PassedBy(Digest),
    #[error("{0} comes before the index and the manifests that say what it is")]
    TooEarly(Digest),
    #[error(
        "reading {} takes a zstd window of {mib} MiB, and 128 MiB are allowed; pack it again without --long",
        path.display()
    )]
    Window { path: PathBuf, mib: u64 },
    /// Volumes that are missing, cut short or of another set, one a line.
    #[error("the bundle is not complete:\n{0}")]
    Volumes(String),
    #[error("{} sets of volumes are in {}:\n{}", bases.len(), folder.display(), listed(bases))]
    SeveralSets { folder: PathBuf, bases: Vec<PathBuf> },
    #[error(
        "volumes of {size} bytes would be {count}: they must be of 64 KiB at the least, and 9999 at the most"
    )]
    VolumeSize { size: u64, count: u64 },
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// Something over the network.
    #[error("{name} cannot be read: {why}")]
    Storage { name: String, why: String, answer: StorageAnswer, hint: Option<String> },
    #[error("not a bundle: {0}")]
    NotABundle(String),
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// A bug, not an input: the caller broke a promise.
    #[error("internal contradiction: {0}")]
    Invariant(&'static str),
}

/// What a server said of something that cannot be read over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageAnswer {
    /// It has none.
    Absent,
    /// Not to this login, or not without one.
    Denied,
    /// Something else, or nothing.
    Other,
}

impl ArchiveError {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }

    /// What went wrong with reading a pipe, or volumes in order.
    pub(super) fn of_pipe(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<WrongVolume>()) {
            Some(wrong) => Self::Volumes(wrong.to_string()),
            None => Self::Io { path: "stdin".into(), error },
        }
    }

    /// What is damaged, without the words that it is.
    pub fn damage(&self) -> String {
        match self {
            Self::Damaged(why) => why.clone(),
            other => other.to_string(),
        }
    }

    /// Whether it is what was asked for that is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::TooEarly(_)
                | Self::NameUnused(_)
                | Self::NameUnneeded(_)
                | Self::SeveralSets { .. }
                | Self::VolumeSize { .. }
        )
    }

    /// Whether the content is at fault rather than the machine.
    pub fn is_content(&self) -> bool {
        !self.is_usage() && !matches!(self, Self::Io { .. } | Self::Invariant(_))
    }

    /// Whether a disk is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { error, .. } if is_no_space(error))
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let lines: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    lines.join("\n")
}
