//! Writes the content of a bundle, with bounded concurrency; every blob is verified while it is written.

pub(crate) mod alternate_sources;
pub(crate) mod append;
pub(crate) mod blob_error;
pub(crate) mod blob_spool;
pub(crate) mod blob_writer;
pub(crate) mod checksum;
pub(crate) mod error;
pub(crate) mod fetch;
pub(crate) mod file_export;
pub(crate) mod file_run;
pub(crate) mod in_order;
pub(crate) mod parallel;
pub(crate) mod read_ahead;
pub(crate) mod sink;
