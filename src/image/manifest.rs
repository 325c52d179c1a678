//! Manifests: the raw bytes, and a lenient view of what they refer to.
//!
//! The view is for planning only. Nothing is ever serialised from it: digests cover white space, key order and
//! duplicate keys. An object that could be read as image *and* index is refused (CVE-2021-41190).

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{Digest, DigestError, MediaType, Platform, media_type};

/// A manifest or index exactly as the registry sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    pub bytes: Bytes,
    pub digest: Digest,
    /// From the body's `mediaType`, else from the answer or descriptor that led here, else from its fields.
    pub media_type: MediaType,
}

/// A descriptor as it stands in a manifest (OCI image-spec, descriptor.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub media_type: MediaType,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub platform: Option<Platform>,
    pub artifact_type: Option<String>,
    pub annotations: Map<String, Value>,
    /// Where the content may also be had; only foreign layers need it.
    pub urls: Vec<String>,
}

/// Which of the three shapes a manifest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    Index,
    Image,
    /// The old OCI artifact manifest with `blobs`.
    Artifact,
}

/// What a manifest refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedManifest {
    pub kind: ManifestKind,
    pub media_type: MediaType,
    pub artifact_type: Option<String>,
    pub subject: Option<Descriptor>,
    /// Children of an index.
    pub manifests: Vec<Descriptor>,
    pub config: Option<Descriptor>,
    /// Layers of an image, `blobs` of an old artifact; duplicates kept.
    pub layers: Vec<Descriptor>,
    pub annotations: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest is not JSON: {0}")]
    Json(String),
    #[error("obsolete schema 1 manifest: rebuild or re-push the image with a current tool")]
    Schema1,
    #[error(
        "the manifest has both layers and manifests, so tools disagree about what it is (CVE-2021-41190)"
    )]
    Ambiguous,
    #[error("the manifest has neither manifests, layers, blobs nor a config")]
    Shapeless,
    #[error("the manifest says it is {0:?}, which is no manifest type known here")]
    UnknownType(String),
    #[error("the manifest says it is {declared:?}, but its fields are those of {found}")]
    WrongType { declared: String, found: &'static str },
    #[error("{place}: {why}")]
    Descriptor { place: String, why: String },
}

impl RawManifest {
    /// Keeps `bytes`, takes their sha256 unless `pinned` names another algorithm, and settles the media type.
    /// Whether the digest is the expected one is for the caller to check.
    pub fn new(
        bytes: Bytes,
        stated_type: Option<&str>,
        pinned: Option<&Digest>,
    ) -> Result<Self, ManifestError> {
        let algorithm = pinned.map_or(super::Algorithm::Sha256, Digest::algorithm);
        let digest = Digest::of(algorithm, &bytes);
        let media_type = ParsedManifest::of(&bytes, stated_type)?.media_type;
        Ok(Self { bytes, digest, media_type })
    }

    pub fn parse(&self) -> Result<ParsedManifest, ManifestError> {
        ParsedManifest::of(&self.bytes, Some(&self.media_type))
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl ParsedManifest {
    /// Reads `bytes`. `stated_type` is what a header or descriptor said; the body's own `mediaType` decides over it.
    pub fn of(bytes: &[u8], stated_type: Option<&str>) -> Result<Self, ManifestError> {
        let value: Value = serde_json::from_slice(bytes).map_err(|e| ManifestError::Json(e.to_string()))?;
        let Value::Object(object) = value else {
            return Err(ManifestError::Shapeless);
        };
        let stated = stated_type.map(|t| t.split(';').next().unwrap_or(t).trim());
        let own = object.get("mediaType").and_then(Value::as_str);
        let is_v1 = object.get("schemaVersion").and_then(Value::as_u64) == Some(1);
        if is_v1 || own.or(stated).is_some_and(media_type::is_schema1) {
            return Err(ManifestError::Schema1);
        }
        let has = |key: &str| object.get(key).is_some_and(|v| !v.is_null());
        if has("manifests") && (has("layers") || has("config") || has("blobs")) {
            return Err(ManifestError::Ambiguous);
        }
        let kind = match (has("manifests"), has("blobs"), has("layers") || has("config")) {
            (true, ..) => ManifestKind::Index,
            (_, _, true) => ManifestKind::Image,
            (_, true, _) => ManifestKind::Artifact,
            _ => match own.or(stated) {
                Some(t) if media_type::is_index(t) => ManifestKind::Index,
                Some(media_type::OCI_ARTIFACT) => ManifestKind::Artifact,
                _ => return Err(ManifestError::Shapeless),
            },
        };
        let media_type = settle_type(kind, own, stated)?;
        let layers = match kind {
            ManifestKind::Image => descriptors(&object, "layers")?,
            ManifestKind::Artifact => descriptors(&object, "blobs")?,
            ManifestKind::Index => Vec::new(),
        };
        let one = |key: &str| {
            object.get(key).filter(|v| !v.is_null()).map(|v| descriptor(v, || key.to_owned())).transpose()
        };
        Ok(Self {
            kind,
            media_type,
            artifact_type: text(&object, "artifactType"),
            subject: one("subject")?,
            manifests: descriptors(&object, "manifests")?,
            config: one("config")?,
            layers,
            annotations: map(&object, "annotations"),
        })
    }

    /// The config (if any) and the layers, in that order: what must be in a registry before this manifest.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(&self.layers)
    }

    /// The artifact type as the referrers API reports it: the field, else the config's media type.
    pub fn effective_artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref().or_else(|| self.config.as_ref().map(|c| c.media_type.as_str()))
    }
}

fn settle_type(
    kind: ManifestKind,
    own: Option<&str>,
    stated: Option<&str>,
) -> Result<MediaType, ManifestError> {
    let (found, fitting, fallback): (_, fn(&str) -> bool, _) = match kind {
        ManifestKind::Index => ("an index", media_type::is_index, media_type::OCI_INDEX),
        ManifestKind::Image => (
            "an image manifest",
            |t| media_type::is_manifest(t) && !media_type::is_index(t),
            media_type::OCI_MANIFEST,
        ),
        ManifestKind::Artifact => {
            ("an artifact manifest", |t| t == media_type::OCI_ARTIFACT, media_type::OCI_ARTIFACT)
        }
    };
    match own {
        Some(own) if fitting(own) => Ok(own.into()),
        Some(own) if media_type::is_manifest(own) => {
            Err(ManifestError::WrongType { declared: own.to_owned(), found })
        }
        Some(own) => Err(ManifestError::UnknownType(own.chars().take(120).collect())),
        None => Ok(stated.filter(|t| fitting(t)).unwrap_or(fallback).into()),
    }
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
}

fn map(object: &Map<String, Value>, key: &str) -> Map<String, Value> {
    object.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn descriptors(object: &Map<String, Value>, key: &str) -> Result<Vec<Descriptor>, ManifestError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.iter().enumerate().map(|(i, item)| descriptor(item, || format!("{key}[{i}]"))).collect()
        }
        Some(_) => Err(ManifestError::Descriptor { place: key.to_owned(), why: "not a list".to_owned() }),
    }
}

fn descriptor(value: &Value, place: impl Fn() -> String) -> Result<Descriptor, ManifestError> {
    let refuse = |why: String| ManifestError::Descriptor { place: place(), why };
    let object = value.as_object().ok_or_else(|| refuse("not a descriptor object".into()))?;
    let digest = text(object, "digest").ok_or_else(|| refuse("the descriptor has no digest".into()))?;
    let digest = digest.parse().map_err(|e: DigestError| refuse(e.to_string()))?;
    let size = object.get("size").and_then(Value::as_u64).ok_or_else(|| {
        let size = object.get("size").map_or("absent".to_owned(), ToString::to_string);
        refuse(format!("size {} is not a number of bytes", size.chars().take(40).collect::<String>()))
    })?;
    // Sums and tar's base-256 fields stay far inside u64 and canonical JSON's integers below this.
    if size >= 1 << 53 {
        return Err(refuse(format!("size {size} is beyond anything storable")));
    }
    let platform = object.get("platform").and_then(Value::as_object).map(|p| Platform {
        os: text(p, "os").unwrap_or_default(),
        architecture: text(p, "architecture").unwrap_or_default(),
        variant: text(p, "variant"),
        os_version: text(p, "os.version"),
    });
    let urls = object.get("urls").and_then(Value::as_array);
    Ok(Descriptor {
        media_type: object
            .get("mediaType")
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .unwrap_or("application/octet-stream")
            .into(),
        digest,
        size,
        platform,
        artifact_type: text(object, "artifactType"),
        annotations: map(object, "annotations"),
        urls: urls.into_iter().flatten().filter_map(|u| u.as_str().map(str::to_owned)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Result<ParsedManifest, ManifestError> {
        ParsedManifest::of(text.replace("$D", EMPTY).as_bytes(), None)
    }

    #[test]
    fn the_fields_decide_where_the_type_is_missing() {
        let image = parse(r#"{"schemaVersion":2,"config":{"digest":"$D","size":0},"layers":[]}"#).unwrap();
        assert_eq!((image.kind, image.media_type.as_str()), (ManifestKind::Image, media_type::OCI_MANIFEST));
        let index = parse(r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        assert_eq!((index.kind, index.media_type.as_str()), (ManifestKind::Index, media_type::OCI_INDEX));
        let stated = ParsedManifest::of(br#"{"manifests":[]}"#, Some(media_type::DOCKER_LIST)).unwrap();
        assert_eq!(stated.media_type, media_type::DOCKER_LIST);
    }

    #[test]
    fn duplicate_and_unknown_keys_are_no_reason_to_refuse() {
        let image = parse(r#"{"layers":[{"digest":"$D","size":1}],"layers":[],"x":{"y":1}}"#).unwrap();
        assert!(image.layers.is_empty());
    }

    #[test]
    fn nonsense_is_refused_by_place() {
        for (text, says) in [
            ("[]", "neither"),
            ("{", "not JSON"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1"),
            (r#"{"layers":[],"manifests":[]}"#, "both"),
            (r#"{"mediaType":"text/plain","layers":[]}"#, "text/plain"),
            (r#"{"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}"#, "fields"),
            (r#"{"layers":[{"digest":"$D","size":-1}]}"#, "layers[0]: size -1"),
            (r#"{"layers":[{"digest":"$D","size":"9"}]}"#, "size"),
            (r#"{"layers":[{"digest":"$D","size":99999999999999999999}]}"#, "size"),
            (r#"{"layers":[{"digest":"$D","size":9007199254740992}]}"#, "storable"),
            (r#"{"layers":[{"size":1}]}"#, "no digest"),
            (r#"{"config":{"digest":"sha256:0","size":1}}"#, "config"),
            (r#"{"layers":{}}"#, "not a list"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn depth_bombs_end_in_an_error() {
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
