//! Findings: violations of a rule, and whether they are waived.

use std::fmt;

use serde::Serialize;

use super::rule::Rule;
use crate::image::Reference;

/// A violation of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub rule: Rule,
    /// None where it is the bundle as a whole.
    pub image: Option<Reference>,
    pub why: String,
    /// Set if it is waived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waived>,
}

impl Finding {
    pub(super) fn new(rule: Rule, image: Option<Reference>, why: String) -> Self {
        Self { rule, image, why, waived: None }
    }

    /// Whether it counts, because it is not waived.
    pub fn counts(&self) -> bool {
        self.waived.is_none()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.image {
            Some(image) => write!(f, "{}: {image} {}", self.rule, self.why)?,
            None => write!(f, "{}: the bundle {}", self.rule, self.why)?,
        }
        self.waived.as_ref().map_or(Ok(()), |waived| write!(f, " ({waived})"))
    }
}

/// Why a finding is waived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waived {
    pub reason: String,
    /// The last day, as `2027-01-31`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl fmt::Display for Waived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.until {
            Some(until) => write!(f, "waived until {until}: {}", self.reason),
            None => write!(f, "waived: {}", self.reason),
        }
    }
}
