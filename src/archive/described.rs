//! What a layout's index and manifests say, in the terms of a bundle.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::contents::{Contents, Fate, Manifests, Root};
use super::manifest::{
    ArtifactRow, BundleManifest, CatalogRecord, FORMAT_REVISION, ImageRow, MEDIA_TYPE, PROFILE,
    SCHEMA_VERSION,
};
use super::{ArchiveError, derived, proof};
use crate::image::{
    ArtifactKind, Descriptor, Digest, ManifestKind, ParsedManifest, Platform, Reference, Repository, Tag,
    media_type,
};

/// A bundle of this program that was unpacked, or packed by another tool: its own manifest, which must fit the index.
pub(super) fn unpacked(
    own: &[u8],
    index: &[u8],
    small: &dyn Manifests,
) -> Result<BundleManifest, ArchiveError> {
    let bundle = BundleManifest::from_bytes(own)?;
    if derived::index_json(&bundle)? != index {
        return Err(ArchiveError::Damaged("index.json is not the one that bundle.json implies".to_owned()));
    }
    proof::prove(&bundle, small)?;
    Ok(bundle)
}

/// What the index and the manifests say, in the terms of a bundle. `small` has the configs too, as far as they are at hand.
pub(super) fn describe(
    index: &ParsedManifest,
    manifests: &HashMap<Digest, Bytes>,
    small: &dyn Manifests,
    name: Option<&Reference>,
) -> Result<BundleManifest, ArchiveError> {
    let (roots, others): (Vec<&Descriptor>, Vec<&Descriptor>) =
        index.manifests.iter().partition(|d| media_type::is_manifest(&d.media_type));
    if let Some(image) = others.iter().find(|d| d.platform.is_some() || name_of(d).is_some()) {
        let (digest, what) = (image.digest, &image.media_type);
        return Err(ArchiveError::Damaged(format!(
            "index.json lists {digest} as an image with the type {what:?}, which is not that of a manifest"
        )));
    }
    let (mut images, mut used, mut nameless) = (Vec::new(), false, Vec::new());
    let mut names = HashSet::new();
    for root in &roots {
        // A given name is for the one image there is: of several, nobody could tell which.
        let given = name.filter(|_| roots.len() == 1).cloned();
        used |= given.is_some();
        let Some(name) = given.or_else(|| name_of(root)) else {
            nameless.push(*root);
            continue;
        };
        let parsed = manifests.get(&root.digest).map(|b| ParsedManifest::of(b, Some(&root.media_type)));
        let parsed = parsed.ok_or(ArchiveError::MissingManifest(root.digest))?;
        let parsed = parsed.map_err(|e| ArchiveError::Damaged(format!("{}: {e}", root.digest)))?;
        if !names.insert(name.clone()) {
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
    let artifacts = beside(&images, &nameless, manifests)?;
    let mut roots: Vec<Root> = images.iter().map(root_of).collect();
    roots.extend(artifacts.iter().map(ArtifactRow::root));
    let contents = Contents::proven(&roots, small, &|_, _| Fate::Carried)?;
    if let Some(fault) = contents.faults.first() {
        let name = images
            .get(fault.root)
            .map_or_else(|| format!("artifact {}", roots[fault.root].digest), |image| image.name.to_string());
        return Err(ArchiveError::Damaged(format!("{name}: {}", fault.why)));
    }
    for (image, size) in images.iter_mut().zip(&contents.sizes) {
        image.size = *size;
    }
    let bundle = BundleManifest {
        artifacts,
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
    };
    for image in &bundle.images {
        bundle.pins(image, manifests)?;
    }
    Ok(bundle)
}

/// The artifacts among entries without a name: they are about an image or about each other, by their subject or by a
/// tag made from its digest. What else has no name is an image that nobody could ask for, unless it says that it is none.
fn beside(
    images: &[ImageRow],
    nameless: &[&Descriptor],
    manifests: &HashMap<Digest, Bytes>,
) -> Result<Vec<ArtifactRow>, ArchiveError> {
    let mut subjects: HashMap<Digest, &Repository> = HashMap::new();
    for image in images {
        for (digest, _) in Contents::all(&[root_of(image)], manifests)?.bottom_up {
            subjects.entry(digest).or_insert(image.source.repository());
        }
    }
    let (mut found, mut left) = (Vec::new(), nameless.to_vec());
    loop {
        let before = left.len();
        let mut unknown = Vec::new();
        for root in left {
            let bytes = manifests.get(&root.digest).ok_or(ArchiveError::MissingManifest(root.digest))?;
            let parsed = ParsedManifest::of(bytes, Some(&root.media_type))
                .map_err(|e| ArchiveError::Damaged(format!("{}: {e}", root.digest)))?;
            let (subject, tag) = match (tag_of(root), &parsed.subject) {
                (Some((tag, subject)), _) => (Some(subject), Some(tag)),
                (None, subject) => (subject.as_ref().map(|subject| subject.digest), None),
            };
            let repository = subject.and_then(|subject| subjects.get(&subject).copied());
            let (Some(subject), Some(repository)) = (subject, repository) else {
                unknown.push(root);
                continue;
            };
            subjects.entry(root.digest).or_insert(repository);
            found.push(ArtifactRow {
                artifact_type: parsed.effective_artifact_type().map(str::to_owned),
                digest: root.digest,
                media_type: parsed.media_type.clone(),
                repository: repository.clone(),
                size: bytes.len() as u64,
                subject,
                tag,
            });
        }
        left = unknown;
        if left.len() == before {
            break;
        }
    }
    // Some tools call images artifacts of the type of their config: those are images.
    let type_of_image = |t: &str| matches!(t, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG);
    match left.iter().find(|root| root.artifact_type.as_deref().is_none_or(type_of_image)) {
        Some(image) => Err(ArchiveError::Nameless(image.digest)),
        None => Ok(found),
    }
}

/// The image as a root, while its size is still that of its manifest alone.
fn root_of(image: &ImageRow) -> Root {
    Root { digest: image.digest, media_type: image.media_type.clone(), size: image.size }
}

/// The tag of a signature and the like, where the entry's name is one, and what that is about.
fn tag_of(root: &Descriptor) -> Option<(Tag, Digest)> {
    let name = root.annotations.get("org.opencontainers.image.ref.name")?;
    let (hex, _) = name.strip_prefix("sha256-")?.split_once('.')?;
    let (tag, subject) = (name.parse().ok()?, format!("sha256:{hex}").parse().ok()?);
    ArtifactKind::of(&subject, Some(&tag)).map(|_| (tag, subject))
}

/// The full name in an index entry. Tag-only names say nothing about the repository and do not count.
fn name_of(root: &Descriptor) -> Option<Reference> {
    let full = |text: &String| text.contains('/') || text.contains('@');
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
        .into_iter()
        .filter_map(|key| root.annotations.get(key))
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
