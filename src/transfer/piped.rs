//! Importing from a pipe: blobs come once, in order, and are sent on as they come.
//!
//! A small blob is gathered, compared with its digest and sent like any other. A large one goes out in chunks of one
//! upload session, each held in memory until the registry has it; the session is committed only when the digest is
//! right. What the plan does not need is read and dropped.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered};
use tokio::sync::mpsc;

use super::source::WrongContent;
use super::upload::{ArrivalError, Arrived, Import, Run, Sent, Settled, unwrap_source};
use crate::archive::{ArchiveError, Holdings, PipedContent, PipedHead};
use crate::image::{Digest, Hasher};
use crate::plan;
use crate::registry::{BlobSource, Pushed, SourceError, Upload};

/// Blobs up to this many bytes are gathered before they are sent.
const GATHERED: u64 = 8 << 20;
/// Larger ones are sent in chunks of this many bytes.
const CHUNK: usize = 16 << 20;
const QUEUE: usize = 4;

/// What the reading thread says.
enum Event {
    Piece(Bytes),
    /// The blob at this position in member order is over.
    End(usize),
}

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

impl Import<'_> {
    /// Sends what is missing as it comes out of `content`. The last result is that of reading the pipe to its end.
    pub async fn run_piped<R: Read + Send + 'static>(
        &self,
        head: &PipedHead,
        content: PipedContent<R>,
        each: &Settled<'_>,
    ) -> (Vec<Arrived>, Sent, Result<(), ArchiveError>) {
        let run = Run::new(self);
        let (send, receive) = mpsc::channel(QUEUE);
        let blobs = head.layout().stored().start..head.layout().compressed().end;
        let reading = tokio::task::spawn_blocking(move || read(content, blobs, &send));
        let feed = async {
            run.feed(head, receive).await;
            let read = reading.await.unwrap_or(Err(ArchiveError::Invariant("the reading thread panicked")));
            let why = read.as_ref().err().map_or("the stream ended early".to_owned(), ToString::to_string);
            for at in 0..self.plan.uploads.len() {
                // Those that are settled already stay as they are.
                run.settle(at, Err(ArrivalError::Archive(ArchiveError::Damaged(why.clone()))));
            }
            read
        };
        let (read, arrived) = tokio::join!(feed, run.arrivals(each));
        (arrived, run.sent(), read)
    }
}

fn read<R: Read>(
    mut content: PipedContent<R>,
    blobs: std::ops::Range<usize>,
    send: &mpsc::Sender<Event>,
) -> Result<(), ArchiveError> {
    let gone = || ArchiveError::Damaged("stopped".to_owned());
    for index in blobs {
        content.blob(index, &mut |piece| send.blocking_send(Event::Piece(piece)).map_err(|_| gone()))?;
        send.blocking_send(Event::End(index)).map_err(|_| gone())?;
    }
    content.finish()
}

impl Run<'_> {
    async fn feed(&self, head: &PipedHead, mut events: mpsc::Receiver<Event>) {
        let plan = self.import.plan;
        let wanted: HashMap<Digest, usize> =
            plan.uploads.iter().enumerate().map(|(at, upload)| (upload.digest, at)).collect();
        self.head_blobs(head).await;
        let mut pushes: Pushes<'_> = FuturesUnordered::new();
        for (index, blob) in head.bundle().blobs.iter().enumerate().skip(head.layout().stored().start) {
            let Some(&at) = wanted.get(&blob.digest) else {
                if !beside(&mut pushes, drop_until(&mut events, index)).await {
                    break;
                }
                continue;
            };
            let upload = &plan.uploads[at];
            if blob.size <= GATHERED {
                let Some(pieces) = beside(&mut pushes, gather(&mut events, index)).await else {
                    break;
                };
                while pushes.len() >= self.import.jobs.max(1) {
                    pushes.next().await;
                }
                pushes.push(Box::pin(self.push_gathered(at, upload, pieces)));
            } else {
                let result = beside(&mut pushes, self.push_chunks(upload, index, &mut events)).await;
                self.settle(at, result);
            }
            if self.import.cancel.is_cancelled() {
                break;
            }
        }
        while pushes.next().await.is_some() {}
    }

    /// Configs and other small JSON are at hand already.
    async fn head_blobs(&self, head: &PipedHead) {
        let first = head.layout().stored().start;
        let small: HashSet<Digest> = head.bundle().blobs[..first].iter().map(|b| b.digest).collect();
        let uploads = self.import.plan.uploads.iter().enumerate();
        futures_util::stream::iter(uploads.filter(|(_, upload)| small.contains(&upload.digest)))
            .map(|(at, upload)| self.upload(at, upload))
            .buffer_unordered(self.import.jobs.max(1))
            .for_each(|()| futures_util::future::ready(()))
            .await;
    }

    async fn push_gathered(&self, at: usize, upload: &plan::Upload, pieces: Vec<Bytes>) {
        let mut hasher = Hasher::for_digest(&upload.digest);
        for piece in &pieces {
            hasher.update(piece);
        }
        let found = hasher.finish();
        if found != upload.digest {
            let error = WrongContent { wanted: upload.digest, found };
            return self.settle(at, Err(error.into()));
        }
        let bar = self.import.reporter.transfer(upload.home.path(), upload.size, 0);
        let source = Gathered { pieces };
        let pushed =
            self.import.client.push_blob(&upload.home, &upload.digest, upload.size, &source, None).await;
        bar.advance(upload.size);
        self.settle(at, pushed.map(|pushed| self.count(&pushed, upload.size)).map_err(unwrap_source));
    }

    /// Sends a large blob in chunks of one session. Whatever happens, its events are consumed to its end.
    async fn push_chunks(
        &self,
        upload: &plan::Upload,
        index: usize,
        events: &mut mpsc::Receiver<Event>,
    ) -> Result<(), ArrivalError> {
        let client = self.import.client;
        let bar = self.import.reporter.transfer(upload.home.path(), upload.size, 0);
        let there = client.has_blob(&upload.home, &upload.digest).await;
        if !matches!(there, Ok(None)) {
            drop_until(events, index).await;
            bar.advance(upload.size);
            self.count(&Pushed::AlreadyThere, upload.size);
            return there.map(|_| ()).map_err(ArrivalError::Registry);
        }
        let mut session = Upload::begin(client, &upload.home).await.map_err(ArrivalError::Registry);
        let mut hasher = Hasher::for_digest(&upload.digest);
        let mut chunk = BytesMut::new();
        let complete = loop {
            match events.recv().await {
                Some(Event::Piece(piece)) => {
                    hasher.update(&piece);
                    bar.advance(piece.len() as u64);
                    if session.is_ok() {
                        chunk.extend_from_slice(&piece);
                    }
                    if chunk.len() >= CHUNK {
                        append(&mut session, chunk.split().freeze()).await;
                    }
                }
                Some(Event::End(at)) if at == index => break true,
                Some(Event::End(_)) | None => break false,
            }
        };
        if !chunk.is_empty() {
            append(&mut session, chunk.freeze()).await;
        }
        let session = session?;
        let found = hasher.finish();
        if !complete || found != upload.digest || self.import.cancel.is_cancelled() {
            session.cancel().await;
            return Err(WrongContent { wanted: upload.digest, found }.into());
        }
        session.finish(&upload.digest).await.map_err(ArrivalError::Registry)?;
        self.count(&Pushed::Uploaded { bytes: upload.size }, upload.size);
        Ok(())
    }
}

/// Appends to a session that is well; a failure ends it, and the rest of the blob is read past.
async fn append(session: &mut Result<Upload, ArrivalError>, chunk: Bytes) {
    if let Ok(upload) = session
        && let Err(error) = upload.append(chunk).await
    {
        *session = Err(ArrivalError::Registry(error));
    }
}

/// Does `work` while pushes go on.
async fn beside<T>(pushes: &mut Pushes<'_>, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            Some(()) = pushes.next() => {}
        }
    }
}

/// The pieces of blob `index`; none when the stream breaks off inside it.
async fn gather(events: &mut mpsc::Receiver<Event>, index: usize) -> Option<Vec<Bytes>> {
    let mut pieces = Vec::new();
    loop {
        match events.recv().await? {
            Event::Piece(piece) => pieces.push(piece),
            Event::End(at) => return (at == index).then_some(pieces),
        }
    }
}

/// Reads past blob `index`; whether its end came.
async fn drop_until(events: &mut mpsc::Receiver<Event>, index: usize) -> bool {
    loop {
        match events.recv().await {
            Some(Event::End(at)) => return at == index,
            Some(Event::Piece(_)) => {}
            None => return false,
        }
    }
}
