//! Small steps on files that the directory store is made of: each is whole or did not happen.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::store::MAX_MANIFEST;
use crate::image::Digest;

pub(super) fn digest_path(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm().name(), digest.hex())
}

pub(super) fn link_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

/// Moves a synced file to where it is visible, and makes the move durable.
pub(super) fn publish(from: &Path, to: &Path) -> io::Result<()> {
    let parent = to.parent().unwrap_or(Path::new("."));
    make_folder(parent)?;
    fs::rename(from, to)?;
    File::open(parent)?.sync_all()
}

/// Makes a folder and those above it, each durably before what goes into it.
fn make_folder(folder: &Path) -> io::Result<()> {
    let Some(parent) = folder.parent().filter(|_| !folder.is_dir()) else {
        return Ok(());
    };
    make_folder(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}

/// `None` for what does not exist, also where a file stands in the place of a folder.
pub(super) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether there was a file to remove.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    Ok(present(fs::remove_file(path))?.is_some())
}

pub(super) fn read_small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = present(File::open(path))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{} is too large", path.display())));
    }
    Ok(Some(bytes))
}

pub(super) fn file_names(folder: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = present(fs::read_dir(folder))? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}
