//! The files of an unfinished export, and the exclusive right to write them.
//!
//! These are `X.partial`, `X.partial.journal` (locked) and `X.partial.manifests`. While a changed request takes over
//! blobs of an earlier one, there is also `X.partial.old`, the old partial, with its own journal. There is at most one
//! old partial: if that run is interrupted too and the request changes again, the file that holds more is kept. No file
//! has the name `X` before it is complete and verified.

use std::path::{Path, PathBuf};

use super::journal::{Header, Journal, OutputLock, ResumeState, boot_id, read_journal, write_journal};
use super::old_partial::OldPartial;
use crate::app::own_file::{self, beside};
use crate::archive::{Cut, LIST_SUFFIX, PartialFile, sync_folder};
use crate::export::resolve::manifest_cache::ManifestCache;
use crate::export::write::error::TransferError;

#[derive(Debug)]
pub(crate) struct Workspace {
    target: PathBuf,
    lock: OutputLock,
    boot: Option<String>,
}

/// What an interrupted run left in the partial file, whatever its request was.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub header: Header,
    pub past: ResumeState,
}

impl Workspace {
    /// Acquires the right to write `target`; refuses while another run holds it.
    pub(crate) fn open(target: &Path) -> Result<Self, TransferError> {
        let lock = OutputLock::take(&beside(target, ".partial.journal"))?;
        Ok(Self { target: target.to_owned(), lock, boot: boot_id() })
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    fn partial(&self) -> PathBuf {
        beside(&self.target, ".partial")
    }

    /// What an earlier run left, whatever its request was.
    pub(crate) fn unfinished(&self) -> Result<Option<Unfinished>, TransferError> {
        let past = self.lock.past(self.boot.as_deref())?;
        let unfinished = past.map(|(header, past)| Unfinished { header, past });
        if let Some(cut) = unfinished.as_ref().and_then(|unfinished| unfinished.header.cut) {
            self.take_back_names(cut)?;
        }
        Ok(unfinished.filter(|_| !volumes(&self.partial()).is_empty()))
    }

    /// Volumes get their names one after another, and the list is written last: a set without a list was not finished.
    fn take_back_names(&self, cut: Cut) -> Result<(), TransferError> {
        if beside(&self.target, LIST_SUFFIX).exists() {
            return Ok(());
        }
        for index in 0.. {
            let (partial, named) = (cut.name(&self.partial(), index), cut.name(&self.target, index));
            if partial.exists() || !named.exists() {
                break;
            }
            std::fs::rename(&named, &partial).map_err(TransferError::io(&named))?;
        }
        Ok(())
    }

    /// Removes all files that an earlier run left.
    pub(crate) fn discard(&self) -> Result<(), TransferError> {
        remove_all(&self.partial())?;
        remove(&beside(&self.target, ".partial.manifests"))?;
        self.drop_old()
    }

    pub(crate) fn manifest_cache(&self) -> Result<ManifestCache, TransferError> {
        ManifestCache::open(&beside(&self.target, ".partial.manifests"), false)
    }

    /// The partial file as an earlier run left it.
    pub(crate) fn reopen(&self, cut: Option<Cut>) -> Result<PartialFile, TransferError> {
        Ok(PartialFile::open(&self.partial(), cut, false)?)
    }

    /// A new, empty partial file. The journal about the previous one is emptied first.
    pub(crate) fn begin(&self, cut: Option<Cut>) -> Result<PartialFile, TransferError> {
        self.lock.forget()?;
        remove_all(&self.partial())?;
        Ok(PartialFile::open(&self.partial(), cut, true)?)
    }

    /// Sets an earlier partial file aside as the old partial: its blobs may be of use for another request. An existing
    /// old partial that holds more is kept instead.
    pub(crate) fn set_aside(&self, unfinished: Unfinished) -> Result<(), TransferError> {
        let Unfinished { header, past } = unfinished;
        let (old, partial) = (old(&self.target), self.partial());
        if past.done.is_empty() || on_disk(&old) >= on_disk(&partial) {
            return Ok(());
        }
        self.drop_old()?;
        // The journal is written first: without it nothing in the file is trusted.
        self.reopen(header.cut)?.sync()?;
        write_journal(&old_journal(&self.target), &header, &past, self.boot.as_deref())?;
        for path in volumes(&partial) {
            let suffix = path.to_string_lossy()[partial.to_string_lossy().len()..].to_owned();
            let new = beside(&old, &suffix);
            std::fs::rename(&path, &new).map_err(TransferError::io(&new))?;
        }
        Ok(sync_folder(&old)?)
    }

    /// The old partial, if there is one.
    pub(crate) fn old_partial(&self) -> Result<Option<OldPartial>, TransferError> {
        let old = old(&self.target);
        if volumes(&old).is_empty() {
            return Ok(None);
        }
        let Some((header, past)) = read_journal(&old_journal(&self.target), self.boot.as_deref())? else {
            return Ok(None);
        };
        let file = PartialFile::open(&old, header.cut, false)?;
        Ok(Some(OldPartial::new(file, &header, past)))
    }

    /// Starts the journal of this run.
    pub(crate) fn journal(&self, header: &Header, past: &ResumeState) -> Result<Journal, TransferError> {
        Journal::begin(&self.lock, header, past, self.boot.as_deref())
    }

    /// Removes the old partial, so that its space becomes free.
    pub(crate) fn drop_old(&self) -> Result<(), TransferError> {
        remove_all(&old(&self.target))?;
        remove(&old_journal(&self.target))
    }

    /// Removes the files that only an unfinished export needs.
    pub(crate) fn finished(&self) -> Result<(), TransferError> {
        self.discard()?;
        self.lock.remove()
    }
}

/// Bytes that earlier, unfinished files of `target` occupy; a new export reuses this space.
pub(crate) fn occupied(target: &Path) -> u64 {
    on_disk(&beside(target, ".partial")) + on_disk(&old(target))
}

/// Bytes that a file or its volumes occupy on disk, without parts that were never written or were freed again.
fn on_disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = volumes(path).into_iter().filter_map(|path| std::fs::metadata(path).ok());
    files.map(|meta| meta.blocks() * 512).sum()
}

fn old(target: &Path) -> PathBuf {
    beside(target, ".partial.old")
}

fn old_journal(target: &Path) -> PathBuf {
    beside(&old(target), ".journal")
}

impl Drop for Workspace {
    /// A run that stops before it has begun anything does not leave an empty journal behind.
    fn drop(&mut self) {
        let journal = beside(&self.target, ".partial.journal");
        if std::fs::metadata(&journal).is_ok_and(|meta| meta.len() == 0)
            && volumes(&self.partial()).is_empty()
        {
            let _ = std::fs::remove_file(journal);
            let _ = std::fs::remove_file(beside(&self.target, ".partial.manifests"));
        }
    }
}

/// The file with this name, and its volumes.
fn volumes(path: &Path) -> Vec<PathBuf> {
    let is_volume = |name: &std::ffi::OsStr| {
        let suffix = name.to_str().and_then(|name| {
            let own = path.file_name()?.to_str()?;
            name.strip_prefix(own)
        });
        suffix.is_some_and(|suffix| {
            suffix.is_empty()
                || suffix
                    .strip_prefix('.')
                    .is_some_and(|n| n.len() >= 3 && n.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    let entries = std::fs::read_dir(crate::app::own_file::folder_of(path)).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| is_volume(&entry.file_name()))
        .map(|entry| path.with_file_name(entry.file_name()))
        .collect();
    found.sort();
    found
}

fn remove_all(path: &Path) -> Result<(), TransferError> {
    volumes(path).iter().try_for_each(|path| remove(path))
}

fn remove(path: &Path) -> Result<(), TransferError> {
    own_file::remove(path).map_err(TransferError::io(path))
}
