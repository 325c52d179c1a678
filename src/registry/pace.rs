//! How fast: requests under way per registry host, pauses a registry asks for, and the byte rate of everything.
//!
//! A host starts with a few requests at once, gains one per smooth round and loses half on 429, 5xx, timeouts
//! and lost upload sessions. A permit is held for one request with its body; permits are never nested. Questions without
//! bodies, which cost a registry little and on a long line nothing but the wait, have permits of their own, and more. A
//! transfer may wait for the download of another blob from which its own is made: such downloads wait for no permit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

const START: usize = 4;
/// HEAD requests that may be under way at once, for each other request that may.
pub const HEADS_PER_JOB: usize = 4;
/// Requests that fail together are one sign of overload, not many.
const CUT_INTERVAL: Duration = Duration::from_secs(1);
/// The rate limiter may run this far ahead, which keeps it smooth without a timer per chunk.
const BURST: Duration = Duration::from_millis(100);

/// The concurrency of one host.
pub(super) struct Concurrency {
    pub(super) transfers: Arc<Limiter>,
    pub(super) heads: Arc<Limiter>,
    /// What transfers wait for while they hold a permit. They are few for each transfer.
    pub(super) bases: Arc<Limiter>,
}

impl Concurrency {
    pub(super) fn new(jobs: usize) -> Self {
        Self {
            transfers: Limiter::new(jobs),
            heads: Limiter::new(jobs.saturating_mul(HEADS_PER_JOB)),
            bases: Limiter::with(Semaphore::MAX_PERMITS, Semaphore::MAX_PERMITS),
        }
    }

    /// Whose permits a request needs.
    pub(super) fn of(&self, method: &Method, is_base: bool) -> &Arc<Limiter> {
        match *method {
            _ if is_base => &self.bases,
            Method::HEAD => &self.heads,
            _ => &self.transfers,
        }
    }

    /// The host showed signs of overload.
    pub(super) fn slow_down(&self) {
        self.transfers.slow_down();
        self.heads.slow_down();
    }

    /// Nothing is to be sent to this host before `wait` is over.
    pub(super) fn pause(&self, wait: Duration) {
        self.transfers.pause(wait);
        self.heads.pause(wait);
        self.bases.pause(wait);
    }
}

/// A mutex whose data stays usable even if a holder panicked.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The concurrency of one kind of request.
pub(super) struct Limiter {
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    /// The lowest the limit has been.
    fewest: usize,
    ceiling: usize,
    /// Permits to take out of circulation as they come back.
    debt: usize,
    smooth: usize,
    last_cut: Option<Instant>,
    paused_until: Option<Instant>,
}

/// One request under way.
pub(super) struct Permit {
    permit: Option<OwnedSemaphorePermit>,
    pacer: Arc<Limiter>,
}

impl Limiter {
    pub(super) fn new(ceiling: usize) -> Arc<Self> {
        let ceiling = ceiling.max(1);
        Self::with(START.min(ceiling), ceiling)
    }

    fn with(limit: usize, ceiling: usize) -> Arc<Self> {
        let state =
            State { limit, fewest: limit, ceiling, debt: 0, smooth: 0, last_cut: None, paused_until: None };
        Arc::new(Self { permits: Arc::new(Semaphore::new(limit)), state: Mutex::new(state) })
    }

    /// Waits for a free place and for the end of a pause.
    pub(super) async fn enter(self: &Arc<Self>) -> Permit {
        // The semaphore is never closed, so the only failure of `acquire_owned` cannot happen.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        loop {
            let until = locked(&self.state).paused_until;
            match until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                _ => break,
            }
        }
        Permit { permit, pacer: Arc::clone(self) }
    }

    /// A request went well: after a whole round of them, one more may run at once.
    pub(super) fn went_well(&self) {
        let mut state = locked(&self.state);
        state.smooth += 1;
        if state.smooth < state.limit || state.limit >= state.ceiling {
            return;
        }
        state.smooth = 0;
        state.limit += 1;
        if state.debt > 0 {
            state.debt -= 1;
        } else {
            self.permits.add_permits(1);
        }
    }

    /// The host showed signs of overload.
    fn slow_down(&self) {
        self.slow_down_at(Instant::now());
    }

    fn slow_down_at(&self, now: Instant) {
        let mut state = locked(&self.state);
        if state.last_cut.is_some_and(|cut| now.duration_since(cut) < CUT_INTERVAL) {
            return;
        }
        let fewer = state.limit - (state.limit / 2).max(1);
        state.limit -= fewer;
        state.fewest = state.fewest.min(state.limit);
        state.smooth = 0;
        state.last_cut = Some(now);
        state.debt += fewer - self.permits.forget_permits(fewer);
    }

    /// Nothing is to be sent to this host before `wait` is over.
    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = locked(&self.state);
        if state.paused_until.is_none_or(|current| current < until) {
            state.paused_until = Some(until);
        }
    }

    pub(super) fn limit(&self) -> usize {
        locked(&self.state).limit
    }

    pub(super) fn fewest(&self) -> usize {
        locked(&self.state).fewest
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = locked(&self.pacer.state);
        if state.debt > 0
            && let Some(permit) = self.permit.take()
        {
            state.debt -= 1;
            permit.forget();
        }
    }
}

/// A limit on bytes per second that all streams share.
pub(super) struct RateLimiter {
    bytes_per_second: u64,
    /// When the bytes granted so far will have been paid for.
    paid_until: Mutex<Instant>,
}

impl RateLimiter {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), paid_until: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` more may have moved.
    pub(super) async fn take(&self, bytes: usize) {
        let cost = Duration::from_nanos(
            u64::try_from(u128::from(bytes as u64) * 1_000_000_000 / u128::from(self.bytes_per_second))
                .unwrap_or(u64::MAX / 4),
        );
        let due = {
            let mut paid_until = locked(&self.paid_until);
            *paid_until = (*paid_until).max(Instant::now()) + cost;
            *paid_until
        };
        if due > Instant::now() + BURST {
            sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn halves_under_load_and_grows_back_to_the_ceiling() {
        let pacer = Limiter::new(6);
        assert_eq!(pacer.limit(), 4);
        let held: Vec<_> =
            [pacer.enter().await, pacer.enter().await, pacer.enter().await, pacer.enter().await].into();
        pacer.slow_down();
        pacer.slow_down();
        assert_eq!(pacer.limit(), 2);
        drop(held);
        assert_eq!(pacer.permits.available_permits(), 2);
        for _ in 0..100 {
            pacer.went_well();
        }
        assert_eq!((pacer.limit(), pacer.permits.available_permits()), (6, 6));
        for round in 1..9 {
            pacer.slow_down_at(Instant::now() + CUT_INTERVAL * round * 2);
        }
        assert_eq!((pacer.limit(), pacer.permits.available_permits()), (1, 1));
    }

    #[tokio::test]
    async fn more_heads_than_transfers_may_be_under_way_and_overload_slows_both() {
        let pace = Concurrency::new(6);
        for _ in 0..1000 {
            pace.of(&Method::HEAD, false).went_well();
            pace.of(&Method::GET, false).went_well();
        }
        assert_eq!((pace.heads.limit(), pace.transfers.limit()), (24, 6));
        pace.slow_down();
        assert_eq!((pace.heads.limit(), pace.transfers.limit()), (12, 3));
    }

    #[tokio::test]
    async fn a_pause_holds_everybody_back() {
        let pacer = Limiter::new(2);
        pacer.pause(Duration::from_millis(40));
        let before = Instant::now();
        let _permit = pacer.enter().await;
        assert!(before.elapsed() >= Duration::from_millis(40));
    }

    #[tokio::test]
    async fn the_rate_holds_over_time() {
        let limiter = RateLimiter::new(50_000);
        let before = Instant::now();
        for _ in 0..100 {
            limiter.take(100).await;
        }
        let seconds = before.elapsed().as_secs_f64();
        // 10 kB at 50 kB/s, less the burst; a busy machine may only be slower.
        assert!(seconds >= 0.1, "{seconds}");
    }
}
