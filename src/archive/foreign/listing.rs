//! The members of an archive: each only once, and in a bundle no members other than its own.

use std::collections::HashMap;
use std::path::Path;

use super::foreign_tar::{MAX_MEMBERS, Member};
use super::kind::Marks;
use super::tar_header::{Kind, shown};
use crate::archive::format::head;
use crate::archive::{ArchiveError, FormatError};
use crate::image::Digest;

/// The members of a bundle that are not blobs.
const SMALL: [&str; 7] = [
    head::OCI_LAYOUT,
    head::INDEX,
    head::BUNDLE,
    head::SIGNATURE,
    head::SHA256SUMS,
    head::SHA512SUMS,
    head::DOCKER,
];
/// The folders that they are in, including the root.
const FOLDERS: [&str; 4] = ["", "blobs", "blobs/sha256", "blobs/sha512"];

/// A part of the hash of a name, because names could take any amount of memory.
type Key = [u8; 16];

/// The members of an archive, or of a folder.
#[derive(Debug, Default)]
pub(in crate::archive) struct Listing {
    /// Offset and size of the content of each file; none for entries that are not files.
    members: HashMap<Key, Option<(u64, u64)>>,
    /// The first member that does not belong to a bundle, for messages.
    stranger: Option<String>,
    pub(in crate::archive) marks: Marks,
    /// Data after the end of the archive.
    pub(in crate::archive) leftover: Option<String>,
}

impl Listing {
    pub(in crate::archive) fn add(&mut self, member: &Member) -> Result<(), ArchiveError> {
        let name = member.name.as_str();
        self.marks.see(name);
        let has_place = match member.kind {
            Kind::File => is_of_a_bundle(name),
            Kind::Folder => FOLDERS.contains(&name),
            _ => false,
        };
        if !has_place && self.stranger.is_none() {
            self.stranger = Some(format!("{} ({})", shown(name.as_bytes()), member.kind.noun()));
        }
        if member.kind == Kind::Folder {
            return Ok(());
        }
        let place = (member.kind == Kind::File).then_some((member.at, member.size));
        if self.members.insert(key(name), place).is_some() {
            let name = shown(name.as_bytes());
            return Err(ArchiveError::Format(FormatError::Damaged(format!(
                "the member {name} appears twice"
            ))));
        }
        Ok(())
    }

    /// Offset and size of the content of the file `name`.
    pub(in crate::archive) fn file(&self, name: &str) -> Option<(u64, u64)> {
        *self.members.get(&key(name))?
    }

    pub(in crate::archive) fn has(&self, digest: &Digest) -> bool {
        self.file(&digest.layout_path()).is_some()
    }

    /// The number of members that are not folders.
    pub(in crate::archive) fn len(&self) -> usize {
        self.members.len()
    }

    /// The number of members that are small members of a bundle.
    pub(in crate::archive) fn small(&self) -> usize {
        SMALL.into_iter().filter(|name| self.file(name).is_some()).count()
    }

    /// Refuses members that a bundle does not have.
    pub(in crate::archive) fn refuse_strangers(&self) -> Result<(), ArchiveError> {
        match (&self.stranger, &self.leftover) {
            (Some(stranger), _) => Err(stranger_in_bundle(stranger)),
            (None, Some(leftover)) => Err(ArchiveError::Format(FormatError::Damaged(format!(
                "it holds a bundle, and more after its end: {leftover}"
            )))),
            (None, None) => Ok(()),
        }
    }

    /// The content of `folder`, which claims to be a bundle. Folders that a bundle does not have are not searched.
    pub(in crate::archive) fn of_folder(folder: &Path) -> Result<Self, ArchiveError> {
        let mut listing = Self::default();
        let mut count = 0;
        for inside in FOLDERS {
            let path = folder.join(inside);
            let entries = match std::fs::read_dir(&path) {
                Err(error) if !inside.is_empty() && error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.map_err(ArchiveError::io(&path))?,
            };
            for entry in entries {
                count += 1;
                if count > MAX_MEMBERS {
                    return Err(ArchiveError::Format(FormatError::Damaged(format!(
                        "there are more than {MAX_MEMBERS} members"
                    ))));
                }
                let entry = entry.map_err(ArchiveError::io(&path))?;
                // The type of the entry itself, not of a link's target.
                let meta = entry.metadata().map_err(ArchiveError::io(&entry.path()))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let name = if inside.is_empty() { name } else { format!("{inside}/{name}") };
                let kind = match meta.file_type() {
                    kind if kind.is_file() => Kind::File,
                    kind if kind.is_dir() => Kind::Folder,
                    kind if kind.is_symlink() => Kind::Link,
                    _ => Kind::Other,
                };
                listing.add(&Member { name, kind, size: meta.len(), at: 0 })?;
            }
            // A link instead of a folder leads elsewhere.
            listing.refuse_strangers()?;
        }
        Ok(listing)
    }
}

/// The error for a bundle with members other than its own.
pub(in crate::archive) fn stranger_in_bundle(what: &str) -> ArchiveError {
    ArchiveError::Format(FormatError::Damaged(format!(
        "it holds a bundle, and also {what}, which is not part of the bundle"
    )))
}

/// Whether a bundle may have a member with this name.
pub(in crate::archive) fn is_of_a_bundle(name: &str) -> bool {
    SMALL.contains(&name) || Digest::from_layout_path(name).is_some()
}

fn key(name: &str) -> Key {
    let digest = Digest::sha256(name.as_bytes());
    let mut key = Key::default();
    key.copy_from_slice(&digest.as_bytes()[..16]);
    key
}
