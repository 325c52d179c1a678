//! The old partial: the unfinished export of another request, from which this one can take over blobs.

use std::collections::HashMap;
use std::ops::Range;

use super::journal::{Header, ResumeState};
use super::readback::{Frames, read_frames};
use crate::archive::{BlobRow, PartialFile, stored_len};
use crate::export::write::blob_error::BlobError;
use crate::export::write::blob_writer::BlobWriter;
use crate::export::write::error::TransferError;
use crate::export::write::file_run::Shared;
use crate::export::write::sink::{AtOffset, Sink as _};
use crate::image::Digest;
use crate::plan::ExportPlan;

/// Copied bytes that may be in both files before the space in the old one is freed.
const RELEASE_EVERY: u64 = 256 << 20;

#[derive(Debug)]
pub(crate) struct OldPartial {
    file: PartialFile,
    /// Size and data offset of each complete stored blob.
    stored: HashMap<Digest, (u64, u64)>,
    /// File offset and length of each frame of each complete compressed blob.
    compressed: HashMap<Digest, Vec<(u64, u32)>>,
}

impl OldPartial {
    pub(crate) fn new(file: PartialFile, header: &Header, mut past: ResumeState) -> Self {
        let (mut stored, mut compressed) = (HashMap::new(), HashMap::new());
        for (index, digest, size, data) in header.blobs.iter().filter(|(index, ..)| past.done.contains(index))
        {
            match past.compressed.remove(index) {
                Some(frames) => drop(compressed.insert(*digest, frames)),
                None => drop(stored.insert(*digest, (*size, *data))),
            }
        }
        Self { file, stored, compressed }
    }

    /// Content bytes of the blobs of `plan` that are complete here but not in `past`.
    pub(crate) fn offers(&self, plan: &ExportPlan, past: &ResumeState) -> u64 {
        let missing = plan.bundle.blobs.iter().zip(0..).filter(|(_, key)| !past.done.contains(key));
        missing.filter(|(blob, _)| self.has(&blob.digest)).map(|(blob, _)| blob.size).sum()
    }

    /// Whether the blob `digest` is complete here, according to the journal.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.stored.contains_key(digest) || self.compressed.contains_key(digest)
    }

    /// Gives the content of `blob` to `each`, as far as it is intact. A compressed blob is compressed again afterwards:
    /// frames of another version of this program may have other bytes.
    pub(crate) fn read(
        &self,
        blob: &BlobRow,
        each: &mut dyn FnMut(&[u8]) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        let stored = self.stored.get(&blob.digest).filter(|(size, _)| *size == blob.size);
        let stored = stored.map(|&(size, data)| Frames::Stored { data, content: size });
        let compressed = || self.compressed.get(&blob.digest).map(|frames| Frames::Compressed(frames));
        if let Some(frames) = stored.or_else(compressed) {
            read_frames(&self.file, blob.size, frames, &mut |frame| {
                frame.content.iter().try_for_each(|piece| each(piece))
            })?;
        }
        Ok(())
    }

    /// Copies every complete stored blob that `plan` needs to its offset, and compares its digest while copying. Space
    /// is freed here once the copy is synced, so that both files together never need much more than one.
    pub(crate) fn give(
        &self,
        plan: &ExportPlan,
        shared: &Shared,
        past: &mut ResumeState,
    ) -> Result<(), TransferError> {
        let (mut unsafe_yet, mut copied) = (0, Vec::new());
        for index in plan.head.layout.stored() {
            let key = u32::try_from(index).unwrap_or(u32::MAX);
            let blob = &plan.bundle.blobs[index];
            let Some(&(size, data)) = self.stored.get(&blob.digest).filter(|_| !past.done.contains(&key))
            else {
                continue;
            };
            if !self.copy(plan, shared, index)? {
                continue;
            }
            past.done.insert(key);
            unsafe_yet += size;
            copied.push(data..data + stored_len(size));
            if unsafe_yet >= RELEASE_EVERY {
                unsafe_yet = 0;
                self.release(shared, &mut copied)?;
            }
        }
        self.release(shared, &mut copied)
    }

    fn release(&self, shared: &Shared, copied: &mut Vec<Range<u64>>) -> Result<(), TransferError> {
        if !copied.is_empty() {
            shared.journal.barrier(&shared.file)?;
        }
        for range in copied.drain(..) {
            self.file.release(range);
        }
        Ok(())
    }

    /// Copies blob `index` to its offset; returns whether its digest was correct.
    fn copy(&self, plan: &ExportPlan, shared: &Shared, index: usize) -> Result<bool, TransferError> {
        let mut sink = AtOffset::stored(shared, plan, index);
        let mut writer = BlobWriter::new(plan, index, None);
        sink.begin(index);
        self.read(&plan.bundle.blobs[index], &mut |piece| writer.push(piece, &mut sink))?;
        match writer.finish(&mut sink) {
            Ok(()) => sink.done(index).map(|()| true),
            Err(BlobError::Transfer(error)) => Err(error),
            Err(_) => sink.take_back(index).map(|_| false),
        }
    }
}
