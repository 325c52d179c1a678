//! Request bodies: built again for every attempt, always with a stated length, and with a stall timeout.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use tokio::time::{Instant, sleep_until};

use super::BlobSource;
use super::error_kind::{SourceError, WrongLength};
use super::pace::{RateLimiter, locked};
use super::stats::Traffic;

/// In-memory bodies are handed over in such pieces, so that progress shows.
const PIECE: usize = 64 * 1024;
/// Object stores hash a body before they answer. This is the rate of a slow one, in bytes per second.
const SLOWEST_HASHING: u64 = 8 * 1024 * 1024;

/// A request body that can be sent again.
#[derive(Clone)]
pub(super) enum Payload<'a> {
    Empty,
    Bytes(Bytes),
    Source { source: &'a dyn BlobSource, from: u64, length: u64 },
}

impl Payload<'_> {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Source { length, .. } => *length,
        }
    }

    /// The body itself, from its start.
    pub(super) fn body(
        &self,
        watch: &Arc<Transmission>,
        limiter: Option<Arc<RateLimiter>>,
        traffic: Arc<Traffic>,
    ) -> reqwest::Body {
        let left = self.length();
        let stream: BoxStream<'static, Result<Bytes, SourceError>> = match self {
            Self::Empty => futures_util::stream::empty().boxed(),
            Self::Bytes(bytes) => {
                let pieces = futures_util::stream::unfold(bytes.clone(), |mut rest| async move {
                    let piece = rest.split_to(rest.len().min(PIECE));
                    (!piece.is_empty()).then_some((Ok(piece), rest))
                });
                pieces.boxed()
            }
            Self::Source { source, from, length } => source.open(*from, *length),
        };
        let start = Sending { stream, left, watch: Arc::clone(watch), limiter, traffic };
        reqwest::Body::wrap_stream(futures_util::stream::unfold(Some(start), |sending| async move {
            let mut sending = sending?;
            match sending.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(sending))),
                Ok(None) => None,
                Err(error) => {
                    // The body must end in an error, or the wire would see a complete request.
                    *locked(&sending.watch.source_error) = Some(error);
                    Some((Err(std::io::Error::other("upload source failed")), None))
                }
            }
        }))
    }
}

/// The state of a body on its way out.
struct Sending {
    stream: BoxStream<'static, Result<Bytes, SourceError>>,
    left: u64,
    watch: Arc<Transmission>,
    limiter: Option<Arc<RateLimiter>>,
    traffic: Arc<Traffic>,
}

impl Sending {
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            self.watch.enter(Phase::Source);
            let Some(bytes) = self.stream.next().await.transpose()? else {
                if self.left > 0 {
                    return Err(WrongLength::Short(self.left).into());
                }
                self.watch.enter(Phase::Answer);
                return Ok(None);
            };
            let length = bytes.len() as u64;
            if length == 0 {
                continue;
            }
            self.left = self.left.checked_sub(length).ok_or(WrongLength::Long)?;
            if let Some(limiter) = &self.limiter {
                limiter.take(bytes.len()).await;
            }
            self.traffic.sent.fetch_add(length, Ordering::Relaxed);
            // The last byte has been passed on, so the request now waits for the answer.
            self.watch.enter(if self.left == 0 { Phase::Answer } else { Phase::Network });
            return Ok(Some(bytes));
        }
    }
}

/// What a request is waiting for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For local data, which is not a fault of the network.
    Source,
    Network,
    Answer,
}

/// The stall timeout of a request.
pub(super) struct Transmission {
    phase: Mutex<(Phase, Instant)>,
    pub(super) source_error: Mutex<Option<SourceError>>,
}

impl Transmission {
    pub(super) fn new(is_empty: bool) -> Self {
        let phase = if is_empty { Phase::Answer } else { Phase::Network };
        Self { phase: Mutex::new((phase, Instant::now())), source_error: Mutex::new(None) }
    }

    fn enter(&self, phase: Phase) {
        *locked(&self.phase) = (phase, Instant::now());
    }

    /// Returns when no data was transferred for too long.
    pub(super) async fn stalled(&self, stall: Duration, length: u64) -> Duration {
        loop {
            let (phase, since) = *locked(&self.phase);
            let patience = match phase {
                Phase::Answer => stall + Duration::from_secs(length / SLOWEST_HASHING),
                Phase::Source | Phase::Network => stall,
            };
            sleep_until((since + patience).max(Instant::now() + Duration::from_millis(10))).await;
            if phase != Phase::Source && *locked(&self.phase) == (phase, since) {
                return patience;
            }
        }
    }
}
