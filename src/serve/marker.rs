//! The file that makes a folder a registry's: nothing is written or removed in a folder without it.
//!
//! Other programs keep folders called `repositories` and `uploads` too, so names alone decide nothing. An empty
//! folder gets the file; any other folder needs it.

use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::FileType;

use super::directory::DirectoryError;
use super::tree::Tree;

pub(super) const MARKER: &str = "bundle-registry";
/// Of the marker of every revision of the layout.
const KIND: &str = "airgap-bundle registry ";
/// With the revision of the layout.
const CONTENT: &str = "airgap-bundle registry 1";
/// What registries of versions without a marker consist of.
const OLDER: [&str; 5] = ["blobs", "lock", "oci-layout", "repositories", "uploads"];

/// Confirms that the folder is a registry's, or makes it one where it is empty.
pub(super) fn claim(tree: &Tree, path: &Path) -> Result<(), DirectoryError> {
    let io = |source| DirectoryError::Io { path: path.to_owned(), source };
    let found = tree.read_small(MARKER).map_err(io)?;
    let text = found.as_deref().map(String::from_utf8_lossy);
    let text = text.as_deref().map(str::trim_end);
    if text == Some(CONTENT) {
        return Ok(());
    }
    // A start that was killed may have left the marker unfinished.
    let is_unfinished = text.is_none_or(|text| CONTENT.starts_with(text));
    if !is_unfinished && text.is_some_and(|text| text.starts_with(KIND)) {
        return Err(DirectoryError::Newer(path.to_owned()));
    }
    let mut names = Vec::new();
    tree.list("", |name, kind| match (name, kind) {
        // Every new ext4 file system has this.
        ("lost+found", FileType::Directory) => {}
        (MARKER, FileType::RegularFile) if is_unfinished => {}
        _ => names.push(name.to_owned()),
    })
    .map_err(io)?;
    if !names.is_empty() {
        let is_older = names.iter().all(|name| OLDER.contains(&&**name))
            && tree.is_folder("repositories").map_err(io)?
            && tree.is_file("lock").map_err(io)?;
        return Err(DirectoryError::Foreign { path: path.to_owned(), is_older });
    }
    make(tree).map_err(io)
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
