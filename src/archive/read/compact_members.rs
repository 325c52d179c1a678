//! The members of a blob in compact form, read from the file as they are needed.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};
use std::sync::Arc;

use super::opened::OpenBundle;
use crate::archive::bases::broken;
use crate::archive::format::compact_body::{Form, Placed};
use crate::archive::format::frame;
use crate::archive::{ArchiveError, FormatError};
use crate::compact::{self, BaseContent, CompactError, Members};

/// Raw blocks read at a time: 1 MiB.
const BLOCKS: u64 = 8;

/// The members of one blob that have not been begun.
#[derive(Debug)]
pub(in crate::archive) struct CompactMembers {
    bundle: Arc<OpenBundle>,
    left: VecDeque<Placed>,
    /// The bases that were read.
    bases: BTreeSet<u32>,
}

impl CompactMembers {
    pub(in crate::archive) fn new(bundle: &Arc<OpenBundle>, members: Vec<Placed>) -> Self {
        Self { bundle: Arc::clone(bundle), left: members.into(), bases: BTreeSet::new() }
    }

    /// Whether the bundle has bases.
    pub(in crate::archive) fn may_need_bases(&self) -> bool {
        !self.bundle.bases.listed.references.is_empty()
    }

    /// Reads the bases that were needed so far to their end. The error names the first one that is damaged.
    pub(in crate::archive) fn check_bases(&self) -> Result<(), ArchiveError> {
        self.bundle.bases.check(self.bases.iter().copied())
    }
}

impl Members for CompactMembers {
    fn next(&mut self) -> Option<Result<Box<dyn Read + Send>, CompactError>> {
        let placed = self.left.pop_front()?;
        Some(Ok(Box::new(StoredData::new(&self.bundle, &placed))))
    }

    fn base(&mut self, number: u32) -> Result<BaseContent, CompactError> {
        self.bases.insert(number);
        self.bundle.bases.open(number)
    }
}

/// The numbers of the bases that blob `index` refers to, in order.
pub(in crate::archive) fn bases_of(bundle: &Arc<OpenBundle>, index: usize) -> Result<Vec<u32>, ArchiveError> {
    let mut numbers = Vec::new();
    if bundle.bases.listed.references.is_empty() {
        return Ok(numbers);
    }
    if let Some((Form::Compact(_), placed)) = bundle.compact(index) {
        for member in placed {
            let of_member = compact::bases_of(StoredData::new(bundle, member));
            let digest = &bundle.manifest.blobs[index].digest;
            numbers.extend(of_member.map_err(|error| broken(digest, error))?);
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// The data of one member. Framing is checked, and the checksum of each frame before its last byte is given.
struct StoredData {
    bundle: Arc<OpenBundle>,
    /// File offset, file length and content length of the frames that are not read yet.
    frames: VecDeque<(u64, u64, u64)>,
    current: Option<Current>,
    ready: Vec<u8>,
    at: usize,
}

/// The frame that is being read.
struct Current {
    at: u64,
    len: u64,
    content: u64,
    taken: u64,
    checksum: frame::Checksum,
}

impl StoredData {
    fn new(bundle: &Arc<OpenBundle>, placed: &Placed) -> Self {
        let frames = placed.frames().collect();
        Self { bundle: Arc::clone(bundle), frames, current: None, ready: Vec::new(), at: 0 }
    }

    /// Reads the next blocks; false at the end.
    fn fill(&mut self) -> Result<bool, ArchiveError> {
        let Some(mut current) = self.current.take().or_else(|| {
            let (at, len, content) = self.frames.pop_front()?;
            Some(Current { at, len, content, taken: 0, checksum: frame::Checksum::new() })
        }) else {
            return Ok(false);
        };
        let input = &*self.bundle.input;
        let place = input.place(&(current.at..current.at + current.len));
        let damaged = |why: String| ArchiveError::Format(FormatError::Damaged(format!("{place}: {why}")));
        let piece = frame::StoredPiece::of(current.taken, current.content, BLOCKS);
        let bytes = input.read_vec(current.at + piece.offset, piece.len)?;
        (self.ready, self.at) = (Vec::with_capacity(bytes.len()), 0);
        for range in piece.check(&bytes, current.content).map_err(damaged)? {
            current.checksum.update(&bytes[range.clone()]);
            self.ready.extend_from_slice(&bytes[range]);
        }
        current.taken += piece.content;
        if current.taken < current.content {
            self.current = Some(current);
        } else {
            let at = current.at + current.len - frame::Checksum::LEN;
            let found = input.read_vec(at, frame::CHECKSUM)?;
            current.checksum.check(&found).map_err(damaged)?;
        }
        Ok(true)
    }
}

impl Read for StoredData {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() {
            if !self.fill().map_err(io::Error::other)? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.ready.len() - self.at);
        buffer[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
