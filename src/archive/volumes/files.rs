//! A file, or the volumes of one, as one run of bytes; only a few of many volumes are open at the same time.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use super::Cut;
use crate::app::{own_file, small_file};
use crate::archive::{ArchiveError, FormatError};

/// Number of volumes that are kept open: a process may have some hundred files open in total.
const OPEN: usize = 48;

/// The file in which an operation failed, and the error.
pub(in crate::archive) type Failed = (PathBuf, io::Error);

/// The error for an operation that failed.
pub(in crate::archive) fn failed((path, error): Failed) -> ArchiveError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            ArchiveError::Format(FormatError::Damaged(format!("{} has been cut short", path.display())))
        }
        std::io::ErrorKind::NotFound => {
            ArchiveError::Format(FormatError::Damaged(format!("{} is missing", path.display())))
        }
        _ => ArchiveError::Io { path, error },
    }
}

/// The names of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Names {
    One(PathBuf),
    /// Numbered after this name, as many as needed.
    Numbered(PathBuf, Cut),
    /// Exactly these; each except the last has this many bytes.
    Listed(Vec<PathBuf>, u64),
}

/// The files that together are one run of bytes.
#[derive(Debug)]
pub(in crate::archive) struct Files {
    names: RwLock<Names>,
    writable: bool,
    /// The most recently used last.
    open: Mutex<VecDeque<(usize, Arc<File>)>>,
}

impl Files {
    pub(in crate::archive) fn new(names: Names, writable: bool) -> Self {
        Self { names: RwLock::new(names), writable, open: Mutex::default() }
    }

    fn names(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name without numbers; for a list of names, the first.
    pub(in crate::archive) fn base(&self) -> PathBuf {
        match &*self.names() {
            Names::One(path) | Names::Numbered(path, _) => path.clone(),
            Names::Listed(paths, _) => paths.first().cloned().unwrap_or_default(),
        }
    }

    /// The file of volume `index`; without volumes, the only file.
    pub(in crate::archive) fn path(&self, index: usize) -> PathBuf {
        match &*self.names() {
            Names::One(path) => path.clone(),
            Names::Numbered(base, cut) => cut.name(base, index),
            Names::Listed(paths, _) => {
                paths.get(index).cloned().unwrap_or_else(|| super::cut::beyond(paths, index))
            }
        }
    }

    /// Bytes of every volume except the last; none without volumes.
    fn volume(&self) -> Option<u64> {
        match &*self.names() {
            Names::One(_) => None,
            Names::Numbered(_, cut) => Some(cut.size),
            Names::Listed(_, size) => Some(*size),
        }
    }

    /// The files that hold `len` bytes.
    pub(in crate::archive) fn count(&self, len: u64) -> usize {
        self.volume().map_or(1, |size| super::cut::count(size, len))
    }

    /// The number of existing files, counted from the first.
    pub(in crate::archive) fn existing(&self) -> usize {
        match &*self.names() {
            Names::One(path) => usize::from(path.exists()),
            Names::Numbered(..) => (0..usize::MAX).take_while(|index| self.path(*index).exists()).count(),
            Names::Listed(paths, _) => paths.len(),
        }
    }

    pub(in crate::archive) fn file(&self, index: usize) -> Result<Arc<File>, Failed> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|(known, _)| *known == index) {
            let (_, file) = &open[at];
            return Ok(Arc::clone(file));
        }
        let path = self.path(index);
        let opened = if self.writable { own_file::open(&path, false) } else { small_file::regular(&path) };
        let file = Arc::new(opened.map_err(|error| (path, error))?);
        if open.len() >= OPEN {
            open.pop_front();
        }
        open.push_back((index, Arc::clone(&file)));
        Ok(file)
    }

    /// Bytes of all files together.
    pub(in crate::archive) fn len(&self) -> Result<u64, Failed> {
        let mut len = 0;
        for index in 0..self.existing() {
            let path = self.path(index);
            len += std::fs::metadata(&path).map_err(|error| (path, error))?.len();
        }
        Ok(len)
    }

    /// Sets the length of the files to `len` bytes together, and removes those beyond.
    pub(in crate::archive) fn set_len(&self, len: u64) -> Result<(), Failed> {
        let (count, there) = (self.count(len), self.existing());
        for index in 0..count {
            let own = self.volume().map_or(len, |size| size.min(len - index as u64 * size));
            let file = self.file(index)?;
            file.set_len(own).map_err(|error| (self.path(index), error))?;
        }
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(index, _)| *index < count);
        for index in count..there {
            let path = self.path(index);
            std::fs::remove_file(&path).map_err(|error| (path, error))?;
        }
        Ok(())
    }

    pub(in crate::archive) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Failed> {
        self.each(offset..offset + bytes.len() as u64, |file, at, piece| file.write_all_at(&bytes[piece], at))
    }

    pub(in crate::archive) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        let range = offset..offset + buffer.len() as u64;
        self.each(range, |file, at, piece| file.read_exact_at(&mut buffer[piece], at))
    }

    /// Calls `work` for every part of `range`: the file, the offset in it, the bytes of the range that it covers.
    pub(in crate::archive) fn each(
        &self,
        range: Range<u64>,
        mut work: impl FnMut(&File, u64, Range<usize>) -> io::Result<()>,
    ) -> Result<(), Failed> {
        let (mut left, mut covered) = (range, 0);
        while !left.is_empty() {
            let (index, piece) = self.piece(&left);
            let len = piece.end - piece.start;
            let end = covered + usize::try_from(len).unwrap_or(usize::MAX - covered);
            work(&*self.file(index)?, piece.start, covered..end)
                .map_err(|error| (self.path(index), error))?;
            left.start += len;
            covered = end;
        }
        Ok(())
    }

    /// Renames the first `count` files to the names of `target`, and replaces files that have those names.
    pub(in crate::archive) fn rename(&self, count: usize, target: &Path) -> Result<(), Failed> {
        let renamed = match &*self.names() {
            Names::Numbered(_, cut) => Names::Numbered(target.to_owned(), *cut),
            Names::One(_) | Names::Listed(..) => Names::One(target.to_owned()),
        };
        let new = Self::new(renamed.clone(), false);
        for index in 0..count {
            let path = new.path(index);
            std::fs::rename(self.path(index), &path).map_err(|error| (path, error))?;
        }
        // Files that remain of a longer set.
        if matches!(renamed, Names::Numbered(..)) {
            for path in (count..).map(|index| new.path(index)).take_while(|path| path.exists()) {
                std::fs::remove_file(&path).map_err(|error| (path, error))?;
            }
        }
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = renamed;
        Ok(())
    }

    /// Calls `work` for every existing file.
    pub(in crate::archive) fn for_all(&self, work: &dyn Fn(&File) -> io::Result<()>) -> Result<(), Failed> {
        for index in 0..self.existing() {
            work(&*self.file(index)?).map_err(|error| (self.path(index), error))?;
        }
        Ok(())
    }

    /// The position of `range` as text: the file or volume with the bytes in it, or the volumes that it spans.
    pub(in crate::archive) fn place(&self, range: &Range<u64>) -> String {
        let (first, piece) = self.piece(range);
        let last =
            self.piece(&(range.end.saturating_sub(1).max(range.start)..range.end.max(range.start + 1))).0;
        let name = |index: usize| self.path(index).display().to_string();
        if first == last {
            return format!("{}, bytes {} to {}", name(first), piece.start, piece.end);
        }
        format!("{} from byte {} on, up to {}", name(first), piece.start, name(last))
    }

    fn piece(&self, range: &Range<u64>) -> (usize, Range<u64>) {
        self.volume().map_or_else(|| (0, range.clone()), |size| super::cut::first_piece(size, range))
    }
}
