//! Finds out which volumes of a set are intact, and whether parity volumes can replace the others.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::parity::{Recoding, fresh, remove};
use super::parity_size::parity_len;
use super::set::{volume_base, with};
use super::{LIST_SUFFIX, VolumeEntry, VolumeList};
use crate::app::own_file::folder_of;
use crate::app::small_file;
use crate::archive::{ArchiveError, VolumesError};
use crate::image::{Algorithm, Digest, Hasher};

/// Files are read in pieces of this size.
const PIECE: usize = 1 << 20;

/// The state of all volumes of a set, including parity volumes.
#[derive(Debug)]
pub struct Survey {
    base: PathBuf,
    list: VolumeList,
    /// The file with the content of each, if it is in the folder: under its own name or that of another.
    found: Vec<Option<PathBuf>>,
}

impl Survey {
    /// Reads and hashes every volume of the set that `path` names. None if there is no list of volumes.
    pub fn of(path: &Path, cancelled: &AtomicBool) -> Result<Option<Self>, ArchiveError> {
        let base = volume_base(path)?.unwrap_or_else(|| path.to_owned());
        let list = with(&base, LIST_SUFFIX);
        if !list.exists() {
            return Ok(None);
        }
        let list = VolumeList::read(&list)?;
        let read: HashMap<PathBuf, String> = list
            .all()
            .par_bridge()
            .filter_map(|entry| {
                let path = base.with_file_name(&entry.name);
                // A file with another length may still be another volume of this set.
                let meta = std::fs::metadata(&path).ok()?;
                let known = meta.is_file() && list.all().any(|entry| entry.size == meta.len());
                let digest = known.then(|| digest_of(&path, cancelled))??;
                Some((path, digest.hex()))
            })
            .collect();
        let by_content: HashMap<&str, &PathBuf> =
            read.iter().map(|(path, digest)| (digest.as_str(), path)).collect();
        let find = |entry: &VolumeEntry| {
            let own = base.with_file_name(&entry.name);
            let is_right = read.get(&own) == Some(&entry.sha256);
            if is_right { Some(own) } else { by_content.get(entry.sha256.as_str()).copied().cloned() }
        };
        let found = list.all().map(find).collect();
        Ok(Some(Self { base, list, found }))
    }

    pub fn list(&self) -> &VolumeList {
        &self.list
    }

    /// Number of normal volumes whose content was not found.
    pub fn lost(&self) -> usize {
        self.found[..self.list.volumes.len()].iter().filter(|path| path.is_none()).count()
    }

    /// Number of intact parity volumes.
    pub fn parity(&self) -> usize {
        self.found[self.list.volumes.len()..].iter().flatten().count()
    }

    pub fn can_rebuild(&self) -> bool {
        self.lost() <= self.parity()
    }

    /// Volumes whose content under their own name is not what the list says.
    pub fn wrong(&self) -> Vec<PathBuf> {
        let places = self.list.all().map(|entry| self.base.with_file_name(&entry.name));
        let is_wrong =
            |(place, found): (PathBuf, &Option<PathBuf>)| (found.as_ref() != Some(&place)).then_some(place);
        places.zip(&self.found).filter_map(is_wrong).collect()
    }

    /// Writes the wrong volumes again, into `folder` or beside the others. They get their names only when all are
    /// correct. `moved` is called with the bytes read. None when cancelled.
    pub fn rebuild(
        &self,
        folder: Option<&Path>,
        moved: &(dyn Fn(u64) + Sync),
        cancelled: &AtomicBool,
    ) -> Result<Option<Vec<PathBuf>>, ArchiveError> {
        let folder = folder.unwrap_or_else(|| folder_of(&self.base));
        let wrong = self.wrong();
        let place = |entry: &VolumeEntry| folder.join(&entry.name);
        let entries: Vec<(usize, &VolumeEntry)> = self
            .list
            .all()
            .enumerate()
            .filter(|(_, entry)| wrong.contains(&self.base.with_file_name(&entry.name)))
            .collect();
        for (_, entry) in &entries {
            self.check_name(entry)?;
        }
        let names: Vec<PathBuf> = entries.iter().map(|(_, entry)| place(entry)).collect();
        let fresh: Vec<PathBuf> = names.iter().map(|path| fresh(path)).collect();
        let wanted =
            entries.iter().zip(&fresh).map(|((index, entry), path)| (*index, path.clone(), entry.size));
        let recoding = Recoding {
            volumes: self.list.volumes.len(),
            parity: self.list.parity.len(),
            len: parity_len(self.list.volume_size, self.list.size),
            sources: self.found.clone(),
            wanted: wanted.collect(),
            moved,
            cancelled,
        };
        let recoded = recoding.run().and_then(|recoded| {
            let made = recoded.iter().flat_map(|recoded| entries.iter().zip(&recoded.written));
            let is_wrong = |((_, entry), own): &(&(usize, &VolumeEntry), &Digest)| entry.sha256 != own.hex();
            match made.into_iter().find(is_wrong) {
                Some(((_, entry), _)) => Err(ArchiveError::Volumes(VolumesError::incomplete(format!(
                    "what was rebuilt of {} is not what the list says: the list, or a volume, was changed meanwhile",
                    entry.name
                )))),
                None => Ok(recoded.is_some()),
            }
        });
        if !matches!(recoded, Ok(true)) {
            remove(&fresh);
            return recoded.map(|_| None);
        }
        for (from, to) in fresh.iter().zip(&names) {
            std::fs::rename(from, to).map_err(ArchiveError::io(to))?;
        }
        Ok(Some(names))
    }

    /// A list may come from anywhere and names the files to write, so only names of this set are accepted.
    fn check_name(&self, entry: &VolumeEntry) -> Result<(), ArchiveError> {
        let base = self.base.file_name().unwrap_or_default().to_string_lossy();
        let number = entry.name.strip_prefix(&*base).and_then(|rest| rest.strip_prefix('.'));
        let number = number.map(|rest| rest.strip_prefix('p').unwrap_or(rest));
        match number {
            Some(number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
            _ => Err(ArchiveError::Volumes(VolumesError::incomplete(format!(
                "{:.100?} is not the name of a volume of {base}",
                entry.name
            )))),
        }
    }
}

/// None if the file cannot be read to its end.
fn digest_of(path: &Path, cancelled: &AtomicBool) -> Option<Digest> {
    let mut file = small_file::regular(path).ok()?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; PIECE];
    while !cancelled.load(Ordering::Relaxed) {
        match file.read(&mut buffer) {
            Ok(0) => return Some(hasher.finish()),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    None
}
