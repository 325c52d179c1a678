//! A set of volumes, found by its list or by the names of its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cut::{MAX_VOLUMES, number_of, parity_of};
use super::files::{Files, Names};
use super::list::{LIST_SUFFIX, VolumeList};
use crate::app::own_file::folder_of;
use crate::archive::{ArchiveError, VolumesError};

/// A bundle in several files.
#[derive(Debug)]
pub struct VolumeInput {
    pub(super) files: Files,
    pub(super) len: u64,
    list: Option<VolumeList>,
}

impl VolumeInput {
    /// Opens the set that `path` names: its first or another volume, its list, its folder, or the common name of the
    /// volumes. None if it is not a set of volumes. All volumes must exist with the right size; all others are reported
    /// together.
    pub fn open(path: &Path) -> Result<Option<Self>, ArchiveError> {
        match Self::gather(path)? {
            Some((set, wrong)) if !wrong.is_empty() => {
                Err(ArchiveError::Volumes(set.incomplete(wrong.join("\n"))))
            }
            gathered => Ok(gathered.map(|(set, _)| set)),
        }
    }

    /// The set that `path` names, and the problems with its volumes, one per line. Missing parts cannot be read.
    pub fn gather(path: &Path) -> Result<Option<(Self, Vec<String>)>, ArchiveError> {
        let Some(base) = volume_base(path)? else {
            return Ok(None);
        };
        let list_path = with(&base, LIST_SUFFIX);
        if !list_path.exists() {
            return Self::unlisted(&base).map(Some);
        }
        let list = VolumeList::read(&list_path)?;
        let paths: Vec<PathBuf> = list.volumes.iter().map(|entry| base.with_file_name(&entry.name)).collect();
        let mut wrong = Vec::new();
        for (entry, path) in list.volumes.iter().zip(&paths) {
            let shown = format!("{} (volume {})", path.display(), entry.number);
            match std::fs::metadata(path) {
                Err(_) => wrong.push(format!("{shown} is missing")),
                Ok(meta) if !meta.is_file() => wrong.push(format!("{shown} is not a file")),
                Ok(meta) if meta.len() != entry.size => wrong.push(format!(
                    "{shown} has {} bytes, not {}: it is cut short, or of another set",
                    meta.len(),
                    entry.size
                )),
                Ok(_) => {}
            }
        }
        let files = Files::new(Names::Listed(paths, list.volume_size), false);
        Ok(Some((Self { files, len: list.size, list: Some(list) }, wrong)))
    }

    /// The set by its names alone: numbers without a gap, sizes that match.
    fn unlisted(base: &Path) -> Result<(Self, Vec<String>), ArchiveError> {
        let found = numbered(base)?;
        let last = found.keys().max().copied().unwrap_or(0);
        if last > MAX_VOLUMES {
            let why = format!("{} has a volume {last}, but a set has at most 9999", base.display());
            return Err(ArchiveError::Volumes(VolumesError::incomplete(why)));
        }
        let mut wrong: Vec<String> = (1..last)
            .filter(|number| !found.contains_key(number))
            .map(|number| format!("volume {number} of {} is missing", base.display()))
            .collect();
        let size = found.get(&1).map_or(0, |(_, size)| *size);
        for (number, (path, own)) in &found {
            let fits = *own == size || (*number == last && *own < size);
            if size > 0 && !fits {
                wrong.push(format!("{} has {own} bytes, but the first volume has {size}", path.display()));
            }
        }
        if found.is_empty() {
            wrong.push(format!("there is no volume of {}", base.display()));
        }
        let end = found.get(&last).map_or(0, |(_, size)| *size);
        let len = (last.max(1) as u64 - 1).saturating_mul(size).saturating_add(end);
        // The path of a missing volume is a name that does not exist.
        let path = |number| {
            found.get(&number).map_or_else(|| with(base, &format!(".{number:03}")), |(path, _)| path.clone())
        };
        let paths = (1..=last).map(path).collect();
        Ok((Self { files: Files::new(Names::Listed(paths, size.max(1)), false), len, list: None }, wrong))
    }

    /// The error for these problems with volumes of the set, one per line.
    pub(super) fn incomplete(&self, problems: String) -> VolumesError {
        VolumesError::Incomplete { problems, rebuild: self.rebuildable() }
    }

    /// The common name of the volumes, if there are parity volumes from which some can be rebuilt.
    pub fn rebuildable(&self) -> Option<PathBuf> {
        let has_parity = self.list.as_ref().is_some_and(|list| !list.parity.is_empty());
        has_parity.then(|| self.base())
    }

    /// The common name of the volumes.
    pub fn base(&self) -> PathBuf {
        let first = self.path(0);
        number_of(&first).map_or(first, |(base, ..)| base)
    }

    /// The list of the volumes, if there is one.
    pub fn list(&self) -> Option<&VolumeList> {
        self.list.as_ref()
    }

    /// The number of volumes.
    pub fn count(&self) -> usize {
        self.files.existing()
    }

    /// The path of volume `index`, counted from 0.
    pub fn path(&self, index: usize) -> PathBuf {
        self.files.path(index)
    }
}

/// The common name of the volumes that `path` names.
pub fn volume_base(path: &Path) -> Result<Option<PathBuf>, ArchiveError> {
    if path.is_dir() {
        let bases = volumes_of(path)?;
        return match bases.as_slice() {
            [] => Ok(None),
            [base] => Ok(Some(base.clone())),
            _ => Err(ArchiveError::Volumes(VolumesError::SeveralSets { folder: path.to_owned(), bases })),
        };
    }
    if path.is_file() {
        let list = path.to_str().and_then(|text| text.strip_suffix(LIST_SUFFIX)).map(PathBuf::from);
        let numbered = || number_of(path).map(|(base, ..)| base);
        // Without a list, a parity volume does not show which set it belongs to.
        let parity = || parity_of(path).filter(|base| with(base, LIST_SUFFIX).exists());
        return Ok(list.or_else(numbered).or_else(parity));
    }
    let has_volumes = !path.exists() && (with(path, LIST_SUFFIX).exists() || !numbered(path)?.is_empty());
    Ok(has_volumes.then(|| path.to_owned()))
}

/// The sets of volumes in a folder, by the common name of their volumes.
pub fn volumes_of(folder: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let mut bases: Vec<PathBuf> = entries(folder)?
        .into_iter()
        .filter_map(|path| {
            let list = path.to_str().and_then(|text| text.strip_suffix(LIST_SUFFIX)).map(PathBuf::from);
            list.or_else(|| number_of(&path).filter(|(_, number, _)| *number == 1).map(|(base, ..)| base))
        })
        .collect();
    bases.sort();
    bases.dedup();
    Ok(bases)
}

/// The volumes of `base` by number, with their sizes.
fn numbered(base: &Path) -> Result<BTreeMap<usize, (PathBuf, u64)>, ArchiveError> {
    let mut found = BTreeMap::new();
    let folder = folder_of(base);
    if !folder.is_dir() {
        return Ok(found);
    }
    for path in
        entries(folder)?.iter().filter_map(|path| path.file_name()).map(|name| base.with_file_name(name))
    {
        let Some((_, number, _)) = number_of(&path).filter(|(own, ..)| own.file_name() == base.file_name())
        else {
            continue;
        };
        let size = std::fs::metadata(&path).map_err(ArchiveError::io(&path))?.len();
        if let Some((other, _)) = found.insert(number, (path.clone(), size)) {
            let twice = format!("{} and {} have the same number", other.display(), path.display());
            return Err(ArchiveError::Volumes(VolumesError::incomplete(twice)));
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    let read = std::fs::read_dir(folder).map_err(ArchiveError::io(folder))?;
    Ok(read.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

pub(super) fn with(base: &Path, suffix: &str) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
