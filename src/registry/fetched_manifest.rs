//! A manifest with the warnings that came with it.

use super::retry::RateLimit;
use crate::image::RawManifest;

/// A manifest as fetched.
#[derive(Clone, Debug)]
pub struct FetchedManifest {
    pub manifest: RawManifest,
    /// `Warning` headers of this answer.
    pub warnings: Vec<String>,
    pub rate_limit: Option<RateLimit>,
}
