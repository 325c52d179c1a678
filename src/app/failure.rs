//! What an error means for the user: its exit code, and hints what to do.
//!
//! Each error type defines both in the module that owns it ([`Explain`]); nothing is derived from an error's text. A
//! [`Failure`] is an error whose message is already formatted.

use std::path::Path;

use super::own_file::is_no_space;
use super::stop::StopSignal;
use super::unusable::Unusable;

/// An error that knows its exit code and its hints.
pub trait Explain: std::error::Error + 'static {
    /// The exit code for this error; none if that depends on its causes.
    fn calls_for(&self) -> Option<ExitCode>;

    /// The exit code of a run that ends with it.
    fn exit_code(&self) -> ExitCode {
        self.calls_for().unwrap_or(ExitCode::Failed)
    }

    /// Hints; each contains a command or flag that can be typed, if there is one.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Explain for std::io::Error {
    fn calls_for(&self) -> Option<ExitCode> {
        is_no_space(self).then_some(ExitCode::NoSpace)
    }
}

impl Explain for Failure {
    fn calls_for(&self) -> Option<ExitCode> {
        Some(self.code)
    }

    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }
}

/// The program's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    Done = 0,
    /// Anything without a code of its own, such as a file that cannot be written.
    Failed = 1,
    /// The arguments, a file that they name or an environment variable cannot be used.
    Usage = 2,
    /// Content is damaged, not what its digest says, or forbidden by a policy.
    Content = 3,
    /// A login is missing or not sufficient.
    Denied = 4,
    /// A registry or server does not answer, or fails.
    Unreachable = 5,
    NoSpace = 6,
    /// Some images are done and others are not.
    Partly = 7,
    /// The compared items differ, and an exit code for that was requested.
    Differs = 8,
    /// By SIGINT.
    Interrupted = 130,
    /// By SIGTERM.
    Terminated = 143,
}

impl From<StopSignal> for ExitCode {
    fn from(signal: StopSignal) -> Self {
        match signal {
            StopSignal::Interrupt => Self::Interrupted,
            StopSignal::Terminate => Self::Terminated,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// An error that knows its exit code, and what the user can do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub code: ExitCode,
    pub message: String,
    pub hints: Vec<String>,
    #[source]
    pub cause: Option<anyhow::Error>,
}

impl Failure {
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new(), cause: None }
    }

    /// The failure for `error`, with the error's own message.
    pub(crate) fn of(error: &dyn Explain) -> Self {
        Self { hints: error.hints(), ..Self::new(error.exit_code(), error.to_string()) }
    }

    /// A file that cannot be read or written.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        let code = if is_no_space(error) { ExitCode::NoSpace } else { ExitCode::Failed };
        Self::new(code, format!("{}: {error}", path.display()))
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// A file or setting that cannot be used, detected before anything was sent.
    pub(crate) fn unusable(what: Unusable) -> Self {
        Self { hints: what.hint.into_iter().collect(), ..Self::usage(what.why) }
    }

    /// A run that a signal ended; `kept` says which part of its work is kept.
    pub(crate) fn interrupted(kept: &str) -> Self {
        Self::new(ExitCode::Interrupted, format!("stopped; {kept}"))
    }

    /// Adds the error that caused it, and that error's hints.
    #[must_use]
    pub(crate) fn because(mut self, cause: anyhow::Error) -> Self {
        self.cause = Some(cause);
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}
