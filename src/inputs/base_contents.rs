//! The content of a base, to which the blobs of a compact bundle refer while they are made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::manifest::RequiredBlob;
use crate::archive::{ArchiveError, BaseSource, InputError};
use crate::compact::{BaseContent, CompactError};
use crate::image::Digest;

/// Reads the blobs of a base, and remembers what cannot be read.
#[derive(Debug)]
pub(crate) struct BaseContents {
    source: Arc<dyn BaseSource>,
    /// Whether everything that may be referred to must be readable.
    is_required: bool,
    unread: Mutex<BTreeMap<Digest, Unread>>,
}

/// Why a blob could not be read.
#[derive(Debug)]
struct Unread {
    why: String,
    /// It is itself made from a blob of an older bundle.
    needs_base: bool,
}

impl BaseContents {
    pub(crate) fn new(source: Arc<dyn BaseSource>, is_required: bool) -> Self {
        Self { source, is_required, unread: Mutex::default() }
    }

    /// The content of a blob, unverified.
    pub(crate) fn open(&self, blob: &RequiredBlob) -> Result<BaseContent, CompactError> {
        self.source.content(blob)
    }

    /// Notes that a blob could not be read; an error if that may not be.
    pub(crate) fn left_out(&self, blob: &RequiredBlob, why: &CompactError) -> Result<(), CompactError> {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let needs_base = match why {
            CompactError::Read(error) => matches!(
                error.get_ref().and_then(|error| error.downcast_ref()),
                Some(ArchiveError::Input(InputError::NoBase(_)))
            ),
            _ => false,
        };
        unread.insert(blob.digest, Unread { why: why.to_string(), needs_base });
        if self.is_required {
            let why = format!("the base layer {} cannot be read: {why}", blob.digest);
            Err(CompactError::Read(std::io::Error::other(why)))
        } else {
            Ok(())
        }
    }

    /// What is to be said about blobs that could not be read.
    pub(crate) fn warning(&self) -> Option<String> {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let (digest, Unread { why, .. }) = unread.iter().next()?;
        let more = match unread.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let mut warning =
            format!("the base layer {digest} cannot be read ({why}){more}: what it has is carried again");
        if unread.values().any(|unread| unread.needs_base) {
            warning += "; the base is a delta itself: with the complete bundle as base, which bundle repack DELTA \
                        --fill-from BASE makes, the new one gets smaller";
        }
        Some(warning)
    }
}
