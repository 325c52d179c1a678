//! `bundle.json`, the checksummed manifest of a bundle: types, canonical bytes, strict reading.
//!
//! Canonical JSON: keys sorted by byte, integers below 2^53, no white space, one newline at the end. Fields stand
//! in key order in their types, so serialising is canonical by construction; reading demands that the same bytes come out
//! again. There is no clock, host, user name or local path in it: same images, same bytes. Its sha256 is the
//! bundle's id.

mod bundle;
mod check;
mod rows;

pub use bundle::{BundleManifest, FORMAT_REVISION, MEDIA_TYPE, PROFILE, SCHEMA_VERSION};
pub use check::total;
pub use rows::{
    ArtifactRow, BlobIndex, BlobRow, CatalogRecord, EntryRecord, Group, ImageRow, MAX_HEAD_CONFIG,
    RequiredBlob, Requires,
};

#[cfg(test)]
pub(super) use bundle::tests;
