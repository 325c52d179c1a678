//! The files of an unfinished export, and the right to write them.
//!
//! `X.partial`, `X.partial.journal` (locked), `X.partial.manifests`; `X.partial.old` and its journal while a changed
//! request takes over what an earlier one had. Nothing has the name `X` before it is complete and right.

use std::path::{Path, PathBuf};

use super::journal::{Header, Journal, OutputLock, Past, boot_id};
use super::{Donor, Spool, TransferError};
use crate::archive::{PartialFile, folder_of};

#[derive(Debug)]
pub struct Workspace {
    target: PathBuf,
    lock: OutputLock,
    boot: Option<String>,
}

/// What an interrupted run of the same request left.
#[derive(Debug)]
pub struct Unfinished {
    pub header: Header,
    pub past: Past,
}

impl Workspace {
    /// Takes the right to write `target`; refuses while another run has it.
    pub fn open(target: &Path) -> Result<Self, TransferError> {
        let lock = OutputLock::take(&beside(target, ".partial.journal"))?;
        Ok(Self { target: target.to_owned(), lock, boot: boot_id() })
    }

    pub fn target(&self) -> &Path {
        &self.target
    }

    fn partial(&self) -> PathBuf {
        beside(&self.target, ".partial")
    }

    /// What an earlier run left, whatever its request.
    pub fn unfinished(&self) -> Result<Option<Unfinished>, TransferError> {
        if !self.partial().exists() {
            return Ok(None);
        }
        let past = self.lock.past(self.boot.as_deref())?;
        Ok(past.map(|(header, past)| Unfinished { header, past }))
    }

    /// Removes everything an earlier run left.
    pub fn discard(&self) -> Result<(), TransferError> {
        for suffix in [".partial", ".partial.manifests", ".partial.old"] {
            remove(&beside(&self.target, suffix))?;
        }
        Ok(())
    }

    pub fn spool(&self) -> Result<Spool, TransferError> {
        Spool::open(&beside(&self.target, ".partial.manifests"), false)
    }

    /// The partial as an earlier run left it.
    pub fn reopen(&self) -> Result<PartialFile, TransferError> {
        Ok(PartialFile::open(&self.partial(), false)?)
    }

    /// Sets an earlier partial aside as a donor and begins a new one.
    pub fn replace(
        &self,
        unfinished: Option<Unfinished>,
    ) -> Result<(PartialFile, Option<Donor>), TransferError> {
        let old = beside(&self.target, ".partial.old");
        let donor = match unfinished {
            Some(Unfinished { header, past }) if !past.done.is_empty() => {
                std::fs::rename(self.partial(), &old).map_err(TransferError::io(&old))?;
                Some(Donor::new(PartialFile::open(&old, false)?, &header, past))
            }
            _ => {
                remove(&old)?;
                None
            }
        };
        Ok((PartialFile::open(&self.partial(), true)?, donor))
    }

    /// Begins the journal of this run.
    pub fn journal(&self, header: &Header, past: &Past) -> Result<Journal, TransferError> {
        Journal::begin(&self.lock, header, past, self.boot.as_deref())
    }

    /// Frees what a donor still holds.
    pub fn drop_donor(&self) -> Result<(), TransferError> {
        remove(&beside(&self.target, ".partial.old"))
    }

    /// Removes what only an unfinished export needs.
    pub fn finished(&self) -> Result<(), TransferError> {
        self.discard()?;
        self.lock.remove()
    }

    /// Bytes that earlier files of this workspace occupy, which the new file will reuse.
    pub fn occupied(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let occupied =
            |suffix| std::fs::metadata(beside(&self.target, suffix)).map_or(0, |m| m.blocks() * 512);
        occupied(".partial") + occupied(".partial.old")
    }
}

impl Drop for Workspace {
    /// A run that stops before anything was begun leaves no empty journal behind.
    fn drop(&mut self) {
        let journal = beside(&self.target, ".partial.journal");
        if std::fs::metadata(&journal).is_ok_and(|meta| meta.len() == 0) && !self.partial().exists() {
            let _ = std::fs::remove_file(journal);
            let _ = std::fs::remove_file(beside(&self.target, ".partial.manifests"));
        }
    }
}

/// `target` with `suffix` after its whole name.
pub fn beside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> Result<(), TransferError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TransferError::io(path)(error)),
        _ => Ok(()),
    }
}

/// The largest file that the file system of `target` holds, where it is one with a small limit (FAT: 4 GiB - 1).
pub fn largest_file(target: &Path) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        const MSDOS_SUPER_MAGIC: u64 = 0x4d44;
        let stat = rustix::fs::statfs(folder_of(target)).ok()?;
        (u64::try_from(stat.f_type).ok()? == MSDOS_SUPER_MAGIC).then_some((4 << 30) - 1)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = target;
        None
    }
}

/// Bytes that can still be written in the folder of `target`. None where the system does not say.
pub fn free_space(target: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder_of(target)).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}
