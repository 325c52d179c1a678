//! The journal of an unfinished export: records which frames of the partial file can be trusted after a kill or a power
//! cut.
//!
//! It is text with one record per line. Each record has a checksum, so that a torn tail is detected. A record counts if
//! the kernel that took it is still running (same boot id), or if a later *barrier* covers it: the data is synced, then
//! the barrier is appended, then the journal is synced. All other records are ignored.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use crate::app::own_file;
use crate::archive::{Cut, PartialFile};
use crate::export::write::error::TransferError;
use crate::image::Digest;

const VERSION: u32 = 1;
/// Header lines list every blob: cap a line so that a broken file cannot fill memory.
const MAX_LINE: u64 = 1 << 30;

/// The first line: the request, what it resolved to, and the offset of every blob.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub version: u32,
    /// Fingerprint of the request.
    pub request: String,
    /// When tags were resolved, as text for the user.
    pub resolved_at: String,
    /// The resolution of the request, as the planner wrote it.
    pub resolution: serde_json::Value,
    /// Digest of the compressed head in the partial file: a different head would shift every offset.
    pub head: Digest,
    /// Index, digest, size and data offset of every blob outside the head; for compressed blobs the offset is an upper
    /// bound.
    pub blobs: Vec<(u32, Digest, u64, u64)>,
    /// How the partial file is cut into volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

impl Header {
    pub(crate) fn new(
        request: String,
        resolved_at: String,
        resolution: serde_json::Value,
        head: Digest,
    ) -> Self {
        Self { version: VERSION, request, resolved_at, resolution, head, blobs: Vec::new(), cut: None }
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Record {
    #[serde(rename = "h")]
    Header(Box<Header>),
    /// The records from here on were written under this boot id.
    #[serde(rename = "boot")]
    Boot(String),
    /// This many whole frames of a stored blob are in the file.
    #[serde(rename = "p")]
    Progress(u32, u64),
    /// One frame of a compressed blob: blob, file offset, file length.
    #[serde(rename = "c")]
    Compressed(u32, u64, u32),
    /// The blob is complete and its digest was compared.
    #[serde(rename = "d")]
    Done(u32),
    /// The first so many records are on disk, and so is the data that they describe.
    #[serde(rename = "s")]
    Barrier(u64),
}

/// The part of an earlier run that can be trusted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ResumeState {
    /// Whole frames of each stored blob.
    pub progress: BTreeMap<u32, u64>,
    /// File offset and length of each frame of each compressed blob.
    pub compressed: BTreeMap<u32, Vec<(u64, u32)>>,
    /// Blobs that are complete.
    pub done: std::collections::BTreeSet<u32>,
}

impl ResumeState {
    fn apply(&mut self, record: &Record) {
        match record {
            Record::Progress(index, frames) => {
                self.progress.insert(*index, *frames);
                if *frames == 0 {
                    self.compressed.remove(index);
                }
            }
            Record::Compressed(index, at, len) => {
                self.compressed.entry(*index).or_default().push((*at, *len));
            }
            Record::Done(index) => {
                self.done.insert(*index);
            }
            Record::Header(_) | Record::Boot(_) | Record::Barrier(_) => {}
        }
    }

    fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let progress = self.progress.iter().map(|(index, frames)| Record::Progress(*index, *frames));
        let compressed = self.compressed.iter();
        let compressed =
            compressed.flat_map(|(i, f)| f.iter().map(|(at, len)| Record::Compressed(*i, *at, *len)));
        progress.chain(compressed).chain(self.done.iter().map(|index| Record::Done(*index)))
    }
}

/// The exclusive right to write one output. Held until dropped, also across rewrites of the journal.
#[derive(Debug)]
pub(crate) struct OutputLock {
    path: PathBuf,
    /// Every inode that the journal has had: another run that opened an older one must find it locked too.
    held: Mutex<Vec<File>>,
}

impl OutputLock {
    /// Locks the journal at `path`, creating it; refuses when another run holds it.
    pub(crate) fn take(path: &Path) -> Result<Self, TransferError> {
        let file = own_file::open_for_append(path).map_err(TransferError::io(path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), held: Mutex::new(vec![file]) }),
            Err(TryLockError::WouldBlock) => Err(TransferError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(TransferError::io(path)(error)),
        }
    }

    /// Reads the journal of an earlier run, as far as it can be trusted under `boot`.
    pub(crate) fn past(&self, boot: Option<&str>) -> Result<Option<(Header, ResumeState)>, TransferError> {
        read_journal(&self.path, boot)
    }

    /// Empties the journal.
    pub(crate) fn forget(&self) -> Result<(), TransferError> {
        let file = own_file::open_existing(&self.path, true);
        file.and_then(|file| file.set_len(0).and_then(|()| file.sync_all()))
            .map_err(TransferError::io(&self.path))
    }

    /// Removes the journal; the lock stays until it is dropped.
    pub(crate) fn remove(&self) -> Result<(), TransferError> {
        own_file::remove(&self.path).map_err(TransferError::io(&self.path))
    }
}

/// Reads the journal at `path`, as far as it can be trusted under `boot`; none if there is no such file.
pub(crate) fn read_journal(
    path: &Path,
    boot: Option<&str>,
) -> Result<Option<(Header, ResumeState)>, TransferError> {
    match own_file::open_existing(path, false) {
        Ok(file) => Ok(read(BufReader::new(file), boot)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TransferError::io(path)(error)),
    }
}

/// Writes a journal with only what is already trusted. The data that `past` describes must be synced.
pub(crate) fn write_journal(
    path: &Path,
    header: &Header,
    past: &ResumeState,
    boot: Option<&str>,
) -> Result<(), TransferError> {
    let (bytes, _) = beginning(header, past, boot)?;
    let mut file = own_file::open(path, true).map_err(TransferError::io(path))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(TransferError::io(path))
}

/// The first records of a journal, and how many of them a barrier covers.
fn beginning(
    header: &Header,
    past: &ResumeState,
    boot: Option<&str>,
) -> Result<(Vec<u8>, u64), TransferError> {
    let mut bytes = line(&Record::Header(Box::new(header.clone())))?;
    bytes.extend(line(&Record::Boot(boot.unwrap_or_default().to_owned()))?);
    let mut records = 0;
    for record in past.records() {
        bytes.extend(line(&record)?);
        records += 1;
    }
    bytes.extend(line(&Record::Barrier(records))?);
    Ok((bytes, records))
}

/// Reads a journal; none if not even its header is complete.
fn read(mut lines: impl BufRead, boot: Option<&str>) -> Option<(Header, ResumeState)> {
    let Some(Record::Header(header)) = next_record(&mut lines) else {
        return None;
    };
    if header.version != VERSION {
        return None;
    }
    let mut records = Vec::new();
    let mut covered = 0;
    let mut same_boot = false;
    while let Some(record) = next_record(&mut lines) {
        match record {
            Record::Boot(id) => same_boot = boot == Some(id.as_str()),
            Record::Barrier(count) => covered = usize::try_from(count).unwrap_or(0),
            other => records.push(other),
        }
    }
    let trusted = if same_boot { records.len() } else { covered.min(records.len()) };
    let mut past = ResumeState::default();
    records[..trusted].iter().for_each(|record| past.apply(record));
    Some((*header, past))
}

fn next_record(lines: &mut impl BufRead) -> Option<Record> {
    let mut line = Vec::new();
    io::Read::take(&mut *lines, MAX_LINE).read_until(b'\n', &mut line).ok()?;
    let line = line.strip_suffix(b"\n")?;
    let (sum, body) = line.split_at_checked(17)?;
    if sum != format!("{:016x} ", xxh64(body, 0)).as_bytes() {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// The journal of this run, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Progress records appended so far.
    records: u64,
}

impl Journal {
    /// Starts the journal anew with `header` and what is already trusted. The data that `past` describes must be
    /// synced.
    pub(crate) fn begin(
        lock: &OutputLock,
        header: &Header,
        past: &ResumeState,
        boot: Option<&str>,
    ) -> Result<Self, TransferError> {
        let (bytes, records) = beginning(header, past, boot)?;
        let file = (|| {
            let mut fresh = own_file::aside(&lock.path, 0o666)?;
            fresh.as_file_mut().write_all(&bytes)?;
            fresh.as_file().sync_all()?;
            fresh.as_file().try_lock().map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
            fresh.persist(&lock.path).map_err(|error| error.error)
        })()
        .map_err(TransferError::io(&lock.path))?;
        crate::archive::sync_folder(&lock.path)?;
        let kept = file.try_clone().map_err(TransferError::io(&lock.path))?;
        lock.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(kept);
        let state = Mutex::new(State { file, records });
        Ok(Self { path: lock.path.clone(), state })
    }

    /// Records that this many whole frames of stored blob `index` are in the file.
    pub(crate) fn progress(&self, index: usize, frames: u64) -> Result<(), TransferError> {
        self.append(&Record::Progress(as_u32(index)?, frames))
    }

    /// Withdraws all records about blob `index`, because it is written anew.
    pub(crate) fn begun_again(&self, index: usize) -> Result<(), TransferError> {
        self.append(&Record::Progress(as_u32(index)?, 0))
    }

    /// Records that a frame of compressed blob `index` is in the file.
    pub(crate) fn compressed(&self, index: usize, at: u64, len: u32) -> Result<(), TransferError> {
        self.append(&Record::Compressed(as_u32(index)?, at, len))
    }

    /// Records that blob `index` is in the file and its digest is correct.
    pub(crate) fn done(&self, index: usize) -> Result<(), TransferError> {
        self.append(&Record::Done(as_u32(index)?))
    }

    /// Makes everything recorded so far survive a power cut. After a failed sync, nothing since the last barrier is
    /// known to be on disk, and the caller must give up the partial file.
    pub(crate) fn barrier(&self, data: &PartialFile) -> Result<(), TransferError> {
        // Only records made before the sync began are covered: later ones may describe data that the sync missed.
        let (covered, journal) = {
            let state = self.lock();
            (state.records, state.file.try_clone().map_err(TransferError::io(&self.path))?)
        };
        data.sync()?;
        self.append(&Record::Barrier(covered))?;
        journal.sync_data().map_err(TransferError::io(&self.path))
    }

    fn append(&self, record: &Record) -> Result<(), TransferError> {
        let bytes = line(record)?;
        let mut state = self.lock();
        state.file.write_all(&bytes).map_err(TransferError::io(&self.path))?;
        state.records += u64::from(!matches!(record, Record::Barrier(_)));
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn as_u32(index: usize) -> Result<u32, TransferError> {
    u32::try_from(index).map_err(|_| TransferError::Invariant("more than 4 billion blobs"))
}

fn line(record: &Record) -> Result<Vec<u8>, TransferError> {
    let body = serde_json::to_string(record).map_err(|_| TransferError::Invariant("a record is not JSON"))?;
    Ok(format!("{:016x} {body}\n", xxh64(body.as_bytes(), 0)).into_bytes())
}

/// The id of this boot of the machine. It is needed because the page cache survives a kill, but not a power cut. None
/// if the system has no boot id.
pub(crate) fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header::new("r".into(), "now".into(), serde_json::Value::Null, Digest::sha256(b"head"))
    }

    fn start(folder: &Path) -> (OutputLock, Journal, PartialFile) {
        let lock = OutputLock::take(&folder.join("x.partial.journal")).unwrap();
        let journal = Journal::begin(&lock, &header(), &ResumeState::default(), Some("boot-1")).unwrap();
        (lock, journal, PartialFile::open(&folder.join("x.partial"), None, true).unwrap())
    }

    #[test]
    fn records_after_the_barrier_count_only_under_the_same_boot() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, journal, data) = start(folder.path());
        journal.progress(3, 1).unwrap();
        journal.done(2).unwrap();
        journal.barrier(&data).unwrap();
        journal.progress(3, 2).unwrap();
        journal.compressed(7, 100, 10).unwrap();

        let (read, same) = lock.past(Some("boot-1")).unwrap().unwrap();
        assert_eq!(read, header());
        assert_eq!((same.progress[&3], same.done.contains(&2), same.compressed[&7].len()), (2, true, 1));
        let (_, other) = lock.past(Some("boot-2")).unwrap().unwrap();
        assert_eq!((other.progress[&3], other.done.contains(&2), other.compressed.len()), (1, true, 0));
        let (_, unknown) = lock.past(None).unwrap().unwrap();
        assert_eq!(unknown, other);
    }

    #[test]
    fn a_torn_tail_is_forgotten_at_every_length() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, journal, _data) = start(folder.path());
        for frames in 1..5 {
            journal.progress(0, frames).unwrap();
        }
        let path = folder.path().join("x.partial.journal");
        let whole = std::fs::read(&path).unwrap();
        let lines: Vec<usize> =
            whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).collect();
        for len in 0..whole.len() {
            let past = read(&whole[..len], Some("boot-1"));
            let complete = lines.iter().filter(|end| **end < len).count();
            assert_eq!(past.is_some(), complete > 0, "{len}");
            let frames = past.and_then(|(_, past)| past.progress.get(&0).copied()).unwrap_or(0);
            assert_eq!(frames, complete.saturating_sub(3) as u64, "{len}");
        }
        drop(lock);
    }

    #[test]
    fn a_second_run_is_refused_also_after_the_journal_was_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, journal, _data) = start(folder.path());
        let path = folder.path().join("x.partial.journal");
        assert!(matches!(OutputLock::take(&path), Err(TransferError::Locked(_))));
        drop((lock, journal));
        assert!(OutputLock::take(&path).is_ok());
    }

    #[test]
    fn what_was_trusted_survives_a_new_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, journal, _data) = start(folder.path());
        journal.progress(1, 4).unwrap();
        journal.done(0).unwrap();
        let (_, past) = lock.past(Some("boot-1")).unwrap().unwrap();
        let _next = Journal::begin(&lock, &header(), &past, Some("boot-2")).unwrap();
        assert_eq!(lock.past(Some("boot-3")).unwrap().unwrap().1, past);
    }
}
