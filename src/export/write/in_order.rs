//! Exporting strictly in order: the same bytes as at offsets, into a pipe or a file that only grows.
//!
//! What a blob's registry sends goes out as it comes. Where that turns out wrong, a file is cut back and the blob
//! fetched again; in a pipe the stream ends without its end, so that no reader takes it for whole.

use std::fs::File;
use std::io::{Read, Write};

use super::alternate_sources::AlternateSources;
use super::blob_error::BlobError;
use super::blob_spool::BlobSpool;
use super::error::TransferError;
use super::fetch::Attempts;
use super::read_ahead::{Arriving, Coming, Next, ReadAhead, Source};
use crate::archive::{self, FRAME_CONTENT, StoredEncoder};
use crate::image::Hasher;
use crate::plan::ExportPlan;
use crate::registry::BlobPlace;
use crate::report::Reporter;

/// Where the bytes go.
pub(crate) trait Sink {
    /// Blob `index` is next.
    fn begin(&mut self, _index: usize) {}

    /// The next bytes of the file.
    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError>;

    /// So many whole frames of stored blob `index` are written.
    fn stored(&mut self, _index: usize, _frames: u64) -> Result<(), TransferError> {
        Ok(())
    }

    /// One more frame of compressed blob `index` is written, the last `len` bytes.
    fn compressed(&mut self, _index: usize, _len: u32) -> Result<(), TransferError> {
        Ok(())
    }

    /// Blob `index` is written, and right.
    fn done(&mut self, _index: usize) -> Result<(), TransferError> {
        Ok(())
    }

    /// Takes back what was written of blob `index`. `false`: what is out is out.
    fn take_back(&mut self, _index: usize) -> Result<bool, TransferError> {
        Ok(false)
    }
}

/// A blob that could not be written; everything before it is.
#[derive(Debug)]
pub struct WriteFailure {
    pub index: usize,
    pub error: BlobError,
}

/// Everything after the head of one file, in order.
pub(crate) struct Ordered<'a, S> {
    pub(crate) source: Source<'a>,
    pub(crate) sink: S,
}

/// Where an ordered export stands.
#[derive(Debug)]
pub(crate) struct Position {
    /// The next blob to write, or the one that is half written.
    pub(crate) index: usize,
    /// What of it is written.
    pub(crate) begun: Option<Begun>,
    /// File lengths of the frames of each compressed blob before it.
    pub(crate) compressed: Vec<Vec<u32>>,
}

/// A blob of which some frames are written.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) hasher: Hasher,
    /// Content bytes, whole frames of them.
    pub(crate) content: u64,
    /// File lengths of its frames, when it is compressed.
    pub(crate) frames: Vec<u32>,
}

impl Position {
    /// After the head.
    pub(crate) fn start(plan: &ExportPlan) -> Self {
        Self { index: plan.head.layout.stored().start, begun: None, compressed: Vec::new() }
    }
}

impl<'a, S: Sink> Ordered<'a, S> {
    /// Writes the blobs from `position` on; the frames of the compressed ones come back.
    pub(crate) async fn run(&mut self, position: Position) -> Result<Vec<Vec<u32>>, WriteFailure> {
        let plan = self.source.plan;
        let layout = &plan.head.layout;
        let Position { index, mut begun, mut compressed } = position;
        let from = begun.as_ref().map_or(0, |begun| begun.content);
        let mut ahead = ReadAhead::new(self.source, index..layout.compressed().end, from);
        while let Some((index, next, held)) = ahead.next() {
            let writing = Writing::new(plan, index, begun.take());
            let frames = self.blob(&mut ahead, writing, next).await;
            compressed.extend(frames.map_err(|error| WriteFailure { index, error })?);
            ahead.done(index, held);
        }
        Ok(compressed)
    }

    /// Writes one blob, asking everyone who may have it; the frames come back if it is compressed.
    async fn blob(
        &mut self,
        ahead: &mut ReadAhead<'_>,
        mut writing: Writing<'a>,
        mut next: Next,
    ) -> Result<Option<Vec<u32>>, BlobError> {
        let (plan, index) = (self.source.plan, writing.index);
        self.sink.begin(index);
        let mut attempts = None;
        loop {
            let taken = match next {
                Next::Donated => self.donated(&mut writing),
                Next::Arriving(arriving) => ahead.beside(self.take(&mut writing, arriving)).await,
            };
            let error = match taken.and_then(|()| writing.finish(&mut self.sink)) {
                Ok(()) => break,
                Err(error) => error,
            };
            let wrong = matches!(error, BlobError::Digest { .. });
            if wrong && writing.opened && !self.sink.take_back(index)? {
                return Err(error);
            }
            let first = BlobPlace::from(plan.source(index));
            let attempts = attempts.get_or_insert_with(|| {
                Attempts::new(&first, self.source.places.of(&plan.bundle.blobs[index].digest))
            });
            let place = attempts.after(error)?;
            if wrong {
                writing = Writing::new(plan, index, None);
            }
            next = ahead.direct(place, index, writing.content);
        }
        self.sink.done(index)?;
        Ok((!writing.is_stored).then_some(writing.frames))
    }

    /// Writes what arrives.
    async fn take(&mut self, writing: &mut Writing<'_>, mut arriving: Arriving) -> Result<(), BlobError> {
        while let Some(coming) = arriving.recv().await {
            let coming = coming?;
            tokio::task::block_in_place(|| match coming {
                Coming::Piece(piece) => {
                    piece.iter().try_for_each(|chunk| writing.push(chunk, &mut self.sink))
                }
                Coming::Spooled(file) => spooled(file, writing, &mut self.sink),
            })?;
        }
        Ok(())
    }

    /// Writes what the first earlier partial has that has it right.
    fn donated(&mut self, writing: &mut Writing<'a>) -> Result<(), BlobError> {
        let (plan, index) = (self.source.plan, writing.index);
        let blob = &plan.bundle.blobs[index];
        for donor in self.source.old_partials.iter().filter(|donor| donor.has(&blob.digest)) {
            let sink = &mut self.sink;
            tokio::task::block_in_place(|| donor.read(blob, &mut |piece| writing.push(piece, sink)))?;
            if writing.hasher.clone().finish() == blob.digest {
                break;
            }
            if writing.opened {
                self.sink.take_back(index)?;
            }
            *writing = Writing::new(plan, index, None);
        }
        Ok(())
    }
}

fn spooled(mut file: File, writing: &mut Writing<'_>, sink: &mut impl Sink) -> Result<(), TransferError> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(TransferError::io("the spool".as_ref()))? {
            0 => return Ok(()),
            read => writing.push(&buffer[..read], sink)?,
        }
    }
}

/// One blob on its way into the file.
struct Writing<'a> {
    plan: &'a ExportPlan,
    index: usize,
    is_stored: bool,
    hasher: Hasher,
    /// Content bytes taken.
    content: u64,
    /// Its joint is written.
    opened: bool,
    encoder: StoredEncoder,
    /// Content of a frame to be compressed.
    frame: Vec<u8>,
    /// File lengths of compressed frames.
    frames: Vec<u32>,
    out: Vec<u8>,
}

impl<'a> Writing<'a> {
    fn new(plan: &'a ExportPlan, index: usize, begun: Option<Begun>) -> Self {
        let blob = &plan.bundle.blobs[index];
        let opened = begun.is_some();
        let begun = begun.unwrap_or_else(|| Begun {
            hasher: Hasher::for_digest(&blob.digest),
            content: 0,
            frames: Vec::new(),
        });
        Self {
            plan,
            index,
            is_stored: plan.head.layout.stored().contains(&index),
            hasher: begun.hasher,
            content: begun.content,
            opened,
            encoder: StoredEncoder::new(blob.size - begun.content),
            frame: Vec::new(),
            frames: begun.frames,
            out: Vec::new(),
        }
    }

    fn push(&mut self, chunk: &[u8], sink: &mut impl Sink) -> Result<(), TransferError> {
        self.open(sink)?;
        self.hasher.update(chunk);
        if !self.is_stored {
            return self.compress(chunk, sink);
        }
        let before = self.content / FRAME_CONTENT;
        self.content += chunk.len() as u64;
        self.encoder.push(chunk, &mut self.out)?;
        sink.write(&self.out)?;
        self.out.clear();
        let frames = self.content / FRAME_CONTENT;
        if frames > before { sink.stored(self.index, frames) } else { Ok(()) }
    }

    /// Writes the joint before the first byte.
    fn open(&mut self, sink: &mut impl Sink) -> Result<(), TransferError> {
        if !self.opened {
            self.opened = true;
            sink.write(&archive::joint(&self.plan.head.layout, &self.plan.bundle.blobs, self.index))?;
        }
        Ok(())
    }

    /// Gathers content into frames, and compresses each when it is full or the last.
    fn compress(&mut self, mut chunk: &[u8], sink: &mut impl Sink) -> Result<(), TransferError> {
        let size = self.plan.bundle.blobs[self.index].size;
        let full = usize::try_from(FRAME_CONTENT).unwrap_or(usize::MAX);
        while !chunk.is_empty() {
            let (now, later) = chunk.split_at(chunk.len().min(full - self.frame.len()));
            self.frame.extend_from_slice(now);
            self.content += now.len() as u64;
            chunk = later;
            if self.frame.len() == full || self.content == size {
                let bytes = archive::compressed_frame(&self.frame)?;
                let len = u32::try_from(bytes.len());
                let len = len.map_err(|_| TransferError::Invariant("a frame over 4 GiB"))?;
                sink.write(&bytes)?;
                sink.compressed(self.index, len)?;
                self.frames.push(len);
                self.frame.clear();
            }
        }
        Ok(())
    }

    /// Compares the digest at the end.
    fn finish(&mut self, sink: &mut impl Sink) -> Result<(), BlobError> {
        let blob = &self.plan.bundle.blobs[self.index];
        super::read_ahead::compare(blob, self.hasher.clone())?;
        Ok(self.open(sink)?)
    }
}

/// An export into a pipe. The head has been written already.
pub struct StreamExport<'a, W> {
    pub plan: &'a ExportPlan,
    pub out: W,
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
    pub async fn run(self) -> Result<(), WriteFailure> {
        let Self { places, plan, reporter, spool, .. } = self;
        let source = Source { places, plan, reporter, spool, old_partials: &[], jobs: self.jobs.max(1) };
        let mut ordered = Ordered { source, sink: Pipe(self.out) };
        let compressed = ordered.run(Position::start(plan)).await?;
        let last = plan.bundle.blobs.len().saturating_sub(1);
        let layout = &plan.head.layout;
        let ending = archive::ending(layout, &plan.bundle.blobs, &compressed).map_err(TransferError::from);
        let Pipe(mut out) = ordered.sink;
        ending
            .and_then(|ending| write(&mut out, &ending))
            .and_then(|()| out.flush().map_err(TransferError::io("stdout".as_ref())))
            .map_err(|error| WriteFailure { index: last, error: error.into() })
    }
}

struct Pipe<W>(W);

impl<W: Write> Sink for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        write(&mut self.0, bytes)
    }
}

fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), TransferError> {
    out.write_all(bytes).map_err(TransferError::io("stdout".as_ref()))
}
