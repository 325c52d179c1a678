//! The members for other tools: `oci-layout`, `index.json`, `manifest.json`.
//!
//! They are pure functions of `bundle.json` and the manifests it pins. The reader generates them again and requires
//! equal bytes, so that a signature over `bundle.json` covers what other tools read.

use std::collections::HashSet;

use oci_spec::image::DescriptorBuilder;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;

use super::manifest_source::Manifests;
use crate::archive::manifest::{BundleManifest, ImageRow};
use crate::archive::{ArchiveError, FormatError};
use crate::image::{Algorithm, Descriptor, Digest, ManifestKind, ParsedManifest, Platform, media_type};

pub(crate) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Readers of `manifest.json` limit it to 1 MiB.
const MAX_DOCKER_MANIFEST: usize = 1_000_000;
/// Rows of `manifest.json` that are made at a time.
const DOCKER_ROWS: usize = 1024;
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The OCI index of all images, then all artifacts. Artifacts have no names, because containerd fails on a named one.
pub(crate) fn index_json(bundle: &BundleManifest) -> Result<Vec<u8>, ArchiveError> {
    /// In the order of its keys.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Index {
        manifests: Vec<Box<RawValue>>,
        media_type: &'static str,
        schema_version: u32,
    }
    let mut manifests = Vec::with_capacity(bundle.images.len() + bundle.artifacts.len());
    let mut add = |entry: DescriptorBuilder| -> Result<(), ArchiveError> {
        let entry = entry.build().map_err(|e| json("index.json", e))?;
        // Serialised through a value, whose maps are sorted; the annotations of the crate are not.
        let entry = serde_json::to_value(&entry).and_then(|value| serde_json::value::to_raw_value(&value));
        manifests.push(entry.map_err(|e| json("index.json", e))?);
        Ok(())
    };
    let blobs = bundle.index();
    let entry = |image: &ImageRow| {
        let blob = blobs
            .blob(&image.digest)
            .ok_or(ArchiveError::Format(FormatError::MissingManifest(image.digest)))?;
        descriptor(&image.media_type, &image.digest, blob.size)
    };
    for image in bundle.images.iter().filter(|image| image.artifact_type.is_none()) {
        for name in names(image) {
            let mut annotations = std::collections::HashMap::from([(REF_NAME.to_owned(), name.clone())]);
            if bundle.requires.is_none() {
                annotations.insert(CONTAINERD_NAME.to_owned(), name);
            }
            add(entry(image)?.annotations(annotations))?;
        }
    }
    for image in bundle.images.iter().filter(|image| image.artifact_type.is_some()) {
        add(with_type(entry(image)?, image.artifact_type.as_deref()))?;
    }
    let mut seen = HashSet::new();
    for artifact in bundle.artifacts.iter().filter(|artifact| seen.insert(artifact.digest)) {
        let entry = descriptor(&artifact.media_type, &artifact.digest, artifact.size)?;
        add(with_type(entry, artifact.artifact_type.as_deref()))?;
    }
    let index = Index { manifests, media_type: media_type::OCI_INDEX, schema_version: 2 };
    serde_json::to_vec(&index).map_err(|e| json("index.json", e))
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Result<DescriptorBuilder, ArchiveError> {
    let digest: oci_spec::image::Digest = digest.to_string().parse().map_err(|e| json("index.json", e))?;
    Ok(DescriptorBuilder::default().media_type(media_type).digest(digest).size(size))
}

fn with_type(entry: DescriptorBuilder, artifact_type: Option<&str>) -> DescriptorBuilder {
    match artifact_type {
        Some(artifact_type) => entry.artifact_type(artifact_type),
        None => entry,
    }
}

/// The names of an image in the index: by tag, by digest, or both.
fn names(image: &ImageRow) -> Vec<String> {
    let repository = image.name.repository();
    let tagged = image.name.tag().map(|tag| format!("{repository}:{tag}"));
    let pinned = image.name.digest().map(|digest| format!("{repository}@{digest}"));
    tagged.into_iter().chain(pinned).collect()
}

/// `manifest.json` for `docker load` and `podman load`: one platform per image. None if it would be empty or larger
/// than its readers accept, and for a delta, which other tools must not take for a complete image set.
pub(crate) fn docker_manifest(
    bundle: &BundleManifest,
    manifests: &dyn Manifests,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Row {
        config: String,
        layers: Vec<String>,
        repo_tags: Vec<String>,
    }
    if bundle.requires.is_some() {
        return Ok(None);
    }
    let carried = bundle.index();
    let preferred =
        bundle.platforms.first().and_then(|p| p.parse().ok()).unwrap_or_else(Platform::linux_amd64);
    let row = |image: &ImageRow| -> Result<Option<Box<RawValue>>, ArchiveError> {
        let Some(parsed) = one_platform(image, &preferred, manifests)? else {
            return Ok(None);
        };
        let Some(config) = &parsed.config else {
            return Ok(None);
        };
        let is_config =
            matches!(config.media_type.as_str(), media_type::OCI_CONFIG | media_type::DOCKER_CONFIG);
        let is_here = |b: &Descriptor| {
            b.digest.algorithm() == Algorithm::Sha256 && carried.position(&b.digest).is_some()
        };
        if !is_config || !parsed.blobs().all(is_here) {
            return Ok(None);
        }
        let row = Row {
            config: config.digest.layout_path(),
            layers: parsed.layers.iter().map(|l| l.digest.layout_path()).collect(),
            // With a digest here, docker and podman refuse the whole file.
            repo_tags: image
                .name
                .tag()
                .map(|tag| format!("{}:{tag}", image.name.repository()))
                .into_iter()
                .collect(),
        };
        serde_json::value::to_raw_value(&row).map(Some).map_err(|e| json("manifest.json", e))
    };
    let mut rows: Vec<Box<RawValue>> = Vec::new();
    // Made in parts, so that one that becomes too large is not made to its end.
    for images in bundle.images.chunks(DOCKER_ROWS) {
        let images = images.par_iter().filter(|image| image.artifact_type.is_none());
        let more: Result<Vec<_>, ArchiveError> = images.map(row).filter_map(Result::transpose).collect();
        rows.append(&mut more?);
        // Each row is followed by a comma or bracket, and the first is preceded by a bracket.
        let len = 1 + rows.iter().map(|row| row.get().len() + 1).sum::<usize>();
        if len > MAX_DOCKER_MANIFEST {
            return Ok(None);
        }
    }
    if rows.is_empty() {
        return Ok(None);
    }
    serde_json::to_vec(&rows).map(Some).map_err(|e| json("manifest.json", e))
}

/// The image manifest that represents `image` in a file with one platform per image.
fn one_platform(
    image: &ImageRow,
    preferred: &Platform,
    manifests: &dyn Manifests,
) -> Result<Option<ParsedManifest>, ArchiveError> {
    let (mut digest, mut stated) = (image.digest, image.media_type.clone());
    for _ in 0..=super::contents::MAX_DEPTH {
        let bytes = manifests.manifest(&digest)?;
        let Ok(parsed) = ParsedManifest::of(&bytes, Some(&stated)) else {
            return Ok(None);
        };
        if parsed.kind != ManifestKind::Index {
            return Ok((parsed.kind == ManifestKind::Image).then_some(parsed));
        }
        let runs = |d: &&Descriptor| !d.platform.as_ref().is_some_and(Platform::is_unknown);
        let fits = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p.satisfies(preferred));
        let candidates = || parsed.manifests.iter().filter(|d| media_type::is_manifest(&d.media_type));
        let Some(child) = candidates().find(fits).or_else(|| candidates().find(runs)) else {
            return Ok(None);
        };
        (digest, stated) = (child.digest, child.media_type.clone());
    }
    Ok(None)
}

fn json(member: &'static str, error: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Format(FormatError::Json(member, error.to_string()))
}
