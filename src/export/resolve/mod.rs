//! From references to digests: every manifest of an image and every small config, but no layer, fetched into a spool.

pub mod children;
pub mod referrers;
pub mod resolver;
pub mod spool;
pub(crate) mod told;
