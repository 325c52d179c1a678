//! Exporting into a file that only grows, for media that fill every gap with zeros: FAT, exFAT, some network shares.
//!
//! A write beyond the end of a file costs such a medium all bytes in between, and then once more the bytes
//! themselves. So the partial is written from its start to its end, as a pipe is. The journal says how far it can be
//! trusted after a kill; what stands after that is cut off.

use super::alternate_sources::AlternateSources;
use super::blob_error::{BlobError, LostBlob};
use super::blob_spool::BlobSpool;
use super::checksum::{Checksum, read_range};
use super::download::Downloaded;
use super::error::TransferError;
use super::file_run::{Shared, Sidecar};
use super::in_order::{Begun, Ordered, Position, Sink, WriteFailure};
use super::read_ahead::Source;
use crate::archive::{self, Cut, FRAME_CONTENT, Input, PartialFile, StoredFrame, stored_len};
use crate::export::resume::journal::{Journal, ResumeState};
use crate::export::resume::readback::OldPartial;
use crate::export::resume::watermark::Watermark;
use crate::image::{Digest, Hasher};
use crate::plan::ExportPlan;
use crate::report::Reporter;

/// How far a partial is whole, from its start.
#[derive(Debug)]
pub(crate) struct AppendState {
    pub(crate) position: Position,
    /// In bytes.
    len: u64,
    /// Checksum of the file up to the blob it stands in, and where that begins.
    before: (u64, Checksum),
    /// Checksum of all of it.
    checksum: Checksum,
}

impl AppendState {
    /// A partial with nothing but its head.
    pub(crate) fn head(
        file: &PartialFile,
        plan: &ExportPlan,
        cut: Option<Cut>,
    ) -> Result<Self, TransferError> {
        let len = plan.head.layout.head_len();
        let mut checksum = Checksum::new(cut);
        read_range(file, 0..len, &mut |bytes| checksum.update(bytes))?;
        Ok(Self { position: Position::start(plan), len, before: (len, checksum.clone()), checksum })
    }

    /// Reads back what `past` says is there, in order, as far as frames and digests are right.
    pub(crate) fn checked(
        file: &PartialFile,
        plan: &ExportPlan,
        cut: Option<Cut>,
        past: &ResumeState,
        reporter: &Reporter,
    ) -> Result<Self, TransferError> {
        let mut grown = Self::head(file, plan, cut)?;
        let layout = &plan.head.layout;
        let there = file.len()?;
        reporter.begin("checking what an earlier run left", there, 0);
        for index in layout.stored().start..layout.compressed().end {
            let whole = grown.blob(file, plan, past, index)?;
            reporter.advance(grown.len - grown.before.0);
            if !whole {
                break;
            }
        }
        reporter.end();
        file.set_len(grown.len)?;
        Ok(grown)
    }

    /// Whether blob `index` is all there.
    fn blob(
        &mut self,
        file: &PartialFile,
        plan: &ExportPlan,
        past: &ResumeState,
        index: usize,
    ) -> Result<bool, TransferError> {
        let (layout, blobs) = (&plan.head.layout, &plan.bundle.blobs);
        let (blob, key) = (&blobs[index], u32::try_from(index).unwrap_or(u32::MAX));
        self.before = (self.len, self.checksum.clone());
        let joint = archive::joint(layout, blobs, index);
        let data = self.len + joint.len() as u64;
        if file.len()? < data || file.read_vec(self.len, joint.len())? != joint {
            return Ok(false);
        }
        let mut begun = Begun { hasher: Hasher::for_digest(&blob.digest), content: 0, frames: Vec::new() };
        let (mut at, mut checksum) = (data, self.checksum.clone());
        checksum.update(&joint);
        let is_stored = layout.stored().contains(&index);
        if is_stored {
            let known = past.progress.get(&key).map_or(0, |frames| frames * FRAME_CONTENT);
            let known = if past.done.contains(&key) { blob.size } else { known.min(blob.size) };
            // A file that was cut short holds no more than this.
            let known = if file.len()? < data + stored_len(known) { 0 } else { known };
            let mut each = |frame: &StoredFrame<'_>| {
                checksum.update(frame.bytes);
                frame.content().for_each(|piece| begun.hasher.update(piece));
                Ok(())
            };
            begun.content = archive::read_back(file, data, blob.size, known, &mut each)?;
            at += stored_len(begun.content);
        } else {
            for &(from, len) in past.compressed.get(&key).into_iter().flatten() {
                let held = FRAME_CONTENT.min(blob.size - begun.content);
                if from != at || held == 0 || file.len()? < at + u64::from(len) {
                    break;
                }
                let bytes = file.read_vec(at, len as usize)?;
                let Ok(content) = archive::open_frame(&bytes, usize::try_from(held).unwrap_or(0)) else {
                    break;
                };
                begun.hasher.update(&content);
                checksum.update(&bytes);
                begun.frames.push(len);
                begun.content += held;
                at += u64::from(len);
            }
        }
        let complete = begun.content == blob.size && begun.hasher.clone().finish() == blob.digest;
        if complete {
            (self.len, self.checksum) = (at, checksum);
            self.position.index = index + 1;
            self.position.compressed.extend((!is_stored).then_some(begun.frames));
        } else if (1..blob.size).contains(&begun.content) {
            (self.len, self.checksum) = (at, checksum);
            self.position.begun = Some(begun);
        }
        Ok(complete)
    }

    /// What of `past` holds: the blobs up to here, and the frames of the one that is half there.
    pub(crate) fn past(&self, plan: &ExportPlan, past: &ResumeState) -> ResumeState {
        let layout = &plan.head.layout;
        let before = |key: &u32| (*key as usize) < self.position.index;
        let done = layout.stored().start..self.position.index;
        let frames = past.compressed.iter().filter(|(key, _)| before(key));
        let mut held = ResumeState {
            done: done.map(|index| u32::try_from(index).unwrap_or(u32::MAX)).collect(),
            compressed: frames.map(|(key, frames)| (*key, frames.clone())).collect(),
            ..ResumeState::default()
        };
        if let Some(begun) = &self.position.begun {
            let key = u32::try_from(self.position.index).unwrap_or(u32::MAX);
            if layout.stored().contains(&self.position.index) {
                held.progress.insert(key, begun.content / FRAME_CONTENT);
            } else {
                let frames = past.compressed.get(&key).into_iter().flatten().take(begun.frames.len());
                held.compressed.insert(key, frames.copied().collect());
            }
        }
        held
    }
}

/// Writes what is missing of a plan into a file that only grows.
pub(crate) struct Appending<'a> {
    pub(crate) plan: &'a ExportPlan,
    pub(crate) places: &'a AlternateSources<'a>,
    /// Where blobs may wait for their turn.
    pub(crate) blob_spool: Option<&'a BlobSpool>,
    pub(crate) old_partials: &'a [OldPartial],
    pub(crate) jobs: usize,
    pub(crate) reporter: &'a Reporter,
    pub(crate) shared: &'a Shared,
}

impl Appending<'_> {
    /// Writes what is missing after `grown`, in order, and hashes the file on the way.
    pub(crate) async fn run(&self, grown: AppendState) -> (Result<Downloaded, BlobError>, Sidecar) {
        let Self { plan, places, old_partials, reporter, shared, .. } = *self;
        let (layout, blobs) = (&plan.head.layout, &plan.bundle.blobs);
        let (spool, jobs) = (self.blob_spool, self.jobs.max(1));
        let source = Source { places, plan, reporter, spool, old_partials, jobs };
        let (sink, position) = Growing::after(grown, shared);
        let mut ordered = Ordered { source, sink };
        let written = tokio::select! {
            written = ordered.run(position) => written,
            () = shared.stop.cancelled() => Err(WriteFailure { index: 0, error: BlobError::Cancelled }),
        };
        let sink = ordered.sink;
        match written {
            Ok(compressed) => {
                let end = sink.at;
                let sidecar = match archive::ending(layout, blobs, &compressed) {
                    Ok(ending) => Sidecar::Known(sink.checksums(&ending)),
                    Err(error) => return (Err(TransferError::from(error).into()), Sidecar::None),
                };
                (Ok(Downloaded { compressed, end, ..Downloaded::default() }), sidecar)
            }
            Err(WriteFailure { error, .. }) if error.is_final() => (Err(error), Sidecar::None),
            // Blobs come in order: without this one none can follow.
            Err(WriteFailure { index, error }) => {
                let lost = vec![LostBlob { index, error }];
                (Ok(Downloaded { lost, ..Downloaded::default() }), Sidecar::None)
            }
        }
    }
}

/// The growing file as a sink.
struct Growing<'a> {
    file: &'a PartialFile,
    journal: &'a Journal,
    front: &'a Watermark,
    at: u64,
    /// Of everything written.
    checksum: Checksum,
    /// Where the blob under way begins, and the checksum of what stands before it.
    before: (u64, Checksum),
    /// That blob was begun by an earlier run.
    goes_on: bool,
}

impl<'a> Growing<'a> {
    /// Goes on after `grown`; what stands behind it was cut off.
    fn after(grown: AppendState, shared: &'a Shared) -> (Self, Position) {
        let AppendState { position, len, before, checksum } = grown;
        let goes_on = position.begun.is_some();
        let Shared { file, journal, front, .. } = shared;
        (Self { file, journal, front, at: len, checksum, before, goes_on }, position)
    }

    /// The checksums of the whole file, once its ending is written too.
    fn checksums(mut self, ending: &[u8]) -> Vec<Digest> {
        self.checksum.update(ending);
        self.checksum.finish()
    }
}

impl Sink for Growing<'_> {
    fn begin(&mut self, _index: usize) {
        if !std::mem::take(&mut self.goes_on) {
            self.before = (self.at, self.checksum.clone());
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.file.write_at(self.at, bytes)?;
        self.checksum.update(bytes);
        self.at += bytes.len() as u64;
        self.front.wrote(bytes.len() as u64);
        Ok(())
    }

    fn stored(&mut self, index: usize, frames: u64) -> Result<(), TransferError> {
        self.journal.progress(index, frames)
    }

    fn compressed(&mut self, index: usize, len: u32) -> Result<(), TransferError> {
        self.journal.compressed(index, self.at - u64::from(len), len)
    }

    fn done(&mut self, index: usize) -> Result<(), TransferError> {
        self.journal.done(index)
    }

    fn take_back(&mut self, index: usize) -> Result<bool, TransferError> {
        self.journal.begun_again(index)?;
        (self.at, self.checksum) = self.before.clone();
        self.file.set_len(self.at)?;
        Ok(true)
    }
}
