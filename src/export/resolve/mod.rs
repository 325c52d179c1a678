//! From references to digests: every manifest of an image and every small config, but no layer, fetched into a spool.

pub mod children;
pub mod manifest_cache;
pub mod referrers;
pub(crate) mod report;
pub mod resolver;
