//! `bundle.json`, the checksummed manifest of a bundle: types, canonical bytes, strict reading.
//!
//! Canonical JSON: keys sorted by byte, integers below 2^53, no white space, one newline at the end. Fields stand
//! in key order below, so serialising is canonical by construction; reading demands that the same bytes come out
//! again. There is no clock, host, user name or local path in it: same images, same bytes. Its sha256 is the
//! bundle's id.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::ArchiveError;
use crate::image::{
    ArtifactCounts, ArtifactKind, Digest, MediaType, Positions, Reference, Repository, Role, Tag, media_type,
};

mod check;

pub use check::total;

pub const MEDIA_TYPE: &str = "application/vnd.airgap.bundle.v1+json";
/// Rises only when an older reader would be wrong.
pub const SCHEMA_VERSION: u32 = 1;
/// Rises when the same input gives other bytes, for example with another libzstd.
pub const FORMAT_REVISION: u32 = 1;
pub const PROFILE: &str = "layout";
/// A config larger than this is no small JSON and travels among the layers.
pub const MAX_HEAD_CONFIG: u64 = 4 << 20;

/// The whole of `bundle.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleManifest {
    /// Manifests that belong to images: signatures, SBOMs, attestations, other referrers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactRow>,
    /// Every blob, in member order.
    pub blobs: Vec<BlobRow>,
    pub catalog: CatalogRecord,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
    pub format_revision: u32,
    /// In catalog order.
    pub images: Vec<ImageRow>,
    pub media_type: String,
    /// The platforms asked for, in that order; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    pub profile: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<Requires>,
    pub schema_version: u32,
}

/// A manifest that travels with an image without being one of its children.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArtifactRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub digest: Digest,
    pub media_type: MediaType,
    /// The repository it was found in.
    pub repository: Repository,
    /// Bytes of the manifest itself.
    pub size: u64,
    /// The manifest it is about.
    pub subject: Digest,
    /// The tag it is found by (`sha256-<hex>.sig`); none for what names its subject itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
}

impl ArtifactRow {
    /// What it is to its subject; none where its tag does not follow from that.
    pub fn kind(&self) -> Option<ArtifactKind> {
        ArtifactKind::of(&self.subject, self.tag.as_ref())
    }
}

/// One blob of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlobRow {
    pub digest: Digest,
    pub media_type: MediaType,
    pub role: Role,
    /// In bytes.
    pub size: u64,
}

/// Which part of the file a blob stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Small JSON, compressed together with the members before it.
    Head,
    /// Frames of raw blocks, at positions known from sizes alone.
    Stored,
    /// Uncompressed content, in compressed frames.
    Compressed,
}

impl BlobRow {
    pub fn group(&self) -> Group {
        match self.role {
            Role::Index | Role::Manifest => Group::Head,
            Role::Config if self.size <= MAX_HEAD_CONFIG => Group::Head,
            _ if media_type::is_uncompressed(&self.media_type) => Group::Compressed,
            _ => Group::Stored,
        }
    }
}

/// Finds blobs of a bundle by their digests.
#[derive(Debug)]
pub struct BlobIndex<'a> {
    blobs: &'a [BlobRow],
    positions: Positions,
}

impl<'a> BlobIndex<'a> {
    pub fn position(&self, digest: &Digest) -> Option<usize> {
        self.positions.get(digest, |at| &self.blobs[at].digest)
    }

    pub fn blob(&self, digest: &Digest) -> Option<&'a BlobRow> {
        self.position(digest).map(|at| &self.blobs[at])
    }
}

/// What the bundle remembers of the catalog, so that everything behind the gap works from the bundle alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogRecord {
    pub entries: Vec<EntryRecord>,
    pub name: String,
    /// Values that are set over `values` when every row's own paths are set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per_image_values: BTreeMap<String, String>,
    /// The value path that overrides the registry of every entry (`global.imageRegistry`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_override: Option<String>,
    /// Value paths that every values file sets, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// Values of the variables the catalog declares; secret ones never.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    pub version: String,
}

/// One row of the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntryRecord {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub chart: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_path: Option<String>,
    /// The path that sets the tag, then those it falls back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_paths: Vec<String>,
}

/// One image of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageRow {
    /// Set when this is no container image: a chart, a signature, another artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub digest: Digest,
    /// Indexes into the catalog's entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<u32>,
    pub media_type: MediaType,
    /// What the chart calls it, registry host included.
    pub name: Reference,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Bytes of all its distinct manifests and blobs together.
    pub size: u64,
    /// Where it was pulled from.
    pub source: Reference,
}

/// What must be at the destination already, for a bundle that holds only the difference to another (a *delta*).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requires {
    /// The id of the base.
    pub base: Digest,
    /// What the images need and the bundle does not carry, by digest.
    pub blobs: Vec<RequiredBlob>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequiredBlob {
    pub digest: Digest,
    /// Where the base has it, by the names that charts use, sorted.
    pub repositories: Vec<Repository>,
    /// In bytes.
    pub size: u64,
}

/// Just enough of any version to say which one it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preamble {
    schema_version: Option<u64>,
    profile: Option<String>,
    media_type: Option<String>,
}

impl Preamble {
    fn check(bytes: &[u8]) -> Result<(), ArchiveError> {
        let json = |e: serde_json::Error| ArchiveError::Json("bundle.json", e.to_string());
        let preamble: Self = serde_json::from_slice(bytes).map_err(json)?;
        if preamble.media_type.as_deref() != Some(MEDIA_TYPE) {
            return Err(ArchiveError::Json("bundle.json", "its mediaType is not that of a bundle".into()));
        }
        if preamble.schema_version != Some(u64::from(SCHEMA_VERSION)) {
            let version = preamble.schema_version.map_or("none".to_owned(), |v| v.to_string());
            return Err(ArchiveError::UnknownVersion(format!("schemaVersion {version}")));
        }
        if preamble.profile.as_deref() != Some(PROFILE) {
            let profile = preamble.profile.unwrap_or_default();
            return Err(ArchiveError::UnknownVersion(format!("profile {profile:?}")));
        }
        Ok(())
    }
}

impl BundleManifest {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes =
            serde_json::to_vec(self).map_err(|e| ArchiveError::Json("bundle.json", e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads exactly what [`Self::to_bytes`] writes; other spellings, duplicate keys and unknown fields are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let json = |e: serde_json::Error| ArchiveError::Json("bundle.json", e.to_string());
        check::refuse_crumbs(bytes)?;
        let read = serde_json::from_slice::<Self>(bytes);
        // What a later version wrote may fail here in any way; which version it is says more than how it fails.
        let is_ours = |manifest: &Self| {
            manifest.media_type == MEDIA_TYPE
                && manifest.schema_version == SCHEMA_VERSION
                && manifest.profile == PROFILE
        };
        if !read.as_ref().is_ok_and(is_ours) {
            Preamble::check(bytes)?;
        }
        let manifest = read.map_err(json)?;
        let mut same = Same { rest: bytes };
        let respelled = serde_json::to_writer(&mut same, &manifest).is_ok() && same.rest == b"\n";
        if !respelled {
            return Err(ArchiveError::Json("bundle.json", "it is not written in canonical form".into()));
        }
        manifest.check()?;
        Ok(manifest)
    }

    pub fn index(&self) -> BlobIndex<'_> {
        let positions = Positions::of(self.blobs.len(), |at| &self.blobs[at].digest);
        BlobIndex { blobs: &self.blobs, positions }
    }

    /// Bytes of all blobs that it requires at the destination.
    pub fn required(&self) -> u64 {
        self.requires.iter().flat_map(|requires| &requires.blobs).map(|blob| blob.size).sum()
    }

    /// Whether the export was planned with source hosts kept in destination names.
    pub fn keeps_host(&self) -> bool {
        let recorded = self.extensions.get("mapping").and_then(|mapping| mapping.get("keepHost"));
        recorded.and_then(serde_json::Value::as_bool).unwrap_or(false)
    }

    pub fn artifact_counts(&self) -> ArtifactCounts {
        let mut counts = ArtifactCounts::default();
        counts.extend(self.artifacts.iter().filter_map(ArtifactRow::kind));
        counts
    }

    /// The bundle's id.
    pub fn id(&self) -> Result<Digest, ArchiveError> {
        Ok(Digest::sha256(&self.to_bytes()?))
    }
}

/// A writer that only accepts the bytes it expects.
struct Same<'a> {
    rest: &'a [u8],
}

impl Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::archive) fn sample() -> BundleManifest {
        let digest = Digest::sha256(b"m");
        BundleManifest {
            artifacts: Vec::new(),
            blobs: vec![
                BlobRow {
                    digest,
                    media_type: media_type::OCI_MANIFEST.into(),
                    role: Role::Manifest,
                    size: 1,
                },
                BlobRow {
                    digest: Digest::sha256(b"l"),
                    media_type: media_type::OCI_LAYER_GZIP.into(),
                    role: Role::Layer,
                    size: 9,
                },
            ],
            catalog: CatalogRecord {
                name: "läst\u{7f}\u{1}".into(),
                version: "1".into(),
                ..Default::default()
            },
            extensions: BTreeMap::new(),
            format_revision: FORMAT_REVISION,
            images: vec![ImageRow {
                artifact_type: None,
                digest,
                entries: Vec::new(),
                media_type: media_type::OCI_MANIFEST.into(),
                name: "quay.io/a/b:1".parse().unwrap(),
                platforms: vec!["linux/amd64".into()],
                size: 10,
                source: "quay.io/a/b:1".parse().unwrap(),
            }],
            media_type: MEDIA_TYPE.into(),
            platforms: Vec::new(),
            profile: PROFILE.into(),
            requires: None,
            schema_version: SCHEMA_VERSION,
        }
    }

    #[test]
    fn round_trips_and_is_sorted() {
        let bytes = sample().to_bytes().unwrap();
        assert_eq!(BundleManifest::from_bytes(&bytes).unwrap(), sample());
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(format!("{value}\n").into_bytes(), bytes, "a sorted map spells it the same way");
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = String::from_utf8(sample().to_bytes().unwrap()).unwrap();
        for (bad, says) in [
            (text.trim_end().to_owned(), "canonical"),
            (text.replace("\"size\":1}", "\"size\":1 }"), "canonical"),
            (text.replace("\\u0001", "\\u0001\\u0041"), "canonical"),
            (text.replace("\"size\":1}", "\"size\":1,\"size\":1}"), "duplicate"),
            (text.replace("\"size\":1}", "\"size\":1,\"zzz\":1}"), "unknown field"),
            (text.replace("\"schemaVersion\":1", "\"schemaVersion\":2"), "schemaVersion 2"),
            (text.replace("\"layout\"", "\"compact\""), "compact"),
            (text.replace("\"size\":9", "\"size\":9007199254740992"), "storable"),
            (text.replace(MEDIA_TYPE, "x"), "mediaType"),
        ] {
            let error = BundleManifest::from_bytes(bad.as_bytes()).expect_err(&bad).to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
