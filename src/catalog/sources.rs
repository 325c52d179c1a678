//! `--source FROM=TO`: pull what is called `FROM…` from `TO…`. Both are prefixes of whole components.

use std::fmt;
use std::str::FromStr;

use super::spelling::spelling;
use crate::image::{HostName, ReferenceError, Repository};

/// One rewrite of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRewrite {
    from: Prefix,
    to: Prefix,
}

/// A registry, or the first components of a repository in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    host: HostName,
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceRewriteError {
    #[error("{0:?} is not FROM=TO (for example docker.io/bitnami=docker.io/bitnamilegacy)")]
    Shape(String),
    #[error(transparent)]
    Prefix(#[from] ReferenceError),
}

impl SourceRewrite {
    pub(super) fn fits(&self, repository: &Repository) -> bool {
        *repository.host() == self.from.host && self.rest(repository).is_some()
    }

    /// How long `FROM` is, to choose the closest of several.
    pub(super) fn prefix_length(&self) -> usize {
        self.from.path.len()
    }

    /// What follows `FROM` in the repository's path, with its slash.
    fn rest<'a>(&self, repository: &'a Repository) -> Option<&'a str> {
        let rest = repository.path().strip_prefix(&self.from.path)?;
        (rest.is_empty() || rest.starts_with('/') || self.from.path.is_empty()).then_some(rest)
    }

    pub(super) fn apply(&self, repository: &Repository) -> Result<Repository, ReferenceError> {
        let rest = self.rest(repository).unwrap_or_default();
        let joint = if rest.starts_with('/') || rest.is_empty() { "" } else { "/" };
        let path = format!("{}{joint}{rest}", self.to.path);
        Repository::new(self.to.host.clone(), path.trim_start_matches('/'))
    }
}

impl FromStr for SourceRewrite {
    type Err = SourceRewriteError;

    fn from_str(text: &str) -> Result<Self, SourceRewriteError> {
        let refuse = || SourceRewriteError::Shape(text.chars().take(200).collect());
        let (from, to) = text.split_once('=').ok_or_else(refuse)?;
        let (from, to) = (spelling(from), spelling(to));
        if from.is_empty() || to.is_empty() {
            return Err(refuse());
        }
        Ok(Self { from: from.parse()?, to: to.parse()? })
    }
}

impl FromStr for Prefix {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (first, rest) = text.split_once('/').unwrap_or((text, ""));
        let is_host = first.contains(['.', ':']) || first == "localhost";
        let (host, path) = if is_host { (first, rest) } else { ("docker.io", text) };
        if !path.is_empty() {
            // With any host but Docker Hub's, which would have `library/` put before a single component.
            Repository::new("localhost".parse()?, path)?;
        }
        Ok(Self { host: host.parse()?, path: path.to_owned() })
    }
}

impl fmt::Display for SourceRewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |prefix: &Prefix| {
            let joint = if prefix.path.is_empty() { "" } else { "/" };
            format!("{}{joint}{}", prefix.host, prefix.path)
        };
        write!(f, "{}={}", show(&self.from), show(&self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    #[test]
    fn prefixes_end_between_components() {
        for (rewrite, image, source) in [
            ("docker.io/bitnami=docker.io/bitnamilegacy", "bitnami/kafka", "docker.io/bitnamilegacy/kafka"),
            ("docker.io=mirror.local:5000/hub/", "nginx", "mirror.local:5000/hub/library/nginx"),
            ("docker.io=https://mirror.local", "bitnami/kafka", "mirror.local/bitnami/kafka"),
            ("quay.io/a/b=r.io/c", "quay.io/a/b", "r.io/c"),
            ("bitnami=r.io/x", "docker.io/bitnami/kafka", "r.io/x/kafka"),
        ] {
            let rewrite: SourceRewrite = rewrite.parse().unwrap();
            let image: Reference = image.parse().unwrap();
            assert!(rewrite.fits(image.repository()));
            assert_eq!(rewrite.apply(image.repository()).unwrap().to_string(), source);
        }
        let rewrite: SourceRewrite = "docker.io/bitnami=docker.io/x".parse().unwrap();
        for image in ["bitnamilegacy/kafka", "quay.io/bitnami/kafka", "bitnam/x"] {
            assert!(!rewrite.fits(image.parse::<Reference>().unwrap().repository()), "{image}");
        }
        for text in ["", "a", "=b", "a=", "r.io/A=b", "r.io/../x=b"] {
            assert!(text.parse::<SourceRewrite>().is_err(), "{text}");
        }
        let whole: SourceRewrite = "quay.io/a=r.io".parse().unwrap();
        assert!(whole.apply("quay.io/a".parse::<Reference>().unwrap().repository()).is_err());
    }
}
