//! What an image *is*: references, digests, platforms, media types, manifests.
//!
//! Pure values, no I/O. A [`Reference`], [`Digest`] or [`Platform`] that exists is valid; a [`RawManifest`]
//! keeps the exact bytes it was made of, and those bytes are the only thing that is hashed, stored or pushed.

mod annotations;
mod artifact;
mod config;
mod container;
mod decisive;
mod digest;
mod host;
mod kept;
mod layout;
mod manifest;
pub mod media_type;
mod narrow;
mod pattern;
mod platform;
mod positions;
mod reference;

pub use annotations::Annotations;
pub use artifact::{ArtifactCounts, ArtifactKind, referrers_tag};
pub use config::{ConfigError, ImageConfig};
pub use container::{ReadConfig, Runnable};
pub use decisive::KeyError;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use host::HostName;
pub use kept::{Cut, MAX_CHARS, shortened};
pub use layout::layout_version;
pub use manifest::{Descriptor, ManifestError, ManifestKind, ParsedManifest, RawManifest};
pub use media_type::{MediaType, Role};
pub use narrow::NarrowError;
pub use pattern::{glob, matches};
pub use platform::{Platform, PlatformError};
pub use positions::{Positions, short_position};
pub use reference::{Reference, ReferenceError, Repository, Tag};
