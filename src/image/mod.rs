//! What an image *is*: references, digests, platforms, media types, manifests.
//!
//! Pure values, no I/O. A [`Reference`], [`Digest`] or [`Platform`] that exists is valid; a [`RawManifest`]
//! keeps the exact bytes it was made of, and those bytes are the only thing that is hashed, stored or pushed.

mod annotations;
mod artifact;
mod config;
mod container;
mod decisive;
mod descriptor;
mod digest;
mod host;
mod kept;
mod layout;
mod manifest;
mod manifest_error;
pub mod media_type;
mod narrow;
mod pattern;
mod platform;
mod positions;
mod reference;
mod reference_error;

pub use annotations::Annotations;
pub use artifact::{ArtifactCounts, ArtifactKind, referrers_tag};
pub use config::{ConfigError, ImageConfig};
pub use container::{ReadConfig, Runnable, config_ambiguity, holds_statements};
pub use decisive::KeyError;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use host::HostName;
pub use kept::{Cut, MAX_CHARS, shortened};
pub use layout::layout_version;
pub use manifest::{ManifestKind, ParsedManifest, RawManifest};
pub use manifest_error::ManifestError;
pub use media_type::{MediaType, Role};
pub use narrow::{NarrowError, narrow};
pub use pattern::{glob, matches};
pub use platform::{Platform, PlatformError};
pub use positions::{Positions, short_position};
pub use reference::{Reference, Repository, Tag};
pub use reference_error::ReferenceError;
