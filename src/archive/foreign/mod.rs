//! Archives of other tools, and bundles that were unpacked or packed again: folders and tars, plain, gzip or zstd.

pub(in crate::archive) mod beside;
pub(in crate::archive) mod compression;
pub(in crate::archive) mod foreign_index;
pub(in crate::archive) mod foreign_tar;
pub(in crate::archive) mod kind;
pub(in crate::archive) mod layout;
pub(in crate::archive) mod listing;
pub(in crate::archive) mod other_tools;
pub(in crate::archive) mod place;
pub(in crate::archive) mod platforms;
pub(in crate::archive) mod repacked;
pub(in crate::archive) mod tar_header;
pub(in crate::archive) mod verify_layout;
