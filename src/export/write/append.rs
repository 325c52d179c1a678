//! Exporting into a file that only grows, for media that fill every gap with zeros: FAT, exFAT, some network shares.
//!
//! On such a medium, a write beyond the end of a file first writes all bytes in between, and later those bytes are
//! written again. So the partial file is written from start to end, like a pipe. After a kill, the journal says up to
//! where the file can be trusted; the rest is cut off.

use super::blob_error::{BlobError, LostBlob, WriteFailure};
use super::checksum::{Checksum, read_range};
use super::error::TransferError;
use super::file_run::{Downloaded, Shared, Sidecar};
use super::in_order::Ordered;
use super::read_ahead::Source;
use super::sink::Growing;
use crate::archive::{self, Cut, FRAME_CONTENT, Input, PartialFile, stored_len};
use crate::export::resume::journal::ResumeState;
use crate::export::resume::readback::{Begun, begun};
use crate::plan::ExportPlan;
use crate::report::Reporter;

/// How much of a partial file is complete, from its start.
#[derive(Debug)]
pub(crate) struct AppendState {
    /// The next blob to write, or the one that is half written.
    index: usize,
    /// How much of it is written.
    begun: Option<Begun>,
    /// File lengths of the frames of each compressed blob before it.
    compressed: Vec<Vec<u32>>,
    /// In bytes.
    len: u64,
    /// Checksum of the file up to the start of the current blob, and that offset.
    before: (u64, Checksum),
    /// Checksum of all of it.
    checksum: Checksum,
}

impl AppendState {
    /// A partial file with only its head.
    pub(crate) fn head(
        file: &PartialFile,
        plan: &ExportPlan,
        cut: Option<Cut>,
    ) -> Result<Self, TransferError> {
        let len = plan.head.layout.head_len();
        let mut checksum = Checksum::new(cut);
        read_range(file, 0..len, &mut |bytes| checksum.update(bytes))?;
        let (index, before) = (plan.head.layout.stored().start, (len, checksum.clone()));
        Ok(Self { index, begun: None, compressed: Vec::new(), len, before, checksum })
    }

    /// Reads back, in order, what `past` describes, as far as frames and digests are correct.
    pub(crate) fn checked(
        file: &PartialFile,
        plan: &ExportPlan,
        cut: Option<Cut>,
        past: &ResumeState,
        reporter: &Reporter,
    ) -> Result<Self, TransferError> {
        let mut state = Self::head(file, plan, cut)?;
        let layout = &plan.head.layout;
        let there = file.len()?;
        reporter.begin("checking what an earlier run left", there, 0);
        for index in layout.stored().start..layout.compressed().end {
            let whole = state.blob(file, plan, past, index)?;
            reporter.advance(state.len - state.before.0);
            if !whole {
                break;
            }
        }
        reporter.end();
        file.set_len(state.len)?;
        Ok(state)
    }

    /// Whether blob `index` is complete.
    fn blob(
        &mut self,
        file: &PartialFile,
        plan: &ExportPlan,
        past: &ResumeState,
        index: usize,
    ) -> Result<bool, TransferError> {
        let (layout, blobs) = (&plan.head.layout, &plan.bundle.blobs);
        let blob = &blobs[index];
        self.before = (self.len, self.checksum.clone());
        let header = archive::member_header(layout, blobs, index);
        let data = self.len + header.len() as u64;
        if file.len()? < data || file.read_vec(self.len, header.len())? != header {
            return Ok(false);
        }
        let mut checksum = self.checksum.clone();
        checksum.update(&header);
        let begun = begun(file, plan, past, index, data, &mut |frame| checksum.update(frame))?;
        let is_stored = layout.stored().contains(&index);
        let frames = begun.frames.iter().copied().map(u64::from).sum();
        let len = data + if is_stored { stored_len(begun.content) } else { frames };
        let complete = begun.content == blob.size && begun.hasher.clone().finish() == blob.digest;
        if complete {
            (self.len, self.checksum) = (len, checksum);
            self.index = index + 1;
            self.compressed.extend((!is_stored).then_some(begun.frames));
        } else if (1..blob.size).contains(&begun.content) {
            (self.len, self.checksum) = (len, checksum);
            self.begun = Some(begun);
        }
        Ok(complete)
    }

    /// The part of `past` that still holds: the blobs up to here, and the frames of the half-written one.
    pub(crate) fn past(&self, plan: &ExportPlan, past: &ResumeState) -> ResumeState {
        let layout = &plan.head.layout;
        let before = |key: &u32| (*key as usize) < self.index;
        let done = layout.stored().start..self.index;
        let frames = past.compressed.iter().filter(|(key, _)| before(key));
        let mut held = ResumeState {
            done: done.map(|index| u32::try_from(index).unwrap_or(u32::MAX)).collect(),
            compressed: frames.map(|(key, frames)| (*key, frames.clone())).collect(),
            ..ResumeState::default()
        };
        if let Some(begun) = &self.begun {
            let key = u32::try_from(self.index).unwrap_or(u32::MAX);
            if layout.stored().contains(&self.index) {
                held.progress.insert(key, begun.content / FRAME_CONTENT);
            } else {
                let frames = past.compressed.get(&key).into_iter().flatten().take(begun.frames.len());
                held.compressed.insert(key, frames.copied().collect());
            }
        }
        held
    }
}

/// Writes the missing part of a plan into a file that only grows.
pub(crate) async fn run(
    source: Source<'_>,
    shared: &Shared,
    state: AppendState,
) -> (Result<Downloaded, BlobError>, Sidecar) {
    let plan = source.plan;
    let (layout, blobs) = (&plan.head.layout, &plan.bundle.blobs);
    let AppendState { index, begun, mut compressed, len, before, checksum } = state;
    let sink = Growing::new(shared, len, checksum, begun.is_some().then_some(before));
    let mut ordered = Ordered { source, sink };
    let written = tokio::select! {
        written = ordered.run(index..layout.compressed().end, begun) => written,
        () = shared.stop.cancelled() => Err(WriteFailure { index: 0, error: BlobError::Cancelled }),
    };
    let sink = ordered.sink;
    match written {
        Ok(frames) => {
            compressed.extend(frames);
            let end = sink.position();
            match archive::ending(layout, blobs, &compressed) {
                Ok(ending) => {
                    let sidecar = Sidecar::Known(sink.checksums(&ending));
                    (Ok(Downloaded { ending, end, ..Downloaded::default() }), sidecar)
                }
                Err(error) => (Err(TransferError::from(error).into()), Sidecar::None),
            }
        }
        Err(WriteFailure { error, .. }) if error.is_final() => (Err(error), Sidecar::None),
        // Blobs are written in order: without this one none can follow.
        Err(WriteFailure { index, error }) => {
            let lost = vec![LostBlob { index, error }];
            (Ok(Downloaded { lost, ..Downloaded::default() }), Sidecar::None)
        }
    }
}
