//! Reads back the content of a partial file, as far as the journal and the checksums of its frames confirm it.

use rayon::prelude::*;

use super::journal::ResumeState;
use crate::archive::{self, ArchiveError, BlobRow, FRAME_CONTENT, FormatError, Input, PartialFile};
use crate::export::write::error::TransferError;
use crate::image::Hasher;
use crate::plan::ExportPlan;
use crate::report::Reporter;

/// The position of a blob's frames in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Frames<'a> {
    /// Consecutive frames from byte `data` on: whole frames of up to `content` bytes of content.
    Stored { data: u64, content: u64 },
    /// File offset and length of each.
    Compressed(&'a [(u64, u32)]),
}

/// One intact frame, as it is in a file.
pub(crate) struct ReadFrame<'a> {
    pub(crate) bytes: &'a [u8],
    /// Its content, piece by piece.
    pub(crate) content: Vec<&'a [u8]>,
}

/// Receives the frames of a blob in order.
pub(crate) type EachFrame<'a> = dyn FnMut(&ReadFrame<'_>) -> Result<(), TransferError> + 'a;

/// Passes the frames of a blob of `size` bytes to `each`, up to the first that is not intact. Returns the number of
/// intact content bytes.
pub(crate) fn read_frames(
    file: &PartialFile,
    size: u64,
    frames: Frames<'_>,
    each: &mut EachFrame<'_>,
) -> Result<u64, TransferError> {
    match frames {
        Frames::Stored { data, content } => {
            let mut failed = None;
            let read = archive::read_back(file, data, size, content, &mut |frame| {
                let content = frame.content().collect();
                let frame = ReadFrame { bytes: frame.bytes, content };
                failed = each(&frame).err();
                // The caller's error has another type than the archive's: here it only ends the reading.
                if failed.is_some() { Err(ArchiveError::Invariant("stopped")) } else { Ok(()) }
            });
            failed.map_or_else(|| Ok(read?), Err)
        }
        Frames::Compressed(frames) => {
            let mut intact = 0;
            for &(at, len) in frames {
                let held = FRAME_CONTENT.min(size - intact);
                let bytes = match file.read_vec(at, len as usize) {
                    Err(ArchiveError::Format(FormatError::Damaged(_))) => break,
                    read => read?,
                };
                let content = archive::open_frame(&bytes, usize::try_from(held).unwrap_or(0));
                let Some(content) = content.ok().filter(|_| held > 0) else { break };
                each(&ReadFrame { bytes: &bytes, content: vec![&content] })?;
                intact += held;
            }
            Ok(intact)
        }
    }
}

/// A blob for which an earlier run has written some whole frames.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) hasher: Hasher,
    /// Content bytes, always of whole frames.
    pub(crate) content: u64,
    /// File lengths of its frames, when it is compressed.
    pub(crate) frames: Vec<u32>,
}

impl Begun {
    /// No frames yet.
    pub(crate) fn nothing(blob: &BlobRow) -> Self {
        Self { hasher: Hasher::for_digest(&blob.digest), content: 0, frames: Vec::new() }
    }
}

/// Reads what `past` has of blob `index`, whose content begins at byte `data`. The bytes of each intact frame go to
/// `each`.
pub(crate) fn begun(
    file: &PartialFile,
    plan: &ExportPlan,
    past: &ResumeState,
    index: usize,
    data: u64,
    each: &mut dyn FnMut(&[u8]),
) -> Result<Begun, TransferError> {
    let (blob, key) = (&plan.bundle.blobs[index], u32::try_from(index).unwrap_or(u32::MAX));
    let mut lens = &[][..];
    let frames = if plan.head.layout.stored().contains(&index) {
        let known = past.progress.get(&key).map_or(0, |frames| frames * FRAME_CONTENT);
        let content = if past.done.contains(&key) { blob.size } else { known.min(blob.size) };
        Frames::Stored { data, content }
    } else {
        lens = past.compressed.get(&key).map_or(lens, |frames| following(frames, data));
        Frames::Compressed(lens)
    };
    let mut begun = Begun::nothing(blob);
    let mut lens = lens.iter().map(|(_, len)| *len);
    begun.content = read_frames(file, blob.size, frames, &mut |frame| {
        frame.content.iter().for_each(|piece| begun.hasher.update(piece));
        begun.frames.extend(lens.next());
        each(frame.bytes);
        Ok(())
    })?;
    Ok(begun)
}

/// The part of `frames` that is contiguous from byte `at` on.
fn following(frames: &[(u64, u32)], mut at: u64) -> &[(u64, u32)] {
    let follows = |(from, len): &&(u64, u32)| {
        let follows = *from == at;
        at += u64::from(*len);
        follows
    };
    let count = frames.iter().take_while(follows).count();
    &frames[..count]
}

/// Reads every complete stored blob of `past` back and compares it with its frame checksums. A blob that no longer
/// matches is fetched again from its first damaged frame on.
pub(crate) fn recheck(
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
            let size = plan.bundle.blobs[index as usize].size;
            let frames = Frames::Stored { data: layout.data_offset(index as usize), content: size };
            let intact = read_frames(file, size, frames, &mut |frame| {
                reporter.advance(frame.content.iter().map(|piece| piece.len() as u64).sum());
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
