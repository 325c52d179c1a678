//! Imports from a pipe, or from an archive that can only be read in order: each blob is read once and uploaded as it
//! arrives.
//!
//! A small blob is gathered, compared with its digest and sent like any other. A large blob is sent in chunks of one
//! upload session; each chunk is held in memory until the registry has it, and the session is committed only if the
//! digest is correct. With a spool folder, a large blob is kept there until it is uploaded, with as many attempts as
//! that takes. Without one, a blob that the registry loses fails its images, and the others continue. Content that the
//! plan does not need is dropped.

use std::collections::{HashMap, HashSet};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered};
use tokio::sync::mpsc;

use super::complete::complete_all;
use super::error::{UploadError, unwrap_source};
use super::run::{Arrived, Import, Run, Sent, Settled};
use crate::app::medium::free_space;
use crate::archive::{ArchiveError, FormatError, InputError, PipeBuffer, StreamEvent, StreamSink};
use crate::image::{Digest, Hasher, ImageConfig};
use crate::inputs::blob_sources::WrongContent;
use crate::plan;
use crate::registry::{BlobSource, ErrorClass, Pushed, RegistryError, SourceError, Upload};

/// Blobs up to this many bytes are gathered before they are sent.
const GATHERED: u64 = 8 << 20;
/// Larger ones are sent in chunks of this many bytes.
const CHUNK: usize = 16 << 20;
const QUEUE: usize = 4;

/// A blob in memory.
struct Gathered {
    pieces: Vec<Bytes>,
}

impl BlobSource for Gathered {
    fn open(&self, from: u64, length: u64) -> BoxStream<'static, Result<Bytes, SourceError>> {
        let (mut skip, mut left) = (from, length);
        let cut = self.pieces.iter().filter_map(|piece| {
            let len = piece.len() as u64;
            let start = skip.min(len);
            skip -= start;
            let take = (len - start).min(left);
            left -= take;
            let range = usize::try_from(start).ok()?..usize::try_from(start + take).ok()?;
            (take > 0).then(|| Ok(piece.slice(range)))
        });
        futures_util::stream::iter(cut.collect::<Vec<_>>()).boxed()
    }
}

type Pushes<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

/// Sends what is missing as `read` delivers it, on a thread of its own. Blobs that are `at_hand` or at the destination
/// are not expected from `read`. `pipe_buffer` keeps what may have to be sent again, if the image store cannot be read
/// again. The last result is that of reading to the end.
#[expect(clippy::implicit_hasher, reason = "there is one kind of set in this program")]
pub async fn run_piped<F>(
    import: &Import<'_>,
    at_hand: &HashSet<Digest>,
    pipe_buffer: Option<&PipeBuffer>,
    read: F,
    each: &Settled<'_>,
) -> (Vec<Arrived>, Sent, Result<(), ArchiveError>)
where
    F: FnOnce(&mut StreamSink<'_>) -> Result<(), ArchiveError> + Send + 'static,
{
    let run = Run::new(import);
    let (send, receive) = mpsc::channel(QUEUE);
    let reading = tokio::task::spawn_blocking(move || {
        read(&mut |event| {
            // Nothing receives any more once the run has been stopped.
            send.blocking_send(event).map_err(|_| ArchiveError::Stopped)
        })
    });
    let feed = async {
        let feed = Feed { run: &run, pipe_buffer };
        feed.at_hand(at_hand).await;
        feed.all(receive).await;
        let read = reading.await.unwrap_or(Err(ArchiveError::Invariant("the reading thread panicked")));
        let why = read.as_ref().err().map_or("it is not in the archive".to_owned(), ArchiveError::damage);
        for at in 0..import.plan.uploads.len() {
            let error = if import.cancel.is_cancelled() {
                UploadError::Cancelled
            } else {
                UploadError::Archive(ArchiveError::Format(FormatError::Damaged(why.clone())))
            };
            // Results that are already set stay as they are.
            run.settle(at, Err(error));
        }
        read
    };
    let (read, arrived) = tokio::join!(feed, complete_all(&run, each));
    (arrived, run.sent(), read)
}

/// Blobs that come in the order of the archive.
struct Feed<'r> {
    run: &'r Run<'r>,
    /// Keeps what may have to be sent again.
    pipe_buffer: Option<&'r PipeBuffer>,
}

impl Feed<'_> {
    async fn all(&self, mut events: mpsc::Receiver<StreamEvent>) {
        let plan = self.run.import.plan;
        let mut wanted: HashMap<Digest, usize> =
            plan.uploads.iter().enumerate().map(|(at, upload)| (upload.digest, at)).collect();
        wanted.retain(|_, at| plan.uploads[*at].carried);
        let mut pushes: Pushes<'_> = FuturesUnordered::new();
        while let Some(event) = beside(&mut pushes, events.recv()).await {
            let StreamEvent::Begin(digest) = event else { continue };
            // Each blob once, in case an archive holds it twice.
            let Some(at) = wanted.remove(&digest) else { continue };
            let upload = &plan.uploads[at];
            if upload.size <= GATHERED {
                let Some(pieces) = beside(&mut pushes, gather(&mut events, upload.size)).await else {
                    continue;
                };
                while pushes.len() >= self.run.import.jobs.max(1) {
                    pushes.next().await;
                }
                pushes.push(Box::pin(self.push_gathered(at, upload, pieces)));
            } else if let Some(pipe_buffer) =
                self.pipe_buffer.filter(|pipe_buffer| pipe_buffer.folder().is_some())
            {
                while pushes.len() >= self.run.import.jobs.max(1)
                    || !fits(pipe_buffer, upload.size, pushes.is_empty())
                {
                    pushes.next().await;
                }
                let Some(kept) = beside(&mut pushes, self.keep(pipe_buffer, upload, &mut events)).await
                else {
                    continue;
                };
                match kept {
                    Ok(true) => pushes.push(Box::pin(self.push_kept(pipe_buffer, at, upload))),
                    Ok(false) => self.run.settle(at, Ok(())),
                    Err(error) => self.run.settle(at, Err(error)),
                }
            } else {
                let Some(pushed) = beside(&mut pushes, self.push_chunks(upload, &mut events)).await else {
                    continue;
                };
                match pushed {
                    Err(UploadError::Registry(error)) if may_be_sent_again(&error) => {
                        // An archive can be read again from its start; a pipe cannot.
                        if self.run.import.image_store.is_sequential() {
                            pushes.push(Box::pin(self.run.upload(at, upload)));
                        } else {
                            self.run.settle(at, Err(UploadError::LostInPipe(Box::new(error))));
                        }
                    }
                    result => self.run.settle(at, result),
                }
            }
            if self.run.import.cancel.is_cancelled() {
                break;
            }
        }
        while pushes.next().await.is_some() {}
    }

    async fn at_hand(&self, at_hand: &HashSet<Digest>) {
        let uploads = self.run.import.plan.uploads.iter().enumerate();
        let is_at_hand = |upload: &plan::Upload| !upload.carried || at_hand.contains(&upload.digest);
        let send = |(at, upload)| async move {
            match check_config(upload, || self.content(upload)) {
                Ok(()) => self.run.upload(at, upload).await,
                Err(error) => self.run.settle(at, Err(error.into())),
            }
        };
        futures_util::stream::iter(uploads.filter(|(_, upload)| is_at_hand(upload)))
            .map(send)
            .buffer_unordered(self.run.import.jobs.max(1))
            .for_each(|()| futures_util::future::ready(()))
            .await;
    }

    /// The content of a small blob that is at hand, for inspection; none if it cannot be read, which the upload then
    /// reports.
    fn content(&self, upload: &plan::Upload) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        for piece in self.run.import.image_store.open(&upload.digest, 0).ok()? {
            content.extend_from_slice(&piece.ok()?);
            if content.len() as u64 > upload.size {
                return None;
            }
        }
        Some(content)
    }

    async fn push_gathered(&self, at: usize, upload: &plan::Upload, pieces: Vec<Bytes>) {
        let mut hasher = Hasher::for_digest(&upload.digest);
        for piece in &pieces {
            hasher.update(piece);
        }
        let found = hasher.finish();
        if found != upload.digest {
            return self.run.settle(at, Err(self.wrong(upload, found)));
        }
        if let Err(error) = check_config(upload, || Some(pieces.concat())) {
            return self.run.settle(at, Err(error.into()));
        }
        let bar = self.run.import.reporter.transfer(upload.home.path(), upload.size, 0);
        let source = Gathered { pieces };
        let pushed = self
            .run
            .import
            .client
            .push_blob(&upload.home, &upload.digest, upload.size, &source, upload.held_by.as_ref())
            .await;
        bar.advance(upload.size);
        self.run.settle(at, pushed.map(|pushed| self.run.count(&pushed)).map_err(unwrap_source));
    }

    /// Takes a large blob into the pipe buffer; `false` when the destination has it already. None if the reading ended
    /// inside the blob: its error is then that of the reading.
    async fn keep(
        &self,
        pipe_buffer: &PipeBuffer,
        upload: &plan::Upload,
        events: &mut mpsc::Receiver<StreamEvent>,
    ) -> Option<Result<bool, UploadError>> {
        let there = self.is_there(upload).await;
        if !matches!(there, Ok(false)) {
            drop_rest(events).await;
            return Some(there.map(|_| false));
        }
        let mut hasher = Hasher::for_digest(&upload.digest);
        let begun = pipe_buffer.begin(upload.digest);
        let mut written =
            begun.and_then(|writer| writer.ok_or(ArchiveError::Input(InputError::PassedBy(upload.digest))));
        loop {
            match events.recv().await {
                Some(StreamEvent::Piece(piece)) => {
                    hasher.update(&piece);
                    // A full disk fails only this blob; the others are still read.
                    written = written.and_then(|mut writer| {
                        tokio::task::block_in_place(|| writer.write(&piece))?;
                        Ok(writer)
                    });
                }
                Some(StreamEvent::End) => break,
                Some(StreamEvent::Begin(_)) | None => return None,
            }
        }
        let found = hasher.finish();
        Some(match written {
            Ok(_) if found != upload.digest => Err(self.wrong(upload, found)),
            Ok(writer) => {
                writer.finish();
                Ok(true)
            }
            Err(error) => Err(error.into()),
        })
    }

    /// Sends a blob from the pipe buffer, and frees its space once no other repository can need it.
    async fn push_kept(&self, pipe_buffer: &PipeBuffer, at: usize, upload: &plan::Upload) {
        self.run.upload(at, upload).await;
        let key = u32::try_from(at).unwrap_or(u32::MAX);
        let mut users = self
            .run
            .import
            .plan
            .image_uploads
            .iter()
            .filter(|image_upload| image_upload.blobs.contains(&key));
        if users.all(|image_upload| image_upload.target.repository == upload.home) {
            pipe_buffer.forget(&upload.digest);
        }
    }

    /// Whether the destination has a blob, or can mount it from another repository.
    async fn is_there(&self, upload: &plan::Upload) -> Result<bool, UploadError> {
        let client = self.run.import.client;
        let there = match &upload.held_by {
            Some(from) if client.mount_blob(&upload.home, &upload.digest, from).await.unwrap_or(false) => {
                true
            }
            _ => client.has_blob(&upload.home, &upload.digest).await?.is_some(),
        };
        if there {
            self.run.import.reporter.transfer(upload.home.path(), upload.size, 0).advance(upload.size);
            self.run.count(&Pushed::AlreadyThere);
        }
        Ok(there)
    }

    /// Sends a large blob in chunks of one session. Its events are always consumed to the end, also after a failure. None
    /// if the reading ended inside the blob: its error is then that of the reading.
    async fn push_chunks(
        &self,
        upload: &plan::Upload,
        events: &mut mpsc::Receiver<StreamEvent>,
    ) -> Option<Result<(), UploadError>> {
        let client = self.run.import.client;
        let there = self.is_there(upload).await;
        if !matches!(there, Ok(false)) {
            drop_rest(events).await;
            return Some(there.map(drop));
        }
        let bar = self.run.import.reporter.transfer(upload.home.path(), upload.size, 0);
        let session = Upload::begin(client, &upload.home, upload.digest.algorithm()).await;
        let mut session = session.map_err(UploadError::Registry);
        let mut hasher = Hasher::for_digest(&upload.digest);
        let mut chunk = BytesMut::new();
        let is_complete = loop {
            match events.recv().await {
                Some(StreamEvent::Piece(piece)) => {
                    hasher.update(&piece);
                    bar.advance(piece.len() as u64);
                    if session.is_ok() {
                        chunk.extend_from_slice(&piece);
                    }
                    if chunk.len() >= CHUNK {
                        append(&mut session, chunk.split().freeze()).await;
                    }
                }
                Some(StreamEvent::End) => break true,
                Some(StreamEvent::Begin(_)) | None => break false,
            }
        };
        if !chunk.is_empty() {
            append(&mut session, chunk.freeze()).await;
        }
        let session = match session {
            Ok(session) => session,
            Err(error) => return Some(Err(error)),
        };
        let found = hasher.finish();
        let is_cancelled = self.run.import.cancel.is_cancelled();
        if !is_complete || found != upload.digest || is_cancelled {
            session.cancel().await;
            return is_complete
                .then(|| Err(if is_cancelled { UploadError::Cancelled } else { self.wrong(upload, found) }));
        }
        let finished = session.finish(&upload.digest).await.map_err(UploadError::Registry);
        Some(finished.map(|()| {
            self.run.count(&Pushed::Uploaded { bytes: upload.size });
        }))
    }

    fn wrong(&self, upload: &plan::Upload, found: Digest) -> UploadError {
        let place = self.run.import.image_store.name();
        WrongContent { wanted: upload.digest, found, place }.into()
    }
}

/// Refuses a config that tools read in different ways. If configs can be read before anything is sent, this was checked
/// before; from a pipe, each config is checked when it arrives.
fn check_config(
    upload: &plan::Upload,
    content: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<(), ArchiveError> {
    if !upload.is_config || !upload.carried || upload.size > GATHERED {
        return Ok(());
    }
    match content().and_then(|content| ImageConfig::ambiguity(&content)) {
        Some(error) => Err(ArchiveError::Format(FormatError::Damaged(format!("{}: {error}", upload.digest)))),
        None => Ok(()),
    }
}

/// Whether another session, or another form of upload, may succeed after this error.
fn may_be_sent_again(error: &RegistryError) -> bool {
    !matches!(error.class(), ErrorClass::Denied | ErrorClass::NoSpace | ErrorClass::RateLimited)
}

/// Whether the pipe buffer has room for `size` bytes. If `nothing` will free space, the answer is yes and the write
/// decides.
fn fits(pipe_buffer: &PipeBuffer, size: u64, nothing: bool) -> bool {
    let free = || pipe_buffer.folder().and_then(|folder| free_space(&folder.join("x")));
    nothing || free().is_none_or(|free| free >= size)
}

/// Appends to a session without errors; a failure ends the session, and the rest of the blob is skipped.
async fn append(session: &mut Result<Upload, UploadError>, chunk: Bytes) {
    if let Ok(upload) = session
        && let Err(error) = upload.append(chunk).await
    {
        *session = Err(UploadError::Registry(error));
    }
}

/// Runs `work` while the pushes continue.
async fn beside<T>(pushes: &mut Pushes<'_>, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            Some(()) = pushes.next() => {}
        }
    }
}

/// The pieces up to the end of a blob; none if it breaks off or is longer than expected.
async fn gather(events: &mut mpsc::Receiver<StreamEvent>, size: u64) -> Option<Vec<Bytes>> {
    let (mut pieces, mut gathered) = (Vec::new(), 0);
    loop {
        match events.recv().await? {
            StreamEvent::Piece(piece) => {
                gathered += piece.len() as u64;
                if gathered > size {
                    return None;
                }
                pieces.push(piece);
            }
            StreamEvent::End => return Some(pieces),
            StreamEvent::Begin(_) => return None,
        }
    }
}

/// Skips the rest of a blob.
async fn drop_rest(events: &mut mpsc::Receiver<StreamEvent>) {
    while let Some(event) = events.recv().await {
        if matches!(event, StreamEvent::End) {
            break;
        }
    }
}
