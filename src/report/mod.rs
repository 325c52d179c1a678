//! Everything people see while waiting: bars on a terminal, plain lines elsewhere, JSON events on request.
//!
//! Results go to stdout and are the commands' business; everything here goes to stderr. Foreign text is stripped of
//! control characters before it reaches a terminal.

mod progress;

use std::io::{IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use progress::Progress;
pub use progress::Transfer;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, plain lines elsewhere.
    Auto,
    Bar,
    Plain,
    /// One JSON object per line.
    Json,
    None,
}

/// Where a command says what it does. Cheap to clone.
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

    /// Something the user should know.
    pub fn say(&self, text: &str) {
        self.line("message", text, "");
    }

    /// Something that may be wrong.
    pub fn warn(&self, text: &str) {
        self.line("warning", text, "warning: ");
    }

    /// Something for those who asked for details with `-v`.
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

    /// Begins a phase that is counted in things, not bytes.
    pub fn begin_count(&self, name: &str, count: u64) {
        self.0.progress.begin_count(name, count);
    }

    /// One more thing of a phase begun with [`Self::begin_count`].
    pub fn step(&self) {
        self.0.progress.advance(1);
    }

    /// So many more bytes of a phase that has no transfers of its own.
    pub fn advance(&self, bytes: u64) {
        self.0.progress.advance(bytes);
    }

    /// Ends the phase.
    pub fn end(&self) {
        self.0.progress.end();
    }

    /// One blob on its way; `from` bytes are there already.
    pub fn transfer(&self, label: &str, size: u64, from: u64) -> Transfer {
        self.0.progress.transfer(&printable(label), size, from)
    }
}

/// What is never shown, longest first; see [`conceal`].
static CONCEALED: OnceLock<Vec<String>> = OnceLock::new();

/// Never shows these texts: passwords and signed queries that stand in the arguments of the program. Said once, at its start.
pub fn conceal(mut secrets: Vec<String>) {
    // One may be part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let _ = CONCEALED.set(secrets);
}

/// `text` without what is never shown.
pub fn concealed(text: &str) -> String {
    let secrets = CONCEALED.get().into_iter().flatten();
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
}

/// `text` without what is never shown, and without what could move a cursor or hide text.
pub fn printable(text: &str) -> String {
    let hostile = |c: char| {
        // Controls, marks of direction, what has no width, and tags.
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    concealed(text).chars().map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect()
}

/// Bytes for people: `1.69 GB`.
pub fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}

/// `1 image`, `2 images`.
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

pub(crate) fn write_json(value: &serde_json::Value) {
    // A closed stderr is no reason to stop moving bytes.
    let _ = writeln!(std::io::stderr().lock(), "{}", concealed(&value.to_string()));
}
