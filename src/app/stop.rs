//! Whether the user wants the program to end, for loops that wait where no task can be cancelled, and for the exit code of
//! a run that was ended by a signal.

use std::sync::atomic::{AtomicU8, Ordering};

use super::failure::ExitCode;

/// The exit code of the first signal; 0 before there is one.
static REQUESTED: AtomicU8 = AtomicU8::new(0);

/// A signal that calls for `code` has asked for the end. Returns whether an earlier one had.
pub fn request(code: ExitCode) -> bool {
    REQUESTED.compare_exchange(0, code as u8, Ordering::Relaxed, Ordering::Relaxed).is_err()
}

/// Whether a signal has asked for the end.
pub fn is_requested() -> bool {
    exit_code().is_some()
}

/// The exit code that the first signal calls for, if there was one.
pub fn exit_code() -> Option<ExitCode> {
    match REQUESTED.load(Ordering::Relaxed) {
        0 => None,
        code if code == ExitCode::Terminated as u8 => Some(ExitCode::Terminated),
        _ => Some(ExitCode::Interrupted),
    }
}
