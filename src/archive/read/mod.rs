//! Reading a bundle at any place: opening, contents, parts, verifying, and what is left of a damaged one.

pub(in crate::archive) mod content;
pub(in crate::archive) mod head_reader;
pub(in crate::archive) mod opened;
pub(in crate::archive) mod part;
pub(in crate::archive) mod problem;
pub(in crate::archive) mod reader;
pub(in crate::archive) mod salvage;
pub(in crate::archive) mod seek_table;
pub(in crate::archive) mod verify;
