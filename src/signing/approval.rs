//! A reviewer's approval of a bundle: predicate `urn:airgap-bundle:approval:1`, `bundle` (its id), `by`, `at`, `tool`.
//!
//! That it is an approval is part of what is signed, so that no other signature by the same key passes for one: neither
//! an exporter's nor one of a statement. Approvals of one bundle lie together in a file of envelopes, one a line
//! (in-toto/attestation, `spec/v1/bundle.md`).

use serde::{Deserialize, Serialize};

use super::{
    BUNDLE_SUBJECT, Circumstances, Envelope, NamedKey, Predicate, PrivateKey, PublicKey, Statement, Subject,
};
use crate::image::Digest;

/// The predicate of an approval.
pub type Approval = Statement<Approved>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    pub bundle: Digest,
    #[serde(flatten)]
    pub circumstances: Circumstances,
}

impl Predicate for Approved {
    const TYPE: &'static str = "urn:airgap-bundle:approval:1";
}

impl Approval {
    /// An approval of the bundle with this id.
    pub fn of(id: Digest, circumstances: Circumstances) -> Self {
        Self::new(vec![Subject::new(BUNDLE_SUBJECT, &id)], Approved { bundle: id, circumstances })
    }

    /// The approval of the bundle with this id in `envelope`, or why it is not one.
    fn in_envelope(envelope: &Envelope, id: &Digest) -> Result<Self, String> {
        let statement = envelope.statement().ok_or("is not an approval: it is not an in-toto statement")?;
        let approval = Self::parse(statement).map_err(|why| format!("is not an approval: {why}"))?;
        let is_about = approval.is_about(id) && approval.predicate.bundle == *id;
        if is_about { Ok(approval) } else { Err("is for another bundle".to_owned()) }
    }
}

/// A file of approvals.
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    /// For messages.
    pub place: String,
    envelopes: Vec<Envelope>,
}

impl Approvals {
    /// Reads a file of envelopes, one a line; or says what is wrong with which line.
    pub fn read(place: String, bytes: &[u8]) -> Result<Self, String> {
        let mut envelopes = Vec::new();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if !line.trim_ascii().is_empty() {
                let envelope = serde_json::from_slice(line);
                envelopes.push(envelope.map_err(|error| format!("line {}: {error}", at + 1))?);
            }
        }
        if envelopes.is_empty() { Err("it is empty".to_owned()) } else { Ok(Self { place, envelopes }) }
    }

    /// Each envelope by `key`, or that says it is: the approval of the bundle with this id in it, or why it is none.
    /// `None` is a signature that does not fit.
    pub(super) fn by(&self, key: &PublicKey, id: &Digest) -> Vec<Option<Result<Approval, String>>> {
        let own = self.envelopes.iter().filter(|envelope| envelope.claims(key) || envelope.is_signed_by(key));
        own.map(|envelope| envelope.is_signed_by(key).then(|| Approval::in_envelope(envelope, id))).collect()
    }

    /// The number of approvals by other keys than `keys`.
    pub(super) fn by_others(&self, keys: &[NamedKey]) -> usize {
        let is_by = |envelope: &Envelope, key: &PublicKey| envelope.claims(key) || envelope.is_signed_by(key);
        let is_other = |envelope: &&Envelope| !keys.iter().any(|named| is_by(envelope, &named.key));
        self.envelopes.iter().filter(is_other).count()
    }

    /// Whether all of them are about the bundle with this id, whoever signed them.
    pub fn are_about(&self, id: &Digest) -> bool {
        self.envelopes.iter().all(|envelope| Approval::in_envelope(envelope, id).is_ok())
    }

    /// Whether `key` has approved the bundle with this id here.
    pub fn has(&self, key: &PublicKey, id: &Digest) -> bool {
        self.by(key, id).into_iter().flatten().any(|approval| approval.is_ok())
    }

    /// Adds `approval`, signed by `key`.
    pub fn add(&mut self, approval: &Approval, key: &PrivateKey) -> Result<(), serde_json::Error> {
        self.envelopes.push(Envelope::sign(&serde_json::to_vec(approval)?, key));
        Ok(())
    }

    /// The content of its file.
    pub fn to_file(&self) -> Result<String, serde_json::Error> {
        let line = |envelope| serde_json::to_string(envelope).map(|line| line + "\n");
        self.envelopes.iter().map(line).collect()
    }
}
