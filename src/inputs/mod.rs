//! What a run reads before it begins: the bundle, the keys and signatures that it is checked with, the policy, and the
//! network settings for the registry clients. Also provides the blobs of a bundle or repository to uploads.
//!
//! Nothing here decides what is exported or imported.

pub(crate) mod base_contents;
pub(crate) mod blob_sources;
pub(crate) mod bundle_name;
pub(crate) mod clients;
pub(crate) mod content_source;
pub(crate) mod held;
pub(crate) mod keys;
pub(crate) mod open_bundle;
pub(crate) mod policy_check;
pub(crate) mod remote_bases;
pub(crate) mod trust;
