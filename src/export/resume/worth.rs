//! What an earlier run is worth to this one: decided here and nowhere else.
//!
//! A run of the same request lends the digests to which it resolved its tags. If its head is that of this run too, its
//! file goes on where it stopped. In every other case its blobs may still be of use: the file becomes the old partial,
//! from which they are taken over.

use super::journal::{Header, ResumeState};
use super::workspace::{Unfinished, Workspace};
use crate::archive::{Cut, PartialFile};
use crate::export::write::checksum::read_range;
use crate::export::write::error::TransferError;
use crate::image::{Algorithm, Digest, Hasher};
use crate::plan::{ExportPlan, Resolution};

/// The request of a run, in the form in which two runs are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestMark(String);

impl RequestMark {
    /// Of the request with this fingerprint. A run that left out images must not be resumed by a later run of the same
    /// request, so their number is a part of the mark.
    pub(crate) fn new(fingerprint: &str, left_out: usize) -> Self {
        Self(if left_out == 0 { fingerprint.to_owned() } else { format!("{fingerprint} less {left_out}") })
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl Unfinished {
    /// Whether it was a run of this request.
    pub(crate) fn is_of(&self, mark: &RequestMark) -> bool {
        self.header.request == mark.0
    }

    /// The digests to which its tags were resolved, if it was a run of this request.
    pub(crate) fn resolution(&self, mark: &RequestMark) -> Option<Resolution> {
        let stored = || serde_json::from_value(self.header.resolution.clone()).ok();
        self.is_of(mark).then(stored).flatten()
    }
}

/// The partial file of an earlier run, which goes on where it stopped.
#[derive(Debug)]
pub(crate) struct Continued {
    pub(crate) file: PartialFile,
    pub(crate) header: Header,
    pub(crate) past: ResumeState,
}

/// The partial file of `earlier`, if a run of the request with this mark, whose plan is `plan` and whose file is cut like
/// `cut`, can go on in it. If not, a new file begins, and what may be of use in the earlier one is in the old partial
/// afterwards.
pub(crate) fn of(
    workspace: &Workspace,
    earlier: Option<Unfinished>,
    mark: &RequestMark,
    plan: &ExportPlan,
    cut: Option<Cut>,
) -> Result<Option<Continued>, TransferError> {
    let Some(earlier) = earlier else { return Ok(None) };
    let (head, stated) = (plan.head.digest, &earlier.header);
    if !earlier.is_of(mark) || stated.head != head || stated.cut != cut {
        workspace.set_aside(earlier)?;
        return Ok(None);
    }
    let file = workspace.reopen(cut)?;
    // It may have ended after it wrote a new head and before it wrote its journal: then the journal is not about the
    // blobs in the file, and nothing can be taken from it.
    let is_there = head_digest(&file, plan)? == head;
    let Unfinished { header, past } = earlier;
    Ok(is_there.then_some(Continued { file, header, past }))
}

/// The digest of the bytes where the head of `plan` should be.
fn head_digest(file: &PartialFile, plan: &ExportPlan) -> Result<Digest, TransferError> {
    let len = plan.head.layout.head_len();
    if file.len()? < len {
        return Ok(Digest::sha256(b""));
    }
    let mut hasher = Hasher::new(Algorithm::Sha256);
    read_range(file, 0..len, &mut |bytes| hasher.update(bytes))?;
    Ok(hasher.finish())
}
