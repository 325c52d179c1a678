//! What a layout's index and manifests say, in the terms of a bundle.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::Value;

use super::contents::{self, Contents, Root};
use super::manifest::{
    BundleManifest, CatalogRecord, FORMAT_REVISION, ImageRow, MEDIA_TYPE, PROFILE, SCHEMA_VERSION,
};
use super::{ArchiveError, derived};
use crate::image::{Descriptor, Digest, ManifestKind, ParsedManifest, Platform, Reference, media_type};

/// A bundle of this program that was unpacked, or packed by another tool: its own manifest, which must fit the index.
pub(super) fn unpacked(
    own: &[u8],
    index: &[u8],
    manifests: &HashMap<Digest, Bytes>,
) -> Result<BundleManifest, ArchiveError> {
    let bundle = BundleManifest::from_bytes(own)?;
    if derived::index_json(&bundle)? != index {
        return Err(ArchiveError::Damaged("index.json is not the one that bundle.json implies".to_owned()));
    }
    contents::prove(&bundle, manifests)?;
    Ok(bundle)
}

/// What the index and the manifests say, in the terms of a bundle.
pub(super) fn describe(
    index: &ParsedManifest,
    manifests: &HashMap<Digest, Bytes>,
    name: Option<&Reference>,
) -> Result<BundleManifest, ArchiveError> {
    let roots: Vec<&Descriptor> =
        index.manifests.iter().filter(|d| media_type::is_manifest(&d.media_type)).collect();
    let (mut images, mut used) = (Vec::new(), false);
    for root in &roots {
        // A given name is for the one image there is: of several, nobody could tell which.
        let given = name.filter(|_| roots.len() == 1).cloned();
        used |= given.is_some();
        let Some(name) = given.or_else(|| name_of(root)) else {
            // Signatures and the like stand beside images without a name. Some tools call images artifacts of the
            // type of their config: those are images.
            let type_of_image = |t: &str| matches!(t, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG);
            if root.artifact_type.as_deref().is_some_and(|t| !type_of_image(t)) {
                continue;
            }
            return Err(ArchiveError::Nameless(root.digest));
        };
        let parsed = manifests.get(&root.digest).map(|b| ParsedManifest::of(b, Some(&root.media_type)));
        let parsed = parsed.ok_or(ArchiveError::MissingManifest(root.digest))?;
        let parsed = parsed.map_err(|e| ArchiveError::Damaged(format!("{}: {e}", root.digest)))?;
        if images.iter().any(|image: &ImageRow| image.name == name) {
            return Err(ArchiveError::Damaged(format!("the name {name} is there twice")));
        }
        images.push(ImageRow {
            artifact_type: None,
            digest: root.digest,
            entries: Vec::new(),
            media_type: parsed.media_type.clone(),
            name: name.clone(),
            platforms: platforms(&parsed),
            size: root.size,
            source: name,
        });
    }
    if let Some(name) = name.filter(|_| !used) {
        return Err(ArchiveError::NameUnused(name.to_string()));
    }
    if images.is_empty() {
        return Err(match roots.first() {
            Some(root) => ArchiveError::Nameless(root.digest),
            None => ArchiveError::NotABundle("its index.json lists no image".to_owned()),
        });
    }
    let root = |image: &ImageRow| Root {
        digest: image.digest,
        media_type: image.media_type.clone(),
        size: image.size,
    };
    let contents = Contents::collect(&images.iter().map(root).collect::<Vec<_>>(), manifests, &|_| false)?;
    if let Some(fault) = contents.faults.first() {
        return Err(ArchiveError::Damaged(format!("{}: {}", images[fault.root].name, fault.why)));
    }
    for (image, size) in images.iter_mut().zip(&contents.sizes) {
        image.size = *size;
    }
    Ok(BundleManifest {
        artifacts: Vec::new(),
        blobs: contents.blobs,
        catalog: CatalogRecord::default(),
        extensions: std::collections::BTreeMap::new(),
        format_revision: FORMAT_REVISION,
        images,
        media_type: MEDIA_TYPE.to_owned(),
        platforms: Vec::new(),
        profile: PROFILE.to_owned(),
        requires: None,
        schema_version: SCHEMA_VERSION,
    })
}

/// The full name in an index entry. Tag-only names say nothing about the repository and do not count.
fn name_of(root: &Descriptor) -> Option<Reference> {
    let annotation = |key: &str| root.annotations.get(key).and_then(Value::as_str);
    let full = |text: &&str| text.contains('/') || text.contains('@');
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
        .into_iter()
        .filter_map(annotation)
        .filter(full)
        .find_map(|text| text.parse().ok())
}

fn platforms(parsed: &ParsedManifest) -> Vec<String> {
    if parsed.kind != ManifestKind::Index {
        return Vec::new();
    }
    let known = parsed.manifests.iter().filter_map(|child| child.platform.as_ref());
    known.filter(|p: &&Platform| !p.is_unknown()).map(ToString::to_string).collect()
}
