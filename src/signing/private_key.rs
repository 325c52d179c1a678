//! The key that signs: made here, or read as openssl and cosign write it.

use std::fmt;

use p256::SecretKey;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;
use p256::elliptic_curve::Generate;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{
    DecodePrivateKey, EncodePrivateKey, EncryptedPrivateKeyInfoOwned, LineEnding, PrivateKeyInfoRef,
};
use zeroize::Zeroizing;

use super::cosign::CosignKey;
use super::derivation_limits::affordable;
use super::pem::{Block, blocks};
use super::{KeyError, PublicKey, Signature};
use crate::secret::Secret;

/// OWASP's figure for PBKDF2 with HMAC-SHA-256. PBKDF2 rather than scrypt: every openssl reads it.
const ITERATIONS: u32 = 600_000;

/// A private key for ECDSA on P-256. It cannot be printed, and is wiped when dropped.
pub struct PrivateKey(SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

/// The content of a file with a private key.
#[derive(Debug)]
pub enum KeyFile {
    Open(PrivateKey),
    /// It is encrypted and needs a pass phrase.
    Locked(LockedKey),
}

/// A key under a pass phrase.
#[derive(Debug)]
pub struct LockedKey(Lock);

#[derive(Debug)]
enum Lock {
    /// RFC 5958, encrypted as RFC 8018 says (PBES2).
    Pkcs8(EncryptedPrivateKeyInfoOwned),
    Cosign(CosignKey),
}

impl KeyFile {
    /// Reads PEM: PKCS#8, plain or encrypted, SEC1, or cosign's own form. Parameters and public keys beside it are
    /// passed over.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let blocks = blocks(text);
        for block in &blocks {
            match block.label {
                "PRIVATE KEY" => {
                    let der = block.content()?;
                    let key = SecretKey::from_pkcs8_der(&der).map_err(|_| block.unusable(&der))?;
                    return Ok(Self::Open(PrivateKey(key.into())));
                }
                "EC PRIVATE KEY" => {
                    let der = block.content()?;
                    let key = SecretKey::from_sec1_der(&der).map_err(|_| block.unusable(&der))?;
                    return Ok(Self::Open(PrivateKey(key.into())));
                }
                "ENCRYPTED PRIVATE KEY" => {
                    let der = block.content()?;
                    // Other valid DER is encrypted in one of the many older ways.
                    let locked = EncryptedPrivateKeyInfoOwned::try_from(der.as_slice()).map_err(|_| {
                        match block.unusable(&der) {
                            KeyError::Algorithm => KeyError::Encryption,
                            damaged => damaged,
                        }
                    })?;
                    return Ok(Self::Locked(LockedKey(Lock::Pkcs8(locked))));
                }
                "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                    return Ok(Self::Locked(LockedKey(Lock::Cosign(CosignKey::parse(&block.content()?)?))));
                }
                _ => {}
            }
        }
        Err(match blocks.iter().find(|block| block.label != "EC PARAMETERS") {
            None => KeyError::NotPem,
            Some(Block { label: "PUBLIC KEY", .. }) => KeyError::Public,
            Some(block) => KeyError::Kind(block.label.chars().take(40).collect()),
        })
    }
}

impl LockedKey {
    pub fn unlock(&self, passphrase: &Secret) -> Result<PrivateKey, KeyError> {
        let key = match &self.0 {
            Lock::Pkcs8(locked) => {
                affordable(locked.encryption_algorithm.pbes2().ok_or(KeyError::Encryption)?)?;
                let der = locked.decrypt(passphrase.expose()).map_err(|error| match error {
                    pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm {
                        ..
                    }) => KeyError::Encryption,
                    // With a wrong pass phrase, the padding or the DER is invalid.
                    _ => KeyError::WrongPassphrase,
                })?;
                SecretKey::from_pkcs8_der(der.as_bytes())
            }
            Lock::Cosign(locked) => SecretKey::from_pkcs8_der(&locked.unlock(passphrase)?),
        };
        key.map(|key| PrivateKey(key.into())).map_err(|_| KeyError::Algorithm)
    }
}

impl PrivateKey {
    /// A new key, from the system's random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let key = SecretKey::try_generate().map_err(|_| KeyError::NoRandom)?;
        Ok(Self(key.into()))
    }

    /// PKCS#8 in PEM, encrypted where there is a pass phrase (PBKDF2 with HMAC-SHA-256, AES-256-CBC).
    pub fn to_pem(&self, passphrase: Option<&Secret>) -> Result<Zeroizing<String>, KeyError> {
        let key = SecretKey::from(self.0.clone());
        let der = key.to_pkcs8_der().map_err(|_| KeyError::Algorithm)?;
        let Some(passphrase) = passphrase else {
            return der.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| KeyError::Algorithm);
        };
        let random = || <[u8; 16]>::try_generate().map_err(|_| KeyError::NoRandom);
        let (salt, iv) = (random()?, random()?);
        let parameters = Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, iv);
        let parameters = parameters.map_err(|_| KeyError::Encryption)?;
        let info = PrivateKeyInfoRef::try_from(der.as_bytes()).map_err(|_| KeyError::Algorithm)?;
        let locked = info.encrypt_with_params(parameters, passphrase.expose());
        let locked = locked.map_err(|_| KeyError::Encryption)?;
        locked.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(|_| KeyError::Algorithm)
    }

    pub fn public(&self) -> PublicKey {
        PublicKey::of(self.0.verifying_key())
    }

    /// The same message gives the same signature (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::of(self.0.sign(message))
    }
}
