//! Blobs of an export that are buffered on another disk until they can be written: one file each, removed once written.
//!
//! For an output file the spool files have names, so that a killed run loses none of them; their content is hashed
//! before it is trusted. For a pipe they have no names and vanish with the run.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::TransferError;
use crate::app::own_file;
use crate::archive::BlobRow;
use crate::image::{Digest, Hasher};

/// Bytes of the spool's disk that are left free for other programs.
const RESERVE: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct BlobSpool {
    folder: PathBuf,
    /// Whether its files have names.
    kept: bool,
    room: u64,
}

/// A blob whose first bytes are in the spool.
#[derive(Debug)]
pub(crate) struct Waiting {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    len: u64,
}

impl BlobSpool {
    /// Opens the spool in `folder`, which must exist; for the output `target`, or for a pipe.
    pub(crate) fn open(folder: &Path, target: Option<&Path>) -> Result<Self, TransferError> {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotADirectory);
        if !folder.is_dir() {
            return Err(TransferError::io(folder)(missing()));
        }
        let mut own = folder.to_owned();
        if let Some(target) = target {
            let place = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
            let name = Digest::sha256(place.as_os_str().as_encoded_bytes()).hex();
            own.push(format!("bundle-spool-{}", &name[..12]));
        }
        let occupied = if target.is_some() { occupied(&own) } else { 0 };
        let free = crate::app::medium::free_space(&folder.join("x"))
            .map_or(u64::MAX, |free| free.saturating_sub(RESERVE));
        Ok(Self { folder: own, kept: target.is_some(), room: free.saturating_add(occupied) })
    }

    /// Bytes that it can hold.
    pub(crate) fn room(&self) -> u64 {
        self.room
    }

    /// Opens the file for `blob` and hashes what it holds, so that the download resumes from there.
    pub(crate) fn begin(&self, blob: &BlobRow) -> Result<Waiting, TransferError> {
        let path = self.place(&blob.digest);
        let at = TransferError::io(&path);
        let hasher = Hasher::for_digest(&blob.digest);
        if !self.kept {
            let file = tempfile::tempfile_in(&self.folder).map_err(at)?;
            return Ok(Waiting { path, file, hasher, len: 0 });
        }
        // The folder is created only when it is needed.
        std::fs::create_dir_all(&self.folder).map_err(TransferError::io(&self.folder))?;
        let mut waiting =
            Waiting { file: own_file::open(&path, false).map_err(&at)?, hasher, len: 0, path: path.clone() };
        let mut buffer = vec![0; 1 << 20];
        loop {
            match waiting.file.read(&mut buffer).map_err(&at)? {
                0 => return Ok(waiting),
                read if waiting.len + read as u64 > blob.size => {
                    // The file does not belong to this blob.
                    waiting.file.set_len(0).and_then(|()| waiting.file.rewind()).map_err(&at)?;
                    let hasher = Hasher::for_digest(&blob.digest);
                    return Ok(Waiting { hasher, len: 0, ..waiting });
                }
                read => {
                    waiting.hasher.update(&buffer[..read]);
                    waiting.len += read as u64;
                }
            }
        }
    }

    /// Removes the spool file of `digest`.
    pub(crate) fn forget(&self, digest: &Digest) {
        if self.kept {
            let _ = std::fs::remove_file(self.place(digest));
        }
    }

    /// Removes everything.
    pub(crate) fn remove(self) -> Result<(), TransferError> {
        if !self.kept {
            return Ok(());
        }
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(TransferError::io(&self.folder)(error))
            }
            _ => Ok(()),
        }
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }
}

impl Waiting {
    /// In bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.file.write_all(bytes).map_err(TransferError::io(&self.path))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The file, to be read from its start, and the hasher of its content.
    pub(crate) fn complete(mut self) -> Result<(File, Hasher), TransferError> {
        self.file.seek(SeekFrom::Start(0)).map_err(TransferError::io(&self.path))?;
        Ok((self.file, self.hasher))
    }
}

fn occupied(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Role;

    fn row(content: &[u8]) -> BlobRow {
        let digest = Digest::sha256(content);
        BlobRow { digest, media_type: "".into(), role: Role::Layer, size: content.len() as u64 }
    }

    #[test]
    fn what_a_killed_run_left_is_gone_on_with_and_strangers_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let (blob, content) = (row(b"a layer"), b"a layer");
        let spool = BlobSpool::open(folder.path(), Some(&target)).unwrap();
        spool.begin(&blob).unwrap().write(&content[..3]).unwrap();
        let spool = BlobSpool::open(folder.path(), Some(&target)).unwrap();
        let mut waiting = spool.begin(&blob).unwrap();
        assert_eq!(waiting.len(), 3);
        waiting.write(&content[3..]).unwrap();
        let (mut file, hasher) = waiting.complete().unwrap();
        assert_eq!(hasher.finish(), blob.digest);
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(read, content);
        std::fs::write(spool.place(&blob.digest), b"something longer").unwrap();
        assert_eq!(spool.begin(&blob).unwrap().len(), 0);
        spool.remove().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
