//! A bundle in another container: unpacked into a folder, or packed again by another tool.
//!
//! With a `bundle.json`, only the members that follow from it are allowed: the signature does not cover anything else
//! that other tools would find in the archive. Members for other tools may be missing; those that exist must be the
//! ones that follow from `bundle.json`.

use std::collections::HashSet;
use std::io::{BufReader, Read};
use std::path::Path;

use super::foreign_tar::Members;
use super::listing::{Listing, stranger_in_bundle};
use super::place::{Place, decompressed};
use super::tar_header::shown;
use crate::archive::format::head::{self, Derived, Sum};
use crate::archive::{ArchiveError, BundleManifest, FormatError, Input};
use crate::image::{Digest, Role};

/// Maximum size of `bundle.json` for each member of its archive, and the minimum limit, in bytes. It has less than a
/// kilobyte for an image with its blobs, but sometimes contains an index from which platforms were left out.
const OWN_PER_MEMBER: u64 = 4 << 10;
const OWN_FREE: u64 = 64 << 20;

/// The largest `bundle.json` of an archive with this number of members.
pub(in crate::archive) fn own_cap(members: usize, cap: u64) -> u64 {
    cap.min(OWN_FREE.saturating_add(OWN_PER_MEMBER.saturating_mul(members as u64)))
}

/// The manifests and indexes of a bundle.
pub(in crate::archive) fn manifests(bundle: &BundleManifest) -> HashSet<Digest> {
    let manifests = bundle.blobs.iter().filter(|blob| matches!(blob.role, Role::Index | Role::Manifest));
    manifests.map(|blob| blob.digest).collect()
}

/// Refuses blobs that do not belong to `bundle`.
pub(in crate::archive) fn refuse_others(
    bundle: &BundleManifest,
    place: &Place,
    listing: &Listing,
) -> Result<(), ArchiveError> {
    let own = bundle.blobs.iter().filter(|blob| listing.has(&blob.digest)).count();
    // Each member exists once, so a larger number means that one of them does not belong to the bundle.
    if listing.small() + own == listing.len() {
        return Ok(());
    }
    let listed = bundle.index();
    let is_other =
        |name: &str| Digest::from_layout_path(name).is_some_and(|digest| listed.position(&digest).is_none());
    let other = find(place, &is_other)?.unwrap_or_else(|| "another blob".to_owned());
    Err(stranger_in_bundle(&shown(other.as_bytes())))
}

/// Refuses members for other tools that do not follow from a bundle and its manifests. `found` has size and sha256 of
/// the existing ones. If `more` may follow, a signature may be among it, which the checksum lists cover.
pub(in crate::archive) fn check_derived(
    derived: &Derived<'_>,
    found: &dyn Fn(&str) -> Result<Sum, ArchiveError>,
    more: bool,
) -> Result<(), ArchiveError> {
    for (name, expected) in derived.members()? {
        if more && (name == head::SHA256SUMS || found(name)?.is_none()) {
            continue;
        }
        let why = match (found(name)?, expected) {
            (Some(found), Some(expected)) if found == expected => continue,
            (Some(_), Some(_)) => format!("{name} is not the one that bundle.json implies"),
            (Some(_), None) => return Err(stranger_in_bundle(&format!("{name:?}"))),
            (None, Some(_)) if matches!(name, head::OCI_LAYOUT | head::INDEX) => format!("{name} is missing"),
            (None, _) => continue,
        };
        return Err(ArchiveError::Format(FormatError::Damaged(why)));
    }
    Ok(())
}

/// The first wanted file.
fn find(place: &Place, is_wanted: &dyn Fn(&str) -> bool) -> Result<Option<String>, ArchiveError> {
    fn first<R: Read>(
        mut members: Members<R>,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Option<String>, ArchiveError> {
        while let Some(member) = members.next()? {
            if is_wanted(&member.name) {
                return Ok(Some(member.name));
            }
        }
        Ok(None)
    }
    match place {
        Place::Folder(folder) => {
            for inside in ["blobs/sha256", "blobs/sha512"] {
                for entry in std::fs::read_dir(folder.join(inside)).into_iter().flatten().flatten() {
                    let name = format!("{inside}/{}", entry.file_name().to_string_lossy());
                    if is_wanted(&name) {
                        return Ok(Some(name));
                    }
                }
            }
            Ok(None)
        }
        Place::Tar { file, .. } => {
            let path = file.name();
            first(Members::seekable(BufReader::new(file.reader()?), Path::new(&path)), is_wanted)
        }
        Place::Stream { path, .. } => first(decompressed(path)?, is_wanted),
    }
}
