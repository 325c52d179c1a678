//! The rows of `bundle.json`: images, blobs, artifacts, catalog entries, and what a delta requires.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::image::{
    ArtifactKind, Digest, MediaType, Positions, Reference, Repository, Role, Tag, media_type,
};

/// A config larger than this, in bytes, is treated like a layer: it is not stored in the head of the bundle.
pub const MAX_HEAD_CONFIG: u64 = 4 << 20;

/// A manifest that is carried with an image without being one of its children.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArtifactRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub digest: Digest,
    pub media_type: MediaType,
    /// The repository that it was found in.
    pub repository: Repository,
    /// Bytes of the manifest itself.
    pub size: u64,
    /// The manifest it is about.
    pub subject: Digest,
    /// Its tag (`sha256-<hex>.sig`); none if the artifact names its subject itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
}

impl ArtifactRow {
    /// Its role for its subject; none if its tag does not follow from the subject.
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

/// The part of the file that a blob is in.
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
    pub(super) fn of(blobs: &'a [BlobRow]) -> Self {
        let positions = Positions::of(blobs.len(), |at| &blobs[at].digest);
        Self { blobs, positions }
    }

    pub fn position(&self, digest: &Digest) -> Option<usize> {
        self.positions.get(digest, |at| &self.blobs[at].digest)
    }

    pub fn blob(&self, digest: &Digest) -> Option<&'a BlobRow> {
        self.position(digest).map(|at| &self.blobs[at])
    }
}

/// The record of the catalog, so that everything behind the gap needs only the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogRecord {
    pub entries: Vec<EntryRecord>,
    pub name: String,
    /// Values that override `values` when every row's own paths are set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub per_image_values: BTreeMap<String, String>,
    /// The value path that overrides the registry of every entry (`global.imageRegistry`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_override: Option<String>,
    /// Value paths that every values file sets, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// Values of the variables that the catalog declares, without secret ones.
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
    /// Set if this is not a container image but a chart, a signature or another artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub digest: Digest,
    /// Indexes into the catalog's entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<u32>,
    pub media_type: MediaType,
    /// The name in the chart, including the registry host.
    pub name: Reference,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Bytes of all its distinct manifests and blobs together.
    pub size: u64,
    /// The reference that it was pulled from.
    pub source: Reference,
}

/// What must already be at the destination, for a bundle with only the difference to another (a *delta*).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requires {
    /// The id of the base.
    pub base: Digest,
    /// The blobs that the images need and the bundle does not carry, by digest.
    pub blobs: Vec<RequiredBlob>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequiredBlob {
    pub digest: Digest,
    /// The repositories in which the base has it, by the names that charts use, sorted.
    pub repositories: Vec<Repository>,
    /// In bytes.
    pub size: u64,
}
