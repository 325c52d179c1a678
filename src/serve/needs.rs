//! References inside a repository: nothing is accepted without everything that it refers to, and nothing is removed
//! while something else refers to it.

use std::io;

use rustix::fs::FileType;

use super::registry_folder::{RegistryFolder, repository};
use super::store::{Needed, RepositoryName, StoreError};
use crate::image::{Algorithm, Digest, Tag};

/// Maximum number of missing digests in an error.
const NAMED: usize = 10;

/// Lists the first few of `needed` that the repository lacks. The caller prevents removals meanwhile.
pub(super) fn check_needed(
    folder: &RegistryFolder,
    name: &RepositoryName,
    needed: &Needed,
) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    for digest in &needed.blobs {
        match folder.blob_size(name, digest) {
            Ok(_) => {}
            Err(StoreError::BlobUnknown(_)) => missing.push(*digest),
            Err(error) => return Err(error),
        }
        if missing.len() == NAMED {
            return Err(StoreError::Missing(missing));
        }
    }
    for digest in &needed.manifests {
        match folder.manifest_at(name, digest) {
            Ok(_) => {}
            Err(StoreError::ManifestUnknown(_)) => missing.push(*digest),
            Err(error) => return Err(error),
        }
        if missing.len() == NAMED {
            break;
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(StoreError::Missing(missing)) }
}

/// Refuses where a manifest in the repository has the blob.
pub(super) fn check_blob_unused(
    folder: &RegistryFolder,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<(), StoreError> {
    match user_of(folder, name, |needed| needed.blobs.contains(digest))? {
        Some(user) => Err(in_use(digest, format!("manifest {user} in repository {name} has it"))),
        None => Ok(()),
    }
}

/// Refuses where an index in the repository has the manifest, or several tags point at it. One tag is returned, to
/// go with the manifest: clients that delete a tag look up its digest and delete that. With several tags they would
/// take away more than the one they named.
pub(super) fn check_manifest_unused(
    folder: &RegistryFolder,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Vec<Tag>, StoreError> {
    if let Some(user) = user_of(folder, name, |needed| needed.manifests.contains(digest))? {
        return Err(in_use(digest, format!("index {user} in repository {name} has it")));
    }
    let mut tags = Vec::new();
    folder.each_tag(name, |tag| {
        if folder.resolve(name, tag).ok().as_ref() == Some(digest) {
            tags.push(tag.clone());
        }
    })?;
    tags.sort_unstable();
    if let [first, second, ..] = &tags[..] {
        let by = format!(
            "{} tags in repository {name} point at it, among them {first} and {second}; delete all but one first",
            tags.len()
        );
        return Err(in_use(digest, by));
    }
    Ok(tags)
}

/// A manifest of the repository whose needs are as `wanted` says.
fn user_of(
    folder: &RegistryFolder,
    name: &RepositoryName,
    wanted: impl Fn(&Needed) -> bool,
) -> Result<Option<Digest>, StoreError> {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let mut digests: Vec<Digest> = Vec::new();
        let manifests = format!("{}/_manifests/{}", repository(name), algorithm.name());
        folder.tree().list(&manifests, |hex, kind| {
            let digest = format!("{}:{hex}", algorithm.name()).parse::<Digest>().ok();
            digests.extend(digest.filter(|_| kind == FileType::RegularFile));
        })?;
        for digest in digests {
            let manifest = match folder.manifest_at(name, &digest) {
                Ok(manifest) => manifest,
                // Nobody can pull it, so it needs nothing.
                Err(StoreError::ManifestUnknown(_)) => continue,
                Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => continue,
                Err(error) => return Err(error),
            };
            if manifest.parse().is_ok_and(|parsed| wanted(&Needed::of(&parsed))) {
                return Ok(Some(digest));
            }
        }
    }
    Ok(None)
}

fn in_use(digest: &Digest, by: String) -> StoreError {
    StoreError::InUse { digest: Box::new(*digest), by }
}
