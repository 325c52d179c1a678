//! `bundle.json` as a whole: its canonical bytes, and reading them strictly.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::check::{check_artifacts, check_required, refuse_crumbs, total};
use super::rows::{ArtifactRow, BlobIndex, BlobRow, CatalogRecord, ImageRow, Requires};
use crate::archive::format::pins::{Pins, pins_of};
use crate::archive::{ArchiveError, FormatError, Manifests};
use crate::image::{ArtifactCounts, Digest, Platform};

pub const MEDIA_TYPE: &str = "application/vnd.airgap.bundle.v1+json";
/// Increased only if an older reader would read the bundle wrongly.
pub const SCHEMA_VERSION: u32 = 1;
/// Increased when the same input gives other bytes, for example with another libzstd.
pub const FORMAT_REVISION: u32 = 1;

/// The form of the blobs in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// An OCI image layout, which other tools read too.
    #[default]
    Layout,
    /// Blobs in their compact form ([`crate::compact`]), which only this program reads.
    Compact,
}

impl Profile {
    /// Whether it is the default, which requests do not spell out.
    pub fn is_layout(&self) -> bool {
        *self == Self::Layout
    }
}

/// The content of `bundle.json`.
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
    /// The requested platforms, in that order; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    pub profile: Profile,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<Requires>,
    pub schema_version: u32,
}

/// The fields that identify the version of a document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preamble {
    schema_version: Option<u64>,
    profile: Option<String>,
    media_type: Option<String>,
}

impl Preamble {
    fn check(bytes: &[u8]) -> Result<(), ArchiveError> {
        let json =
            |e: serde_json::Error| ArchiveError::Format(FormatError::Json("bundle.json", e.to_string()));
        let preamble: Self = serde_json::from_slice(bytes).map_err(json)?;
        if preamble.media_type.as_deref() != Some(MEDIA_TYPE) {
            return Err(ArchiveError::Format(FormatError::Json(
                "bundle.json",
                "its mediaType is not that of a bundle".into(),
            )));
        }
        if preamble.schema_version != Some(u64::from(SCHEMA_VERSION)) {
            let version = preamble.schema_version.map_or("none".to_owned(), |v| v.to_string());
            return Err(ArchiveError::Format(FormatError::UnknownVersion(format!(
                "schemaVersion {version}"
            ))));
        }
        let profile = preamble.profile.unwrap_or_default();
        if serde_json::from_value::<Profile>(profile.as_str().into()).is_err() {
            return Err(ArchiveError::Format(FormatError::UnknownVersion(format!("profile {profile:?}"))));
        }
        Ok(())
    }
}

impl BundleManifest {
    /// The same bundle in the form of a layout.
    #[must_use]
    pub fn as_layout(&self) -> Self {
        Self { profile: Profile::Layout, ..self.clone() }
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = serde_json::to_vec(self)
            .map_err(|e| ArchiveError::Format(FormatError::Json("bundle.json", e.to_string())))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads exactly what [`Self::to_bytes`] writes; other spellings, duplicate keys and unknown fields are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let json =
            |e: serde_json::Error| ArchiveError::Format(FormatError::Json("bundle.json", e.to_string()));
        refuse_crumbs(bytes)?;
        let read = serde_json::from_slice::<Self>(bytes);
        // A document of a later version may fail here in any way; naming its version helps more than that error.
        let is_ours =
            |manifest: &Self| manifest.media_type == MEDIA_TYPE && manifest.schema_version == SCHEMA_VERSION;
        if !read.as_ref().is_ok_and(is_ours) {
            Preamble::check(bytes)?;
        }
        let manifest = read.map_err(json)?;
        let mut same = Same { rest: bytes };
        let respelled = serde_json::to_writer(&mut same, &manifest).is_ok() && same.rest == b"\n";
        if !respelled {
            return Err(ArchiveError::Format(FormatError::Json(
                "bundle.json",
                "it is not written in canonical form".into(),
            )));
        }
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ArchiveError> {
        let refuse = |why: String| Err(ArchiveError::Format(FormatError::Json("bundle.json", why)));
        for blob in &self.blobs {
            if blob.size >= 1 << 53 {
                return refuse(format!("the size of {} is larger than any disk", blob.digest));
            }
        }
        let carried = self.index();
        if let Some((_, blob)) =
            self.blobs.iter().enumerate().find(|(at, blob)| carried.position(&blob.digest) != Some(*at))
        {
            return refuse(format!("{} is listed twice", blob.digest));
        }
        if self.format_revision > FORMAT_REVISION {
            return Err(ArchiveError::Format(FormatError::UnknownVersion(format!(
                "formatRevision {}",
                self.format_revision
            ))));
        }
        if total(&self.blobs).is_none() {
            return refuse("its blobs together are larger than any disk".into());
        }
        if !self.blobs.is_sorted_by_key(BlobRow::group) {
            return refuse("the blobs are not in member order".into());
        }
        let mut names = HashSet::with_capacity(self.images.len());
        for image in &self.images {
            if !names.insert(&image.name) {
                return refuse(format!("the name {} appears twice", image.name));
            }
            if image.entries.iter().any(|&i| i as usize >= self.catalog.entries.len()) {
                return refuse(format!("{} names a catalog entry that does not exist", image.name));
            }
        }
        let of_images = self.images.iter().flat_map(|image| &image.platforms);
        if self.platforms.iter().chain(of_images).any(|p| p.parse::<Platform>().is_err()) {
            return refuse("a platform is not valid".into());
        }
        if let Some(requires) = &self.requires {
            check_required(requires, &carried).or_else(refuse)?;
        }
        check_artifacts(&self.artifacts, &self.images, &carried).or_else(refuse)
    }

    pub fn index(&self) -> BlobIndex<'_> {
        BlobIndex::of(&self.blobs)
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

    /// How the digests in the name and source of `image` match it; an error if they do not.
    pub fn pins(&self, image: &ImageRow, manifests: &dyn Manifests) -> Result<Pins, ArchiveError> {
        pins_of(image, &self.platforms, &self.extensions, manifests)
    }

    /// The bundle's id.
    pub fn id(&self) -> Result<Digest, ArchiveError> {
        Ok(Digest::sha256(&self.to_bytes()?))
    }
}

/// A writer that accepts only the expected bytes.
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
pub(in crate::archive) mod tests {
    use super::*;
    use crate::image::{Role, media_type};

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
            profile: Profile::Layout,
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
            (text.replace("\"layout\"", "\"dense\""), "dense"),
            (text.replace("\"size\":9", "\"size\":9007199254740992"), "larger than any disk"),
            (text.replace(MEDIA_TYPE, "x"), "mediaType"),
        ] {
            let error = BundleManifest::from_bytes(bad.as_bytes()).expect_err(&bad).to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
