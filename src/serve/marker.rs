//! The file that makes a folder a registry's: nothing is written or removed in a folder without it.
//!
//! Other programs keep folders called `repositories` and `uploads` too, so names alone decide nothing. An empty
//! folder gets the file; any other folder needs it.

use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::FileType;

use super::tree::Tree;

pub(super) const MARKER: &str = "bundle-registry";
/// The beginning of every marker, whatever the revision of the layout.
const KIND: &str = "airgap-bundle registry ";
/// The marker with the revision of the layout.
const CONTENT: &str = "airgap-bundle registry 1";
/// What registries of versions without a marker consist of.
const OLDER: [&str; 5] = ["blobs", "lock", "oci-layout", "repositories", "uploads"];

/// Whether a folder may be used as a registry's.
pub(super) enum Claim {
    Registry,
    /// A registry of a newer version.
    Newer,
    Foreign {
        is_older: bool,
    },
}

/// Confirms that the folder is a registry's, or makes it one where it is empty.
pub(super) fn claim(tree: &Tree) -> io::Result<Claim> {
    let found = tree.read_small(MARKER)?;
    let text = found.as_deref().map(String::from_utf8_lossy);
    let text = text.as_deref().map(str::trim_end);
    if text == Some(CONTENT) {
        return Ok(Claim::Registry);
    }
    // A start that was killed may have left the marker unfinished.
    let is_unfinished = text.is_none_or(|text| CONTENT.starts_with(text));
    if !is_unfinished && text.is_some_and(|text| text.starts_with(KIND)) {
        return Ok(Claim::Newer);
    }
    let mut names = Vec::new();
    tree.list("", |name, kind| match (name, kind) {
        // Every new ext4 file system has this folder.
        ("lost+found", FileType::Directory) => {}
        (MARKER, FileType::RegularFile) if is_unfinished => {}
        _ => names.push(name.to_owned()),
    })?;
    if !names.is_empty() {
        let is_older = names.iter().all(|name| OLDER.contains(&&**name))
            && tree.is_folder("repositories")?
            && tree.is_file("lock")?;
        return Ok(Claim::Foreign { is_older });
    }
    make(tree)?;
    Ok(Claim::Registry)
}

fn make(tree: &Tree) -> io::Result<()> {
    let mut file = tree.open_or_create(MARKER)?;
    file.write_all(format!("{CONTENT}\n").as_bytes())?;
    file.sync_all()?;
    Ok(rustix::fs::fsync(tree.make_folder("")?)?)
}

/// The command that makes a folder of an older version a registry of this one.
pub(super) fn adoption(path: &Path) -> String {
    format!("echo '{CONTENT}' >{}", crate::app::text::typed(&path.join(MARKER)))
}
