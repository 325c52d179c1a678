//! What a run reads before it begins: the bundle that is named, the keys and signatures it is trusted by, the policy, and
//! the clients that the network flags and the environment make; and the blobs of a bundle or repository as an upload reads
//! them.
//!
//! Nothing here decides what is exported or imported.

pub(crate) mod blob_sources;
pub(crate) mod bundle_name;
pub(crate) mod clients;
pub(crate) mod content_source;
pub(crate) mod held;
pub(crate) mod keys;
pub(crate) mod open_bundle;
pub(crate) mod policy_check;
pub(crate) mod trust;
