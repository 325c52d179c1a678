//! The front of a partial file: the offset before which every byte is final. Also decides when a barrier is due.
//!
//! Blobs complete out of order. A reader that needs the file in order, such as the hasher of the sidecar file, waits
//! here for the front.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use crate::archive::{BlobRow, Cut, FRAME_CONTENT, Layout, PartialFile, stored_len};
use crate::export::write::checksum::{Checksum, read_range};
use crate::export::write::error::TransferError;
use crate::image::Digest;

/// A barrier is due at the latest after so many bytes, or so much time.
const BARRIER_BYTES: u64 = 256 << 20;
const BARRIER_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Watermark {
    state: Mutex<State>,
    moved: Condvar,
    barrier: Notify,
}

#[derive(Debug)]
struct State {
    /// Index of the first stored blob.
    first: usize,
    head_len: u64,
    blobs: Vec<Place>,
    /// The first stored blob that is not complete, counted from `first`.
    next: usize,
    /// End of the finished part after the stored blobs.
    end: u64,
    unsynced: u64,
    /// Bytes before the front have been written anew.
    rewritten: bool,
    /// Nothing more will come: the file is complete or was given up.
    closed: Option<bool>,
}

/// The region of a stored blob in the file, and how much of it is written.
#[derive(Debug)]
struct Place {
    start: u64,
    end: u64,
    at: u64,
    done: bool,
}

impl Watermark {
    pub(crate) fn new(layout: &Layout, blobs: &[BlobRow]) -> Self {
        let stored = layout.stored();
        let first = stored.start;
        let blobs = stored
            .map(|index| {
                let start = layout.data_offset(index);
                Place { start, end: start + stored_len(blobs[index].size), at: start, done: false }
            })
            .collect();
        let (head_len, end) = (layout.head_len(), layout.stored_end());
        let state =
            State { first, head_len, blobs, next: 0, end, unsynced: 0, rewritten: false, closed: None };
        Self { state: Mutex::new(state), moved: Condvar::new(), barrier: Notify::new() }
    }

    /// This many frames of stored blob `index` are written.
    pub(crate) fn advanced(&self, index: usize, frames: u64) {
        let mut state = self.lock();
        let at = index - state.first;
        let place = &mut state.blobs[at];
        place.at = (place.start + stored_len(frames * FRAME_CONTENT)).min(place.end);
        if at == state.next {
            self.moved.notify_all();
        }
    }

    /// Stored blob `index` is complete and its digest is correct.
    pub(crate) fn finished(&self, index: usize) {
        let mut state = self.lock();
        let at = index - state.first;
        state.blobs[at].done = true;
        while state.blobs.get(state.next).is_some_and(|place| place.done) {
            state.next += 1;
        }
        self.moved.notify_all();
    }

    /// A blob is fetched anew: what was recorded about its bytes no longer holds.
    pub(crate) fn rewrites(&self) {
        self.lock().rewritten = true;
    }

    /// Everything after the stored blobs is complete up to `end`.
    pub(crate) fn extended(&self, end: u64) {
        self.lock().end = end;
        self.moved.notify_all();
    }

    /// The file is complete (`true`), or was given up.
    pub(crate) fn close(&self, complete: bool) {
        self.lock().closed.get_or_insert(complete);
        self.moved.notify_all();
        self.barrier.notify_one();
    }

    /// Counts written bytes for the next barrier.
    pub(crate) fn wrote(&self, bytes: u64) {
        let mut state = self.lock();
        state.unsynced += bytes;
        if state.unsynced >= BARRIER_BYTES {
            state.unsynced = 0;
            self.barrier.notify_one();
        }
    }

    /// Waits until more than `beyond` bytes are final. None if the file is completed or given up before that.
    fn wait(&self, beyond: u64) -> Option<u64> {
        let mut state = self.lock();
        loop {
            let front = state.position();
            if front > beyond {
                return Some(front);
            }
            if state.closed.is_some() {
                return None;
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn position(&self) -> u64 {
        match self.blobs.get(self.next) {
            // A blob's member header is written with its first piece: until then, the front is before that header.
            Some(place) if place.at > place.start => place.at,
            Some(_) => self.next.checked_sub(1).map_or(self.head_len, |before| self.blobs[before].end),
            None => self.end,
        }
    }
}

/// Hashes the file up to the front from the page cache while downloads run. None if the file was given up.
pub(crate) fn follow(
    front: &Watermark,
    file: &PartialFile,
    cut: Option<Cut>,
) -> Result<Option<Vec<Digest>>, TransferError> {
    let mut checksum = Checksum::new(cut);
    let mut at = 0;
    while let Some(end) = front.wait(at) {
        read_range(file, at..end, &mut |bytes| checksum.update(bytes))?;
        at = end;
    }
    let (complete, rewritten) = {
        let state = front.lock();
        (state.closed == Some(true), state.rewritten)
    };
    if complete && rewritten {
        checksum = Checksum::new(cut);
        read_range(file, 0..at, &mut |bytes| checksum.update(bytes))?;
    }
    Ok(complete.then(|| checksum.finish()))
}

/// Sets barriers while `front` is open. A failed sync ends the run, since nothing after the last barrier can be
/// trusted.
pub(crate) async fn keep_barriers(
    front: Arc<Watermark>,
    file: Arc<PartialFile>,
    journal: Arc<Journal>,
    cancel: CancellationToken,
) -> Result<(), TransferError> {
    loop {
        tokio::select! {
            () = front.barrier.notified() => {}
            () = tokio::time::sleep(BARRIER_EVERY) => {}
        }
        if front.lock().closed.is_some() {
            return Ok(());
        }
        let (file, journal) = (file.clone(), journal.clone());
        let synced = tokio::task::spawn_blocking(move || journal.barrier(&file)).await;
        let synced = synced.unwrap_or(Err(TransferError::Invariant("the barrier panicked")));
        if let Err(error) = synced {
            cancel.cancel();
            return Err(error);
        }
    }
}
