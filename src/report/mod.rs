//! Everything people see while waiting: bars on a terminal, plain lines elsewhere, JSON events on request.
//!
//! Results go to stdout and are the commands' business; everything here goes to stderr. Foreign text is stripped of
//! control characters before it reaches a terminal.

mod amounts;
mod concealed;
mod json_events;
mod progress;
mod reporter;

pub use amounts::{bytes, count};
pub use concealed::{conceal, concealed, printable};
pub(crate) use json_events::write_json;
pub use progress::{ProgressMode, Transfer};
pub use reporter::Reporter;
