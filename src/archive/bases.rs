//! The bases of a compact bundle: blobs that are elsewhere, whose content its own blobs refer to.
//!
//! `compact.json` lists them, and the members of a blob name them by their position in that list. Where they can be read is
//! told after the bundle was opened: older bundles, or the registry that the images go to. What comes from there is not
//! trusted: it can at most give a blob with another digest.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::manifest::RequiredBlob;
use super::{ArchiveError, FormatError, InputError};
use crate::compact::{BaseContent, CompactError, Effort, content_of};
use crate::image::{Digest, Hasher};

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
}

impl Bases {
    pub(in crate::archive) fn new(listed: CompactHead) -> Self {
        Self { listed, source: OnceLock::new() }
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
        let blob = usize::try_from(number).ok().and_then(|number| self.listed.references.get(number));
        let blob = blob.ok_or(CompactError::Invalid("it refers to a base that is not listed"))?;
        let lacking = || io::Error::other(ArchiveError::Input(InputError::NoBase(blob.digest)));
        let source = self.source.get().ok_or_else(lacking)?;
        let (digest, place) = (blob.digest, source.place(blob));
        Ok(Box::new(Named { content: source.content(blob)?, digest, place }))
    }

    /// Reads these bases to their end. The error names the first one that is damaged.
    pub(in crate::archive) fn check(
        &self,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Result<(), ArchiveError> {
        let Some(source) = self.source.get() else { return Ok(()) };
        for number in numbers {
            let blob = usize::try_from(number).ok().and_then(|number| self.listed.references.get(number));
            let Some(blob) = blob else { continue };
            let (digest, place) = (blob.digest, source.place(blob));
            let mut hasher = Hasher::for_digest(&digest);
            let mut content = Named { content: source.open(blob)?, digest, place: place.clone() };
            let mut buffer = vec![0; 64 << 10];
            loop {
                match content.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => hasher.update(&buffer[..read]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(broken(&digest, CompactError::Read(error))),
                }
            }
            if hasher.finish() != digest {
                let why = "it has another digest".to_owned();
                return Err(ArchiveError::Input(InputError::BadBase { digest, place, why }));
            }
        }
        Ok(())
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

/// Content of a base, whose errors say that they are of a base.
struct Named<R> {
    content: R,
    digest: Digest,
    place: String,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let error = match self.content.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => error,
            read => return read,
        };
        let why = match error.downcast::<ArchiveError>() {
            Ok(ArchiveError::Format(FormatError::Damaged(why))) => why,
            // It was stopped, or cannot be reached.
            Ok(error) => return Err(io::Error::other(error)),
            Err(error) => match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                    error.to_string()
                }
                _ => return Err(error),
            },
        };
        let place = self.place.clone();
        Err(io::Error::other(ArchiveError::Input(InputError::BadBase { digest: self.digest, place, why })))
    }
}
