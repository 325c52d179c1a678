//! An index with some of its platforms left out: a pure function of the index and the platforms, so that anybody who has
//! both can make it again.

use serde_json::Value;

use super::{Descriptor, Digest, ManifestError, ManifestKind, Platform, RawManifest};

/// Why an index cannot be narrowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// None of the platforms is in it; these are.
    #[error("it has none of the requested platforms")]
    NoPlatform(Vec<Platform>),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// `index` with only these platforms, and the attestations of those that are kept. None when nothing changes: for an
/// image, for no platforms, and where all its entries are wanted.
pub fn narrow(index: &RawManifest, platforms: &[Platform]) -> Result<Option<RawManifest>, NarrowError> {
    let parsed = index.parse()?;
    if platforms.is_empty() || parsed.kind != ManifestKind::Index {
        return Ok(None);
    }
    let wanted = |child: &Descriptor| {
        child.platform.as_ref().is_some_and(|p| platforms.iter().any(|want| p.satisfies(want)))
    };
    let kept: Vec<Digest> = parsed.manifests.iter().filter(|c| wanted(c)).map(|c| c.digest).collect();
    if kept.is_empty() {
        return Err(NarrowError::NoPlatform(
            parsed.manifests.iter().filter_map(|child| child.platform.clone()).collect(),
        ));
    }
    let attests = |child: &Descriptor| child.attests().is_some_and(|about| kept.contains(&about));
    let keep: Vec<bool> = parsed.manifests.iter().map(|c| wanted(c) || attests(c)).collect();
    if keep.iter().all(|keep| *keep) {
        return Ok(None);
    }
    let json = |error: serde_json::Error| ManifestError::Json(error.to_string());
    let mut value: Value = serde_json::from_slice(&index.bytes).map_err(json)?;
    if let Some(children) = value.get_mut("manifests").and_then(Value::as_array_mut) {
        let mut keep = keep.iter();
        children.retain(|_| keep.next().copied().unwrap_or(false));
    }
    let bytes = serde_json::to_vec(&value).map_err(json)?;
    Ok(Some(RawManifest::new(bytes.into(), Some(&index.media_type), None)?))
}
