//! Signed envelopes (DSSE v1.0, secure-systems-lab/dsse, `protocol.md` and `envelope.md`): a payload, what kind it is, and
//! signatures over both.

use serde::{Deserialize, Serialize};

use super::signature::as_base64;
use super::{PrivateKey, PublicKey, Signature};
use crate::image::Digest;

/// The payload type of in-toto statements.
const IN_TOTO: &str = "application/vnd.in-toto+json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    #[serde(with = "as_base64")]
    payload: Vec<u8>,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EnvelopeSignature {
    /// The key's name, like the hint in a sigstore bundle; may be empty.
    #[serde(default)]
    keyid: String,
    #[serde(with = "as_base64")]
    sig: Vec<u8>,
}

impl Envelope {
    /// The in-toto statement `payload`, signed by `key`.
    pub fn sign(payload: &[u8], key: &PrivateKey) -> Self {
        Self::sign_as(payload, key, key.public().hint())
    }

    /// The same for a sigstore bundle, which says itself by whom it is: cosign takes no key's name inside of it.
    pub(super) fn sign_unnamed(payload: &[u8], key: &PrivateKey) -> Self {
        Self::sign_as(payload, key, String::new())
    }

    fn sign_as(payload: &[u8], key: &PrivateKey, keyid: String) -> Self {
        let signature = EnvelopeSignature { keyid, sig: key.sign(&encoded(IN_TOTO, payload)).to_der() };
        Self { payload: payload.to_vec(), payload_type: IN_TOTO.to_owned(), signatures: vec![signature] }
    }

    /// The statement in it; none if it contains something else.
    pub fn statement(&self) -> Option<&[u8]> {
        (self.payload_type == IN_TOTO).then_some(&self.payload)
    }

    /// Whether `key` has signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let digest = Digest::sha256(&encoded(&self.payload_type, &self.payload));
        let signatures = self.signatures.iter().filter_map(|own| Signature::from_der(&own.sig));
        signatures.into_iter().any(|signature| key.verifies(&digest, &signature))
    }

    /// Whether it claims to be signed by `key`.
    pub fn claims(&self, key: &PublicKey) -> bool {
        self.signatures.iter().any(|own| own.keyid == key.hint())
    }
}

/// The bytes that are signed: PAE, the pre-authentication encoding.
fn encoded(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_protocol() {
        // protocol.md, "Test Vectors".
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(encoded("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn payload_and_kind_are_both_signed() {
        let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let signed = Envelope::sign(b"{}", &key);
        assert!(signed.is_signed_by(&key.public()) && signed.claims(&key.public()));
        assert!(!signed.is_signed_by(&other.public()) && !signed.claims(&other.public()));
        let again: Envelope = serde_json::from_str(&serde_json::to_string(&signed).unwrap()).unwrap();
        assert_eq!(again, signed);
        for changed in [
            Envelope { payload: b"{ }".to_vec(), ..signed.clone() },
            Envelope { payload_type: "text/plain".to_owned(), ..signed.clone() },
            Envelope { signatures: Vec::new(), ..signed.clone() },
        ] {
            assert!(!changed.is_signed_by(&key.public()));
        }
    }
}
