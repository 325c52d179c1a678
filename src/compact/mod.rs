//! The compact form of a blob: its content without the gzip around it, and the few facts from which the exact bytes come
//! back.
//!
//! A blob in this form is a run of *members*. Each holds up to 64 MiB of *content*, compressed with zstd, and says in
//! *parts* what bytes of the blob are made from it: content that an encoder of [`crate::encoders`] encodes, or content
//! that is taken as it is. This module owns that form. It keeps true that a [`Compactor`] only passes on members from
//! which it has made the same bytes again itself, and that a [`Remake`] takes no more memory or time than the size of the
//! blob allows, whatever its input says. It knows neither files nor digests: whoever uses it hashes the blob.
//!
//! ```text
//! member    = content-at, made-at, content, window, number of deflations, deflations, number of parts, parts, zstd frame
//! window    = 0, or its length, number of ranges kept, number of ranges added, kept, added, number of segments, segments
//! kept      = position in the window before, length
//! added     = number of a base, twice, and 1 more if its zip entries are inflated; position in its content, length
//! segment   = bytes from the zstd frame, bytes copied from the window, their position there
//! deflation = number of zip entries, entries
//! entry     = bytes that stay as they are, bytes that are deflated, the bytes made from these, level of zlib
//! part      = kind, then for content as it is: its length
//!                        for encoded content: the encoder if one begins, its length, the bytes made from it
//! ```
//!
//! The zstd frame and the window give the content, the deflations are applied to it one after the other, and the parts take
//! what comes out.
//!
//! Numbers are unsigned LEB128 (DWARF 5, 7.6) in their shortest form. `content-at` and `made-at` count the content in the
//! members before, and the bytes of the blob that are made from them.

mod compactor;
mod content;
mod deflate;
mod deflation;
mod effort;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gathered;
mod gzip;
mod inflated_base;
mod member;
mod number;
mod old_content;
mod pack;
mod queue;
mod recognise;
mod remake;
mod stepped;
mod window;
mod zip;
mod zip_levels;

pub use compactor::{Compactor, Packed};
pub use effort::Effort;
pub use error::CompactError;
pub use gzip::content_of;
pub use member::bases_of;
pub use old_content::Bases;
pub use remake::{Members, Remake};
pub use window::BaseContent;

/// The revision of the form, as `compact.json` names it. Increased when an older reader could not read the blobs.
pub const REVISION: u32 = 1;

/// Content bytes of a full member.
const MEMBER_CONTENT: usize = 64 << 20;
/// The most bytes of a window.
const WINDOW: u64 = 32 << 20;
/// Smaller blobs are not worth it.
const SMALLEST: u64 = 32 << 10;
/// A member has at most one part for each so many bytes of content, and `FREE_PARTS` more.
const CONTENT_PER_PART: u64 = 512;
const FREE_PARTS: u64 = 1024;

/// The most bytes of content that a blob of `size` bytes may have.
const fn most_content(size: u64) -> u64 {
    const RATIO: u64 = 100;
    const FREE: u64 = 64 << 20;
    size.saturating_mul(RATIO).saturating_add(FREE)
}
