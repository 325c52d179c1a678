//! Buffers blobs from a pipe until they are needed: small ones in memory, others in a spool folder.
//!
//! The folder gets one file without a name, which disappears when the program ends, also by a kill. The space
//! of blobs that were sent is freed if the file system supports that.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::archive::image_store::ContentPieces;
use crate::archive::{ArchiveError, partial};
use crate::image::Digest;

/// A blob up to this many bytes may be held in memory.
const SMALL: u64 = 4 << 20;
/// All of them together, in bytes.
const MEMORY: u64 = 32 << 20;
const PIECE: usize = 1 << 20;

#[derive(Debug)]
pub struct PipeBuffer {
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, Place>,
    memory: u64,
    file: Option<Arc<File>>,
    end: u64,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Bytes),
    File { at: u64, len: u64 },
}

impl PipeBuffer {
    /// With a spool folder, or without one; a named folder must exist.
    pub fn new(folder: Option<&Path>) -> Result<Self, ArchiveError> {
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(ArchiveError::io(folder)(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self { folder: folder.map(Path::to_owned), state: Mutex::default() })
    }

    /// Stores `size` bytes of `content` as the blob `digest`, without verifying it. Returns `false`, and reads nothing, if
    /// the buffer has too little space.
    pub fn add(&self, digest: Digest, size: u64, mut content: impl Read) -> Result<bool, ArchiveError> {
        let mut state = self.lock();
        if state.blobs.contains_key(&digest) {
            return Ok(true);
        }
        let stdin = |error| ArchiveError::Io { path: "stdin".into(), error };
        if size <= SMALL && state.memory + size <= MEMORY {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(stdin)?;
            state.memory += bytes.len() as u64;
            state.blobs.insert(digest, Place::Memory(bytes.into()));
            return Ok(true);
        }
        drop(state);
        let Some(mut writer) = self.begin(digest)? else {
            return Ok(false);
        };
        let mut buffer = vec![0; PIECE];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => writer.write(&buffer[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(stdin(error)),
            }
        }
        writer.finish();
        Ok(true)
    }

    /// A writer for the blob `digest` in the spool folder, or none without a folder. There is one writer at a time.
    pub fn begin(&self, digest: Digest) -> Result<Option<PipeBufferWriter<'_>>, ArchiveError> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let mut state = self.lock();
        let file = match &state.file {
            Some(file) => file.clone(),
            None => Arc::new(tempfile::tempfile_in(folder).map_err(ArchiveError::io(folder))?),
        };
        state.file = Some(file.clone());
        Ok(Some(PipeBufferWriter { pipe_buffer: self, folder, digest, file, start: state.end, len: 0 }))
    }

    /// The spool folder, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The buffered blobs.
    pub fn digests(&self) -> HashSet<Digest> {
        self.lock().blobs.keys().copied().collect()
    }

    /// The content of `digest` from byte `from` on; none if it is not buffered.
    pub fn open(&self, digest: &Digest, from: u64) -> Option<ContentPieces> {
        let state = self.lock();
        match state.blobs.get(digest)?.clone() {
            Place::Memory(mut bytes) => {
                let skip = usize::try_from(from).map_or(bytes.len(), |from| from.min(bytes.len()));
                Some(Box::new(std::iter::once(Ok(bytes.split_off(skip)))))
            }
            Place::File { at, len } => {
                let path = self.folder.clone().unwrap_or_default();
                let from = from.min(len);
                Some(Box::new(Spooled { file: state.file.clone()?, path, at: at + from, left: len - from }))
            }
        }
    }

    /// The blob as a whole, if it is buffered and not larger than `cap` bytes.
    pub(in crate::archive) fn whole(
        &self,
        digest: &Digest,
        cap: u64,
    ) -> Result<Option<Vec<u8>>, ArchiveError> {
        let mut bytes = Vec::new();
        for piece in self.open(digest, 0).into_iter().flatten() {
            bytes.extend_from_slice(&piece?);
            if bytes.len() as u64 > cap {
                return Ok(None);
            }
        }
        Ok(self.lock().blobs.contains_key(digest).then_some(bytes))
    }

    /// Removes a blob that is no longer needed.
    pub fn forget(&self, digest: &Digest) {
        let mut state = self.lock();
        match state.blobs.remove(digest) {
            Some(Place::Memory(bytes)) => state.memory -= bytes.len() as u64,
            Some(Place::File { at, len }) => {
                if let Some(file) = &state.file {
                    partial::release(file, at..at + len);
                }
            }
            None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A blob that is being written into the spool folder. Unless it is finished, it is dropped.
#[derive(Debug)]
pub struct PipeBufferWriter<'a> {
    pipe_buffer: &'a PipeBuffer,
    folder: &'a Path,
    digest: Digest,
    file: Arc<File>,
    start: u64,
    len: u64,
}

impl PipeBufferWriter<'_> {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.file.write_all_at(bytes, self.start + self.len).map_err(ArchiveError::io(self.folder))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    pub fn finish(self) {
        let mut state = self.pipe_buffer.lock();
        state.end = self.start + self.len;
        state.blobs.insert(self.digest, Place::File { at: self.start, len: self.len });
    }
}

struct Spooled {
    file: Arc<File>,
    path: PathBuf,
    at: u64,
    left: u64,
}

impl Iterator for Spooled {
    type Item = Result<Bytes, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        let take = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        if take == 0 {
            return None;
        }
        let mut piece = vec![0; take];
        if let Err(error) = self.file.read_exact_at(&mut piece, self.at) {
            self.left = 0;
            return Some(Err(ArchiveError::Io { path: self.path.clone(), error }));
        }
        self.at += take as u64;
        self.left -= take as u64;
        Some(Ok(piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pipe_buffer: &PipeBuffer, digest: &Digest, from: u64) -> Option<Vec<u8>> {
        Some(pipe_buffer.open(digest, from)?.flat_map(|piece| piece.unwrap().to_vec()).collect())
    }

    #[test]
    fn small_blobs_stay_in_memory_and_large_ones_need_a_folder() {
        let (small, large) = (vec![1; 1000], vec![2; 5 << 20]);
        let (one, two) = (Digest::sha256(&small), Digest::sha256(&large));
        let pipe_buffer = PipeBuffer::new(None).unwrap();
        assert!(pipe_buffer.add(one, 1000, &small[..]).unwrap());
        assert!(!pipe_buffer.add(two, large.len() as u64, &large[..]).unwrap());
        assert_eq!(read(&pipe_buffer, &one, 990).unwrap(), [1; 10]);
        let folder = tempfile::tempdir().unwrap();
        let pipe_buffer = PipeBuffer::new(Some(folder.path())).unwrap();
        assert!(pipe_buffer.add(two, large.len() as u64, &large[..]).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        assert_eq!(read(&pipe_buffer, &two, 1).unwrap(), large[1..]);
        assert_eq!(read(&pipe_buffer, &two, 9 << 20).unwrap(), b"");
        pipe_buffer.forget(&two);
        assert!(read(&pipe_buffer, &two, 0).is_none() && pipe_buffer.digests().is_empty());
    }
}
