//! Why bytes are not a manifest that can be carried.

use super::decisive::KeyError;

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest is not JSON: {0}")]
    Json(String),
    #[error("{}{error}", within(place))]
    Key { place: String, error: KeyError },
    #[error("obsolete schema 1 manifest: rebuild or re-push the image with a current tool")]
    Schema1,
    #[error(
        "the manifest has both layers and manifests, so tools disagree about what it is (CVE-2021-41190)"
    )]
    Ambiguous,
    #[error("the manifest has neither manifests, layers, blobs nor a config")]
    Shapeless,
    #[error("the manifest says it is {0:?}, which is not a known manifest type")]
    UnknownType(String),
    #[error("the manifest says it is {declared:?}, but its fields are those of {found}")]
    WrongType { declared: String, found: &'static str },
    #[error("{place}: {why}")]
    Descriptor { place: String, why: String },
}

/// `layers[0]: `, or nothing at the top.
pub(super) fn within(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{place}: ") }
}
