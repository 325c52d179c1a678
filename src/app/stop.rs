//! Whether the user asked the program to stop: for waiting loops where no task can be cancelled, and for the exit code
//! of a run that a signal ended.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// A signal that asks the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT
    Interrupt = 1,
    /// SIGTERM
    Terminate = 2,
}

/// The first signal; 0 if there was none.
static REQUESTED: AtomicU8 = AtomicU8::new(0);

/// Records that `signal` was received. Returns whether an earlier one was.
pub(crate) fn request(signal: StopSignal) -> bool {
    REQUESTED.compare_exchange(0, signal as u8, Ordering::Relaxed, Ordering::Relaxed).is_err()
}

/// Whether a stop was requested by a signal.
pub(crate) fn is_requested() -> bool {
    requested().is_some()
}

/// The first signal that requested a stop, if there was one.
pub(crate) fn requested() -> Option<StopSignal> {
    match REQUESTED.load(Ordering::Relaxed) {
        0 => None,
        signal if signal == StopSignal::Terminate as u8 => Some(StopSignal::Terminate),
        _ => Some(StopSignal::Interrupt),
    }
}

/// What is left if the program ends now, while a write may wait for a reader without end.
static BLOCKING: Mutex<Option<&str>> = Mutex::new(None);

/// While it exists, the program may be waiting for the reader of its output, where no cancellation reaches it: after a
/// signal it then ends without that.
#[derive(Debug)]
pub(crate) struct Blocking(());

impl Blocking {
    /// `left` is what is left if the program ends.
    pub(crate) fn begin(left: &'static str) -> Self {
        *BLOCKING.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
        Self(())
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        *BLOCKING.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What is left if the program ends now, if it may be waiting for a reader.
pub(crate) fn blocked() -> Option<&'static str> {
    *BLOCKING.lock().unwrap_or_else(PoisonError::into_inner)
}
