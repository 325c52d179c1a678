//! The bases of a compact bundle: blobs that are elsewhere, whose content its own blobs refer to.
//!
//! `compact.json` lists them, and the members of a blob name them by their position in that list. Where they can be read is
//! told after the bundle was opened: older bundles, or the registry that the images go to. What comes from there is not
//! trusted: it can at most give a blob with another digest.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::manifest::RequiredBlob;
use super::{ArchiveError, InputError};
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
        self.source.get().ok_or_else(lacking)?.content(blob)
    }
}
