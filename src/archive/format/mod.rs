//! The parts of a bundle, down to its bytes: contents, head, tar members and frames.

pub(in crate::archive) mod artifacts;
pub(in crate::archive) mod compact_body;
pub(in crate::archive) mod compact_bounds;
pub(in crate::archive) mod compact_walk;
pub(in crate::archive) mod contents;
pub(in crate::archive) mod expansion;
pub(in crate::archive) mod frame;
pub(in crate::archive) mod head;
pub(in crate::archive) mod layout;
pub(in crate::archive) mod manifest_source;
pub(in crate::archive) mod member;
pub(in crate::archive) mod oci_index;
pub(in crate::archive) mod pins;
pub(in crate::archive) mod proof;
pub(in crate::archive) mod seek_table_builder;
pub(in crate::archive) mod sink;
pub(in crate::archive) mod sums;
pub(in crate::archive) mod users;
