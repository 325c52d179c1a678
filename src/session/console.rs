//! Writes results to stdout, completely or with an error.
//!
//! A closed pipe is not an error: its reader needs no more.

use std::io::{self, Write};
use std::path::Path;

use crate::app::failure::Failure;

/// A result as text. Characters that could move a cursor or hide text are shown as U+FFFD.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write(crate::report::printable(text).as_bytes())
}

/// A result as one JSON value.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    write(format!("{}\n", crate::report::concealed(&format!("{value:#}"))).as_bytes())
}

/// Bytes that this program has made.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    checked(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// The result of writing to stdout.
pub(crate) fn checked(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io(Path::new("stdout"), &error))
        }
        _ => Ok(()),
    }
}
