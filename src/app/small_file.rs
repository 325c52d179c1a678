//! The one way to read small files from elsewhere: the size is bounded, and a signal ends the wait.
//!
//! A file that the user names may be a pipe (`<(helm template …)`); a file that is found beside another must be a
//! regular file. Opening never blocks.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::stop;

/// How long to wait for a pipe before checking again for a request to stop, in nanoseconds.
const LOOK_AGAIN: i64 = 100_000_000;
/// Initial buffer for a file whose length is unknown, in bytes.
const SMALL: u64 = 4096;

/// The content of a file that the user named: a regular file, a pipe or a device, at most `cap` bytes.
pub(crate) fn named(path: &Path, cap: u64) -> io::Result<Vec<u8>> {
    let stream = stream(path)?;
    let meta = stream.0.metadata()?;
    if meta.is_file() { whole(stream.0, meta.len(), cap) } else { all(stream, cap) }
}

/// The content of a file beside another; none if it does not exist. It must be a regular file of at most `cap` bytes.
pub(crate) fn beside(path: &Path, cap: u64) -> io::Result<Option<Vec<u8>>> {
    match regular(path) {
        Ok(file) => {
            let length = file.metadata()?.len();
            whole(file, length, cap).map(Some)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The content of stdin, at most `cap` bytes.
pub(crate) fn stdin(cap: u64) -> io::Result<Vec<u8>> {
    all(stdin_stream(), cap)
}

/// The content of stdin, of any length.
pub(crate) fn stdin_stream() -> Waiting<BorrowedFd<'static>> {
    Waiting(rustix::stdio::stdin())
}

/// The content of a file that the user named, of any length: a regular file, a pipe or a device.
pub(crate) fn stream(path: &Path) -> io::Result<Waiting<File>> {
    let file = open(path)?;
    if file.metadata()?.is_dir() {
        Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"))
    } else {
        Ok(Waiting(file))
    }
}

/// Opens a file of any size for reading, if it is a regular one.
pub(crate) fn regular(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let what = if kind.is_dir() { "it is a folder" } else { "it is not a regular file" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Opens any kind of file for reading without blocking: a pipe opens without a writer, so that its type can be checked.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    // The bits of flags are small and positive on every system.
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn whole(file: File, length: u64, cap: u64) -> io::Result<Vec<u8>> {
    if length > cap {
        return Err(too_large(cap));
    }
    // One buffer that is never reallocated, because it may hold a secret.
    let mut bytes = Vec::with_capacity(usize::try_from(length.max(SMALL).min(cap) + 1).unwrap_or(0));
    // Files below /proc contain more than their stated length.
    file.take(cap.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap { Err(too_large(cap)) } else { Ok(bytes) }
}

/// All of `input`, at most `cap` bytes.
pub(crate) fn all(input: impl Read, cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(cap.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap { Err(too_large(cap)) } else { Ok(bytes) }
}

/// Reads from an input that may never deliver; a request to stop ends the read with an error.
#[derive(Debug)]
pub(crate) struct Waiting<T>(pub T);

impl<T: AsFd> Read for Waiting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
            let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK_AGAIN };
            match poll(&mut polled, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if stop::is_requested() {
                // Not `Interrupted`: readers take that as a reason to try again.
                return Err(io::Error::other("stopped while it was read"));
            }
            if polled[0].revents().is_empty() {
                continue;
            }
            match rustix::io::read(&self.0, &mut *buffer) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                read => return Ok(read?),
            }
        }
    }
}

fn too_large(cap: u64) -> io::Error {
    let cap = match cap {
        cap if cap >= 1 << 20 => format!("{} MiB", cap >> 20),
        cap => format!("{} KiB", cap >> 10),
    };
    io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {cap}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn files_are_read_up_to_their_cap_and_devices_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, vec![7; 4096]).unwrap();
        assert_eq!(named(&path, 4096).unwrap().len(), 4096);
        for error in [named(&path, 4095).unwrap_err(), beside(&path, 1024).unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        assert!(named(&path, 1024).unwrap_err().to_string().contains("larger than 1 KiB"));
        assert!(
            named(Path::new("/dev/zero"), 2 << 20).unwrap_err().to_string().contains("larger than 2 MiB")
        );
        assert_eq!(named(Path::new("/dev/null"), 9).unwrap(), b"");
        assert!(!named(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty());
        assert!(named(Path::new("/proc/self/status"), 10).is_err());
        assert!(named(folder.path(), 9).unwrap_err().to_string().contains("folder"));
        assert_eq!(named(&folder.path().join("none"), 9).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_found_beside_has_to_be_a_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        make_pipe(&pipe);
        assert_eq!(beside(&folder.path().join("none"), 9).unwrap(), None);
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            assert!(beside(path, 9).is_err(), "{}", path.display());
            assert!(regular(path).is_err(), "{}", path.display());
        }
        std::fs::write(folder.path().join("x"), "content").unwrap();
        std::os::unix::fs::symlink(folder.path().join("x"), &link).unwrap();
        assert_eq!(beside(&link, 9).unwrap().unwrap(), b"content");
    }

    #[test]
    fn a_pipe_that_is_named_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        make_pipe(&path);
        let writer = path.clone();
        let writing = std::thread::spawn(move || {
            let mut pipe = OpenOptions::new().write(true).open(writer).unwrap();
            for _ in 0..100 {
                pipe.write_all(&[1; 1000]).unwrap();
            }
        });
        assert_eq!(named(&path, 1 << 20).unwrap().len(), 100_000);
        writing.join().unwrap();
    }

    fn make_pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }
}
