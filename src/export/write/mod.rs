//! Bytes on their way into a bundle: bounded concurrency, and every blob verified beside its I/O.

pub mod alternate_sources;
pub mod append;
pub mod blob_error;
pub mod blob_spool;
pub mod blob_writer;
pub mod checksum;
pub mod error;
pub mod fetch;
pub mod file_export;
pub mod file_run;
pub mod in_order;
pub mod parallel;
pub mod read_ahead;
pub mod sink;
