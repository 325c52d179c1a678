//! Taking over what earlier runs left: reading it back, and moving it from an old partial into a new one.

use std::collections::HashMap;

use rayon::prelude::*;

use super::journal::{Header, Journal, ResumeState};
use crate::archive::{
    self, ArchiveError, BlobRow, FRAME_CONTENT, Input, PartialFile, StoredWriter, stored_len,
};
use crate::export::write::error::TransferError;
use crate::image::Digest;
use crate::plan::ExportPlan;
use crate::report::Reporter;

/// Takes the bytes of a compressed frame, and its content.
pub(crate) type EachFrame<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), TransferError> + 'a;

/// Copied bytes that may occupy both files before the old place is freed.
const RELEASE_EVERY: u64 = 256 << 20;

/// Reads every complete stored blob of `past` back against its frame checksums. What does not match any more is
/// fetched again from its first damaged frame on.
pub fn recheck(
    file: &PartialFile,
    plan: &ExportPlan,
    mut past: ResumeState,
    reporter: &Reporter,
) -> Result<ResumeState, TransferError> {
    let layout = &plan.head.layout;
    let complete: Vec<u32> =
        past.done.iter().copied().filter(|index| layout.stored().contains(&(*index as usize))).collect();
    let total = complete.iter().map(|index| plan.bundle.blobs[*index as usize].size).sum();
    reporter.begin("checking what an earlier run left", total, 0);
    let intact: Result<Vec<(u32, u64)>, TransferError> = complete
        .par_iter()
        .map(|&index| {
            let blob = &plan.bundle.blobs[index as usize];
            let data = layout.data_offset(index as usize);
            let intact = archive::read_back(file, data, blob.size, blob.size, &mut |frame| {
                reporter.advance(frame.content().map(|piece| piece.len() as u64).sum());
                Ok(())
            })?;
            Ok((index, intact))
        })
        .collect();
    reporter.end();
    for (index, intact) in intact? {
        if intact != plan.bundle.blobs[index as usize].size {
            past.done.remove(&index);
            past.progress.insert(index, intact / FRAME_CONTENT);
        }
    }
    Ok(past)
}

/// An unfinished export of another request, whose verified blobs may serve this one.
#[derive(Debug)]
pub struct OldPartial {
    pub file: PartialFile,
    /// Size and data offset of each complete stored blob.
    stored: HashMap<Digest, (u64, u64)>,
    /// File offset and length of each frame of each complete compressed blob.
    compressed: HashMap<Digest, Vec<(u64, u32)>>,
}

impl OldPartial {
    pub fn new(file: PartialFile, header: &Header, mut past: ResumeState) -> Self {
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

    /// Content bytes of the blobs of `plan` that are complete here, and not in `past`.
    pub fn offers(&self, plan: &ExportPlan, past: &ResumeState) -> u64 {
        let missing = plan.bundle.blobs.iter().zip(0..).filter(|(_, key)| !past.done.contains(key));
        missing.filter(|(blob, _)| self.has(&blob.digest)).map(|(blob, _)| blob.size).sum()
    }

    /// Whether the blob `digest` is complete here, as far as the journal says.
    pub fn has(&self, digest: &Digest) -> bool {
        self.stored.contains_key(digest) || self.compressed.contains_key(digest)
    }

    /// Gives the content of `blob` to `each`, as far as it is intact.
    pub fn read(
        &self,
        blob: &BlobRow,
        each: &mut dyn FnMut(&[u8]) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        let mut failed = None;
        if let Some(&(_, data)) = self.stored.get(&blob.digest) {
            archive::read_back(&self.file, data, blob.size, blob.size, &mut |frame| {
                failed = frame.content().try_for_each(&mut *each).err();
                // The archive's own errors are of another kind: this one only ends the reading.
                if failed.is_some() { Err(ArchiveError::Invariant("stopped")) } else { Ok(()) }
            })
            .or_else(|error| if failed.is_some() { Ok(0) } else { Err(error) })?;
            return failed.map_or(Ok(()), Err);
        }
        self.each_frame(blob, &mut |_, content| each(content))
    }

    /// Gives the frames of the compressed blob `blob` and their content to `each`, as far as they are intact.
    pub(crate) fn each_frame(&self, blob: &BlobRow, each: &mut EachFrame<'_>) -> Result<(), TransferError> {
        let mut left = blob.size;
        for &(at, len) in self.frames(&blob.digest).into_iter().flatten() {
            let held = usize::try_from(left.min(FRAME_CONTENT)).unwrap_or(0);
            let bytes = match self.file.read_vec(at, len as usize) {
                Err(ArchiveError::Damaged(_)) => return Ok(()),
                read => read?,
            };
            let Ok(content) = archive::open_frame(&bytes, held) else {
                return Ok(());
            };
            each(&bytes, &content)?;
            left -= held as u64;
        }
        Ok(())
    }

    /// File offset and length of each frame of the compressed blob `digest`, if it is complete here.
    pub fn frames(&self, digest: &Digest) -> Option<&[(u64, u32)]> {
        self.compressed.get(digest).map(Vec::as_slice)
    }

    /// Copies every complete stored blob that `plan` wants and compares its digest on the way. What is safe there is
    /// freed here, so that both files together never need much more than one.
    pub fn give(
        &self,
        plan: &ExportPlan,
        file: &PartialFile,
        journal: &Journal,
        past: &mut ResumeState,
    ) -> Result<u64, TransferError> {
        let (mut given, mut unsafe_yet, mut copied) = (0, 0, Vec::new());
        for index in plan.head.layout.stored() {
            let key = u32::try_from(index).unwrap_or(u32::MAX);
            let blob = &plan.bundle.blobs[index];
            let Some(&(size, data)) = self.stored.get(&blob.digest).filter(|_| !past.done.contains(&key))
            else {
                continue;
            };
            if size != blob.size || !self.copy(plan, file, index, data)? {
                continue;
            }
            journal.done(index)?;
            past.done.insert(key);
            given += size;
            unsafe_yet += size;
            copied.push(data..data + stored_len(size));
            if unsafe_yet >= RELEASE_EVERY {
                unsafe_yet = 0;
                self.release(file, journal, &mut copied)?;
            }
        }
        self.release(file, journal, &mut copied)?;
        Ok(given)
    }

    fn release(
        &self,
        file: &PartialFile,
        journal: &Journal,
        copied: &mut Vec<std::ops::Range<u64>>,
    ) -> Result<(), TransferError> {
        if !copied.is_empty() {
            journal.barrier(file)?;
        }
        for range in copied.drain(..) {
            self.file.release(range);
        }
        Ok(())
    }

    fn copy(
        &self,
        plan: &ExportPlan,
        file: &PartialFile,
        index: usize,
        data: u64,
    ) -> Result<bool, TransferError> {
        let blob = &plan.bundle.blobs[index];
        let mut writer = StoredWriter::new(file, &plan.head.layout, &plan.bundle.blobs, index, None);
        let intact = archive::read_back(&self.file, data, blob.size, blob.size, &mut |frame| {
            frame.content().try_for_each(|piece| writer.push(piece).map(|_| ()))
        })?;
        Ok(intact == blob.size && writer.finish()? == blob.digest)
    }
}
