//! What every command is handed: the reporter, the way to stop, the format of results.

use tokio_util::sync::CancellationToken;

use crate::cli::{OutputArgs, ResultFormat};
use crate::report::Reporter;

#[derive(Clone, Debug)]
pub struct Session {
    pub reporter: Reporter,
    /// Cancelled by the first Ctrl-C.
    pub cancel: CancellationToken,
    pub format: ResultFormat,
}

impl Session {
    pub fn new(output: &OutputArgs, cancel: CancellationToken) -> Self {
        Self { reporter: Reporter::new(output.progress, output.verbose), cancel, format: output.format }
    }
}
