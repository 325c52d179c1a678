//! Exporting to a pipe: the same bytes as in a file, strictly in order, with downloads read ahead in bounded memory.
//!
//! A blob that fits into its share of the read-ahead window is complete and right before its first byte goes out. A
//! larger one goes out as it comes; when it turns out wrong the stream ends without its end, so that no reader takes
//! it for whole.

use std::io::Write;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::TransferError;
use super::download::BlobError;
use crate::archive::{self, FRAME_CONTENT, StoredEncoder};
use crate::image::{Digest, Hasher, Repository};
use crate::plan::ExportPlan;
use crate::registry::RegistryClient;
use crate::report::Reporter;

/// Read-ahead per job, in bytes.
const SHARE: u64 = 8 << 20;
/// Network chunks are gathered into pieces of about this size.
const PIECE: usize = 512 << 10;
const QUEUE: usize = 14;

/// An export into `out`. The head has been written already.
pub struct StreamExport<'a, W> {
    pub client: &'a RegistryClient,
    pub plan: &'a ExportPlan,
    pub out: W,
    pub elsewhere: &'a (dyn Fn(&Digest) -> Vec<Repository> + Sync),
    pub jobs: usize,
    pub reporter: &'a Reporter,
}

impl<W> std::fmt::Debug for StreamExport<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamExport").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

/// A blob that could not be sent on; everything before it is out.
#[derive(Debug)]
pub struct Broken {
    pub index: usize,
    pub error: BlobError,
}

type Arriving = mpsc::Receiver<Result<Vec<Bytes>, BlobError>>;

impl<W: Write> StreamExport<'_, W> {
    /// Writes everything after the head.
    pub async fn run(mut self) -> Result<(), Broken> {
        let (client, plan, reporter, elsewhere) = (self.client, self.plan, self.reporter, self.elsewhere);
        let layout = &plan.head.layout;
        let mut ahead = layout.stored().start..layout.compressed().end;
        let mut compressed = Vec::new();
        let mut running = futures_util::stream::FuturesUnordered::new();
        let mut waiting = std::collections::VecDeque::new();
        loop {
            while waiting.len() < self.jobs.max(1) {
                // Fetching begins as soon as a blob is among the next few; what arrives is taken in order.
                let Some(index) = ahead.next() else { break };
                let (send, receive) = mpsc::channel(QUEUE);
                running.push(fetch(client, plan, reporter, elsewhere, index, send));
                waiting.push_back((index, receive));
            }
            let Some((index, mut receive)) = waiting.pop_front() else {
                break;
            };
            let frames = {
                let take = self.take(index, &mut receive);
                tokio::pin!(take);
                loop {
                    tokio::select! {
                        frames = &mut take => break frames,
                        Some(()) = running.next() => {}
                    }
                }
            };
            let frames = frames.map_err(|error| Broken { index, error })?;
            if layout.compressed().contains(&index) {
                compressed.push(frames);
            }
        }
        let last = plan.bundle.blobs.len().saturating_sub(1);
        let ending = archive::ending(layout, &plan.bundle.blobs, &compressed).map_err(TransferError::from);
        ending
            .and_then(|ending| write(&mut self.out, &ending))
            .and_then(|()| self.out.flush().map_err(TransferError::io("stdout".as_ref())))
            .map_err(|error| Broken { index: last, error: error.into() })
    }

    /// Writes blob `index` as it arrives; the file lengths of its frames come back if it is compressed.
    async fn take(&mut self, index: usize, receive: &mut Arriving) -> Result<Vec<u32>, BlobError> {
        let blob = &self.plan.bundle.blobs[index];
        let mut hasher = Hasher::for_digest(&blob.digest);
        let joint = archive::joint(&self.plan.head.layout, &self.plan.bundle.blobs, index);
        let mut encoder = if self.plan.head.layout.stored().contains(&index) {
            Ok(StoredEncoder::new(blob.size))
        } else {
            Err(Vec::new())
        };
        let mut frames = Vec::new();
        let mut out = joint;
        let mut taken = 0;
        while let Some(piece) = receive.recv().await {
            let piece = piece?;
            tokio::task::block_in_place(|| {
                for chunk in piece {
                    hasher.update(&chunk);
                    taken += chunk.len() as u64;
                    match &mut encoder {
                        Ok(encoder) => encoder.push(&chunk, &mut out).map_err(TransferError::from)?,
                        Err(frame) => compress(&chunk, frame, taken == blob.size, &mut out, &mut frames)?,
                    }
                }
                write(&mut self.out, &out)?;
                out.clear();
                Ok::<_, TransferError>(())
            })?;
        }
        write(&mut self.out, &out)?;
        let found = hasher.finish();
        if found == blob.digest {
            Ok(frames)
        } else {
            Err(BlobError::Digest { wanted: blob.digest.into(), found: found.into() })
        }
    }
}

/// Adds `chunk` to `frame`, and compresses it when it is full or the last.
fn compress(
    mut chunk: &[u8],
    frame: &mut Vec<u8>,
    last: bool,
    out: &mut Vec<u8>,
    frames: &mut Vec<u32>,
) -> Result<(), TransferError> {
    let full = usize::try_from(FRAME_CONTENT).unwrap_or(usize::MAX);
    while !chunk.is_empty() {
        let (now, later) = chunk.split_at(chunk.len().min(full - frame.len()));
        frame.extend_from_slice(now);
        chunk = later;
        if frame.len() == full || (last && chunk.is_empty()) {
            let bytes = archive::compressed_frame(frame)?;
            frames.push(
                u32::try_from(bytes.len()).map_err(|_| TransferError::Invariant("a frame over 4 GiB"))?,
            );
            out.extend(bytes);
            frame.clear();
        }
    }
    Ok(())
}

fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), TransferError> {
    out.write_all(bytes).map_err(TransferError::io("stdout".as_ref()))
}

/// Fetches blob `index` into `send`: a small one whole and checked, a large one as it comes.
async fn fetch(
    client: &RegistryClient,
    plan: &ExportPlan,
    reporter: &Reporter,
    elsewhere: &(dyn Fn(&Digest) -> Vec<Repository> + Sync),
    index: usize,
    send: mpsc::Sender<Result<Vec<Bytes>, BlobError>>,
) {
    let blob = &plan.bundle.blobs[index];
    let first = plan.source(index);
    let mut result = fetch_from(client, plan, reporter, first, index, &send).await;
    if blob.size <= SHARE && result.is_err() {
        for other in elsewhere(&blob.digest).iter().filter(|other| *other != first) {
            result = fetch_from(client, plan, reporter, other, index, &send).await;
            if result.is_ok() {
                break;
            }
        }
    }
    if let Err(error) = result {
        // A receiver that is gone has failed before this.
        let _ = send.send(Err(error)).await;
    }
}

async fn fetch_from(
    client: &RegistryClient,
    plan: &ExportPlan,
    reporter: &Reporter,
    repository: &Repository,
    index: usize,
    send: &mpsc::Sender<Result<Vec<Bytes>, BlobError>>,
) -> Result<(), BlobError> {
    let blob = &plan.bundle.blobs[index];
    if blob.size == 0 {
        return Ok(());
    }
    let bar = reporter.transfer(&format!("{repository} {}", blob.digest.short()), blob.size, 0);
    let whole_first = blob.size <= SHARE;
    let mut hasher = Hasher::for_digest(&blob.digest);
    let mut stream = client.blob(repository, &blob.digest, blob.size, 0).await?;
    let (mut piece, mut gathered) = (Vec::new(), 0);
    while let Some(chunk) = stream.next().await? {
        bar.advance(chunk.len() as u64);
        gathered += chunk.len();
        if whole_first {
            hasher.update(&chunk);
        }
        piece.push(chunk);
        if !whole_first && gathered >= PIECE {
            gathered = 0;
            if send.send(Ok(std::mem::take(&mut piece))).await.is_err() {
                return Ok(());
            }
        }
    }
    if whole_first {
        let found = hasher.finish();
        if found != blob.digest {
            return Err(BlobError::Digest { wanted: blob.digest.into(), found: found.into() });
        }
    }
    let _ = send.send(Ok(piece)).await;
    Ok(())
}
