//! One signature: DER inside, base64 outside.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::Signature as Ecdsa;

/// An ECDSA signature on P-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(Ecdsa);

impl Signature {
    pub(super) fn of(signature: Ecdsa) -> Self {
        Self(signature)
    }

    pub(super) fn inner(&self) -> &Ecdsa {
        &self.0
    }

    /// From DER (RFC 3279, section 2.2.3).
    pub fn from_der(der: &[u8]) -> Option<Self> {
        Ecdsa::from_der(der).ok().map(Self)
    }

    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_der().as_bytes().to_vec()
    }

    /// From a `.sig` file: base64 of DER as this program and cosign write it, or DER as openssl does.
    pub fn from_file(bytes: &[u8]) -> Option<Self> {
        let text: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(&text);
        der.ok().and_then(|der: Vec<u8>| Self::from_der(&der)).or_else(|| Self::from_der(bytes))
    }

    /// What a `.sig` file holds.
    pub fn to_file(&self) -> String {
        STANDARD.encode(self.to_der()) + "\n"
    }
}

/// Bytes as base64 in JSON.
pub(super) mod as_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::signing) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in crate::signing) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
