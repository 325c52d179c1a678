//! Digests in names and sources, and that the content of the bundle matches them.
//!
//! A digest in the name or source of an image is the digest of its manifest. The only exception is an index from which
//! platforms were left out (`--platform --repin`): the bundle then has the original index in its `extensions`, from
//! which the reader makes the narrowed one again. Bundles of earlier versions lack it; they only say which platforms
//! were kept.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::manifest_source::Manifests;
use crate::archive::manifest::{ImageRow, MAX_HEAD_CONFIG};
use crate::archive::{ArchiveError, FormatError};
use crate::image::{Digest, Platform, RawManifest, Reference, media_type, narrow};

/// The key in `extensions`: originals by the digest of the narrowed index.
pub const REPINNED: &str = "repinned";

/// Why an index has another digest than its name pins.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Repinned {
    /// The original index in base64; none if only an earlier version recorded the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The platforms that were kept.
    pub platforms: Vec<String>,
}

impl Repinned {
    pub fn new(original: &[u8], platforms: &[String]) -> Self {
        Self { index: Some(STANDARD.encode(original)), platforms: platforms.to_vec() }
    }

    /// Whether the original has the digest `pin`, and becomes `narrowed` without the other platforms.
    fn proves(&self, pin: &Digest, narrowed: &Digest, media_type: &str) -> bool {
        let Some(bytes) = self.index.as_ref().and_then(|text| STANDARD.decode(text).ok()) else {
            return false;
        };
        let platforms: Option<Vec<Platform>> = self.platforms.iter().map(|p| p.parse().ok()).collect();
        let original = RawManifest::new(bytes.into(), Some(media_type), Some(pin)).ok();
        let (Some(platforms), Some(original)) = (platforms, original) else { return false };
        original.digest == *pin
            && narrow(&original, &platforms)
                .is_ok_and(|made| made.is_some_and(|made| made.digest == *narrowed))
    }
}

/// The first digest in the name or source that is not `digest`, the digest of the manifest `bytes`.
pub fn broken_pin(name: &Reference, source: &Reference, digest: &Digest, bytes: &[u8]) -> Option<Digest> {
    let mut pins = name.digest().into_iter().chain(source.digest());
    pins.find(|pin| *pin != digest && Digest::of(pin.algorithm(), bytes) != **pin).copied()
}

/// How the pins of an image match the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pins {
    /// The digests in its name and its source, if there are any, are its digest.
    Hold,
    /// Platforms were left out of the pinned index, and the bundle proves it.
    Narrowed(Repinned),
    /// The same without a proof, in a bundle of an earlier version.
    Claimed(Digest),
}

/// How the digests in the name and source of `image` match it, in a bundle with these `platforms` and `extensions`; an
/// error if they do not.
pub(in crate::archive) fn pins_of(
    image: &ImageRow,
    platforms: &[String],
    extensions: &BTreeMap<String, Value>,
    manifests: &dyn Manifests,
) -> Result<Pins, ArchiveError> {
    if image.name.digest().is_none_or(|pin| *pin == image.digest)
        && image.source.digest().is_none_or(|pin| *pin == image.digest)
    {
        return Ok(Pins::Hold);
    }
    let bytes = manifests.manifest(&image.digest)?;
    let Some(pin) = broken_pin(&image.name, &image.source, &image.digest, &bytes) else {
        return Ok(Pins::Hold);
    };
    let refuse = |why: &str| {
        let (name, digest) = (&image.name, image.digest);
        Err(ArchiveError::Format(FormatError::Damaged(format!(
            "{name} is pinned to {pin}, and what is held under it is {digest}{why}"
        ))))
    };
    let is_index = media_type::is_index(&image.media_type);
    match repinned(extensions, &image.digest)? {
        Some(repinned) if is_index && repinned.proves(&pin, &image.digest, &image.media_type) => {
            Ok(Pins::Narrowed(repinned))
        }
        Some(_) => refuse(", which is not made from it"),
        None if is_index && !platforms.is_empty() => Ok(Pins::Claimed(pin)),
        None => refuse(""),
    }
}

fn repinned(extensions: &BTreeMap<String, Value>, digest: &Digest) -> Result<Option<Repinned>, ArchiveError> {
    let Some(found) = extensions.get(REPINNED).and_then(|all| all.get(digest.to_string())) else {
        return Ok(None);
    };
    // Larger than any index in base64.
    let fits = |index: &str| index.len() as u64 <= 2 * MAX_HEAD_CONFIG;
    let json =
        |why: String| ArchiveError::Format(FormatError::Json("bundle.json", format!("{REPINNED}: {why}")));
    let found: Repinned =
        Deserialize::deserialize(found).map_err(|e: serde_json::Error| json(e.to_string()))?;
    if found.index.as_deref().is_some_and(|index| !fits(index)) {
        return Err(json(format!("the original of {digest} is too large")));
    }
    Ok(Some(found))
}

/// The value for [`REPINNED`] for images with these digests; none if none of them has an original.
pub fn repinned_extension<'a>(images: impl Iterator<Item = (&'a Digest, &'a Repinned)>) -> Option<Value> {
    let all: BTreeMap<String, &Repinned> = images
        .filter(|(_, repinned)| repinned.index.is_some())
        .map(|(digest, repinned)| (digest.to_string(), repinned))
        .collect();
    if all.is_empty() { None } else { serde_json::to_value(all).ok() }
}
