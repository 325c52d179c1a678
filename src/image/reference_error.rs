//! Why a text does not name an image, a repository or a registry.

use super::digest::DigestError;
use super::kept::shortened;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("the reference is empty")]
    Empty,
    #[error("{0:?} names a registry, but no image in it")]
    RegistryOnly(String),
    #[error("{0:?} has a part that was never filled in (a template such as {{{{ … }}}} or a variable)")]
    Unrendered(String),
    #[error("{host:?} is not a registry host: {why}")]
    Host { host: String, why: &'static str },
    #[error("repository {0:?} must be lowercase")]
    Uppercase(String),
    #[error(
        "repository {0:?} is not valid (lowercase letters and digits, joined by one '.', one or two '_', or '-'s)"
    )]
    Path(String),
    #[error("tag {0:?} holds '+', which no registry stores; charts write '_' in its place")]
    TagPlus(String),
    #[error("tag {0:?} is not valid (1 to 128 of letters, digits, '_', '.', '-'; no '.' or '-' first)")]
    Tag(String),
    #[error("name {0:?} is longer than 255 characters, which registries refuse")]
    TooLong(String),
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// Foreign text for an error message: bounded, and the `{:?}` of the message escapes control characters.
pub(super) fn shown(text: &str) -> String {
    shortened(text, 200)
}
