//! Whether the user wants the program to end, for loops that wait where no task can be cancelled.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// A signal has asked for the end.
pub fn request() {
    REQUESTED.store(true, Ordering::Relaxed);
}

/// Whether a signal has asked for the end.
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
