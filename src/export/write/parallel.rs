//! Downloading a plan: the stored part in parallel, and beside it the compressed one.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use futures_util::StreamExt;

use super::blob_error::{BlobError, LostBlob};
use super::compressed::CompressedPart;
use super::download::{Download, Downloaded};
use super::stored::StoredPart;

/// Fetches what is missing: stored blobs in offset order, `jobs` at a time, and beside them the compressed ones,
/// one after another, since each begins where the last ended.
pub(crate) async fn run(download: &Download<'_>) -> Result<Downloaded, BlobError> {
    let received = AtomicU64::new(0);
    let lost = Mutex::new(Vec::new());
    let layout = &download.plan.head.layout;
    let (stored, compressed) = (StoredPart(download), CompressedPart(download));
    let stored = futures_util::stream::iter(layout.stored())
        .map(|index| stored.blob(index, &received))
        .buffer_unordered(download.jobs.max(1))
        .for_each(|result| {
            download.keep(result, &lost);
            futures_util::future::ready(())
        });
    let (compressed, ()) = tokio::join!(compressed.all(&received, &lost), stored);
    let mut lost = lost.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // What could not be written is why the others were cancelled.
    let is_write_failure = |lost: &LostBlob| matches!(lost.error, BlobError::Transfer(_));
    let written = lost.iter().position(is_write_failure);
    if let Some(at) = written.or_else(|| lost.iter().position(|lost| lost.error.is_final())) {
        return Err(lost.swap_remove(at).error);
    }
    let (compressed, end) = compressed?;
    Ok(Downloaded { lost, compressed, end, received: received.into_inner() })
}
