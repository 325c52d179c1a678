//! Where the bytes of an upload come from.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use super::error_kind::SourceError;

/// Where the bytes of an upload come from; it can be opened again as often as the network needs it.
///
/// The stream yields an error *instead of* its last chunk when the content is not what its digest says: a
/// request that ends in an error is never complete, so nothing wrong is ever committed.
pub trait BlobSource: Send + Sync {
    /// The `length` bytes from `from` on.
    fn open(&self, from: u64, length: u64) -> BoxStream<'static, Result<Bytes, SourceError>>;
}

/// Bytes in memory.
impl BlobSource for Bytes {
    fn open(&self, from: u64, length: u64) -> BoxStream<'static, Result<Bytes, SourceError>> {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let piece = self.slice(at(from)..at(from.saturating_add(length)));
        futures_util::stream::iter((!piece.is_empty()).then_some(Ok(piece))).boxed()
    }
}
