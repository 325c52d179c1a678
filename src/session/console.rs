//! Results on stdout, whole or with an error.
//!
//! A reader that has gone away has seen enough: a closed pipe is not an error.

use std::io::{self, Write};
use std::path::Path;

use crate::app::failure::Failure;

/// A result for people. What could move a cursor or hide text is shown as U+FFFD.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write(crate::report::printable(text).as_bytes())
}

/// A result for programs: one JSON value.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    write(format!("{}\n", crate::report::concealed(&format!("{value:#}"))).as_bytes())
}

/// Bytes of our own making.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    checked(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// What writing to stdout came to.
pub(crate) fn checked(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io(Path::new("stdout"), &error))
        }
        _ => Ok(()),
    }
}
