//! Bytes on their way into a bundle: bounded concurrency, and every blob verified beside its I/O.

pub mod ahead;
pub mod appended;
pub mod blob_error;
pub mod blob_spool;
pub mod checksum;
pub mod compressed;
pub mod download;
pub mod error;
pub mod fetch;
pub mod file_export;
pub mod file_run;
pub mod ordered;
pub mod parallel;
pub mod places;
pub mod stored;
