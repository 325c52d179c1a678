//! Random access to a bundle: opening, contents, parts, verifying, and salvaging a damaged one.

pub(in crate::archive) mod compact_back;
pub(in crate::archive) mod compact_members;
pub(in crate::archive) mod content;
pub(in crate::archive) mod head_reader;
pub(in crate::archive) mod opened;
pub(in crate::archive) mod part;
pub(in crate::archive) mod problem;
pub(in crate::archive) mod reader;
pub(in crate::archive) mod remade;
pub(in crate::archive) mod salvage;
pub(in crate::archive) mod seek_table;
pub(in crate::archive) mod verify;
