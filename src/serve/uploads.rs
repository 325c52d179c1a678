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

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::fs::FileType;

use super::limits::{Peer, UploadLimits};
use super::store::{RepositoryName, StoreError};
use super::tree::Tree;
use crate::image::{Algorithm, Digest, Hasher};

/// Tells the time; tests have one that they set.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

const FOLDER: &str = "uploads";

pub(super) struct Uploads {
    tree: Arc<Tree>,
    limits: UploadLimits,
    clock: Clock,
    open: Mutex<HashMap<String, Arc<Upload>>>,
}

#[derive(Debug)]
struct Upload {
    repository: RepositoryName,
    client: Option<Peer>,
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

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uploads").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Uploads {
    pub(super) fn open(tree: Arc<Tree>, limits: UploadLimits, clock: Clock) -> io::Result<Self> {
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
        Ok(Self { tree, limits, clock, open: Mutex::default() })
    }

    /// An unused path in the folder of unfinished uploads.
    pub(super) fn fresh_path() -> io::Result<String> {
        Ok(path_of(&fresh_id()?))
    }

    pub(super) fn start(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
        client: Option<Peer>,
    ) -> Result<String, StoreError> {
        let id = fresh_id()?;
        let path = path_of(&id);
        let state = State { size: 0, hasher: Hasher::new(algorithm), touched: (self.clock)(), ended: false };
        let upload = Upload { repository: repository.clone(), client, path, state: Mutex::new(state) };
        let upload = Arc::new(upload);
        let mut open = lock(&self.open);
        if self.is_full(&open, client).is_some() {
            self.drop_untouched(&mut open, self.limits.spare);
            if let Some(full) = self.is_full(&open, client) {
                return Err(full);
            }
        }
        open.insert(id.clone(), Arc::clone(&upload));
        drop(open);
        if let Err(error) = self.tree.create(&upload.path) {
            lock(&self.open).remove(&id);
            return Err(error.into());
        }
        Ok(id)
    }

    /// What keeps `client` from opening another upload. A client that is not known is one of all.
    fn is_full(&self, open: &HashMap<String, Arc<Upload>>, client: Option<Peer>) -> Option<StoreError> {
        let of_client = || open.values().filter(|upload| upload.client == client).count();
        if open.len() >= self.limits.in_all {
            return Some(StoreError::Busy { uploads: open.len() });
        }
        let of_client = client.map(|_| of_client()).filter(|count| *count >= self.limits.per_client)?;
        Some(StoreError::TooManyUploads { uploads: of_client })
    }

    /// Drops what is abandoned, so that neither its bytes nor its place are taken for long.
    pub(super) fn tidy(&self) {
        self.drop_untouched(&mut lock(&self.open), self.limits.abandoned);
    }

    fn drop_untouched(&self, open: &mut HashMap<String, Arc<Upload>>, patience: Duration) {
        let now = (self.clock)();
        open.retain(|_, upload| {
            // One that is busy is not abandoned, and waiting for it here could wait for good.
            let Ok(mut state) = upload.state.try_lock() else {
                return true;
            };
            if now.saturating_duration_since(state.touched) < patience {
                return true;
            }
            state.ended = true;
            let _ = self.tree.remove(&upload.path);
            false
        });
    }

    pub(super) fn size(&self, repository: &RepositoryName, id: &str) -> Result<u64, StoreError> {
        let upload = self.find(repository, id)?;
        let mut state = lock(&upload.state);
        if state.ended {
            return Err(StoreError::UploadUnknown);
        }
        state.touched = (self.clock)();
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
        state.touched = (self.clock)();
        Ok(state.size)
    }

    /// Ends the upload: its file, checked and synced, is handed to `publish`. The upload is known until that is done,
    /// so nobody who asks finds neither an upload nor its blob.
    pub(super) fn finish(
        &self,
        repository: &RepositoryName,
        id: &str,
        digest: &Digest,
        publish: impl FnOnce(&str) -> io::Result<()>,
    ) -> Result<(), StoreError> {
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
        let published = if found == *digest {
            file.sync_all()?;
            publish(&upload.path).map_err(StoreError::from)
        } else {
            Err(StoreError::DigestMismatch { stated: Box::new(*digest), found: Box::new(found) })
        };
        state.ended = true;
        lock(&self.open).remove(id);
        if published.is_err() {
            let _ = self.tree.remove(&upload.path);
        }
        published
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

/// A random id. It must not be guessable, because it allows writing to the upload.
fn fresh_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(base16ct::lower::encode_string(&bytes))
}

/// A panic elsewhere leaves these values usable: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// Uploads in a folder, and the time that they see.
    fn uploads(per_client: usize, in_all: usize) -> (tempfile::TempDir, Uploads, Arc<Mutex<Instant>>) {
        let folder = tempfile::tempdir().unwrap();
        let tree = Arc::new(Tree::open(folder.path()).unwrap());
        let now = Arc::new(Mutex::new(Instant::now()));
        let shown = Arc::clone(&now);
        let limits = UploadLimits { per_client, in_all, abandoned: 60 * MINUTE, spare: 10 * MINUTE };
        let uploads = Uploads::open(tree, limits, Arc::new(move || *lock(&shown))).unwrap();
        (folder, uploads, now)
    }

    fn files(folder: &tempfile::TempDir) -> usize {
        std::fs::read_dir(folder.path().join(FOLDER)).unwrap().count()
    }

    #[test]
    fn each_client_and_all_together_have_so_many_and_no_more() {
        let (folder, uploads, now) = uploads(2, 3);
        let name: RepositoryName = "a".parse().unwrap();
        let peer = |last: u8| Some(Peer::from(std::net::IpAddr::from([10, 0, 0, last])));
        let start = |client| uploads.start(&name, Algorithm::Sha256, client);
        let first = start(peer(1)).unwrap();
        start(peer(1)).unwrap();
        assert!(matches!(start(peer(1)), Err(StoreError::TooManyUploads { uploads: 2 })));
        let third = start(peer(2)).unwrap();
        assert!(matches!(start(peer(3)), Err(StoreError::Busy { uploads: 3 })));
        assert!(matches!(start(None), Err(StoreError::Busy { uploads: 3 })));
        assert_eq!(files(&folder), 3);
        uploads.cancel(&name, &first).unwrap();
        let fourth = start(peer(1)).unwrap();
        // Those that nobody touches make way for others, and those in use do not.
        *lock(&now) += 10 * MINUTE;
        uploads.append(&name, &third, 0, b"x").unwrap();
        uploads.size(&name, &fourth).unwrap();
        start(peer(3)).unwrap();
        assert!(start(peer(3)).is_err());
        assert_eq!((uploads.size(&name, &third).unwrap(), files(&folder)), (1, 3));
    }

    #[test]
    fn what_is_abandoned_goes_with_its_bytes() {
        let (folder, uploads, now) = uploads(2, 3);
        let name: RepositoryName = "a".parse().unwrap();
        let old = uploads.start(&name, Algorithm::Sha256, None).unwrap();
        uploads.append(&name, &old, 0, b"half").unwrap();
        *lock(&now) += 59 * MINUTE;
        let new = uploads.start(&name, Algorithm::Sha256, None).unwrap();
        uploads.tidy();
        assert_eq!(files(&folder), 2);
        *lock(&now) += 59 * MINUTE;
        uploads.tidy();
        assert_eq!(files(&folder), 1);
        assert!(matches!(uploads.append(&name, &old, 4, b"x"), Err(StoreError::UploadUnknown)));
        assert_eq!(uploads.append(&name, &new, 0, b"x").unwrap(), 1);
    }
}
