//! A setting or file of the user that cannot be used: the reason, and a hint.

use std::fmt;

/// Why something cannot be used. The text contains no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unusable {
    pub why: String,
    /// A command or flag that can be typed, if there is one.
    pub hint: Option<String>,
}

impl Unusable {
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the subject before the reason: `<what>: <why>`.
    #[must_use]
    pub fn about(mut self, what: impl fmt::Display) -> Self {
        self.why = format!("{what}: {}", self.why);
        self
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unusable {}

impl From<std::io::Error> for Unusable {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}
