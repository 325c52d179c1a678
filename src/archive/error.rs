//! The errors of reading and writing bundle files.

use std::io;
use std::path::{Path, PathBuf};

use crate::app::failure::{ExitCode, Explain};
use crate::app::own_file::is_no_space;
use crate::app::stop;
use crate::app::text::typed;
use crate::image::Digest;
use crate::signing::Untrusted;

/// Why a bundle or another archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Volumes(#[from] VolumesError),
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// An error of reading over the network.
    #[error("{name} cannot be read: {why}")]
    Storage { name: String, why: String, answer: StorageAnswer, hint: Option<String> },
    /// A signal requested a stop during a long read.
    #[error("stopped")]
    Stopped,
    /// A bug, not bad input: the caller violated a precondition.
    #[error("internal contradiction: {0}")]
    Invariant(&'static str),
}

/// The bytes do not follow the format.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("not a bundle: {0}")]
    NotABundle(String),
    #[error("unsupported format version {0}; upgrade bundle")]
    UnknownVersion(String),
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    #[error("manifest {0} is not in the bundle")]
    MissingManifest(Digest),
    #[error("{0}: {1}")]
    Json(&'static str, String),
    #[error("seek table: {0}")]
    SeekTable(String),
    #[error("zstd: {0}")]
    Zstd(io::Error),
}

/// An archive that cannot be used in this way: its kind does not fit the command and its flags, its parts come in the
/// wrong order, or its images have no usable names or platforms.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(transparent)]
    Nameless(NamelessImage),
    #[error("index.json names image {digest} {name}, which is not an image reference: {why}")]
    BadName { digest: Digest, name: String, why: String },
    #[error("--name {0} is for an archive of one image, but this one has several")]
    NameUnused(String),
    #[error("--name {0} is for layouts of other tools; the images of a bundle have names")]
    NameUnneeded(String),
    #[error("--platform {0} is for layouts of other tools; the images of a bundle are imported as they are")]
    PlatformUnneeded(String),
    /// One image per line.
    #[error("the archive does not contain {wanted} for every image:\n{images}")]
    NoPlatform { wanted: String, images: String },
    #[error("{0} is pinned to the digest of its index, which --platform leaves out")]
    PlatformPinned(String),
    /// One image per line, and the platform that all of them have.
    #[error("the archive does not contain every platform of these images:\n{images}")]
    Sparse { images: String, platform: Option<String> },
    /// A file of another tool, and what to do with it.
    #[error("{what}")]
    OtherFormat { what: String, hint: String },
    /// The path that was named, if it does not exist, or the partial file itself.
    #[error("{} is not there yet: {} is an export that has not finished", path.display(), partial.display())]
    Unfinished { path: PathBuf, partial: PathBuf },
    #[error("it is made from {0}, which is in an older bundle")]
    NoBase(Digest),
    /// Where the base was read, and what is wrong with it.
    #[error("it is made from {digest} in {place}, which is damaged: {why}")]
    BadBase { digest: Digest, place: String, why: String },
    #[error("{0} cannot be sent again, since it comes from a pipe")]
    PassedBy(Digest),
    #[error("{0} comes before the index and the manifests that say what it is")]
    TooEarly(Digest),
    #[error("bundle.json comes after the layers")]
    LateBundle,
    #[error("{} needs a zstd window of {mib} MiB, but at most 128 MiB are supported", path.display())]
    Window { path: PathBuf, mib: u64 },
}

/// The hint for damage that is not of the bundle itself.
pub const OLDER_IS_DAMAGED: &str =
    "the older content is damaged, not this bundle: get it again, or name an intact copy with --base FILE";

/// What is wrong with the volumes of a bundle, or cannot be done with them.
#[derive(Debug, thiserror::Error)]
pub enum VolumesError {
    /// Volumes that are missing, cut short or of another set, one per line.
    #[error("the bundle is not complete:\n{problems}")]
    Incomplete {
        problems: String,
        /// The base of the set, if it has parity volumes.
        rebuild: Option<PathBuf>,
    },
    #[error("there are {} sets of volumes in {}:\n{}", bases.len(), folder.display(), listed(bases))]
    SeveralSets { folder: PathBuf, bases: Vec<PathBuf> },
    #[error(
        "{count} volumes of {size} bytes are not possible: the minimum size is 64 KiB, the maximum number 9999"
    )]
    Size { size: u64, count: u64 },
}

impl Explain for ArchiveError {
    fn calls_for(&self) -> Option<ExitCode> {
        Some(match self {
            Self::Stopped => ExitCode::Interrupted,
            Self::Storage { answer: StorageAnswer::Denied, .. } => ExitCode::Denied,
            Self::Storage { .. } => ExitCode::Unreachable,
            error if error.is_usage() => ExitCode::Usage,
            error if error.is_no_space() => ExitCode::NoSpace,
            error if error.is_content() => ExitCode::Content,
            _ => ExitCode::Failed,
        })
    }

    fn hints(&self) -> Vec<String> {
        self.hint().into_iter().collect()
    }
}

/// An image without a usable name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamelessImage {
    pub digest: Digest,
    /// Its name in the archive, quoted.
    pub found: Option<String>,
}

impl std::error::Error for NamelessImage {}

impl std::fmt::Display for NamelessImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "image {} has no full name in the archive", self.digest)?;
        match &self.found {
            Some(found) => write!(f, " (its name there is {found})"),
            None => Ok(()),
        }
    }
}

/// How a server answered a request for something that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageAnswer {
    /// It does not exist.
    Absent,
    /// Access is denied with this login, or without a login.
    Denied,
    /// Another answer, or no answer.
    Other,
}

impl ArchiveError {
    /// For loops whose length depends on input: an error once a signal has requested a stop.
    pub fn unless_stopped() -> Result<(), Self> {
        if stop::is_requested() { Err(Self::Stopped) } else { Ok(()) }
    }

    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }

    /// Names the input `name` in an error of its format, if the error does not name it yet.
    pub(crate) fn of(self, name: &str) -> Self {
        match self {
            Self::Format(FormatError::Damaged(why)) if !why.contains(name) => {
                Self::Format(FormatError::Damaged(format!("{name}: {why}")))
            }
            other => other,
        }
    }

    /// What is damaged, without the words "the archive is damaged".
    pub fn damage(&self) -> String {
        match self {
            Self::Format(FormatError::Damaged(why)) => why.clone(),
            other => other.to_string(),
        }
    }

    /// A hint, if it follows from the error alone.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Input(error) => error.hint(),
            Self::Volumes(error) => error.hint(),
            Self::Untrusted(error) => Some(error.hint().to_owned()),
            Self::Storage { hint, .. } => hint.clone(),
            Self::Format(FormatError::Damaged(_) | FormatError::SeekTable(_) | FormatError::Zstd(_)) => {
                Some("copy it again, and compare its checksum on both sides".to_owned())
            }
            Self::Io { .. } | Self::Format(_) | Self::Stopped | Self::Invariant(_) => None,
        }
    }

    /// Whether the command or its flags are at fault.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Input(error) => error.is_usage(),
            Self::Volumes(error) => !matches!(error, VolumesError::Incomplete { .. }),
            _ => false,
        }
    }

    /// Whether the content is at fault rather than the machine.
    pub fn is_content(&self) -> bool {
        !self.is_usage() && !matches!(self, Self::Io { .. } | Self::Invariant(_) | Self::Stopped)
    }

    /// Whether the error means that a disk is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { error, .. } if is_no_space(error))
    }
}

impl InputError {
    fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::TooEarly(_)
                | Self::LateBundle
                | Self::NameUnused(_)
                | Self::NameUnneeded(_)
                | Self::PlatformUnneeded(_)
                | Self::NoPlatform { .. }
                | Self::PlatformPinned(_)
                | Self::NoBase(_)
        )
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Nameless(_) | Self::BadName { .. } => {
                "name the only image of an archive with --name REGISTRY/REPOSITORY:TAG; if there are several, \
                 their names must be in index.json"
                    .to_owned()
            }
            Self::Unfinished { .. } => {
                "run the same export again, which goes on where it stopped; then carry the finished file".to_owned()
            }
            Self::LateBundle => "import it from a file".to_owned(),
            Self::BadBase { .. } => OLDER_IS_DAMAGED.to_owned(),
            Self::NoBase(_) => "name the older bundle with --base FILE".to_owned(),
            Self::Window { .. } => "compress it again without --long and --ultra".to_owned(),
            Self::OtherFormat { hint, .. } => hint.clone(),
            Self::PlatformUnneeded(platform) => {
                format!("make a bundle of one platform first: bundle repack FILE --platform {platform} -o FILE")
            }
            Self::PlatformPinned(_) => "name the image by its tag with --name REGISTRY/REPOSITORY:TAG".to_owned(),
            Self::Sparse { platform: Some(platform), .. } => format!(
                "import only that platform with --platform {platform}: the tag then resolves to its manifest, not to the index"
            ),
            Self::Sparse { platform: None, .. } => {
                "import only one platform with --platform OS/ARCH, or save the images again with all their platforms"
                    .to_owned()
            }
            Self::TooEarly(_) => {
                "name a folder for early blobs with --spool DIR, or import it from a file".to_owned()
            }
            Self::NameUnused(_) | Self::NameUnneeded(_) | Self::NoPlatform { .. } | Self::PassedBy(_) => return None,
        })
    }
}

impl VolumesError {
    /// The error for these problems, one per line, of a set without parity volumes.
    pub(crate) fn incomplete(problems: impl Into<String>) -> Self {
        Self::Incomplete { problems: problems.into(), rebuild: None }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Incomplete { rebuild: None, .. } => Some(BRING_VOLUMES.to_owned()),
            Self::Incomplete { rebuild: Some(base), .. } => {
                Some(BRING_VOLUMES.to_owned() + &or_rebuild(base))
            }
            Self::SeveralSets { .. } => Some("name one set by any of its files".to_owned()),
            Self::Size { .. } => None,
        }
    }
}

/// The hint for missing or damaged volumes.
pub const BRING_VOLUMES: &str = "copy the listed volumes again, all into one folder";

/// The other way, for a set with parity volumes: a part of a hint.
pub(in crate::archive) fn or_rebuild(base: &Path) -> String {
    format!(", or rebuild them from the parity volumes: bundle repack --rebuild {}", typed(base))
}

fn listed(paths: &[PathBuf]) -> String {
    let lines: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    lines.join("\n")
}
