//! Basics that every part of the program may use: exit codes and hints of errors; reading files of others and checking
//! their text; writing the program's own files, and what their medium supports; quoting text in output; sizes and
//! times; finding other programs; and the request to stop.
//!
//! This is the lowest module: it does not use images, registries or bundles.

pub(crate) mod failure;
pub(crate) mod foreign_text;
pub(crate) mod medium;
pub(crate) mod memory;
pub(crate) mod once;
pub(crate) mod own_file;
pub(crate) mod programs;
pub(crate) mod small_file;
pub(crate) mod stop;
pub(crate) mod text;
pub(crate) mod units;
pub(crate) mod unusable;
