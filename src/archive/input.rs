//! Random access to the bytes of a bundle, in one file, in volumes or over the network.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt as _};
use std::path::{Path, PathBuf};

use super::{ArchiveError, FormatError, VolumeInput};
use crate::app::small_file;
use crate::app::text::typed;

/// Bytes that can be read at any offset by many threads at once.
pub trait Input: Send + Sync + std::fmt::Debug {
    /// In bytes.
    fn len(&self) -> u64;

    /// Fills `buffer` from `offset`; if the input ends inside it, the bundle is damaged.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ArchiveError>;

    /// For messages.
    fn name(&self) -> String;

    /// The position of `range`, for messages: for volumes, which one.
    fn place(&self, range: &Range<u64>) -> String {
        format!("{}, bytes {} to {}", self.name(), range.start, range.end)
    }

    /// The volumes, if the input consists of volumes.
    fn volumes(&self) -> Option<&VolumeInput> {
        None
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` bytes from `offset`.
    fn read_vec(&self, offset: u64, len: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = vec![0; len];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// A bundle in one file.
#[derive(Debug)]
pub struct FileInput {
    path: PathBuf,
    file: File,
    len: u64,
}

impl FileInput {
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = small_file::open(path).map_err(ArchiveError::io(path))?;
        let meta = file.metadata().map_err(ArchiveError::io(path))?;
        if meta.file_type().is_fifo() {
            return Err(ArchiveError::Format(FormatError::NotABundle(format!(
                "{} is a pipe, and a bundle out of one is read from stdin: bundle import - <{}",
                path.display(),
                typed(path)
            ))));
        }
        if !meta.is_file() {
            return Err(ArchiveError::Format(FormatError::NotABundle(format!(
                "{} is not a regular file",
                path.display()
            ))));
        }
        Ok(Self { path: path.to_owned(), file, len: meta.len() })
    }

    /// A reader with its own position.
    pub(crate) fn reader(&self) -> Result<File, ArchiveError> {
        small_file::regular(&self.path).map_err(ArchiveError::io(&self.path))
    }
}

impl Input for FileInput {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => ArchiveError::Format(FormatError::Damaged(format!(
                "{} ends at byte {}, but should continue to byte {}",
                self.path.display(),
                self.len,
                offset + buffer.len() as u64
            ))),
            _ => ArchiveError::Io { path: self.path.clone(), error },
        })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
