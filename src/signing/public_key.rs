//! The key that checks signatures.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::VerifyingKey;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};

use super::pem::blocks;
use super::{KeyError, Signature};
use crate::image::Digest;

/// A public key for ECDSA on P-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    pem: String,
    id: Digest,
}

/// A public key with the name that the user gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKey {
    pub name: String,
    pub key: PublicKey,
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (key {})", self.name, self.key.id.short())
    }
}

impl PublicKey {
    pub(super) fn of(key: &VerifyingKey) -> Self {
        const ENCODES: &str = "every point of the curve has an encoding";
        let pem = key.to_public_key_pem(LineEnding::LF).expect(ENCODES);
        let id = Digest::sha256(key.to_public_key_der().expect(ENCODES).as_bytes());
        Self { key: *key, pem, id }
    }

    /// Every public key in PEM `text` (RFC 7468, section 13), as `openssl ec -pubout` and cosign write it.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, KeyError> {
        let blocks = blocks(text);
        let mut keys = Vec::new();
        for block in &blocks {
            match block.label {
                "PUBLIC KEY" => {
                    let der = block.content()?;
                    let key = VerifyingKey::from_public_key_der(&der).map_err(|_| block.unusable(&der))?;
                    keys.push(Self::of(&key));
                }
                "EC PARAMETERS" => {}
                label if label.ends_with("PRIVATE KEY") => return Err(KeyError::Private),
                label => return Err(KeyError::Kind(label.chars().take(40).collect())),
            }
        }
        if keys.is_empty() { Err(KeyError::NotPem) } else { Ok(keys) }
    }

    /// As PEM.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// The sha256 of its DER form (SubjectPublicKeyInfo): what sigstore's `hint` is made of.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// The name of the key in signatures.
    pub(super) fn hint(&self) -> String {
        STANDARD.encode(self.id().as_bytes())
    }

    /// Whether `signature` is by this key over the content with this sha256.
    pub fn verifies(&self, content: &Digest, signature: &Signature) -> bool {
        self.key.verify_prehash(content.as_bytes(), signature.inner()).is_ok()
    }
}
