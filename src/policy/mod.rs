//! What may cross: the rules that a site writes down, and what of a bundle stands against them.
//!
//! Pure: text and manifests in, findings out. What cannot be told is a finding too, never a pass. Signatures and SBOMs
//! have to be there; whether a signature of an image is right is told where it runs. What is waived is told all the same.

mod beside;
mod facts;
mod judge;
mod parse;
mod source;
mod waiver;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

pub use facts::{Facts, ImageFacts, Selection};
pub use parse::{MAX_POLICY, PolicyError};
pub use waiver::Waived;

use crate::image::Reference;
use source::SourcePattern;
use waiver::Waiver;

/// The JSON Schema of policies.
pub const SCHEMA: &str = include_str!("policy.schema.json");

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
    /// What they do not hold for.
    waivers: Vec<Waiver>,
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

impl Rule {
    pub const ALL: [Self; 7] = [
        Self::Sources,
        Self::Pinned,
        Self::Signature,
        Self::Sbom,
        Self::NoRoot,
        Self::MaxImageSize,
        Self::MaxBundleSize,
    ];

    /// Whether it is about the bundle as a whole, and not about each image.
    pub fn is_of_bundle(self) -> bool {
        self == Self::MaxBundleSize
    }
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
    /// Set where it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waived>,
}

impl Finding {
    fn new(rule: Rule, image: Option<Reference>, why: String) -> Self {
        Self { rule, image, why, waived: None }
    }

    /// Whether it stands against letting the bundle pass.
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

impl fmt::Display for Waived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.until {
            Some(until) => write!(f, "waived until {until}: {}", self.reason),
            None => write!(f, "waived: {}", self.reason),
        }
    }
}
