//! What a run reads before it begins: the bundle that is named, the keys and signatures it is trusted by, the policy, and
//! the clients that the network flags and the environment make.
//!
//! Nothing here decides what is exported or imported.

pub(crate) mod bundle_name;
pub(crate) mod clients;
pub(crate) mod keys;
pub(crate) mod open_bundle;
pub(crate) mod policy_check;
pub(crate) mod trust;
