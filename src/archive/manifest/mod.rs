//! `bundle.json`, the checksummed manifest of a bundle: types, canonical bytes, strict reading.
//!
//! It is canonical JSON: keys sorted by byte, integers below 2^53, no white space, one newline at the end. The fields
//! of the types are in key order, so that serialising is canonical; reading requires that the same bytes come out
//! again. It contains no clock, host, user name or local path, so that the same images give the same bytes. Its sha256
//! is the id of the bundle.

mod bundle;
mod check;
mod rows;

pub use bundle::{BundleManifest, FORMAT_REVISION, MEDIA_TYPE, Profile, SCHEMA_VERSION};
pub use check::total;
pub use rows::{
    ArtifactRow, BlobIndex, BlobRow, CatalogRecord, EntryRecord, Group, ImageRow, MAX_HEAD_CONFIG,
    RequiredBlob, Requires,
};

#[cfg(test)]
pub(super) use bundle::tests;
