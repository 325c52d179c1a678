//! The folder of the directory store, reached from its own descriptor and never through a symbolic link.
//!
//! Each component of a path is opened on its own with `O_NOFOLLOW`, so a link that somebody puts anywhere below the
//! folder leads neither reads nor writes nor removals out of it, whenever it is put there. Files are opened only if they are
//! regular: opening a FIFO would block.
//!
//! Paths are relative to the folder, with `/` between components. The store builds them from validated names.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::store::MAX_MANIFEST;

#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// `NONBLOCK` is for what turns out not to be a regular file.
const NO_LINK: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl Tree {
    /// `path` itself may be a link: the user named it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(path, flags, Mode::empty())? })
    }

    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        let mut folder = self.root.try_clone()?;
        for part in parts(path)? {
            folder = enter(&folder, part, path)?;
        }
        Ok(folder)
    }

    /// Makes a folder and those above it, each durably before what goes into it.
    pub(super) fn make_folder(&self, path: &str) -> io::Result<OwnedFd> {
        let mut folder = self.root.try_clone()?;
        for part in parts(path)? {
            folder = match enter(&folder, part, path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o777)) {
                        Ok(()) => rustix::fs::fsync(&folder)?,
                        Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    enter(&folder, part, path)?
                }
                entered => entered?,
            };
        }
        Ok(folder)
    }

    /// What is at `path`; `None` where there is nothing.
    pub(super) fn kind(&self, path: &str) -> io::Result<Option<FileType>> {
        let stat = present(self.stat(path))?;
        Ok(stat.map(|stat| FileType::from_raw_mode(stat.st_mode)))
    }

    pub(super) fn is_file(&self, path: &str) -> io::Result<bool> {
        Ok(self.kind(path)? == Some(FileType::RegularFile))
    }

    pub(super) fn is_folder(&self, path: &str) -> io::Result<bool> {
        Ok(self.kind(path)? == Some(FileType::Directory))
    }

    fn stat(&self, path: &str) -> io::Result<rustix::fs::Stat> {
        let (folder, name) = self.beside(path)?;
        Ok(rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The folder that `path` is in, and its last component.
    fn beside<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        // Checks the name too.
        drop(parts(path)?);
        Ok((self.folder(folder)?, name))
    }

    /// A regular file to read; `None` where there is nothing.
    pub(super) fn open_file(&self, path: &str) -> io::Result<Option<File>> {
        present(self.open_with(path, OFlags::RDONLY))
    }

    /// A regular file to read and to write.
    pub(super) fn open_to_write(&self, path: &str) -> io::Result<File> {
        self.open_with(path, OFlags::RDWR)
    }

    /// The same, made where it is missing.
    pub(super) fn open_or_create(&self, path: &str) -> io::Result<File> {
        self.open_with(path, OFlags::RDWR | OFlags::CREATE)
    }

    /// A new file.
    pub(super) fn create(&self, path: &str) -> io::Result<File> {
        self.open_with(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    fn open_with(&self, path: &str, flags: OFlags) -> io::Result<File> {
        let (folder, name) = self.beside(path)?;
        let opened = rustix::fs::openat(&folder, name, flags | NO_LINK, Mode::from_raw_mode(0o666));
        let file = File::from(opened.map_err(|error| with_path(&folder, name, path, error))?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(invalid(path, "is not a regular file")) }
    }

    /// A file that is small by its nature, whole.
    pub(super) fn read_small(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(invalid(path, "is larger than any file of its kind"));
        }
        Ok(Some(bytes))
    }

    /// Puts `bytes` at `path` in one step, durably, by way of `temporary`.
    pub(super) fn write(&self, temporary: &str, path: &str, bytes: &[u8]) -> io::Result<()> {
        let written = self.create(temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        let done = written.and_then(|()| self.publish(temporary, path));
        if done.is_err() {
            // On a full disk, the unfinished file would block everybody else.
            let _ = self.remove(temporary);
        }
        done
    }

    /// Moves a synced file to where it is visible, and makes the move durable.
    pub(super) fn publish(&self, from: &str, to: &str) -> io::Result<()> {
        let (source, from) = self.beside(from)?;
        let (folder, name) = to.rsplit_once('/').unwrap_or(("", to));
        let folder = self.make_folder(folder)?;
        rustix::fs::renameat(&source, from, &folder, name)?;
        Ok(rustix::fs::fsync(&folder)?)
    }

    /// Whether there was a regular file to remove. Nothing else is removed.
    pub(super) fn remove(&self, path: &str) -> io::Result<bool> {
        if !self.is_file(path)? {
            return Ok(false);
        }
        let (folder, name) = self.beside(path)?;
        Ok(present(rustix::fs::unlinkat(&folder, name, AtFlags::empty()).map_err(Into::into))?.is_some())
    }

    /// Calls `each` with the name and kind of every entry of a folder, in any order; never if there is no folder.
    pub(super) fn list(&self, path: &str, mut each: impl FnMut(&str, FileType)) -> io::Result<()> {
        let Some(folder) = present(self.folder(path))? else {
            return Ok(());
        };
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                // Not every file system stores the type in the directory entry.
                let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
                kind = stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
            }
            each(name, kind);
        }
        Ok(())
    }
}

/// The components of a path. One that would lead elsewhere never gets here, and would be an error.
fn parts(path: &str) -> io::Result<impl Iterator<Item = &str>> {
    let parts = || path.split('/').filter(|part| !part.is_empty());
    if parts().any(|part| part == "." || part == "..") {
        return Err(invalid(path, "is not a path below the folder"));
    }
    Ok(parts())
}

fn enter(folder: &OwnedFd, part: &str, path: &str) -> io::Result<OwnedFd> {
    rustix::fs::openat(folder, part, FOLDER, Mode::empty())
        .map_err(|error| with_path(folder, part, path, error))
}

/// `error`, which says so where it is due to a symbolic link.
fn with_path(folder: impl AsFd, part: &str, path: &str, error: Errno) -> io::Error {
    // Systems differ in the error for a link that may not be followed.
    let stat = rustix::fs::statat(folder, part, AtFlags::SYMLINK_NOFOLLOW);
    if stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink) {
        return invalid(
            path,
            &format!("cannot be used: {part} is a symbolic link, and links are not followed"),
        );
    }
    error.into()
}

fn invalid(path: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{path} {why}"))
}

/// `None` if the path does not exist, also if a file is in the place of a folder.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A tree, a folder beside it, and links of every kind from the one to the other.
    fn linked() -> (tempfile::TempDir, Tree) {
        let both = tempfile::tempdir().unwrap();
        let (inside, outside) = (both.path().join("inside"), both.path().join("outside"));
        std::fs::create_dir_all(inside.join("real")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("letter"), b"mine").unwrap();
        symlink(&outside, inside.join("folder")).unwrap();
        symlink(outside.join("letter"), inside.join("real/file")).unwrap();
        symlink("../outside/none", inside.join("real/nowhere")).unwrap();
        let tree = Tree::open(&inside).unwrap();
        (both, tree)
    }

    #[test]
    fn links_are_followed_by_nothing() {
        let (both, tree) = linked();
        tree.create("real/new").unwrap();
        for path in ["folder/letter", "real/file", "real/nowhere", "folder/none", "folder/deep/er"] {
            for (what, done) in [
                ("read", tree.open_file(path).map(drop)),
                ("read_small", tree.read_small(path).map(drop)),
                ("open_to_write", tree.open_to_write(path).map(drop)),
                ("open_or_create", tree.open_or_create(path).map(drop)),
                ("create", tree.create(path).map(drop)),
                ("make_folder", tree.make_folder(path).map(drop)),
                ("list", tree.list(path, |_, _| {})),
            ] {
                let error = done.expect_err(&format!("{what} {path}")).to_string();
                assert!(error.contains("symbolic link"), "{what} {path}: {error}");
            }
            assert!(!tree.remove(path).unwrap_or(false), "{path}");
        }
        assert!(tree.publish("real/new", "folder/new").is_err());
        assert!(tree.publish("folder/letter", "real/stolen").is_err());
        // A link that is in the way of a file is replaced, not followed.
        tree.write("real/t", "real/file", b"ours").unwrap();
        assert_eq!(std::fs::read(both.path().join("outside/letter")).unwrap(), b"mine");
        assert_eq!(std::fs::read_dir(both.path().join("outside")).unwrap().count(), 1);
        assert_eq!(tree.read_small("real/file").unwrap().unwrap(), b"ours");
    }

    #[test]
    fn what_is_not_there_is_none_and_what_is_not_a_file_is_an_error() {
        let (_both, tree) = linked();
        for path in ["none", "none/none", "real/none"] {
            assert!(tree.open_file(path).unwrap().is_none(), "{path}");
            assert!(!tree.is_file(path).unwrap() && !tree.remove(path).unwrap(), "{path}");
        }
        tree.create("real/f").unwrap();
        assert!(tree.open_file("real/f/below").unwrap().is_none());
        assert!(tree.make_folder("real/f/below").is_err());
        assert!(tree.open_file("real").is_err());
        assert!(!tree.remove("real").unwrap());
        for path in ["..", "real/../..", "./real"] {
            assert!(tree.open_file(path).is_err() && tree.make_folder(path).is_err(), "{path}");
        }
        let pipe = rustix::fs::mknodat(
            tree.folder("real").unwrap(),
            "pipe",
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        );
        pipe.unwrap();
        assert!(tree.open_file("real/pipe").is_err());
        assert!(!tree.remove("real/pipe").unwrap());
    }

    #[test]
    fn folders_are_made_and_listed() {
        let (_both, tree) = linked();
        tree.make_folder("a/b/c").unwrap();
        tree.write("t", "a/b/file", b"x").unwrap();
        let mut names = Vec::new();
        tree.list("a/b", |name, kind| names.push((name.to_owned(), kind))).unwrap();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [("c".to_owned(), FileType::Directory), ("file".to_owned(), FileType::RegularFile)];
        assert_eq!(names, expected);
        assert!(tree.kind("t").unwrap().is_none());
    }
}
