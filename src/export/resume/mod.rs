//! What an interrupted export leaves, and what of that the next one can trust.
//!
//! `workspace.rs` holds the partial file, its lock and the old partials beside it; `journal.rs` what was written when;
//! `readback.rs` reads back what the journal says is there; `old_partial.rs` lends blobs of another request; `watermark.rs` knows how far the file is whole. Whether a run
//! takes up an earlier one is decided in `export/file.rs` (same request) and `export/write/file_export.rs` (`prepare`: same
//! head).

pub(crate) mod journal;
pub(crate) mod old_partial;
pub(crate) mod readback;
pub(crate) mod watermark;
pub(crate) mod workspace;
