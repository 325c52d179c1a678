//! The bases of a compact bundle: blobs that are elsewhere, whose content its own blobs refer to.
//!
//! `compact.json` lists them, and the members of a blob name them by their position in that list. Where they can be read is
//! told after the bundle was opened: older bundles, or the registry that the images go to. What comes from there is not
//! trusted: it can at most give a blob with another digest.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use super::hash::hash;
use super::manifest::RequiredBlob;
use super::{ArchiveError, FormatError, InputError};
use crate::compact::{BaseContent, CompactError, Effort, content_of};
use crate::image::Digest;

/// What `compact.json` says beside the revision: what the blobs need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompactHead {
    /// The id of the bundle that has the bases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    #[serde(default)]
    pub effort: Effort,
    /// The signature of the same bundle in the form of a layout, which is made from this one elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout_signature: Option<String>,
    /// The bases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<RequiredBlob>,
}

/// Where the bytes of bases are read.
pub trait BaseSource: Send + Sync + std::fmt::Debug {
    /// The bytes of a blob, unverified.
    fn open(&self, blob: &RequiredBlob) -> Result<Box<dyn Read + Send>, ArchiveError>;

    /// Where the blob is read, for messages.
    fn place(&self, blob: &RequiredBlob) -> String;

    /// The content of a blob, unverified.
    fn content(&self, blob: &RequiredBlob) -> Result<BaseContent, CompactError> {
        Ok(content_of(self.open(blob).map_err(io::Error::other)?, blob.size)?)
    }
}

/// The bases of one bundle.
#[derive(Debug, Default)]
pub(in crate::archive) struct Bases {
    pub(in crate::archive) listed: CompactHead,
    source: OnceLock<Arc<dyn BaseSource>>,
    /// What is wrong with the bases that were checked, by number.
    checked: Mutex<BTreeMap<u32, Option<String>>>,
}

impl Bases {
    pub(in crate::archive) fn new(listed: CompactHead) -> Self {
        Self { listed, source: OnceLock::new(), checked: Mutex::default() }
    }

    /// Reads bases from `source` from now on, unless another is in use already.
    pub(in crate::archive) fn read_from(&self, source: Arc<dyn BaseSource>) {
        let _ = self.source.set(source);
    }

    /// Whether bases can be read.
    pub(in crate::archive) fn are_given(&self) -> bool {
        self.source.get().is_some()
    }

    /// The content of the base with this number.
    pub(in crate::archive) fn open(&self, number: u32) -> Result<BaseContent, CompactError> {
        let blob =
            self.blob(number).ok_or(CompactError::Invalid("it refers to a base that is not listed"))?;
        let lacking = || io::Error::other(ArchiveError::Input(InputError::NoBase(blob.digest)));
        let source = self.source.get().ok_or_else(lacking)?;
        let blame = Blame { digest: blob.digest, place: source.place(blob) };
        let content = source.content(blob).map_err(|error| match error {
            CompactError::Read(error) => CompactError::Read(blame.of(error)),
            other => other,
        })?;
        Ok(Box::new(Named { content, blame }))
    }

    fn blob(&self, number: u32) -> Option<&RequiredBlob> {
        self.listed.references.get(usize::try_from(number).ok()?)
    }

    /// Reads these bases to their end. The error names the first one that is damaged.
    pub(in crate::archive) fn check(
        &self,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Result<(), ArchiveError> {
        let Some(source) = self.source.get() else { return Ok(()) };
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            let Some(blob) = self.blob(number) else { continue };
            let blame = Blame { digest: blob.digest, place: source.place(blob) };
            let damage = match checked.get(&number) {
                Some(known) => known.clone(),
                None => checked.entry(number).or_insert(damage_of(source.as_ref(), blob, &blame)?).clone(),
            };
            if let Some(why) = damage {
                return Err(blame.damaged(why));
            }
        }
        Ok(())
    }
}

/// Reads a base to its end; what is wrong with it, if anything.
fn damage_of(
    source: &dyn BaseSource,
    blob: &RequiredBlob,
    blame: &Blame,
) -> Result<Option<String>, ArchiveError> {
    let read = source.open(blob).map_err(io::Error::other);
    let read = read.and_then(|mut bytes| hash(&mut bytes, blob.digest.algorithm()));
    match read.map_err(|error| broken(&blob.digest, CompactError::Read(blame.of(error)))) {
        Ok((_, found)) => Ok((found != blob.digest).then(|| "it has another digest".to_owned())),
        Err(ArchiveError::Input(InputError::BadBase { why, .. })) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}

/// The error of a blob that cannot be made from its compact form. An error of reading the file stays what it is.
pub(in crate::archive) fn broken(digest: &Digest, error: CompactError) -> ArchiveError {
    let why = match error {
        CompactError::Encoder(name) => {
            return ArchiveError::Format(FormatError::UnknownVersion(format!("encoder {name:?}")));
        }
        CompactError::Read(error) => match error.downcast::<ArchiveError>() {
            Ok(error) => return error,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "a member of its compact form is cut short".to_owned()
            }
            Err(error) => CompactError::Read(error).to_string(),
        },
        invalid @ (CompactError::Invalid(_) | CompactError::Base(_)) => invalid.to_string(),
    };
    ArchiveError::Format(FormatError::Damaged(format!("{digest}: {why}")))
}

/// What is blamed for an error of reading a base.
#[derive(Clone)]
struct Blame {
    digest: Digest,
    place: String,
}

impl Blame {
    fn damaged(&self, why: String) -> ArchiveError {
        ArchiveError::Input(InputError::BadBase { digest: self.digest, place: self.place.clone(), why })
    }

    /// The same error, or that the base is damaged if it means that.
    fn of(&self, error: io::Error) -> io::Error {
        let why = match error.downcast::<ArchiveError>() {
            Ok(ArchiveError::Format(FormatError::Damaged(why))) => why,
            // It was stopped, or is of a base of this base.
            Ok(error) => return io::Error::other(error),
            Err(error) => match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                    error.to_string()
                }
                _ => return error,
            },
        };
        io::Error::other(self.damaged(why))
    }
}

/// Content of a base, whose errors say that they are of a base.
struct Named<R> {
    content: R,
    blame: Blame,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.content.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(self.blame.of(error)),
            read => read,
        }
    }
}
