//! Descriptors: type, digest and size of what a manifest refers to, and what is said of it there.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::annotations::Annotations;
use super::decisive::{self, Fields, Keys};
use super::digest::{Digest, DigestError};
use super::manifest_error::{ManifestError, within};
use super::media_type::MediaType;
use super::platform::Platform;

const DESCRIPTOR: Keys = Keys {
    decisive: &["mediaType", "digest", "size", "urls", "platform", "artifactType", "data"],
    lenient: &["annotations"],
};
const PLATFORM: Keys =
    Keys { decisive: &["os", "architecture", "variant", "os.version", "os.features"], lenient: &[] };

/// A descriptor as it stands in a manifest (OCI image-spec, descriptor.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub media_type: MediaType,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub platform: Option<Platform>,
    pub artifact_type: Option<String>,
    pub annotations: Annotations,
    /// Where the content may also be had; only foreign layers need it.
    pub urls: Vec<String>,
}

impl Descriptor {
    /// Reads one; `place` says where it stands.
    pub(super) fn read(value: &RawValue, place: impl Fn() -> String) -> Result<Self, ManifestError> {
        let refuse = |why: &str| ManifestError::Descriptor { place: place(), why: why.to_owned() };
        let key = |error| ManifestError::Key { place: place(), error };
        let fields = DESCRIPTOR.read(value.get().as_bytes()).map_err(key)?;
        let fields = fields.ok_or_else(|| refuse("not a descriptor object"))?;
        let text = |key| text(&fields, key, &place());
        let digest = text("digest")?.filter(|digest| !digest.is_empty());
        let digest = digest.ok_or_else(|| refuse("the descriptor has no digest"))?;
        let digest = digest.parse().map_err(|e: DigestError| refuse(&e.to_string()))?;
        let size = fields.get("size").map_or("absent", |size| size.get());
        let size: u64 = serde_json::from_str(size).map_err(|_| {
            refuse(&format!("size {} is not a number of bytes", size.chars().take(40).collect::<String>()))
        })?;
        // Sums and tar's base-256 fields stay far inside u64 and canonical JSON's integers below this.
        if size >= 1 << 53 {
            return Err(refuse(&format!("size {size} is too large")));
        }
        let platform = fields.get("platform").map(|value| platform(value, &place())).transpose()?;
        let urls = match fields.get("urls") {
            Some(urls) => {
                serde_json::from_str(urls.get()).map_err(|_| refuse("urls is not a list of strings"))?
            }
            None => Vec::new(),
        };
        Ok(Self {
            media_type: text("mediaType")?
                .as_deref()
                .filter(|text| !text.is_empty())
                .unwrap_or("application/octet-stream")
                .into(),
            digest,
            size,
            platform,
            artifact_type: text("artifactType")?.filter(|text| !text.is_empty()),
            annotations: Annotations::new(fields.get("annotations").copied()),
            urls,
        })
    }

    /// What this entry of an index says it is an attestation about (`BuildKit`, attestation storage). Whether it is one
    /// is settled by its content, [`super::holds_statements`].
    pub fn attests(&self) -> Option<Digest> {
        let is_unknown = self.platform.as_ref().is_some_and(Platform::is_unknown);
        if !is_unknown || self.annotations.get("vnd.docker.reference.type")? != "attestation-manifest" {
            return None;
        }
        self.annotations.get("vnd.docker.reference.digest")?.parse().ok()
    }

    /// The descriptor as it stands in a list of referrers.
    pub fn to_json(&self) -> Value {
        let mut value = json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size });
        if let Some(artifact_type) = &self.artifact_type {
            value["artifactType"] = json!(artifact_type);
        }
        let annotations = self.annotations.to_map();
        if !annotations.is_empty() {
            value["annotations"] = Value::Object(annotations);
        }
        value
    }
}

fn platform(value: &RawValue, place: &str) -> Result<Platform, ManifestError> {
    let place = format!("{place}.platform");
    let fields = PLATFORM.read(value.get().as_bytes());
    let fields = fields.map_err(|error| ManifestError::Key { place: place.clone(), error })?;
    let not_an_object =
        || ManifestError::Descriptor { place: place.clone(), why: "not an object".to_owned() };
    let fields = fields.ok_or_else(not_an_object)?;
    let text = |key| Ok(text(&fields, key, &place)?.filter(|text| !text.is_empty()));
    Ok(Platform {
        os: text("os")?.unwrap_or_default(),
        architecture: text("architecture")?.unwrap_or_default(),
        variant: text("variant")?,
        os_version: text("os.version")?,
    })
}

/// A text. Anything else under its key is read as absent by some tools, and makes others refuse the whole document.
pub(super) fn text(
    fields: &Fields<'_>,
    key: &'static str,
    place: &str,
) -> Result<Option<String>, ManifestError> {
    let Some(value) = fields.get(key) else {
        return Ok(None);
    };
    let wrong = || ManifestError::Descriptor {
        place: format!("{}{key}", within(place)),
        why: "not a string".to_owned(),
    };
    decisive::text(value).ok_or_else(wrong).map(Some)
}
