//! The reporter: progress, messages and warnings of a command.

use std::io::IsTerminal;
use std::sync::Arc;

use super::concealed::printable;
use super::json_events::write_json;
use super::progress::{Progress, ProgressMode, Transfer};

/// Takes progress, messages and warnings of a command. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reporter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mode: ProgressMode,
    verbose: u8,
    progress: Progress,
}

impl Reporter {
    pub fn new(mode: ProgressMode, verbose: u8) -> Self {
        let fancy = std::io::stderr().is_terminal()
            && std::env::var_os("CI").is_none()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let mode = match mode {
            ProgressMode::Auto if fancy => ProgressMode::Bar,
            ProgressMode::Auto => ProgressMode::Plain,
            other => other,
        };
        Self(Arc::new(Inner { mode, verbose, progress: Progress::new(mode) }))
    }

    pub fn silent() -> Self {
        Self::new(ProgressMode::None, 0)
    }

    /// A message.
    pub fn say(&self, text: &str) {
        self.line("message", text, "");
    }

    /// A warning.
    pub fn warn(&self, text: &str) {
        self.line("warning", text, "warning: ");
    }

    /// A detail, shown with `-v`.
    pub fn detail(&self, text: &str) {
        if self.0.verbose > 0 {
            self.line("detail", text, "");
        }
    }

    fn line(&self, kind: &str, text: &str, prefix: &str) {
        match self.0.mode {
            ProgressMode::None if kind != "warning" => {}
            ProgressMode::Json => write_json(&serde_json::json!({ "event": kind, "text": text })),
            _ => self.0.progress.print(&format!("{prefix}{}", printable(text))),
        }
    }

    /// Begins a phase of `bytes` to move, of which `already` need no moving.
    pub fn begin(&self, name: &str, bytes: u64, already: u64) {
        self.0.progress.begin(name, bytes, already);
    }

    /// Begins a phase that is counted in items instead of bytes.
    pub fn begin_count(&self, name: &str, count: u64) {
        self.0.progress.begin_count(name, count);
    }

    /// One more item of a phase that was begun with [`Self::begin_count`].
    pub fn step(&self) {
        self.0.progress.advance(1);
    }

    /// More bytes of a phase that has no transfers.
    pub fn advance(&self, bytes: u64) {
        self.0.progress.advance(bytes);
    }

    /// Ends the phase.
    pub fn end(&self) {
        self.0.progress.end();
    }

    /// Begins the transfer of one blob, of which `from` bytes are done already.
    pub fn transfer(&self, label: &str, size: u64, from: u64) -> Transfer {
        self.0.progress.transfer(&printable(label), size, from)
    }
}
