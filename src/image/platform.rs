//! Platforms: `os/architecture[/variant]` as in the platform object of an image index (OCI image-spec, image-index.md).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The platform of an image, in Go's `GOOS`/`GOARCH` terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform (write os/architecture[/variant], for example linux/amd64 or linux/arm/v7)")]
pub struct PlatformError(String);

impl Platform {
    pub fn linux_amd64() -> Self {
        Self { os: "linux".into(), architecture: "amd64".into(), variant: None, os_version: None }
    }

    /// Attestation manifests of `BuildKit` stand in an index under `unknown/unknown`; they run nowhere.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }

    /// Whether an image can be listed as one for it: something runs on it, and its name can be typed.
    pub fn is_nameable(&self) -> bool {
        !self.is_unknown() && self.to_string().parse::<Self>().is_ok()
    }

    /// Whether an image for `self` is what a user asking for `wanted` means. A wanted variant must match; none
    /// accepts any, and the default variants (`arm64/v8`, `arm/v7`) equal their absence.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.effective_variant() == wanted.effective_variant())
    }

    fn effective_variant(&self) -> Option<&str> {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm64", None) => Some("v8"),
            ("arm", None) => Some("v7"),
            ("amd64", None) => Some("v1"),
            (_, variant) => variant,
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let refuse = || PlatformError(text.chars().take(80).collect());
        let valid = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(valid) {
            return Err(refuse());
        }
        let (architecture, implied) = match parts[1].to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" => ("amd64".to_owned(), None),
            "aarch64" => ("arm64".to_owned(), None),
            "armhf" => ("arm".to_owned(), Some("v7")),
            "armel" => ("arm".to_owned(), Some("v6")),
            other => (other.to_owned(), None),
        };
        Ok(Self {
            os: parts[0].to_ascii_lowercase(),
            architecture,
            variant: parts.get(2).copied().or(implied).map(str::to_ascii_lowercase),
            os_version: None,
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn aliases_and_variants_match_as_users_mean_them() {
        assert_eq!(platform("linux/x86_64"), Platform::linux_amd64());
        assert!(platform("linux/arm64/v8").satisfies(&platform("linux/arm64")));
        assert!(platform("linux/arm64").satisfies(&platform("linux/arm64/v8")));
        assert!(platform("linux/arm/v6").satisfies(&platform("linux/arm")));
        assert!(!platform("linux/arm/v6").satisfies(&platform("linux/arm/v7")));
        assert!(!platform("windows/amd64").satisfies(&platform("linux/amd64")));
    }

    #[test]
    fn refuses_nonsense() {
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/amd64/v1/x",
            "linux/am d64",
            "li\u{202e}nux/x",
            "linux/arm64\nx",
            "linux/arm64 ",
            "linux/arm64/\t",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
            let mut parts = text.splitn(3, '/').map(str::to_owned);
            let mut part = || parts.next();
            let (os, architecture) = (part().unwrap_or_default(), part().unwrap_or_default());
            let found = Platform { os, architecture, variant: part(), os_version: None };
            assert!(!found.is_nameable(), "{text}");
        }
        assert!(!platform("unknown/unknown").is_nameable() && platform("linux/arm64/v8").is_nameable());
    }
}
