//! Turns references into digests: fetches every manifest of an image and every small config into a cache, but no
//! layers.

pub(crate) mod error;
pub(crate) mod fetcher;
pub(crate) mod manifest_cache;
pub(crate) mod referrers;
pub(crate) mod report;
pub(crate) mod resolver;
