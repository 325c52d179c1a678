//! Writes blobs one after another into any [`Sink`]; each is fetched from the first place that has the correct content.
//!
//! Content is written as it arrives. If it turns out to be wrong, a file takes it back and the blob is fetched again. A
//! pipe cannot take anything back, so the stream is left without an end and readers reject it.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::Path;

use super::alternate_sources::AlternateSources;
use super::blob_error::{BlobError, WriteFailure};
use super::blob_spool::BlobSpool;
use super::blob_writer::BlobWriter;
use super::compact;
use super::error::TransferError;
use super::fetch::Attempts;
use super::read_ahead::{Arriving, Coming, Next, ReadAhead, Source, Window};
use super::sink::{Pipe, Sink};
use crate::archive::{self, Profile};
use crate::export::resume::readback::Begun;
use crate::plan::ExportPlan;
use crate::registry::BlobPlace;
use crate::report::Reporter;

/// Writes blobs into one sink, in order.
pub(crate) struct Ordered<'a, S> {
    pub(crate) source: Source<'a>,
    pub(crate) sink: S,
}

impl<'a, S: Sink> Ordered<'a, S> {
    /// Writes the blobs `range`; `begun` is the part of the first that is already written. Returns the frames of the
    /// compressed ones.
    pub(crate) async fn run(
        &mut self,
        range: Range<usize>,
        mut begun: Option<Begun>,
    ) -> Result<Vec<Vec<u32>>, WriteFailure> {
        let plan = self.source.plan;
        let from = begun.as_ref().map_or(0, |begun| begun.content);
        let mut ahead = ReadAhead::new(self.source, range, from);
        let mut compressed = Vec::new();
        while let Some((index, next, held)) = ahead.next() {
            let writer = BlobWriter::new(plan, index, begun.take());
            let frames = self.blob(&mut ahead, index, writer, next).await;
            compressed.extend(frames.map_err(|error| WriteFailure { index, error })?);
            ahead.done(index, held);
        }
        Ok(compressed)
    }

    /// Writes one blob and tries every place that may have it; returns the frames if it is compressed.
    async fn blob(
        &mut self,
        ahead: &mut ReadAhead<'_>,
        index: usize,
        mut writer: BlobWriter<'a>,
        mut next: Next,
    ) -> Result<Option<Vec<u32>>, BlobError> {
        let plan = self.source.plan;
        let first = BlobPlace::from(plan.source(index));
        self.sink.begin(index);
        let mut attempts = None;
        loop {
            let is_old = matches!(next, Next::OldPartial);
            let taken = match next {
                Next::OldPartial => self.take_over(index, &mut writer),
                Next::Arriving(arriving) => ahead.beside(self.take(&mut writer, arriving)).await,
            };
            let finished = taken.and_then(|()| tokio::task::block_in_place(|| writer.finish(&mut self.sink)));
            let error = match finished {
                Ok(()) => break,
                Err(error) => error,
            };
            let wrong = matches!(error, BlobError::Digest { .. });
            if wrong && writer.is_opened() && !self.sink.take_back(index)? {
                return Err(error);
            }
            if wrong {
                writer = BlobWriter::new(plan, index, None);
            }
            let place = if wrong && is_old {
                first.clone()
            } else {
                let digest = &plan.bundle.blobs[index].digest;
                let attempts =
                    attempts.get_or_insert_with(|| Attempts::new(&first, self.source.places.of(digest)));
                attempts.after(error)?
            };
            next = ahead.direct(place, index, writer.content());
        }
        self.sink.done(index)?;
        Ok(writer.into_frames())
    }

    /// Writes what arrives.
    async fn take(&mut self, writer: &mut BlobWriter<'_>, mut arriving: Arriving) -> Result<(), BlobError> {
        loop {
            let coming = tokio::select! {
                coming = arriving.recv() => coming,
                // A frame that waited for the next one would be lost with a run that is stopped.
                frame = writer.compressed() => {
                    let frame = frame?;
                    tokio::task::block_in_place(|| writer.write_frame(&frame, &mut self.sink))?;
                    continue;
                }
            };
            let Some(coming) = coming else { return Ok(()) };
            let coming = coming?;
            tokio::task::block_in_place(|| match coming {
                Coming::Piece(piece) => piece.iter().try_for_each(|chunk| writer.push(chunk, &mut self.sink)),
                Coming::Spooled(file) => spooled(file, writer, &mut self.sink),
            })?;
        }
    }

    /// Writes what the old partial has of the blob.
    fn take_over(&mut self, index: usize, writer: &mut BlobWriter<'a>) -> Result<(), BlobError> {
        let blob = &self.source.plan.bundle.blobs[index];
        let Some(old) = self.source.old_partial else { return Ok(()) };
        let sink = &mut self.sink;
        tokio::task::block_in_place(|| old.read(blob, &mut |piece| writer.push(piece, sink)))?;
        Ok(())
    }
}

fn spooled(mut file: File, writer: &mut BlobWriter<'_>, sink: &mut impl Sink) -> Result<(), TransferError> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(TransferError::io("the spool".as_ref()))? {
            0 => return Ok(()),
            read => writer.push(&buffer[..read], sink)?,
        }
    }
}

/// An export into a pipe. The head has been written already.
pub(crate) struct StreamExport<'a, W> {
    pub plan: &'a ExportPlan,
    pub out: W,
    /// The output, for errors.
    pub name: &'a Path,
    pub places: &'a AlternateSources<'a>,
    pub spool: Option<&'a BlobSpool>,
    pub jobs: usize,
    pub reporter: &'a Reporter,
}

impl<W> std::fmt::Debug for StreamExport<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamExport").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

impl<W: Write> StreamExport<'_, W> {
    /// Writes everything after the head.
    pub(crate) async fn run(self) -> Result<(), WriteFailure> {
        let Self { places, plan, reporter, spool, .. } = self;
        let jobs = self.jobs.max(1);
        let source =
            Source { places, plan, reporter, spool, old_partial: None, jobs, window: Window::IN_TURN };
        let mut sink = Pipe { out: self.out, name: self.name };
        let (layout, blobs) = (&plan.head.layout, &plan.bundle.blobs);
        let ending = match layout.profile() {
            Profile::Layout => {
                let mut ordered = Ordered { source, sink };
                let compressed = ordered.run(layout.stored().start..layout.compressed().end, None).await?;
                sink = ordered.sink;
                archive::ending(layout, blobs, &compressed)
            }
            Profile::Compact => {
                let mut forms = Vec::new();
                compact::write(source, &mut sink, &mut forms, 0).await?;
                archive::compact_ending(layout, blobs, &forms)
            }
        };
        let last = blobs.len().saturating_sub(1);
        ending
            .map_err(TransferError::from)
            .and_then(|ending| sink.end(&ending))
            .map_err(|error| WriteFailure { index: last, error: error.into() })
    }
}
