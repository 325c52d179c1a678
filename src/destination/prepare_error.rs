//! Why something at the destination could not be created, or looked up.

use crate::app::failure::{ExitCode, Explain};
use crate::registry::{ErrorClass, RegistryError};

/// Why something could not be created, or looked up.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct PrepareError {
    what: String,
    why: String,
    pub class: ErrorClass,
    pub hint: Option<String>,
}

impl Explain for PrepareError {
    fn calls_for(&self) -> Option<ExitCode> {
        Some(self.class.exit_code())
    }

    fn hints(&self) -> Vec<String> {
        self.hint.iter().cloned().collect()
    }
}

impl PrepareError {
    pub(super) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        let why = crate::report::printable(&why.into());
        Self { what: what.into(), why, class: ErrorClass::Other, hint: None }
    }

    pub(super) fn class(mut self, class: ErrorClass) -> Self {
        self.class = class;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<RegistryError> for PrepareError {
    fn from(error: RegistryError) -> Self {
        let (class, hint) = (error.class(), error.hint());
        Self { hint, ..Self::new(error.host().to_string(), error.to_string()).class(class) }
    }
}
