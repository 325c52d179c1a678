//! What an interrupted export leaves behind, and what of it the next run can trust.
//!
//! `workspace.rs` holds the partial file, its lock and the old partial. `journal.rs` records what was written and when.
//! `readback.rs` reads back what the journal describes. `old_partial.rs` takes over blobs from the run of another
//! request. `watermark.rs` tracks up to where the file is final. `worth.rs` decides what of an earlier run this one
//! uses: its resolution, its file, its blobs or nothing.

pub(crate) mod journal;
pub(crate) mod old_partial;
pub(crate) mod readback;
pub(crate) mod watermark;
pub(crate) mod workspace;
pub(crate) mod worth;
