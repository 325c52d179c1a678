//! A blob of a bundle as the source of an upload: read and hashed on a thread of its own.
//!
//! The last piece is held back until the digest of the whole content is correct, so that a registry never gets a
//! complete body with wrong content.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use crate::app::failure::{ExitCode, Explain};
use crate::archive::{ArchiveError, FormatError, ImageStore};
use crate::image::{Digest, Hasher};
use crate::registry::{BlobPlace, BlobSource, RegistryClient, RegistryError, SourceError};
use crate::report::Transfer;

/// Pieces that may wait for the network.
const QUEUE: usize = 4;
/// Pieces are cut to this size at most: a compressed frame comes as 8 MiB.
const PIECE: usize = 1 << 20;

/// One blob, which can be sent again as often as needed.
#[derive(Clone, Debug)]
pub(crate) struct LocalBlob {
    pub image_store: Arc<dyn ImageStore>,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Counts every byte that was passed on.
    pub bar: Option<Arc<Transfer>>,
}

/// The content of a blob does not have the expected digest.
#[derive(Debug, thiserror::Error)]
#[error("its content in the bundle has another digest, {found}: {place}")]
pub struct WrongContent {
    pub wanted: Digest,
    pub found: Digest,
    /// Where the content was read.
    pub place: String,
}

impl Explain for WrongContent {
    fn calls_for(&self) -> Option<ExitCode> {
        Some(ExitCode::Content)
    }
}

impl BlobSource for LocalBlob {
    fn open(&self, from: u64, length: u64) -> BoxStream<'static, Result<Bytes, SourceError>> {
        let (send, receive) = mpsc::channel(QUEUE);
        let blob = self.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = blob.pump(from, length, &send) {
                // A receiver that is gone does not need the error either.
                let _ = send.blocking_send(Err(error));
            }
        });
        let bar = self.bar.clone();
        let stream = futures_util::stream::unfold(receive, |mut receive| async move {
            receive.recv().await.map(|piece| (piece, receive))
        });
        let mut at = from;
        stream
            .inspect(move |piece: &Result<Bytes, SourceError>| {
                if let (Ok(piece), Some(bar)) = (piece, &bar) {
                    at += piece.len() as u64;
                    bar.reached(at);
                }
            })
            .boxed()
    }
}

/// A blob in another repository of the destination: if it cannot be mounted, it is downloaded and uploaded.
#[derive(Clone)]
pub(crate) struct RemoteBlob {
    pub(crate) client: RegistryClient,
    pub(crate) place: BlobPlace,
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
}

impl BlobSource for RemoteBlob {
    fn open(&self, from: u64, length: u64) -> BoxStream<'static, Result<Bytes, SourceError>> {
        let Self { client, place, digest, size } = self.clone();
        let stream = async move { client.blob(&place, &digest, size, from).await };
        futures_util::stream::once(stream)
            .map_ok(|blob| {
                futures_util::stream::try_unfold(blob, |mut blob| async move {
                    let piece = blob.next().await?;
                    Ok::<_, RegistryError>(piece.map(|piece| (piece, blob)))
                })
            })
            .try_flatten()
            .map_err(SourceError::from)
            .scan(length, |left, piece: Result<Bytes, SourceError>| {
                let cut = piece.map(|mut piece| {
                    piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= piece.len() as u64;
                    piece
                });
                std::future::ready(Some(cut).filter(|cut| !matches!(cut, Ok(piece) if piece.is_empty())))
            })
            .boxed()
    }
}

type Sender = mpsc::Sender<Result<Bytes, SourceError>>;

impl LocalBlob {
    /// Sends `length` bytes from `from`. If that includes the end, the whole content is hashed, including earlier
    /// bytes.
    fn pump(&self, from: u64, length: u64, send: &Sender) -> Result<(), SourceError> {
        let to_end = from + length >= self.size;
        let mut hasher = to_end.then(|| Hasher::for_digest(&self.digest));
        let mut at = if to_end { 0 } else { from };
        let mut held: Option<Bytes> = None;
        for piece in self.image_store.open(&self.digest, at)? {
            let mut piece = piece?;
            if at + piece.len() as u64 > self.size {
                return Err(ArchiveError::Format(FormatError::Damaged(format!(
                    "{} is longer than planned",
                    self.digest
                )))
                .into());
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(&piece);
            }
            let before = usize::try_from(from.saturating_sub(at)).unwrap_or(usize::MAX).min(piece.len());
            at += piece.len() as u64;
            let _ = piece.split_to(before);
            let beyond = usize::try_from(at.saturating_sub(from + length)).unwrap_or(0).min(piece.len());
            piece.truncate(piece.len() - beyond);
            while !piece.is_empty() {
                let now = piece.split_to(piece.len().min(PIECE));
                if let Some(earlier) = held.replace(now)
                    && send.blocking_send(Ok(earlier)).is_err()
                {
                    return Ok(());
                }
            }
            if at >= from + length && !to_end {
                break;
            }
        }
        if let Some(found) = hasher.map(Hasher::finish)
            && found != self.digest
        {
            let place = self.image_store.place(&self.digest);
            return Err(WrongContent { wanted: self.digest, found, place }.into());
        }
        if let Some(last) = held {
            let _ = send.blocking_send(Ok(last));
        }
        Ok(())
    }
}
