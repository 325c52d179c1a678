//! The spool of an export: a file that keeps manifests and configs while the plan is made. Bytes are on disk, digests
//! in memory.
//!
//! Records are `<digest> <length>\n<bytes>`. Content is compared with its digest when it is loaded again, so a torn or
//! altered spool loses entries but never returns wrong content.

use crate::archive::FormatError;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;

use crate::app::own_file;
use crate::archive::{ArchiveError, Manifests};
use crate::export::write::error::TransferError;
use crate::image::Digest;

/// No single manifest or config in the head may be larger.
const MAX_ENTRY: u64 = 256 << 20;

#[derive(Debug)]
pub(crate) struct ManifestCache {
    path: PathBuf,
    file: File,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Digest, (u64, u32)>,
    end: u64,
}

impl ManifestCache {
    /// Opens the spool at `path` and keeps its complete records; `fresh` empties it.
    pub(crate) fn open(path: &Path, fresh: bool) -> Result<Self, TransferError> {
        let file = own_file::open(path, fresh).map_err(TransferError::io(path))?;
        let state = load(&file).unwrap_or_default();
        file.set_len(state.end).map_err(TransferError::io(path))?;
        Ok(Self { path: path.to_owned(), file, state: Mutex::new(state) })
    }

    /// A spool without a file name, for runs that leave no files behind.
    pub(crate) fn anonymous() -> Result<Self, TransferError> {
        let path = std::env::temp_dir();
        let file = tempfile::tempfile().map_err(TransferError::io(&path))?;
        Ok(Self { path, file, state: Mutex::default() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.lock().entries.contains_key(digest)
    }

    /// Keeps `bytes`; the caller has compared their digest.
    pub(crate) fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), TransferError> {
        let mut state = self.lock();
        if state.entries.contains_key(&digest) {
            return Ok(());
        }
        let mut record = format!("{digest} {}\n", bytes.len()).into_bytes();
        let start = state.end + record.len() as u64;
        record.extend_from_slice(bytes);
        self.file.write_all_at(&record, state.end).map_err(TransferError::io(&self.path))?;
        let len =
            u32::try_from(bytes.len()).map_err(|_| TransferError::Invariant("a manifest over 4 GiB"))?;
        state.entries.insert(digest, (start, len));
        state.end += record.len() as u64;
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<(), TransferError> {
        self.file.sync_all().map_err(TransferError::io(&self.path))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Manifests for ManifestCache {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        let found = self.lock().entries.get(digest).copied();
        let (at, len) = found.ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))?;
        let mut bytes = vec![0; len as usize];
        self.file
            .read_exact_at(&mut bytes, at)
            .map_err(|error| ArchiveError::Io { path: self.path.clone(), error })?;
        Ok(bytes.into())
    }
}

/// The complete, correct records at the start of `file`.
fn load(file: &File) -> std::io::Result<State> {
    let mut reader = BufReader::new(file);
    let mut state = State::default();
    loop {
        let mut line = String::new();
        if (&mut reader).take(256).read_line(&mut line).unwrap_or(0) == 0 {
            return Ok(state);
        }
        let entry = line.strip_suffix('\n').and_then(|l| l.split_once(' '));
        let entry =
            entry.and_then(|(digest, len)| Some((digest.parse::<Digest>().ok()?, len.parse::<u32>().ok()?)));
        let Some((digest, len)) = entry.filter(|(_, len)| u64::from(*len) <= MAX_ENTRY) else {
            return Ok(state);
        };
        let mut bytes = Vec::new();
        (&mut reader).take(u64::from(len)).read_to_end(&mut bytes)?;
        if bytes.len() != len as usize || Digest::of(digest.algorithm(), &bytes) != digest {
            return Ok(state);
        }
        let start = state.end + line.len() as u64;
        state.entries.insert(digest, (start, len));
        state.end = start + u64::from(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_records_survive_and_torn_ones_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let (a, b) = (Digest::sha256(b"one"), Digest::sha256(b"two\n"));
        {
            let spool = ManifestCache::open(&path, false).unwrap();
            spool.put(a, b"one").unwrap();
            spool.put(b, b"two\n").unwrap();
            spool.put(a, b"one").unwrap();
        }
        let spool = ManifestCache::open(&path, false).unwrap();
        assert_eq!(&spool.manifest(&b).unwrap()[..], b"two\n");
        let len = std::fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
        let spool = ManifestCache::open(&path, false).unwrap();
        assert!(spool.contains(&a) && !spool.contains(&b));
        spool.put(b, b"two\n").unwrap();
        assert_eq!(&ManifestCache::open(&path, false).unwrap().manifest(&b).unwrap()[..], b"two\n");
    }
}
