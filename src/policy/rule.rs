//! The rules and their names.

use std::fmt;

use serde::Serialize;

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
