//! Writes the content of a bundle, with bounded concurrency; every blob is verified while it is written.
//!
//! The way of a blob: `fetch.rs` reads it from the first of its `alternate_sources.rs` that answers; `read_ahead.rs` holds
//! what is ahead of its turn in memory or in `blob_spool.rs`; `in_order.rs` writes one blob after another, with a retry
//! for content that is wrong; `blob_writer.rs` turns content into frames; `sink.rs` has the three places where bytes go.
//! `parallel.rs` runs this for every blob of a file at once, `append.rs` for a file that can only grow. `compact.rs` does
//! all of this for compact bundles, whose blobs have no length before they are written. `file_export.rs` is the whole of one file, `file_run.rs` what its parts share, `checksum.rs` the checksums beside it.

pub(crate) mod alternate_sources;
pub(crate) mod append;
pub(crate) mod blob_error;
pub(crate) mod blob_spool;
pub(crate) mod blob_writer;
pub(crate) mod checksum;
pub(crate) mod compact;
mod compact_bases;
pub(crate) mod error;
pub(crate) mod fetch;
pub(crate) mod file_export;
pub(crate) mod file_run;
pub(crate) mod in_order;
pub(crate) mod parallel;
pub(crate) mod read_ahead;
pub(crate) mod sink;
