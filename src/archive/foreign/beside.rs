//! Entries of another tool's index that are not images: signatures and other referrers, found by a subject, a tag or a
//! mark.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::tar_header::shown;
use crate::archive::format::contents::{Contents, Root};
use crate::archive::manifest::{ArtifactRow, ImageRow};
use crate::archive::{ArchiveError, FormatError, InputError, NamelessImage};
use crate::image::{
    ArtifactKind, Descriptor, Digest, ParsedManifest, Reference, ReferenceError, Repository, Tag, media_type,
};

const CONTAINERD_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// hauler gives signatures the name of their image, and marks them with this annotation; version 1 used the other
/// prefix.
const KIND: &str = "kind";
const KINDS: [&str; 2] = ["dev.hauler/", "dev.cosignproject.cosign/"];

/// Entries without their own name, and what they may be about.
#[derive(Default)]
pub(in crate::archive) struct Beside<'a> {
    pub(in crate::archive) entries: Vec<&'a Descriptor>,
    /// The digest that the index has for each name.
    pub(in crate::archive) named: HashMap<Reference, Digest>,
    /// Indexes that are left out.
    pub(in crate::archive) left_out: HashSet<Digest>,
}

impl Beside<'_> {
    /// The artifacts among them, which are about an image or about each other. Any other entry without a name is an
    /// image that cannot be requested, unless it is marked as something else.
    pub(in crate::archive) fn artifacts(
        &self,
        images: &[ImageRow],
        manifests: &HashMap<Digest, Bytes>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<ArtifactRow>, ArchiveError> {
        let mut subjects: HashMap<Digest, &Repository> = HashMap::new();
        for image in images {
            for (digest, _) in Contents::all(&[root_of(image)], manifests)?.bottom_up {
                subjects.entry(digest).or_insert(image.source.repository());
            }
        }
        let (mut found, mut left) = (Vec::new(), Vec::new());
        for root in &self.entries {
            let bytes = manifests
                .get(&root.digest)
                .ok_or(ArchiveError::Format(FormatError::MissingManifest(root.digest)))?;
            let parsed = ParsedManifest::of(bytes, Some(&root.media_type))
                .map_err(|e| ArchiveError::Format(FormatError::Damaged(format!("{}: {e}", root.digest))))?;
            let (subject, tag) = match self.tag(root) {
                Some((tag, subject)) => (Some(subject), Some(tag)),
                None => (parsed.subject.as_ref().map(|subject| subject.digest), None),
            };
            left.push((*root, parsed, subject, tag));
        }
        loop {
            let before = left.len();
            let mut unknown = Vec::new();
            for (root, parsed, subject, tag) in left {
                let repository = subject.and_then(|subject| subjects.get(&subject).copied());
                let (Some(about), Some(repository)) = (subject, repository) else {
                    unknown.push((root, parsed, subject, tag));
                    continue;
                };
                subjects.entry(root.digest).or_insert(repository);
                found.push(ArtifactRow {
                    artifact_type: parsed.effective_artifact_type().map(str::to_owned),
                    digest: root.digest,
                    media_type: parsed.media_type.clone(),
                    repository: repository.clone(),
                    size: manifests.get(&root.digest).map_or(root.size, |bytes| bytes.len() as u64),
                    subject: about,
                    tag,
                });
            }
            left = unknown;
            if left.len() == before {
                break;
            }
        }
        let total = left.len();
        left.retain(|(_, _, subject, _)| !subject.is_some_and(|subject| self.left_out.contains(&subject)));
        if left.len() < total {
            let number = total - left.len();
            notes.push(format!(
                "artifacts that refer to an index that is not imported are left out ({number})"
            ));
        }
        match left.iter().find(|(root, ..)| root.artifact_type.as_deref().is_none_or(is_type_of_image)) {
            Some((image, ..)) => Err(unnamed(image)),
            None => Ok(found),
        }
    }

    /// The tag of a signature or other referrer, and its subject.
    fn tag(&self, root: &Descriptor) -> Option<(Tag, Digest)> {
        tag_of(root).or_else(|| {
            let kind = related(root)?;
            let subject = *self.named.get(&name_of(root).ok()??)?;
            Some((kind.tag(&subject)?, subject))
        })
    }
}

/// The image as a root, before its size includes more than its manifest.
pub(in crate::archive) fn root_of(image: &ImageRow) -> Root {
    Root { digest: image.digest, media_type: image.media_type.clone(), size: image.size }
}

/// The tag of a signature or other referrer, if the entry's name is one, and its subject.
pub(in crate::archive) fn tag_of(root: &Descriptor) -> Option<(Tag, Digest)> {
    let name = root.annotations.get(REF_NAME)?;
    let (hex, _) = name.strip_prefix("sha256-")?.split_once('.')?;
    let (tag, subject) = (name.parse().ok()?, format!("sha256:{hex}").parse().ok()?);
    ArtifactKind::of(&subject, Some(&tag)).map(|_| (tag, subject))
}

/// What the entry is to the image of the same name; none for an image, or if no tool marked it.
pub(in crate::archive) fn related(root: &Descriptor) -> Option<ArtifactKind> {
    let kind = root.annotations.get(KIND)?;
    match KINDS.iter().find_map(|prefix| kind.strip_prefix(prefix))? {
        "sigs" => Some(ArtifactKind::Signature),
        "atts" => Some(ArtifactKind::Attestation),
        "sboms" => Some(ArtifactKind::Sbom),
        other => other.starts_with("referrers").then_some(ArtifactKind::Referrer),
    }
}

/// The full name in an index entry. A name that is only a tag does not contain the repository and does not count; a
/// full name that is not a reference is an error.
pub(in crate::archive) fn name_of(root: &Descriptor) -> Result<Option<Reference>, ArchiveError> {
    let full = |text: &String| text.contains('/') || text.contains('@');
    let texts = [CONTAINERD_NAME, REF_NAME].into_iter().filter_map(|key| root.annotations.get(key));
    let mut wrong = None;
    for text in texts.filter(full) {
        match text.parse() {
            Ok(name) => return Ok(Some(name)),
            Err(why) => {
                let (digest, name) = (root.digest, shown(text.as_bytes()));
                let why = ReferenceError::to_string(&why);
                wrong = wrong.or(Some(ArchiveError::Input(InputError::BadName { digest, name, why })));
            }
        }
    }
    wrong.map_or(Ok(None), Err)
}

/// The error for an image without a full name.
pub(in crate::archive) fn unnamed(root: &Descriptor) -> ArchiveError {
    let found = root.annotations.get(CONTAINERD_NAME).or_else(|| root.annotations.get(REF_NAME));
    let found = found.map(|text| shown(text.as_bytes()));
    ArchiveError::Input(InputError::Nameless(NamelessImage { digest: root.digest, found }))
}

/// Some tools put the config's type as artifact type on plain images.
pub(in crate::archive) fn is_type_of_image(artifact_type: &str) -> bool {
    matches!(artifact_type, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG)
}
