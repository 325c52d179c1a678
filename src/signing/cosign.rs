//! Private keys as `cosign generate-key-pair` writes them: JSON in PEM, scrypt and the secretbox of `NaCl`
//! (go-securesystemslib, package `encrypted`).

use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use pkcs8::pkcs5::scrypt;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::KeyError;
use super::derivation_limits::scrypt_is_affordable;
use super::signature::as_base64;
use crate::secret::Secret;

const NONCE: usize = 24;

/// A key under a pass phrase, which may be empty.
#[derive(Debug, Deserialize)]
pub(super) struct CosignKey {
    kdf: Kdf,
    cipher: Cipher,
    #[serde(with = "as_base64")]
    ciphertext: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    #[serde(with = "as_base64")]
    salt: Vec<u8>,
}

/// RFC 7914's parameters.
#[derive(Debug, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    cost: u64,
    #[serde(rename = "r")]
    block: u32,
    #[serde(rename = "p")]
    lanes: u32,
}

#[derive(Debug, Deserialize)]
struct Cipher {
    name: String,
    #[serde(with = "as_base64")]
    nonce: Vec<u8>,
}

impl CosignKey {
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeyError> {
        let malformed = |_| KeyError::Malformed("ENCRYPTED SIGSTORE PRIVATE KEY".to_owned());
        let key: Self = serde_json::from_slice(json).map_err(malformed)?;
        let known = key.kdf.name == "scrypt" && key.cipher.name == "nacl/secretbox";
        if !known || key.cipher.nonce.len() != NONCE || !key.kdf.params.cost.is_power_of_two() {
            return Err(KeyError::Encryption);
        }
        Ok(key)
    }

    /// The PKCS#8 inside.
    pub(super) fn unlock(&self, passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let Params { cost, block, lanes } = self.kdf.params;
        if !scrypt_is_affordable(cost, block.into(), lanes.into()) {
            return Err(KeyError::Costly);
        }
        let log = u8::try_from(cost.trailing_zeros()).map_err(|_| KeyError::Costly)?;
        let params = scrypt::Params::new(log, block, lanes).map_err(|_| KeyError::Encryption)?;
        let mut key = Zeroizing::new([0; 32]);
        scrypt::scrypt(passphrase.expose().as_bytes(), &self.kdf.salt, &params, &mut *key)
            .map_err(|_| KeyError::Encryption)?;
        let cipher = XSalsa20Poly1305::new_from_slice(&*key).map_err(|_| KeyError::Encryption)?;
        let opened = cipher.decrypt(Nonce::from_slice(&self.cipher.nonce), self.ciphertext.as_slice());
        opened.map(Zeroizing::new).map_err(|_| KeyError::WrongPassphrase)
    }
}
