//! Decides whether a bundle is trusted: which keys must have signed it, and which signatures were found.
//!
//! If keys are required, at least one of them must have signed exactly these bytes of `bundle.json`, and no signature that
//! claims to be by one of them may be invalid. Signatures by other keys are reported and otherwise ignored. A bare
//! signature does not name its key; a sigstore bundle does, in its key hint.
//!
//! Approvals are required separately: a signature does not count as an approval, nor an approval as a signature.

use super::evidence::Form;
use super::{Approvals, Circumstances, Evidence, NamedKey, SigstoreBundle, Untrusted};
use crate::image::Digest;

/// What is required of a bundle before anything in it is trusted.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Any of these must have signed; none: no signature is required.
    pub keys: Vec<NamedKey>,
    /// What was found outside of the bundle.
    pub beside: Vec<Evidence>,
    /// Any of these must have approved; none: no approval is required.
    pub approvers: Vec<NamedKey>,
    pub approvals: Vec<Approvals>,
}

/// Who vouches for a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouched {
    /// The required keys that signed it, each with the places of its signatures.
    pub signers: Vec<(NamedKey, Vec<String>)>,
    /// The required reviewers that approved it, with name, time and place of each approval.
    pub approvers: Vec<(NamedKey, Circumstances, String)>,
    /// What was found and does not count.
    pub notes: Vec<String>,
}

impl Trust {
    /// Whether anything is required.
    pub fn demands(&self) -> bool {
        self.demands_signature() || !self.approvers.is_empty()
    }

    /// Whether a signature is required, of the bundle and of what is said of it.
    pub fn demands_signature(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Checks all that was found against the exact bytes of `bundle.json`.
    pub fn check(&self, bundle_json: &[u8], embedded: Option<&[u8]>) -> Result<Vouched, Untrusted> {
        if self.demands() {
            self.check_id(Digest::sha256(bundle_json), embedded)
        } else {
            Ok(Vouched::default())
        }
    }

    /// The same, where the sha256 of `bundle.json` is known.
    pub fn check_id(&self, id: Digest, embedded: Option<&[u8]>) -> Result<Vouched, Untrusted> {
        let mut vouched = Vouched::default();
        if self.demands_signature() {
            self.check_signatures(&id, embedded, &mut vouched)?;
        }
        if !self.approvers.is_empty() {
            self.check_approvals(&id, &mut vouched)?;
        }
        Ok(vouched)
    }

    fn check_signatures(
        &self,
        id: &Digest,
        embedded: Option<&[u8]>,
        vouched: &mut Vouched,
    ) -> Result<(), Untrusted> {
        let embedded =
            embedded.map(|bytes| Evidence::read("bundle.json.sig in the bundle".to_owned(), bytes));
        let embedded = embedded.transpose()?;
        for evidence in embedded.iter().chain(&self.beside) {
            match self.signer(id, evidence)? {
                Ok(key) => vouched.add(key, &evidence.place),
                Err(why) => vouched.notes.push(format!("{} {why}", evidence.place)),
            }
        }
        if !vouched.signers.is_empty() {
            return Ok(());
        }
        let keys = any_of(&self.keys);
        Err(match std::mem::take(&mut vouched.notes) {
            none if none.is_empty() => Untrusted::Unsigned { keys },
            found => Untrusted::NoneValid { keys, found },
        })
    }

    fn check_approvals(&self, id: &Digest, vouched: &mut Vouched) -> Result<(), Untrusted> {
        let mut notes = Vec::new();
        for approvals in &self.approvals {
            let place = &approvals.place;
            for key in &self.approvers {
                for found in approvals.by(&key.key, id) {
                    match found {
                        Some(Ok(approval)) => {
                            let circumstances = approval.predicate.circumstances;
                            vouched.approvers.push((key.clone(), circumstances, place.clone()));
                        }
                        Some(Err(why)) => notes.push(format!("what {key} signed in {place} {why}")),
                        None => {
                            let (place, key) = (place.clone(), key.to_string());
                            return Err(Untrusted::Bad { place, key, why: "its signature is not valid" });
                        }
                    }
                }
            }
            let others = approvals.by_others(&self.approvers);
            if others > 0 {
                notes.push(format!("{place} has {others} by another key"));
            }
        }
        if vouched.approvers.is_empty() {
            return Err(Untrusted::Unapproved { keys: any_of(&self.approvers), found: notes });
        }
        vouched.notes.append(&mut notes);
        Ok(())
    }

    /// A layout of another tool has nothing to check.
    pub fn check_foreign(&self) -> Result<(), Untrusted> {
        let of: Vec<NamedKey> = self.keys.iter().chain(&self.approvers).cloned().collect();
        if of.is_empty() { Ok(()) } else { Err(Untrusted::Foreign { keys: any_of(&of) }) }
    }

    /// The required key that signed the statement in `json`, in the sigstore bundle `signature`; or why there is none.
    pub fn statement_signer(&self, json: &[u8], signature: Option<&[u8]>) -> Result<&NamedKey, String> {
        let demanded = || format!("a signature by {} is required", any_of(&self.keys));
        let signature = signature.ok_or_else(|| format!("it is not signed, and {}", demanded()))?;
        let bundle = SigstoreBundle::parse(signature).map_err(|why| format!("its signature: {why}"))?;
        let envelope = bundle.as_ref().and_then(SigstoreBundle::envelope);
        let envelope = envelope.ok_or("its signature is not one of a statement")?;
        if envelope.statement() != Some(json) {
            return Err("its signature is of another text".to_owned());
        }
        let signed = self.keys.iter().find(|named| envelope.is_signed_by(&named.key));
        signed.ok_or_else(|| format!("its signature is by another key, and {}", demanded()))
    }

    /// The required key that signed, or why the signature does not count.
    fn signer(&self, id: &Digest, evidence: &Evidence) -> Result<Result<&NamedKey, String>, Untrusted> {
        let signed_by = |signature| self.keys.iter().find(|named| named.key.verifies(id, &signature));
        let bundle = match &evidence.form {
            Form::OtherTool(what) => return Ok(Err(format!("is {what}, which is not checked here"))),
            Form::Plain(signature) => {
                return Ok(
                    signed_by(*signature).ok_or_else(|| "is by another key, or of another bundle".to_owned())
                );
            }
            Form::Sigstore(bundle) => bundle,
        };
        let claimed = self.keys.iter().find(|named| bundle.claims(&named.key));
        let bad = |why| match claimed {
            Some(key) => Err(Untrusted::Bad { place: evidence.place.clone(), key: key.to_string(), why }),
            None => Ok(Err(format!("does not count: {why}"))),
        };
        if bundle.message().is_some_and(|message| message != *id) {
            return bad("it is for another bundle");
        }
        let Some(signature) = bundle.signature() else {
            return bad("it holds no signature of a file by a key");
        };
        match (signed_by(signature), claimed) {
            (Some(key), _) => Ok(Ok(key)),
            (None, Some(_)) => bad("its signature is not valid"),
            (None, None) => Ok(Err("is by another key".to_owned())),
        }
    }
}

impl Vouched {
    /// Who signed and approved, and where, one line each.
    pub fn lines(&self) -> Vec<String> {
        let signed = self.signers.iter();
        let signed = signed.map(|(key, places)| format!("signed by {key}: {}", places.join(", ")));
        let approved = self.approvers.iter();
        let approved = approved.map(|(key, made, place)| format!("approved with {key} {made}: {place}"));
        signed.chain(approved).collect()
    }

    fn add(&mut self, key: &NamedKey, place: &str) {
        match self.signers.iter_mut().find(|(own, _)| own.key == key.key) {
            Some((_, places)) => places.push(place.to_owned()),
            None => self.signers.push((key.clone(), vec![place.to_owned()])),
        }
    }
}

/// Keys, for messages.
fn any_of(keys: &[NamedKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}
