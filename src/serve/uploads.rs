//! Uploads of the directory store: one file each, hashed while it grows.
//!
//! An upload lives as long as the process; what an earlier process left is removed on opening, and nothing else: only
//! files that bear a name as they are given here. The size that counts is the one in memory, moved only after a write
//! succeeded, so a failed write is simply written over.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::FileType;

use super::store::{RepositoryName, StoreError};
use super::tree::Tree;
use crate::image::{Algorithm, Digest, Hasher};

const FOLDER: &str = "uploads";
/// An upload nobody touched for so long is abandoned.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
pub(super) struct Uploads {
    tree: Arc<Tree>,
    open: Mutex<HashMap<String, Arc<Upload>>>,
}

#[derive(Debug)]
struct Upload {
    repository: RepositoryName,
    path: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    size: u64,
    hasher: Hasher,
    touched: Instant,
    /// Set once the upload ended, for those who looked it up just before.
    ended: bool,
}

impl Uploads {
    pub(super) fn open(tree: Arc<Tree>) -> io::Result<Self> {
        tree.make_folder(FOLDER)?;
        let mut left = Vec::new();
        tree.list(FOLDER, |name, kind| {
            if kind == FileType::RegularFile && is_id(name) {
                left.push(path_of(name));
            }
        })?;
        for path in left {
            tree.remove(&path)?;
        }
        Ok(Self { tree, open: Mutex::default() })
    }

    /// A path in the folder of what is not whole yet that nobody else uses.
    pub(super) fn fresh_path() -> String {
        path_of(&fresh_id())
    }

    pub(super) fn start(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<String, StoreError> {
        let id = fresh_id();
        let path = path_of(&id);
        self.tree.create(&path)?;
        let state = State { size: 0, hasher: Hasher::new(algorithm), touched: Instant::now(), ended: false };
        let upload = Upload { repository: repository.clone(), path, state: Mutex::new(state) };
        let mut open = lock(&self.open);
        open.retain(|_, upload| {
            // One that is busy is not abandoned, and waiting for it here could wait for good.
            let keep = upload.state.try_lock().map_or(true, |state| state.touched.elapsed() < ABANDONED);
            if !keep {
                let _ = self.tree.remove(&upload.path);
            }
            keep
        });
        open.insert(id.clone(), Arc::new(upload));
        Ok(id)
    }

    pub(super) fn size(&self, repository: &RepositoryName, id: &str) -> Result<u64, StoreError> {
        let upload = self.find(repository, id)?;
        let state = lock(&upload.state);
        Ok(state.size)
    }

    pub(super) fn append(
        &self,
        repository: &RepositoryName,
        id: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<u64, StoreError> {
        let upload = self.find(repository, id)?;
        let mut state = lock(&upload.state);
        if state.ended {
            return Err(StoreError::UploadUnknown);
        }
        if offset != state.size {
            return Err(StoreError::OutOfOrder { size: state.size });
        }
        // Opened each time: a descriptor per idle upload would let anybody use them all up.
        self.tree.open_to_write(&upload.path)?.write_all_at(bytes, offset)?;
        state.hasher.update(bytes);
        state.size += bytes.len() as u64;
        state.touched = Instant::now();
        Ok(state.size)
    }

    /// Ends the upload and returns the path of its file, checked and synced.
    pub(super) fn finish(
        &self,
        repository: &RepositoryName,
        id: &str,
        digest: &Digest,
    ) -> Result<String, StoreError> {
        let upload = self.find(repository, id)?;
        let mut state = lock(&upload.state);
        if state.ended {
            return Err(StoreError::UploadUnknown);
        }
        let file = self.tree.open_to_write(&upload.path)?;
        // A write that failed halfway may have left bytes beyond those that count.
        file.set_len(state.size)?;
        let mut found = state.hasher.clone().finish();
        if found.algorithm() != digest.algorithm() {
            found = hash(&file, digest.algorithm())?;
        }
        if found == *digest {
            file.sync_all()?;
        }
        state.ended = true;
        lock(&self.open).remove(id);
        if found != *digest {
            let _ = self.tree.remove(&upload.path);
            return Err(StoreError::DigestMismatch { stated: Box::new(*digest), found: Box::new(found) });
        }
        Ok(upload.path.clone())
    }

    pub(super) fn cancel(&self, repository: &RepositoryName, id: &str) -> Result<(), StoreError> {
        let upload = self.find(repository, id)?;
        let mut state = lock(&upload.state);
        if state.ended {
            return Err(StoreError::UploadUnknown);
        }
        state.ended = true;
        lock(&self.open).remove(id);
        Ok(self.tree.remove(&upload.path).map(drop)?)
    }

    fn find(&self, repository: &RepositoryName, id: &str) -> Result<Arc<Upload>, StoreError> {
        let open = lock(&self.open);
        let upload = open.get(id).filter(|upload| upload.repository == *repository);
        upload.cloned().ok_or(StoreError::UploadUnknown)
    }
}

fn hash(mut file: &File, algorithm: Algorithm) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; super::CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn path_of(id: &str) -> String {
    format!("{FOLDER}/{id}")
}

/// Whether `name` is one that [`fresh_id`] gives.
fn is_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn fresh_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// A panic elsewhere leaves these values usable: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
