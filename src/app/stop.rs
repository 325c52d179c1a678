//! Whether the user wants the program to end, for loops that wait where no task can be cancelled, and for the exit code of
//! a run that was ended by a signal.

use std::sync::atomic::{AtomicU8, Ordering};

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT
    Interrupt = 1,
    /// SIGTERM
    Terminate = 2,
}

/// The first signal; 0 before there is one.
static REQUESTED: AtomicU8 = AtomicU8::new(0);

/// `signal` has asked for the end. Returns whether an earlier one had.
pub(crate) fn request(signal: StopSignal) -> bool {
    REQUESTED.compare_exchange(0, signal as u8, Ordering::Relaxed, Ordering::Relaxed).is_err()
}

/// Whether a signal has asked for the end.
pub(crate) fn is_requested() -> bool {
    requested().is_some()
}

/// The first signal that asked for the end, if there was one.
pub(crate) fn requested() -> Option<StopSignal> {
    match REQUESTED.load(Ordering::Relaxed) {
        0 => None,
        signal if signal == StopSignal::Terminate as u8 => Some(StopSignal::Terminate),
        _ => Some(StopSignal::Interrupt),
    }
}
