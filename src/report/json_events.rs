//! JSON events on stderr, one a line.

use std::io::Write;

use super::concealed::concealed;

/// Writes one event.
pub(crate) fn write_json(value: &serde_json::Value) {
    // A closed stderr must not stop the transfer.
    let _ = writeln!(std::io::stderr().lock(), "{}", concealed(&value.to_string()));
}
