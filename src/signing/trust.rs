//! Whether a bundle is let in: which keys must have signed it, and what was found.
//!
//! With keys demanded, one of them at least must have signed exactly these bytes of `bundle.json`; and nothing that says
//! it is by one of them may be wrong. What is by other keys is no obstacle, and is told. A bare signature does not say
//! by whom it is; a sigstore bundle does, in its key hint.

use super::evidence::Form;
use super::{Evidence, NamedKey, SigstoreBundle, Untrusted};
use crate::image::Digest;

/// What a bundle is asked for before anything in it is believed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Any of these must have signed; none: no signature is demanded.
    pub keys: Vec<NamedKey>,
    /// What was found outside of the bundle.
    pub beside: Vec<Evidence>,
}

/// Who vouches for a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouched {
    /// The demanded keys that signed it, each with the places of its signatures.
    pub signers: Vec<(NamedKey, Vec<String>)>,
    /// What was found and does not count.
    pub notes: Vec<String>,
}

impl Trust {
    /// Whether anything is demanded.
    pub fn demands(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Checks all that was found against the exact bytes of `bundle.json`.
    pub fn check(&self, bundle_json: &[u8], embedded: Option<&[u8]>) -> Result<Vouched, Untrusted> {
        if !self.demands() {
            return Ok(Vouched::default());
        }
        let id = Digest::sha256(bundle_json);
        let embedded =
            embedded.map(|bytes| Evidence::read("bundle.json.sig in the bundle".to_owned(), bytes));
        let embedded = embedded.transpose()?;
        let mut vouched = Vouched::default();
        for evidence in embedded.iter().chain(&self.beside) {
            match self.signer(&id, evidence)? {
                Ok(key) => vouched.add(key, &evidence.place),
                Err(why) => vouched.notes.push(format!("{} {why}", evidence.place)),
            }
        }
        if !vouched.signers.is_empty() {
            return Ok(vouched);
        }
        let keys = self.any_of();
        Err(match vouched.notes {
            none if none.is_empty() => Untrusted::Unsigned { keys },
            found => Untrusted::NoneValid { keys, found },
        })
    }

    /// The demanded keys, for messages.
    fn any_of(&self) -> String {
        self.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    }

    /// A layout of another tool has nothing to check.
    pub fn check_foreign(&self) -> Result<(), Untrusted> {
        if self.demands() { Err(Untrusted::Foreign { keys: self.any_of() }) } else { Ok(()) }
    }

    /// The demanded key that signed the statement in `json`, in the sigstore bundle `signature`; or why there is none.
    pub fn statement_signer(&self, json: &[u8], signature: Option<&[u8]>) -> Result<&NamedKey, String> {
        let demanded = || format!("a signature by {} is demanded", self.any_of());
        let signature = signature.ok_or_else(|| format!("it is not signed, and {}", demanded()))?;
        let bundle = SigstoreBundle::parse(signature).map_err(|why| format!("its signature: {why}"))?;
        let envelope = bundle.as_ref().and_then(SigstoreBundle::envelope);
        let envelope = envelope.ok_or("its signature is none of a statement")?;
        if envelope.statement() != Some(json) {
            return Err("its signature is of another text".to_owned());
        }
        let signed = self.keys.iter().find(|named| envelope.is_signed_by(&named.key));
        signed.ok_or_else(|| format!("its signature is by another key, and {}", demanded()))
    }

    /// The demanded key that signed, or why this does not count.
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
            return bad("it is of another bundle");
        }
        let Some(signature) = bundle.signature() else {
            return bad("it holds no signature of a file by a key");
        };
        match (signed_by(signature), claimed) {
            (Some(key), _) => Ok(Ok(key)),
            (None, Some(_)) => bad("its signature does not fit"),
            (None, None) => Ok(Err("is by another key".to_owned())),
        }
    }
}

impl Vouched {
    /// Who signed and where, one line each.
    pub fn lines(&self) -> Vec<String> {
        self.signers.iter().map(|(key, places)| format!("signed by {key}: {}", places.join(", "))).collect()
    }

    fn add(&mut self, key: &NamedKey, place: &str) {
        match self.signers.iter_mut().find(|(own, _)| own.key == key.key) {
            Some((_, places)) => places.push(place.to_owned()),
            None => self.signers.push((key.clone(), vec![place.to_owned()])),
        }
    }
}
