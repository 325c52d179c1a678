//! The lowest rate at which a client may send or read. The number of connections is limited, so without it a few very
//! slow clients would block all others.
//!
//! Only time that is spent waiting for the client counts, not what the registry's own disk takes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::StatusCode;
use http_body_util::BodyDataStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::answer::Refusal;
use super::body::Body;
use super::limits::PaceLimits;

/// The time for which a client may still stall: transferred bytes increase it, waiting reduces it.
#[derive(Debug)]
struct Pace {
    limits: PaceLimits,
    left: Duration,
}

impl Pace {
    fn new(limits: PaceLimits) -> Self {
        Self { limits, left: limits.patience }
    }

    /// Records that `bytes` were transferred after `waited`.
    fn moved(&mut self, waited: Duration, bytes: usize) {
        let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(self.limits.least_rate.max(1));
        let earned = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.left = self.left.saturating_sub(waited).saturating_add(earned).min(self.limits.patience);
    }
}

/// The body of a request, with an error if the client is too slow.
pub(super) struct Incoming {
    frames: BodyDataStream<Body>,
    pace: Pace,
}

impl Incoming {
    pub(super) fn new(body: Body, limits: PaceLimits) -> Self {
        Self { frames: body.into_data_stream(), pace: Pace::new(limits) }
    }

    /// The next piece; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let start = Instant::now();
        match tokio::time::timeout(self.pace.left, self.frames.next()).await {
            Ok(Some(Ok(frame))) => {
                self.pace.moved(start.elapsed(), frame.len());
                Ok(Some(frame))
            }
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err(Refusal::bad("BLOB_UPLOAD_INVALID", "the request's body ended early")),
            Err(_) => {
                let message = "the request's body comes too slowly";
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", message).closing())
            }
        }
    }
}

/// A connection whose writes fail when the client reads too slowly.
pub(super) struct StallTimeout<S> {
    stream: S,
    pace: Pace,
    /// When the pending write began, and the timer for it.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> StallTimeout<S> {
    pub(super) fn new(stream: S, limits: PaceLimits) -> Self {
        Self { stream, pace: Pace::new(limits), waiting: None }
    }

    /// Passes `progress` on, or an error if the write has waited for too long.
    fn watch<T>(
        &mut self,
        progress: Poll<io::Result<T>>,
        context: &mut Context<'_>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = progress {
            let waited = self.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
            self.pace.moved(waited, done.as_ref().map_or(0, bytes));
            return Poll::Ready(done);
        }
        let left = self.pace.left;
        let waiting =
            self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        ready!(waiting.1.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(progress, context, |written| *written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.watch(progress, context, |written| *written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(progress, context, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(progress, context, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn patience_is_lost_by_waiting_and_won_back_by_bytes() {
        let mut pace = Pace::new(PaceLimits { patience: 10 * SECOND, least_rate: 100 });
        // Ten bytes a second are a tenth of what it takes.
        for left in [9100, 8200, 7300] {
            pace.moved(SECOND, 10);
            assert_eq!(pace.left, Duration::from_millis(left));
        }
        // At the least rate nothing is lost, and more is no credit for later.
        pace.moved(3 * SECOND, 300);
        assert_eq!(pace.left, Duration::from_millis(7300));
        pace.moved(SECOND, usize::MAX);
        assert_eq!(pace.left, 10 * SECOND);
        pace.moved(11 * SECOND, 0);
        assert_eq!(pace.left, Duration::ZERO);
        let mut none = Pace::new(PaceLimits { patience: SECOND, least_rate: 0 });
        none.moved(SECOND, 1);
        assert_eq!(none.left, SECOND);
    }

    /// Without any patience, a write that has to wait fails, and one that need not does not.
    #[tokio::test]
    async fn a_reader_that_is_too_slow_is_not_waited_for() {
        for (patience, waits) in [(Duration::ZERO, false), (3600 * SECOND, true)] {
            let (near, mut far) = tokio::io::duplex(10);
            let mut near = StallTimeout::new(near, PaceLimits { patience, least_rate: 1 });
            near.write_all(&[1; 10]).await.unwrap();
            let (written, read) = tokio::join!(near.write_all(&[1; 30]), async {
                // Only now, after the write has been tried.
                let mut buffer = [0; 40];
                far.read_exact(&mut buffer[..if waits { 40 } else { 10 }]).await
            });
            assert_eq!(
                written.map_err(|error| error.kind()).err(),
                (!waits).then_some(io::ErrorKind::TimedOut)
            );
            read.unwrap();
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_too_slowly_is_refused() {
        let limits = PaceLimits { patience: Duration::ZERO, least_rate: 1 };
        let body =
            futures_util::stream::iter([Ok::<_, io::Error>("some")]).chain(futures_util::stream::pending());
        let mut incoming = Incoming::new(Body::from_stream(body), limits);
        assert_eq!(incoming.next().await.unwrap().unwrap(), "some");
        assert_eq!(incoming.next().await.unwrap_err().status, StatusCode::REQUEST_TIMEOUT);
        let mut whole = Incoming::new(Body::from("all"), limits);
        assert_eq!(whole.next().await.unwrap().unwrap(), "all");
        assert!(whole.next().await.unwrap().is_none());
    }
}
