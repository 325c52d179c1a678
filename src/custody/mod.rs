//! The chain of custody: what an export says of the bundle it made, and what an import says of what arrived.
//!
//! Both are in-toto statements about the bundle's id and about every image by its digest, with a predicate described in
//! its own file. They hold what a bundle must not: a clock, a person, a machine. Pure: who and when are given.

mod receipt;
mod statement;

use serde::{Deserialize, Serialize};

pub use receipt::{Arrived, ArrivedImage, ImageState, Receipt};
pub use statement::{ExportStatement, Exported, ExportedImage, Material, MaterialKind};

/// Who did something, when, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Circumstances {
    /// Whoever it was, in their own words or as `user@host`.
    pub by: String,
    /// RFC 3339, in UTC.
    pub at: String,
    pub tool: Tool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    pub name: String,
    pub version: String,
}

impl std::fmt::Display for Circumstances {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "by {} at {}", self.by, self.at)
    }
}
