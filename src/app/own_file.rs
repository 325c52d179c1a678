//! The program's own files: unfinished ones, journals, and small files that get their name when they are complete.
//!
//! Another user who can write into the same folder must not be able to redirect them: a link in their place is refused
//! or replaced, but never followed. Temporary files left by killed runs are removed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::stop;

/// The prefix of the names of temporary files.
const PREFIX: &str = ".airgap-bundle-";
/// Number of names that are tried before giving up on a folder.
const TRIES: usize = 16;
/// A temporary file that nobody has locked and that is older than this was left behind.
const LEFT_BEHIND: Duration = Duration::from_mins(1);
/// How long to wait for another run that changes a file, and how often to check.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Opens one of the program's own files for reading and writing, or creates it; `empty` truncates it.
pub(crate) fn open(path: &Path, empty: bool) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true).write(true).create(true).truncate(empty))
}

/// Like [`open`], for writing at the end only.
pub(crate) fn open_for_append(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true).append(true).create(true))
}

/// Opens an existing file.
pub(crate) fn open_existing(path: &Path, writable: bool) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true).write(writable))
}

fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    // The bits of flags are small and positive on every system.
    let file = options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path);
    let file = file.map_err(|error| {
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        if is_link { refuse("a symbolic link has this name; remove it") } else { error }
    })?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(refuse("something other than a regular file has this name; remove it"))
    }
}

fn refuse(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, why)
}

/// Writes this content to `path`, completely or not at all, with mode 666 as restricted by the user's umask. A link in
/// its place is replaced, not followed.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    exchange(path, content, 0o666, false)
}

/// Like [`replace`], for a secret: only the user can ever read it, and it is synced to disk when this returns.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    exchange(path, content, PRIVATE, true)
}

/// Readable by the user only.
const PRIVATE: u32 = 0o600;

fn exchange(path: &Path, content: &[u8], mode: u32, sync: bool) -> io::Result<()> {
    let by_name = || {
        let mut aside = aside(path, mode)?;
        aside.as_file_mut().write_all(content)?;
        if sync {
            aside.as_file().sync_all()?;
        }
        aside.persist(path).map(|_| ()).map_err(|error| error.error)
    };
    match by_name() {
        Err(error)
            if is_fixed(&error) && std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()) =>
        {
            overwrite(path, content, mode).map_err(|other| if is_no_space(&other) { other } else { error })
        }
        result => result,
    }
}

/// Whether the error means that the file can be written but not replaced: it may be a mount of its own, as in
/// containers that get a configuration file (`EBUSY`), or its folder may not allow new files.
fn is_fixed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::CrossesDevices
    )
}

/// Overwrites the file at `path` in place, and removes permissions that `mode` does not have. If that fails, the old
/// content is restored.
fn overwrite(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = open_existing(path, true)?;
    let old_mode = file.metadata()?.permissions().mode();
    if mode == PRIVATE && old_mode & 0o077 != 0 {
        // A file of another user keeps its mode: that user decides who reads it.
        let _ = file.set_permissions(std::fs::Permissions::from_mode(old_mode & mode));
    }
    let mut old = Zeroizing::new(Vec::new());
    file.read_to_end(&mut old)?;
    reserve(&file, content.len())?;
    // One write that is at least as long as the old content. Whoever reads at the same time or after a kill finds the
    // new text followed by blanks, and no rest of the old text.
    let mut padded = Zeroizing::new(content.to_vec());
    padded.resize(content.len().max(old.len()), b' ');
    let written = file.write_all_at(&padded, 0).and_then(|()| file.set_len(content.len() as u64));
    written.and_then(|()| file.sync_all()).inspect_err(|_| {
        let _ = file.write_all_at(&old, 0).and_then(|()| file.set_len(old.len() as u64));
    })
}

/// Reserves `length` bytes before anything is overwritten. If the file system does not support that, the write will
/// fail instead.
fn reserve(file: &File, length: usize) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, length.max(1) as u64) {
        Err(error) if is_no_space(&error.into()) => Err(error.into()),
        _ => Ok(()),
    }
}

/// A new file in the folder of `path`, with a name of its own and with `mode` as restricted by the user's umask. It
/// stays locked while it is open, so that no other run removes it as left behind.
pub(crate) fn aside(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let folder = folder_of(path);
    remove_left_behind(folder);
    let permissions = std::fs::Permissions::from_mode(mode);
    let mut tries = 0;
    let aside = loop {
        let (name, mut builder) = (temporary_name(fastrand::u64(..)), tempfile::Builder::new());
        let aside = builder.prefix(&name).rand_bytes(0).append(true).permissions(permissions.clone());
        match aside.tempfile_in(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => tries += 1,
            made => break made.map_err(|error| without_path(&error))?,
        }
    };
    // If nothing can be locked here, nothing is removed as left behind either.
    let _ = aside.as_file().try_lock();
    Ok(aside)
}

/// Renames, unless something has the new name.
pub(crate) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            if std::fs::symlink_metadata(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            std::fs::rename(from, to)
        }
        renamed => Ok(renamed?),
    }
}

/// The name for `random`. It ends with a checksum of `random`, so that no file of a user has such a name by chance.
fn temporary_name(random: u64) -> String {
    let random = format!("{random:016x}");
    let sum = Sha256::digest(format!("a temporary file of airgap-bundle: {random}"));
    let sum = sum.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{PREFIX}{random}-{sum:016x}")
}

/// Whether a temporary file of this program has that name.
fn is_temporary_name(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(random, _)| random);
    random
        .and_then(|random| u64::from_str_radix(random, 16).ok())
        .is_some_and(|random| temporary_name(random) == name)
}

/// The system's error alone: tempfile adds the name of the temporary file, which means nothing to the user.
fn without_path(error: &io::Error) -> io::Error {
    let text = error.to_string();
    let own = text.split_once(" at path ").map_or(text.as_str(), |(own, _)| own);
    io::Error::new(error.kind(), own)
}

/// Removes temporary files that killed runs have left in `folder`.
fn remove_left_behind(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_temporary_name)) {
        let path = entry.path();
        let Ok(file) = open_existing(&path, false) else { continue };
        if is_left_behind(&file) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether a temporary file or folder of this user is old enough, and in use by no run. It stays locked while it is open.
pub(crate) fn is_left_behind(file: &File) -> bool {
    let is_old = file.metadata().is_ok_and(|meta| {
        let age = meta.modified().ok().and_then(|then| then.elapsed().ok());
        meta.uid() == rustix::process::geteuid().as_raw() && age.is_some_and(|age| age > LEFT_BEHIND)
    });
    is_old && file.try_lock().is_ok()
}

/// The exclusive right to change the files in a folder that several runs may change. Released on drop.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _held: Option<File>,
}

impl FolderLock {
    /// Waits until no other run changes files in the folder of `path`.
    pub(crate) fn beside(path: &Path) -> io::Result<Self> {
        let folder = File::open(folder_of(path))?;
        let tries = PATIENCE.as_millis() / LOOK_AGAIN.as_millis();
        for _ in 0..tries {
            match folder.try_lock() {
                Ok(()) => return Ok(Self { _held: Some(folder) }),
                Err(TryLockError::WouldBlock) if stop::is_requested() => {
                    return Err(io::Error::other("stopped while another run changes it"));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK_AGAIN),
                // On a file system without locks there is nothing to wait for.
                Err(TryLockError::Error(_)) => return Ok(Self { _held: None }),
            }
        }
        let why = format!("another run has been changing it for {} s", PATIENCE.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    }
}

/// Removes a file; a missing file is not an error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a write failed for lack of space: on the disk, in a quota, or because of the file system's maximum file
/// size.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `path` with `suffix` after its whole name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (own, theirs) = (folder.path().join("own"), folder.path().join("theirs"));
        std::fs::write(&theirs, "precious").unwrap();
        symlink(&theirs, &own).unwrap();
        for error in [
            open(&own, true).unwrap_err(),
            open_for_append(&own).unwrap_err(),
            open_existing(&own, true).unwrap_err(),
        ] {
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
        replace(&own, b"new").unwrap();
        assert_eq!(std::fs::read(&theirs).unwrap(), b"precious");
        assert_eq!(std::fs::read(&own).unwrap(), b"new");
        assert!(!std::fs::symlink_metadata(&own).unwrap().is_symlink());
        // A link to nothing makes nothing elsewhere.
        symlink(folder.path().join("nothing"), folder.path().join("dangling")).unwrap();
        assert!(open(&folder.path().join("dangling"), false).is_err());
        assert!(!folder.path().join("nothing").exists());
        assert!(open(folder.path(), false).is_err());
    }

    #[test]
    fn what_cannot_be_replaced_is_written_into_and_keeps_its_old_content_when_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for (old, new) in [("{}", "{\"auths\":{}}"), ("{\"auths\":{}}", "{}"), ("", "x"), ("x", "")] {
            std::fs::write(&path, old).unwrap();
            let before = path.metadata().unwrap();
            overwrite(&path, new.as_bytes(), 0o600).unwrap();
            assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), new);
            assert_eq!(path.metadata().unwrap().ino(), before.ino());
        }
        // No file is longer than this.
        let limited =
            "ulimit -f 1; trap '' XFSZ; exec \"$0\" --ignored --exact app::own_file::tests::writes_too_much";
        std::fs::write(&path, "precious").unwrap();
        let program = std::env::current_exe().unwrap();
        let mut shell = std::process::Command::new("sh");
        let ran = shell.args(["-c", limited]).arg(program).env("OVERWRITTEN", &path).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    #[ignore = "run by the test above, where files cannot grow"]
    fn writes_too_much() {
        let path = std::env::var_os("OVERWRITTEN").unwrap();
        let error = overwrite(Path::new(&path), &vec![b'x'; 1 << 20], 0o666).unwrap_err();
        assert!(is_no_space(&error), "{error}");
    }

    #[test]
    fn what_was_left_behind_goes_and_what_is_held_or_of_others_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let old = SystemTime::now() - Duration::from_hours(1);
        let make = |name: &str| {
            let file = File::create(path(name)).unwrap();
            file.set_modified(old).unwrap();
            file
        };
        let ours = temporary_name;
        let altered = ours(2).replace('0', "1");
        make(&ours(1));
        for other in [
            &altered,
            ".bundle-config",
            ".bundle-abc123",
            ".airgap-bundle-backup",
            ".airgap-bundle-0123-4567",
            "x",
        ] {
            make(other);
        }
        File::create(path(&ours(3))).unwrap();
        let held = make(&ours(4));
        held.lock().unwrap();
        symlink(path("x"), path(&ours(5))).unwrap();
        drop(aside(&path("out"), 0o666).unwrap());
        let left: BTreeSet<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let stays = [ours(3), ours(4), ours(5), altered].into_iter().chain(
            [".bundle-config", ".bundle-abc123", ".airgap-bundle-backup", ".airgap-bundle-0123-4567", "x"]
                .map(str::to_owned),
        );
        assert_eq!(left, stays.collect());
    }

    #[test]
    fn one_at_a_time_changes_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("count");
        std::fs::write(&path, "0").unwrap();
        let count = || {
            let _alone = FolderLock::beside(&path).unwrap();
            let number: u32 = std::fs::read_to_string(&path).unwrap().parse().unwrap();
            replace(&path, (number + 1).to_string().as_bytes()).unwrap();
        };
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(count);
            }
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "16");
    }
}
