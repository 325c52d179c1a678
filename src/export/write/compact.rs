//! Writes the blobs of a compact bundle, one after another, into a file that only grows or into a pipe.
//!
//! Several blobs are fetched and made compact at the same time, each on a thread of its own; what is ahead of its turn
//! waits. How long a blob becomes is known when it is written, so nothing has a place before that: the file never takes
//! more than what is in it. After a kill, the journal says which blobs are complete; the rest is cut off.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

use super::blob_error::{BlobError, LostBlob, WriteFailure};
use super::blob_writer::compare;
use super::checksum::{Checksum, read_range};
use super::compact_bases::Bases;
use super::error::TransferError;
use super::fetch::{Attempts, pieces};
use super::file_run::{Downloaded, Shared, Sidecar};
use super::read_ahead::Source;
use super::sink::{Growing, Sink};
use crate::archive::{
    self, BlobRow, CompactReadBack, Cut, Form, PartialFile, StoredEncoder, compact_header, compact_path,
};
use crate::compact::{CompactError, Compactor, Effort, Packed};
use crate::export::resume::journal::ResumeState;
use crate::image::Hasher;
use crate::plan::ExportPlan;
use crate::registry::BlobPlace;
use crate::report::Reporter;

/// Bytes of memory for each blob that is being made compact, and for everything else.
const COMPACT_MEMORY: u64 = 256 << 20;
const OWN_MEMORY: u64 = 64 << 20;
/// Chunks of a blob on their way to its thread.
const QUEUE: usize = 16;
/// Bytes that are put into frames and written at a time.
const WRITE_PIECE: usize = 1 << 20;

/// How much of a compact partial file is complete, from its start.
#[derive(Debug)]
pub(crate) struct CompactState {
    /// Of the blobs that are complete.
    forms: Vec<Form>,
    /// Position of the first blob after the head.
    first: usize,
    /// Bytes of the last member.
    before: u64,
    /// Bytes of the file, and their checksum.
    len: u64,
    checksum: Checksum,
}

impl CompactState {
    /// A partial file with only its head.
    pub(crate) fn head(
        file: &PartialFile,
        plan: &ExportPlan,
        cut: Option<Cut>,
    ) -> Result<Self, TransferError> {
        let layout = &plan.head.layout;
        let (len, mut checksum) = (layout.head_len(), Checksum::new(cut));
        read_range(file, 0..len, &mut |bytes| checksum.update(bytes))?;
        Ok(Self { forms: Vec::new(), first: layout.compressed().start, before: 0, len, checksum })
    }

    /// Reads back the blobs that are complete according to `past`, up to the first that is not intact, and cuts off the
    /// rest.
    pub(crate) fn checked(
        file: &PartialFile,
        plan: &ExportPlan,
        cut: Option<Cut>,
        past: &ResumeState,
        reporter: &Reporter,
    ) -> Result<Self, TransferError> {
        let mut state = Self::head(file, plan, cut)?;
        let layout = &plan.head.layout;
        reporter.begin("checking what an earlier run left", file.len()?, 0);
        let mut written = CompactReadBack::new(file, layout, &plan.bundle.blobs);
        for index in layout.compressed() {
            let key = u32::try_from(index).unwrap_or(u32::MAX);
            let members = past.compressed.get(&key).filter(|_| past.done.contains(&key));
            let Some(members) = members else { break };
            let end = members.last().map_or(state.len, |(at, len)| at + u64::from(*len));
            let mut checksum = state.checksum.clone();
            let Some(form) = written.blob(state.len..end, &mut |bytes| checksum.update(bytes))? else {
                break;
            };
            reporter.advance(end - state.len);
            state.forms.push(form);
            state.checksum = checksum;
            (state.len, state.before) = written.position();
        }
        reporter.end();
        file.set_len(state.len)?;
        Ok(state)
    }

    /// The part of `past` that still holds.
    pub(crate) fn past(&self, past: &ResumeState) -> ResumeState {
        let is_kept = |key: &u32| (*key as usize) < self.first + self.forms.len();
        let compressed = past.compressed.iter().filter(|(key, _)| is_kept(key));
        ResumeState {
            done: past.done.iter().copied().filter(is_kept).collect(),
            compressed: compressed.map(|(key, members)| (*key, members.clone())).collect(),
            ..ResumeState::default()
        }
    }
}

/// Writes the missing part of a plan into its partial file.
pub(crate) async fn run(
    source: Source<'_>,
    shared: &Shared,
    state: CompactState,
) -> (Result<Downloaded, BlobError>, Sidecar) {
    let plan = source.plan;
    let CompactState { mut forms, before, len, checksum, .. } = state;
    let mut sink = Growing::new(shared, len, checksum, None);
    let written = tokio::select! {
        written = write(source, &mut sink, &mut forms, before) => written,
        () = shared.stop.cancelled() => Err(WriteFailure { index: 0, error: BlobError::Cancelled }),
    };
    match written {
        Ok(()) => match archive::compact_ending(&plan.head.layout, &plan.bundle.blobs, &forms) {
            Ok(ending) => {
                let end = sink.position();
                let sidecar = Sidecar::Known(sink.checksums(&ending));
                (Ok(Downloaded { ending, end, ..Downloaded::default() }), sidecar)
            }
            Err(error) => (Err(TransferError::from(error).into()), Sidecar::None),
        },
        Err(WriteFailure { error, .. }) if error.is_final() => (Err(error), Sidecar::None),
        // Blobs are written in order: without this one none can follow.
        Err(WriteFailure { index, error }) => {
            let lost = vec![LostBlob { index, error }];
            (Ok(Downloaded { lost, ..Downloaded::default() }), Sidecar::None)
        }
    }
}

/// Writes the blobs after those that `forms` has, and adds the form of each. `before` are the bytes of the last member that
/// is written.
pub(crate) async fn write<S: Sink>(
    source: Source<'_>,
    sink: &mut S,
    forms: &mut Vec<Form>,
    before: u64,
) -> Result<(), WriteFailure> {
    let body = source.plan.head.layout.compressed();
    let (mut left, mut before) = (body.start + forms.len()..body.end, before);
    let (mut running, mut waiting) = (FuturesUnordered::<LocalBoxFuture<'_, ()>>::new(), VecDeque::new());
    let jobs = threads(source.jobs);
    loop {
        while waiting.len() < jobs
            && let Some(index) = left.next()
        {
            let (send, receive) = mpsc::channel(1);
            running.push(Box::pin(compacted(source, index, send)));
            waiting.push_back((index, receive));
        }
        let Some((index, mut coming)) = waiting.pop_front() else { return Ok(()) };
        let blob = &source.plan.bundle.blobs[index];
        sink.begin(index);
        let mut writer = MemberWriter::new(blob, index, before);
        let failed = |error| WriteFailure { index, error };
        loop {
            let event = tokio::select! {
                event = coming.recv() => event,
                Some(()) = running.next() => continue,
            };
            match event.unwrap_or(Err(BlobError::Cancelled)).map_err(failed)? {
                Coming::Packed(packed) => {
                    tokio::task::block_in_place(|| writer.push(packed, sink))
                        .map_err(|error| failed(error.into()))?;
                }
                Coming::Again(error) => {
                    let is_clean =
                        !writer.is_begun() || sink.take_back(index).map_err(|e| failed(e.into()))?;
                    if !is_clean {
                        return Err(failed(error));
                    }
                    writer = MemberWriter::new(blob, index, before);
                }
                Coming::End => break,
            }
        }
        let finished = tokio::task::block_in_place(|| writer.finish(sink));
        let (form, last) = finished.map_err(|error| failed(error.into()))?;
        forms.push(form);
        before = last;
        sink.done(index).map_err(|error| failed(error.into()))?;
    }
}

/// How many blobs are made compact at the same time: as many as there are processors, and as memory is left for.
pub(crate) fn threads(jobs: usize) -> usize {
    let fit = crate::app::memory::available().map_or(usize::MAX, |left| {
        usize::try_from(left.saturating_sub(OWN_MEMORY) / COMPACT_MEMORY).unwrap_or(usize::MAX)
    });
    jobs.min(rayon::current_num_threads()).min(fit).max(1)
}

/// The most bytes of memory that making blobs compact takes.
pub(crate) fn memory(jobs: usize) -> u64 {
    OWN_MEMORY + COMPACT_MEMORY * threads(jobs) as u64
}

/// Parts of a blob, in order.
enum Coming {
    Packed(Packed),
    /// What came so far was of content with another digest: the blob comes again.
    Again(BlobError),
    /// The blob is complete, and its digest was compared.
    End,
}

type Sender = mpsc::Sender<Result<Coming, BlobError>>;

/// One blob whose members are being written.
struct MemberWriter<'a> {
    blob: &'a BlobRow,
    index: usize,
    /// Bytes of the member before.
    before: u64,
    form: Option<Form>,
    /// The frames of a blob that stays as it is.
    stored: Option<StoredEncoder>,
    /// Encoded, but not yet written.
    out: Vec<u8>,
}

impl<'a> MemberWriter<'a> {
    fn new(blob: &'a BlobRow, index: usize, before: u64) -> Self {
        Self { blob, index, before, form: None, stored: None, out: Vec::new() }
    }

    /// Whether some of it is written.
    fn is_begun(&self) -> bool {
        self.form.is_some()
    }

    fn push(&mut self, packed: Packed, sink: &mut impl Sink) -> Result<(), TransferError> {
        match packed {
            Packed::Plain(bytes) => {
                self.begin_stored();
                for piece in bytes.chunks(WRITE_PIECE) {
                    if let Some(stored) = &mut self.stored {
                        stored.push(piece, &mut self.out)?;
                    }
                    self.flush(sink)?;
                }
                Ok(())
            }
            Packed::Member(member) => {
                let number = match &self.form {
                    Some(Form::Compact(members)) => members.len(),
                    _ => 0,
                };
                let too_long = TransferError::Invariant("a member of a compact blob is too long");
                let size = u32::try_from(member.len()).map_err(|_| too_long)?;
                let path = compact_path(&self.blob.digest, number);
                self.out = compact_header(self.before, &path, u64::from(size));
                self.before = u64::from(size);
                match &mut self.form {
                    Some(Form::Compact(members)) => members.push(size),
                    form => *form = Some(Form::Compact(vec![size])),
                }
                let mut encoder = StoredEncoder::new(u64::from(size));
                for piece in member.chunks(WRITE_PIECE) {
                    encoder.push(piece, &mut self.out)?;
                    self.flush(sink)?;
                }
                Ok(())
            }
        }
    }

    fn begin_stored(&mut self) {
        if self.form.is_none() {
            self.form = Some(Form::Stored);
            self.out = compact_header(self.before, &self.blob.digest.layout_path(), self.blob.size);
            self.stored = Some(StoredEncoder::new(self.blob.size));
            self.before = self.blob.size;
        }
    }

    /// Writes the rest. Returns the form, and the bytes of the last member.
    fn finish(mut self, sink: &mut impl Sink) -> Result<(Form, u64), TransferError> {
        // A blob without content has a header too.
        self.begin_stored();
        self.flush(sink)?;
        Ok((self.form.unwrap_or(Form::Stored), self.before))
    }

    fn flush(&mut self, sink: &mut impl Sink) -> Result<(), TransferError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let too_long = TransferError::Invariant("a member of a compact blob is too long");
        let len = u32::try_from(self.out.len()).map_err(|_| too_long)?;
        sink.write(&self.out)?;
        sink.compressed(self.index, len)?;
        self.out.clear();
        Ok(())
    }
}

/// Fetches blob `index`, makes it compact, and passes on what is ready.
async fn compacted(source: Source<'_>, index: usize, send: Sender) {
    if let Err(error) = tried(source, index, &send).await {
        // A receiver that is gone has already failed.
        let _ = send.send(Err(error)).await;
    }
}

/// Tries every place that may have the blob. One that breaks off is followed by another where it stopped.
async fn tried(source: Source<'_>, index: usize, send: &Sender) -> Result<(), BlobError> {
    let blob = &source.plan.bundle.blobs[index];
    let first = BlobPlace::from(source.plan.source(index));
    let mut place = first.clone();
    let mut attempts: Option<Attempts> = None;
    let begin =
        || Compacting::begin(blob, source.plan.compact.effort, Bases::of(source, index), send.clone());
    let mut thread = begin();
    let mut after = |error| {
        let attempts = attempts.get_or_insert_with(|| Attempts::new(&first, source.places.of(&blob.digest)));
        attempts.after(error)
    };
    loop {
        let bar = source.bar(&place, blob, thread.given);
        let from = thread.given;
        let fetched = pieces(source.places, &place, blob, from, &bar, async |piece| {
            for chunk in piece {
                if !thread.give(chunk).await {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        if let Err(error) = fetched.await {
            place = after(error)?;
            continue;
        }
        match thread.end().await {
            Err(BlobError::Digest { wanted, found }) => {
                let again = BlobError::Digest { wanted: wanted.clone(), found: found.clone() };
                place = after(BlobError::Digest { wanted, found })?;
                if send.send(Ok(Coming::Again(again))).await.is_err() {
                    return Ok(());
                }
                thread = begin();
            }
            ended => {
                ended?;
                let _ = send.send(Ok(Coming::End)).await;
                return Ok(());
            }
        }
    }
}

/// A thread that makes one blob compact.
struct Compacting {
    chunks: Option<mpsc::Sender<Bytes>>,
    thread: tokio::task::JoinHandle<Result<Hasher, CompactError>>,
    blob: BlobRow,
    /// Bytes of the blob given to it.
    given: u64,
}

impl Compacting {
    fn begin(blob: &BlobRow, effort: Effort, bases: Option<Bases>, send: Sender) -> Self {
        let (chunks, mut receive) = mpsc::channel::<Bytes>(QUEUE);
        let (digest, size) = (blob.digest, blob.size);
        let thread = tokio::task::spawn_blocking(move || {
            let (mut hasher, mut compactor) = (Hasher::for_digest(&digest), Compactor::new(size, effort));
            if let Some(bases) = bases {
                let numbers = bases.numbers();
                compactor = compactor.with_bases(Box::new(bases), numbers);
            }
            let runtime = tokio::runtime::Handle::current();
            let mut sink = |packed| {
                // A receiver that is gone has already failed.
                let _ = send.blocking_send(Ok(Coming::Packed(packed)));
                // The next member is not made before this one was taken, so that few are in memory.
                drop(runtime.block_on(send.reserve()));
            };
            while let Some(chunk) = receive.blocking_recv() {
                hasher.update(&chunk);
                compactor.push(&chunk, &mut sink)?;
            }
            compactor.finish(&mut sink)?;
            Ok(hasher)
        });
        Self { chunks: Some(chunks), thread, blob: blob.clone(), given: 0 }
    }

    /// Gives it the next bytes; false if it has failed.
    async fn give(&mut self, chunk: Bytes) -> bool {
        self.given += chunk.len() as u64;
        match &self.chunks {
            Some(chunks) => chunks.send(chunk).await.is_ok(),
            None => false,
        }
    }

    /// All bytes were given: waits until they are passed on, and compares the digest.
    async fn end(&mut self) -> Result<(), BlobError> {
        self.chunks = None;
        let hasher = (&mut self.thread).await;
        let hasher = hasher.map_err(|_| TransferError::Invariant("making a blob compact panicked"))?;
        compare(&self.blob, hasher.map_err(TransferError::Compact)?)
    }
}
