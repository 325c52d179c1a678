//! What may cross: the rules that a site writes down, and what of a bundle stands against them.
//!
//! Pure: text and manifests in, findings out. What cannot be told is a finding too, never a pass. Signatures and SBOMs
//! have to be there; whether a signature of an image is right is told where it runs.

mod beside;
mod facts;
mod judge;
mod parse;
mod source;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

pub use facts::{Configs, Facts, ImageFacts, RunsAs};
pub use parse::{MAX_POLICY, PolicyError};

use crate::image::Reference;
use source::SourcePattern;

/// The rules of a site. At least one of them is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule")]
pub struct Policy {
    /// Where images may come from; empty: from anywhere.
    sources: Vec<SourcePattern>,
    pinned: bool,
    signature: bool,
    sbom: bool,
    no_root: bool,
    /// In bytes.
    max_image_size: Option<u64>,
    /// In bytes.
    max_bundle_size: Option<u64>,
}

/// A rule, called as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    Sources,
    Pinned,
    Signature,
    Sbom,
    NoRoot,
    MaxImageSize,
    MaxBundleSize,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sources => "sources",
            Self::Pinned => "pinned",
            Self::Signature => "signature",
            Self::Sbom => "sbom",
            Self::NoRoot => "noRoot",
            Self::MaxImageSize => "maxImageSize",
            Self::MaxBundleSize => "maxBundleSize",
        })
    }
}

/// What stands against a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub rule: Rule,
    /// None where it is the bundle as a whole.
    pub image: Option<Reference>,
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.image {
            Some(image) => write!(f, "{}: {image} {}", self.rule, self.why),
            None => write!(f, "{}: the bundle {}", self.rule, self.why),
        }
    }
}
