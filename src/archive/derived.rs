//! The members other tools read: `oci-layout`, `index.json`, `SHA256SUMS`, `SHA512SUMS`, `manifest.json`.
//!
//! Pure functions of `bundle.json` and the manifests it pins. The reader makes them again and demands equal
//! bytes, so that a signature over `bundle.json` covers what other tools believe.

use std::collections::HashSet;
use std::fmt::Write as _;

use oci_spec::image::{DescriptorBuilder, ImageIndexBuilder};
use rayon::prelude::*;
use serde::Serialize;

use super::ArchiveError;
use super::contents::Manifests;
use super::manifest::{BundleManifest, ImageRow};
use crate::image::{Algorithm, Descriptor, Digest, ManifestKind, ParsedManifest, Platform, media_type};

pub(crate) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Readers of `manifest.json` cap it at 1 MiB.
const MAX_DOCKER_MANIFEST: usize = 1_000_000;
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The OCI index over all images, then all artifacts. Artifacts have no names: containerd fails on a named one.
pub(crate) fn index_json(bundle: &BundleManifest) -> Result<Vec<u8>, ArchiveError> {
    let mut manifests = Vec::with_capacity(bundle.images.len() + bundle.artifacts.len());
    let sizes: std::collections::HashMap<_, _> = bundle.blobs.iter().map(|b| (b.digest, b.size)).collect();
    let size_of = |digest: &Digest| sizes.get(digest).copied().ok_or(ArchiveError::MissingManifest(*digest));
    let (named, unnamed): (Vec<_>, Vec<_>) = bundle.images.iter().partition(|i| i.artifact_type.is_none());
    for image in named {
        for name in names(image) {
            let mut annotations = std::collections::HashMap::from([(REF_NAME.to_owned(), name.clone())]);
            if bundle.requires.is_none() {
                annotations.insert(CONTAINERD_NAME.to_owned(), name);
            }
            let entry = descriptor(&image.media_type, &image.digest, size_of(&image.digest)?)?;
            manifests.push(entry.annotations(annotations));
        }
    }
    for image in unnamed {
        let entry = descriptor(&image.media_type, &image.digest, size_of(&image.digest)?)?;
        manifests.push(with_type(entry, image.artifact_type.as_deref()));
    }
    let mut seen = HashSet::new();
    for artifact in bundle.artifacts.iter().filter(|artifact| seen.insert(artifact.digest)) {
        let entry = descriptor(&artifact.media_type, &artifact.digest, artifact.size)?;
        manifests.push(with_type(entry, artifact.artifact_type.as_deref()));
    }
    let manifests: Result<Vec<_>, _> = manifests.into_iter().map(DescriptorBuilder::build).collect();
    let index = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(media_type::OCI_INDEX)
        .manifests(manifests.map_err(|e| json("index.json", e))?)
        .build()
        .map_err(|e| json("index.json", e))?;
    // Through a value, whose maps are sorted; the crate's annotations are not.
    let value = serde_json::to_value(&index).map_err(|e| json("index.json", e))?;
    serde_json::to_vec(&value).map_err(|e| json("index.json", e))
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

/// The names an image has in the index: by tag, by digest, or both.
fn names(image: &ImageRow) -> Vec<String> {
    let repository = image.name.repository();
    let tagged = image.name.tag().map(|tag| format!("{repository}:{tag}"));
    let pinned = image.name.digest().map(|digest| format!("{repository}@{digest}"));
    tagged.into_iter().chain(pinned).collect()
}

/// `manifest.json` for `docker load` and `podman load`: one platform per image. None when it would be empty or
/// larger than its readers accept, and for a delta, which no other tool shall take for whole.
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
    let carried: HashSet<Digest> = bundle.blobs.iter().map(|b| b.digest).collect();
    let preferred =
        bundle.platforms.first().and_then(|p| p.parse().ok()).unwrap_or_else(Platform::linux_amd64);
    let row = |image: &ImageRow| -> Result<Option<Row>, ArchiveError> {
        let Some(parsed) = one_platform(image, &preferred, manifests)? else {
            return Ok(None);
        };
        let Some(config) = &parsed.config else {
            return Ok(None);
        };
        let is_config =
            matches!(config.media_type.as_str(), media_type::OCI_CONFIG | media_type::DOCKER_CONFIG);
        let is_here =
            |b: &Descriptor| b.digest.algorithm() == Algorithm::Sha256 && carried.contains(&b.digest);
        Ok((is_config && parsed.blobs().all(is_here)).then(|| Row {
            config: config.digest.layout_path(),
            layers: parsed.layers.iter().map(|l| l.digest.layout_path()).collect(),
            // A digest here makes docker and podman refuse the whole file.
            repo_tags: image
                .name
                .tag()
                .map(|tag| format!("{}:{tag}", image.name.repository()))
                .into_iter()
                .collect(),
        }))
    };
    let images = bundle.images.par_iter().filter(|image| image.artifact_type.is_none());
    let rows: Result<Vec<Row>, ArchiveError> = images.map(row).filter_map(Result::transpose).collect();
    let rows = rows?;
    if rows.is_empty() {
        return Ok(None);
    }
    let bytes = serde_json::to_vec(&rows).map_err(|e| json("manifest.json", e))?;
    Ok((bytes.len() <= MAX_DOCKER_MANIFEST).then_some(bytes))
}

/// The image manifest that stands for `image` where only one platform fits.
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

/// `SHA512SUMS`, in coreutils format; none without sha512 blobs.
pub(crate) fn sha512_sums(bundle: &BundleManifest) -> Option<Vec<u8>> {
    let sums = blob_sums(bundle, Algorithm::Sha512);
    (!sums.is_empty()).then(|| sums.into_bytes())
}

/// `SHA256SUMS`: the small members given as path and content, then every sha256 blob in member order.
pub(crate) fn sha256_sums(bundle: &BundleManifest, small: &[(&str, &[u8])]) -> Vec<u8> {
    let mut sums = String::new();
    for (path, content) in small {
        let _ = writeln!(sums, "{}  {path}", Digest::sha256(content).hex());
    }
    sums.push_str(&blob_sums(bundle, Algorithm::Sha256));
    sums.into_bytes()
}

fn blob_sums(bundle: &BundleManifest, algorithm: Algorithm) -> String {
    bundle.blobs.iter().filter(|b| b.digest.algorithm() == algorithm).fold(String::new(), |mut sums, blob| {
        let _ = writeln!(sums, "{}  {}", blob.digest.hex(), blob.digest.layout_path());
        sums
    })
}

fn json(member: &'static str, error: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Json(member, error.to_string())
}
