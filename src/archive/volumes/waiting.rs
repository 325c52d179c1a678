//! Volumes that arrive one after another: discs that are changed, copies that are still running.
//!
//! They are read in order, as from a pipe, and each is compared with its checksum at its end.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::list::{LIST_SUFFIX, VolumeEntry, VolumeList};
use super::set::volume_base;
use crate::app::small_file;
use crate::archive::{ArchiveError, VolumesError};
use crate::image::{Algorithm, Digest, Hasher};

/// Called for a volume that is not there yet: blocks for a moment, and returns whether to check again.
pub type Wait = Box<dyn FnMut(&Path, &VolumeEntry) -> bool + Send>;

/// The bytes of all volumes in order.
pub struct WaitingVolumes {
    list: VolumeList,
    base: PathBuf,
    /// The current volume, counted from 0.
    index: usize,
    open: Option<(File, Hasher)>,
    wait: Wait,
}

impl WaitingVolumes {
    /// The volumes of the list that `path` names: the list itself, a volume beside it, or its folder.
    pub fn open(path: &Path, wait: Wait) -> Result<Self, ArchiveError> {
        let base = volume_base(path)?.unwrap_or_else(|| path.to_owned());
        let mut list = base.clone().into_os_string();
        list.push(LIST_SUFFIX);
        let list = PathBuf::from(list);
        if !list.exists() {
            let why = format!("cannot wait for volumes: the list {} does not exist", list.display());
            return Err(ArchiveError::Volumes(VolumesError::incomplete(why)));
        }
        Ok(Self { list: VolumeList::read(&list)?, base, index: 0, open: None, wait })
    }

    /// The current volume, as soon as it is complete.
    fn ready(&mut self) -> io::Result<File> {
        let entry = &self.list.volumes[self.index];
        let path = self.base.with_file_name(&entry.name);
        loop {
            let size =
                std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len());
            if size == Some(entry.size)
                && let Ok(file) = small_file::regular(&path)
            {
                return Ok(file);
            }
            if !(self.wait)(&path, entry) {
                let why = format!("{} (volume {}) did not arrive", path.display(), entry.number);
                return Err(io::Error::other(WrongVolume(why)));
            }
        }
    }

    /// Compares the volume that has been read with the list.
    fn close(&mut self, found: &Digest) -> io::Result<()> {
        let entry = &self.list.volumes[self.index];
        if found.hex() == entry.sha256 {
            self.index += 1;
            return Ok(());
        }
        let is = match self.list.find(found) {
            Some(other) => format!("holds volume {}", self.list.volumes[other].number),
            None => "is damaged, or of another set".to_owned(),
        };
        let path = self.base.with_file_name(&entry.name);
        let why = format!("{} (volume {}) {is}", path.display(), entry.number);
        Err(io::Error::other(WrongVolume(why)))
    }
}

/// An error that passes through [`Read`]: a volume that did not arrive, or is another one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongVolume(String);

/// The error for a failed read of a pipe, or of volumes in order.
pub(in crate::archive) fn pipe_error(error: io::Error) -> ArchiveError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<WrongVolume>()) {
        Some(wrong) => ArchiveError::Volumes(VolumesError::incomplete(wrong.to_string())),
        None => ArchiveError::Io { path: "stdin".into(), error },
    }
}

impl Read for WaitingVolumes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.index < self.list.volumes.len() {
            let (mut file, mut hasher) = match self.open.take() {
                Some(open) => open,
                None => (self.ready()?, Hasher::new(Algorithm::Sha256)),
            };
            let read = file.read(buffer)?;
            if read > 0 {
                hasher.update(&buffer[..read]);
                self.open = Some((file, hasher));
                return Ok(read);
            }
            self.close(&hasher.finish())?;
        }
        Ok(0)
    }
}

impl std::fmt::Debug for WaitingVolumes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitingVolumes").field("index", &self.index).finish_non_exhaustive()
    }
}
