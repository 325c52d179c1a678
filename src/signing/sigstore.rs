//! Sigstore bundles, version 0.3, with a key rather than a certificate (sigstore protobuf-specs,
//! `sigstore_bundle.proto`, in its JSON form): what cosign 3 writes and wants.

use serde::{Deserialize, Serialize};

use super::signature::as_base64;
use super::{Envelope, PrivateKey, PublicKey, Signature};
use crate::image::Digest;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// How every version begins, also `…bundle+json;version=0.2`.
const ANY_VERSION: &str = "application/vnd.dev.sigstore.bundle";

/// A signature with what it takes to check it. Entries of transparency logs and timestamps are passed over: behind a
/// gap nobody could check them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SigstoreBundle {
    media_type: String,
    verification_material: Material,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_signature: Option<MessageSignature>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dsse_envelope: Option<Envelope>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<KeyHint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeyHint {
    #[serde(default)]
    hint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature {
    message_digest: MessageDigest,
    #[serde(with = "as_base64")]
    signature: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MessageDigest {
    algorithm: String,
    #[serde(with = "as_base64")]
    digest: Vec<u8>,
}

impl SigstoreBundle {
    /// `message` signed by `key`.
    pub fn sign(message: &[u8], key: &PrivateKey) -> Self {
        let digest = MessageDigest {
            algorithm: "SHA2_256".to_owned(),
            digest: Digest::sha256(message).as_bytes().to_vec(),
        };
        Self {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: Material { public_key: Some(KeyHint { hint: key.public().hint() }) },
            message_signature: Some(MessageSignature {
                message_digest: digest,
                signature: key.sign(message).to_der(),
            }),
            dsse_envelope: None,
        }
    }

    /// The in-toto statement in `payload`, signed by `key`.
    pub fn sign_statement(payload: &[u8], key: &PrivateKey) -> Self {
        Self {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: Material { public_key: Some(KeyHint { hint: key.public().hint() }) },
            message_signature: None,
            dsse_envelope: Some(Envelope::sign_unnamed(payload, key)),
        }
    }

    /// The signed statement, if it holds one.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.dsse_envelope.as_ref()
    }

    /// Reads one; none for JSON of another kind.
    pub fn parse(json: &[u8]) -> Result<Option<Self>, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Preamble {
            media_type: Option<String>,
        }
        let preamble: Preamble = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if !preamble.media_type.is_some_and(|kind| kind.starts_with(ANY_VERSION)) {
            return Ok(None);
        }
        serde_json::from_slice(json).map(Some).map_err(|error| error.to_string())
    }

    /// The content of its file.
    pub fn to_file(&self) -> String {
        // Strings and bytes are always JSON.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Whether it claims to be signed by `key`.
    pub fn claims(&self, key: &PublicKey) -> bool {
        self.verification_material.public_key.as_ref().is_some_and(|own| own.hint == key.hint())
    }

    /// The sha256 of the signed message; none if it does not sign a message.
    pub fn message(&self) -> Option<Digest> {
        let message = self.message_signature.as_ref()?;
        let digest = <[u8; 32]>::try_from(message.message_digest.digest.as_slice()).ok()?;
        (message.message_digest.algorithm == "SHA2_256").then_some(Digest::Sha256(digest))
    }

    /// The signature over its message, if it is one for P-256.
    pub fn signature(&self) -> Option<Signature> {
        Signature::from_der(&self.message_signature.as_ref()?.signature)
    }
}
