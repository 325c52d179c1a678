//! From references to digests: every manifest of an image and every small config, but no layer, fetched into a spool.

pub(crate) mod children;
pub(crate) mod manifest_cache;
pub(crate) mod referrers;
pub(crate) mod report;
pub(crate) mod resolver;
