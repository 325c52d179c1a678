//! The content of a bundle outside of its file: the tar without its compression, and the folder of its members.
//!
//! What is written here was made by this program and is on its way to other tools, which read neither zstd nor bundles.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::{ArchiveError, FormatError, sync_folder};
use crate::app::own_file::{self, folder_of};

/// The prefix of the folder that is filled before it gets its name.
const UNFINISHED: &str = ".airgap-bundle-unpack-";

/// Passes the content of the zstd frames that are written to it on to `out`.
pub(crate) fn decompressed<W: Write>(out: W) -> Result<impl Write, ArchiveError> {
    zstd::stream::write::Decoder::new(out).map_err(|error| ArchiveError::Format(FormatError::Zstd(error)))
}

/// A folder that is filled from the tar which is written to it, and then gets its name. It is removed if it does not.
#[derive(Debug)]
pub(crate) struct LayoutFolder {
    aside: TempDir,
    /// Shows other runs that it is in use.
    _lock: File,
    target: PathBuf,
    tar: Option<PipeWriter>,
    /// Nothing takes what is written any more.
    is_broken: bool,
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl LayoutFolder {
    /// An empty folder beside `target`.
    pub(crate) fn begin(target: &Path) -> Result<Self, ArchiveError> {
        let begin = || {
            let parent = folder_of(target);
            remove_left_behind(parent);
            let aside = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent)?;
            let lock = File::open(aside.path())?;
            // Where nothing can be locked, nothing is removed as left behind either.
            let _ = lock.try_lock();
            let (reader, tar) = io::pipe()?;
            let folder = aside.path().to_owned();
            let writing = std::thread::spawn(move || extract(reader, &folder));
            Ok(Self {
                aside,
                _lock: lock,
                target: target.to_owned(),
                tar: Some(tar),
                is_broken: false,
                writing: Some(writing),
            })
        };
        begin().map_err(ArchiveError::io(target))
    }

    /// Whether writing to it failed: the reason is the error of [`Self::written`].
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Waits until everything that was written to it is in the folder.
    pub(crate) fn written(&mut self) -> Result<(), ArchiveError> {
        drop(self.tar.take());
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let written = writing.join().map_err(|_| ArchiveError::Invariant("the writing thread panicked"))?;
        written.map_err(ArchiveError::io(&self.target))
    }

    /// Gives the folder its name, which nothing else may have by now.
    pub(crate) fn finish(self) -> Result<(), ArchiveError> {
        let Self { aside, target, .. } = self;
        let finish = || {
            open_to_all(aside.path())?;
            own_file::rename_to_new(aside.path(), &target)
        };
        finish().map_err(ArchiveError::io(&target))?;
        // Renamed: there is nothing left to remove.
        let _ = aside.keep();
        sync_folder(&target)
    }
}

/// Removes the folders beside a target that killed runs of this user left.
fn remove_left_behind(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED));
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        if own_file::is_left_behind(&folder) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Write for LayoutFolder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.tar {
            Some(tar) => tar.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.is_broken |= written.is_err();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the folder, which was made for this user alone, the mode of any new folder.
fn open_to_all(folder: &Path) -> io::Result<()> {
    let sample = folder.join("sample");
    std::fs::create_dir(&sample)?;
    let permissions = std::fs::metadata(&sample)?.permissions();
    std::fs::remove_dir(&sample)?;
    std::fs::set_permissions(folder, permissions)
}

/// Writes the members of a tar that this program has just made as files below `folder`.
fn extract(tar: impl Read, folder: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(tar);
    let mut folders = BTreeSet::from([folder.to_owned()]);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || !entry.header().entry_type().is_file() {
            return Err(io::Error::other(
                "internal contradiction: the tar has something other than plain files",
            ));
        }
        let place = folder.join(&path);
        std::fs::create_dir_all(folder_of(&place))?;
        folders.extend(path.ancestors().skip(1).map(|inside| folder.join(inside)));
        let mut file = File::create_new(&place)?;
        let copied = io::copy(&mut entry, &mut file)?;
        if copied != entry.header().size()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.sync_all()?;
    }
    // What follows the end belongs to the tar too.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    // The files are on the disk; their names have to be as well before the folder gets its own.
    for folder in folders.iter().rev() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
