//! Proves that `bundle.json` lists exactly what its manifests refer to.

use std::collections::HashSet;

use super::contents::{Contents, fates, roots};
use super::manifest_source::Manifests;
use crate::archive::manifest::{BundleManifest, ImageRow};
use crate::archive::{ArchiveError, FormatError};
use crate::image::{Descriptor, ImageConfig, ParsedManifest};

/// Requires that `bundle` lists exactly what its manifests refer to, in the right order. Only foreign layers, which
/// their publishers may keep out of registries, may be absent, and in a delta exactly what it requires. Returns for
/// each image how many of its bytes others in the bundle also use.
pub(in crate::archive) fn prove(
    bundle: &BundleManifest,
    manifests: &dyn Manifests,
) -> Result<Vec<u64>, ArchiveError> {
    let mut contents = Contents::walk(&roots(bundle), manifests, &fates(bundle), bundle.blobs.len(), true)?;
    if let Some(fault) = contents.faults.first() {
        let name = match fault.root.checked_sub(bundle.images.len()) {
            None => bundle.images[fault.root].name.to_string(),
            Some(at) => format!("artifact {}", bundle.artifacts[at].digest),
        };
        return Err(ArchiveError::Format(FormatError::Damaged(format!("{name}: {}", fault.why))));
    }
    let required = bundle.requires.iter().flat_map(|requires| &requires.blobs);
    if !contents.required.iter().eq(required.map(|blob| (&blob.digest, &blob.size))) {
        let why = "bundle.json requires other blobs than its images lack".to_owned();
        return Err(ArchiveError::Format(FormatError::Damaged(why)));
    }
    if contents.blobs != bundle.blobs {
        let listed = bundle.index();
        let missing = contents.blobs.iter().find(|blob| listed.position(&blob.digest).is_none());
        return Err(ArchiveError::Format(FormatError::Damaged(missing.map_or_else(
            || "bundle.json lists other blobs than the manifests name".to_owned(),
            |blob| format!("{} is needed by an image, but not in the bundle", blob.digest),
        ))));
    }
    for (image, size) in bundle.images.iter().zip(&contents.sizes) {
        ArchiveError::unless_stopped()?;
        bundle.pins(image, manifests)?;
        if image.size != *size {
            let name = &image.name;
            let why =
                format!("bundle.json lists {name} with {} bytes, but its content has {size}", image.size);
            return Err(ArchiveError::Format(FormatError::Damaged(why)));
        }
        prove_platforms(image, manifests)?;
    }
    for row in bundle.artifacts.iter().filter(|row| row.tag.is_none()) {
        let parsed = ParsedManifest::of(&manifests.manifest(&row.digest)?, Some(&row.media_type));
        let subject = parsed.ok().and_then(|parsed| parsed.subject);
        if subject.is_none_or(|subject| subject.digest != row.subject) {
            let why = format!("artifact {} is not about {}", row.digest, row.subject);
            return Err(ArchiveError::Format(FormatError::Damaged(why)));
        }
    }
    contents.shared.truncate(bundle.images.len());
    Ok(contents.shared)
}

/// Refuses a row with platforms that neither the index nor the config of the image has. An archive of another tool may
/// not have the config at hand.
fn prove_platforms(image: &ImageRow, manifests: &dyn Manifests) -> Result<(), ArchiveError> {
    if image.platforms.is_empty() {
        return Ok(());
    }
    let bytes = manifests.manifest(&image.digest)?;
    let Ok(parsed) = ParsedManifest::of(&bytes, Some(&image.media_type)) else { return Ok(()) };
    let mut has: HashSet<String> = parsed.manifests.iter().filter_map(named).collect();
    if let Some(config) = &parsed.config {
        let bytes = match manifests.manifest(&config.digest) {
            Err(ArchiveError::Format(FormatError::MissingManifest(_))) => return Ok(()),
            bytes => bytes?,
        };
        let platform = ImageConfig::of(&bytes).ok().and_then(|config| config.platform);
        has.extend(platform.map(|platform| platform.to_string()));
    }
    match image.platforms.iter().find(|platform| !has.contains(*platform)) {
        Some(platform) => Err(ArchiveError::Format(FormatError::Damaged(format!(
            "{} is listed for {platform}, which it is not for",
            image.name
        )))),
        None => Ok(()),
    }
}

/// The platform that an entry of an index is for.
fn named(child: &Descriptor) -> Option<String> {
    child.platform.as_ref().filter(|platform| platform.is_nameable()).map(ToString::to_string)
}
