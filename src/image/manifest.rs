//! Manifests: the raw bytes, and a lenient view of what they refer to.
//!
//! The view is for planning only. Nothing is ever serialised from it: digests cover white space, key order and
//! duplicate keys. What tools read in different ways is refused: an object that could be an image *and* an index
//! (CVE-2021-41190), and one whose decisive keys are repeated or spelt in another case. It is read into what is used of
//! it, so that no document takes much more memory than its own size.

use bytes::Bytes;

use super::annotations::Annotations;
use super::decisive::{self, Fields, KeyError, Keys};
use super::descriptor::{Descriptor, text};
use super::digest::{Algorithm, Digest};
use super::manifest_error::ManifestError;
use super::media_type::{self, MediaType};

/// Of a manifest or index.
const MANIFEST: Keys = Keys {
    decisive: &[
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "blobs",
        "manifests",
        "subject",
        "fsLayers",
    ],
    lenient: &["annotations"],
};
/// A manifest or index exactly as the registry sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    pub bytes: Bytes,
    pub digest: Digest,
    /// From the body's `mediaType`, else from the answer or descriptor that led here, else from its fields.
    pub media_type: MediaType,
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
    /// Whether it states that type itself. Otherwise it is what the descriptor says that leads to it.
    pub states_type: bool,
    pub artifact_type: Option<String>,
    pub subject: Option<Descriptor>,
    /// Children of an index.
    pub manifests: Vec<Descriptor>,
    pub config: Option<Descriptor>,
    /// Layers of an image, `blobs` of an old artifact; duplicates kept.
    pub layers: Vec<Descriptor>,
    pub annotations: Annotations,
}

impl RawManifest {
    /// Keeps `bytes`, takes their sha256 unless `pinned` names another algorithm, and settles the media type.
    /// Whether the digest is the expected one is for the caller to check.
    pub fn new(
        bytes: Bytes,
        stated_type: Option<&str>,
        pinned: Option<&Digest>,
    ) -> Result<Self, ManifestError> {
        let algorithm = pinned.map_or(Algorithm::Sha256, Digest::algorithm);
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

    /// Whether `digest` means it: its own digest, or that of the same bytes by another algorithm, as registries may name
    /// one for a tag.
    pub fn is_named(&self, digest: &Digest) -> bool {
        *digest == self.digest || *digest == Digest::of(digest.algorithm(), &self.bytes)
    }

    /// The descriptor under which it is listed as a referrer of its subject: artifact type and annotations come from
    /// the manifest (distribution-spec, "Listing Referrers").
    pub fn as_referrer(&self, parsed: &ParsedManifest) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest,
            size: self.size(),
            platform: None,
            artifact_type: parsed.effective_artifact_type().map(str::to_owned),
            annotations: parsed.annotations.clone(),
            urls: Vec::new(),
        }
    }
}

impl ParsedManifest {
    /// Reads `bytes`. `stated_type` is what a header or descriptor said; the body's own `mediaType` decides over it.
    pub fn of(bytes: &[u8], stated_type: Option<&str>) -> Result<Self, ManifestError> {
        let fields = MANIFEST.read(bytes).map_err(|error| match error {
            KeyError::Json(why) => ManifestError::Json(why),
            error => ManifestError::Key { place: String::new(), error },
        })?;
        let fields = fields.ok_or(ManifestError::Shapeless)?;
        let stated = stated_type.map(|t| t.split(';').next().unwrap_or(t).trim());
        let own = text(&fields, "mediaType", "")?;
        let own = own.as_deref();
        let is_v1 = fields.get("schemaVersion").is_some_and(|version| version.get() == "1");
        if is_v1 || own.or(stated).is_some_and(media_type::is_schema1) {
            return Err(ManifestError::Schema1);
        }
        let has = |key: &str| fields.contains_key(key);
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
            ManifestKind::Image => descriptors(&fields, "layers")?,
            ManifestKind::Artifact => descriptors(&fields, "blobs")?,
            ManifestKind::Index => Vec::new(),
        };
        let one =
            |key: &str| fields.get(key).map(|value| Descriptor::read(value, || key.to_owned())).transpose();
        Ok(Self {
            kind,
            media_type,
            states_type: own.is_some(),
            artifact_type: text(&fields, "artifactType", "")?.filter(|text| !text.is_empty()),
            subject: one("subject")?,
            manifests: descriptors(&fields, "manifests")?,
            config: one("config")?,
            layers,
            annotations: Annotations::new(fields.get("annotations").copied()),
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

    /// Whether its config, by its type alone, is that of an image.
    pub fn has_image_config(&self) -> bool {
        self.config.as_ref().is_some_and(|config| {
            matches!(config.media_type.as_str(), media_type::OCI_CONFIG | media_type::DOCKER_CONFIG)
        })
    }

    /// Whether runtimes take it for an image whatever its config contains.
    pub fn runs_by_type(&self) -> bool {
        self.has_image_config() || self.media_type == media_type::DOCKER_MANIFEST
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

fn descriptors(fields: &Fields<'_>, key: &str) -> Result<Vec<Descriptor>, ManifestError> {
    let Some(value) = fields.get(key) else {
        return Ok(Vec::new());
    };
    let not_a_list = || ManifestError::Descriptor { place: key.to_owned(), why: "not a list".to_owned() };
    let items = decisive::list(value).ok_or_else(not_a_list)?;
    items.into_iter().enumerate().map(|(i, item)| Descriptor::read(item, || format!("{key}[{i}]"))).collect()
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
    fn repeated_and_unknown_keys_that_decide_nothing_are_no_reason_to_refuse() {
        let image = parse(
            r#"{"layers":[{"digest":"$D","size":1,"annotations":{"a":"1"},"annotations":{"a":"2"},"x":1,"x":2}],
            "annotations":{"b":"1"},"Annotations":{"b":"3"},"annotations":{"b":"2","b":"4"},"x":{"y":1},"x":[]}"#,
        )
        .unwrap();
        assert_eq!(image.annotations.get("b").as_deref(), Some("4"));
        assert_eq!(image.layers[0].annotations.get("a").as_deref(), Some("2"));
    }

    #[test]
    fn what_tools_would_read_in_different_ways_is_refused() {
        let layer = r#"{"digest":"$D","size":1}"#;
        let image = format!(r#""config":{layer},"layers":[{layer}]"#);
        // Beside the rest of the document, so that no reader could be content with less.
        for (key, value) in [
            ("schemaVersion", "2"),
            ("mediaType", r#""application/vnd.oci.image.manifest.v1+json""#),
            ("artifactType", r#""text/x""#),
            ("config", layer),
            ("layers", "[]"),
            ("blobs", "[]"),
            ("manifests", "[]"),
            ("subject", layer),
        ] {
            let is_there = ["config", "layers"].contains(&key);
            let own = if is_there { String::new() } else { format!(r#","{key}":{value}"#) };
            for other in
                [key.to_owned(), key.to_uppercase(), format!("{}{}", key[..1].to_uppercase(), &key[1..])]
            {
                let text = format!(r#"{{{image}{own},"{other}":{value}}}"#);
                let error = parse(&text).expect_err(&text).to_string();
                assert!(error.contains(&format!("{key:?}")), "{text}: {error}");
                // Alone it counts for those who ignore case, and for nobody else.
                if other != key {
                    let text = format!(r#"{{{image},"{other}":{value}}}"#);
                    assert!(parse(&text).is_err(), "{text}");
                }
            }
        }
        for (key, value) in [
            ("digest", r#""$D""#),
            ("size", "1"),
            ("mediaType", r#""text/x""#),
            ("urls", "[]"),
            ("platform", "{}"),
            ("artifactType", r#""text/x""#),
            ("data", r#""""#),
        ] {
            for other in [key.to_owned(), key.to_uppercase()] {
                let text = format!(
                    r#"{{"manifests":[{{"digest":"$D","size":1,"{key}":{value},"{other}":{value}}}]}}"#
                );
                let error = parse(&text).expect_err(&text).to_string();
                assert!(error.starts_with("manifests[0]: the key"), "{text}: {error}");
            }
        }
        for (key, value) in [
            ("os", r#""linux""#),
            ("architecture", r#""amd64""#),
            ("variant", r#""v1""#),
            ("os.version", r#""1""#),
            ("os.features", "[]"),
        ] {
            for other in [key.to_owned(), key.to_uppercase()] {
                let text = format!(
                    r#"{{"manifests":[{{"digest":"$D","size":1,"platform":{{"{key}":{value},"{other}":{value}}}}}]}}"#
                );
                let error = parse(&text).expect_err(&text).to_string();
                assert!(error.starts_with("manifests[0].platform: the key"), "{text}: {error}");
            }
        }
    }

    #[test]
    fn values_that_some_tools_take_as_absent_are_refused() {
        for (text, says) in [
            (r#"{"mediaType":7,"layers":[]}"#, "mediaType: not a string"),
            (r#"{"artifactType":[],"layers":[]}"#, "artifactType: not a string"),
            (
                r#"{"manifests":[{"digest":"$D","size":1,"platform":"linux"}]}"#,
                "manifests[0].platform: not an object",
            ),
            (
                r#"{"manifests":[{"digest":"$D","size":1,"platform":{"os":1}}]}"#,
                "manifests[0].platform: os: not a string",
            ),
            (r#"{"layers":[{"digest":"$D","size":1,"urls":"x"}]}"#, "layers[0]: urls"),
            (r#"{"layers":[{"digest":"$D","size":1,"mediaType":null,"mediaType":1}]}"#, "layers[0]: the key"),
            (r#"{"layers":[null]}"#, "layers[0]: not a descriptor"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.starts_with(says), "{text}: {error}");
        }
        let image =
            parse(r#"{"config":null,"subject":null,"mediaType":null,"manifests":null,"layers":[]}"#).unwrap();
        assert_eq!((image.kind, image.config, image.subject), (ManifestKind::Image, None, None));
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
            (r#"{"layers":[{"digest":"$D","size":9007199254740992}]}"#, "too large"),
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
