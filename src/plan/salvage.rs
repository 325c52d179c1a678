//! The request of a salvage: the images of a damaged bundle that did not arrive, and the blobs to export again.

use serde::{Deserialize, Serialize};

use super::{Only, Request, RequestedImage};
use crate::archive::manifest::{CatalogRecord, RequiredBlob};
use crate::archive::{
    ArchiveError, ArtifactIndex, ArtifactRow, BundleManifest, FormatError, ImageRow, Manifests,
};
use crate::image::{ArtifactKind, Digest};

const MEDIA_TYPE: &str = "application/vnd.airgap.request.v1+json";
const SCHEMA_VERSION: u32 = 1;

/// A request that crosses the gap outwards: digests and names, without content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SalvageRequest {
    schema_version: u32,
    media_type: String,
    /// The id of the damaged bundle.
    pub bundle: Digest,
    pub catalog: CatalogRecord,
    #[serde(default)]
    pub keep_host: bool,
    #[serde(default)]
    pub platforms: Vec<String>,
    pub images: Vec<ImageRow>,
    #[serde(default)]
    pub artifacts: Vec<ArtifactRow>,
    /// The blobs to export again.
    pub missing: Vec<Digest>,
    /// The blobs of these images that have arrived, with their repositories, by digest.
    #[serde(default)]
    pub present: Vec<RequiredBlob>,
}

impl SalvageRequest {
    /// The request for the blobs `missing` that `images` of `bundle`, by position, need.
    pub fn new(
        bundle: &BundleManifest,
        id: Digest,
        images: &[usize],
        mut missing: Vec<Digest>,
        mut present: Vec<RequiredBlob>,
        manifests: &dyn Manifests,
    ) -> Result<Self, ArchiveError> {
        let index = ArtifactIndex::of(bundle);
        let mut artifacts = Vec::new();
        for image in images {
            artifacts.extend(index.of_image(*image, manifests)?);
        }
        artifacts.sort_unstable();
        artifacts.dedup();
        present.sort_by_key(|blob| blob.digest);
        present.dedup_by_key(|blob| blob.digest);
        missing.sort();
        missing.dedup();
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            media_type: MEDIA_TYPE.to_owned(),
            bundle: id,
            catalog: bundle.catalog.clone(),
            keep_host: bundle.keeps_host(),
            platforms: bundle.platforms.clone(),
            images: images.iter().map(|image| bundle.images[*image].clone()).collect(),
            artifacts: artifacts.into_iter().map(|at| bundle.artifacts[at].clone()).collect(),
            missing,
            present,
        })
    }

    pub fn to_text(&self) -> Result<String, ArchiveError> {
        let text = serde_json::to_string_pretty(self);
        Ok(text.map_err(|error| ArchiveError::Format(FormatError::Json("the request", error.to_string())))?
            + "\n")
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let refuse = |why: String| ArchiveError::Format(FormatError::Json("the request", why));
        let request: Self = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
        if request.media_type != MEDIA_TYPE || request.schema_version != SCHEMA_VERSION {
            return Err(refuse("it was not written by an import with --salvage".to_owned()));
        }
        let rows = request.catalog.entries.len();
        if request.images.iter().flat_map(|image| &image.entries).any(|at| *at as usize >= rows) {
            return Err(refuse("an image refers to a row of the catalog that does not exist".to_owned()));
        }
        Ok(request)
    }

    /// The export that answers the request: the same images, with the missing layers only.
    pub fn export(self) -> Request {
        let artifacts = self.artifacts;
        let wanted = |image: ImageRow| RequestedImage {
            artifacts: Some(
                artifacts
                    .iter()
                    .filter(|row| row.repository == *image.source.repository())
                    .cloned()
                    .collect(),
            ),
            entries: image.entries,
            name: image.name,
            pin: Some(image.digest),
            repinned: None,
            sources: vec![image.source],
        };
        Request {
            images: self.images.into_iter().map(wanted).collect(),
            catalog: self.catalog,
            platforms: self.platforms,
            repin: true,
            keep_host: self.keep_host,
            with: ArtifactKind::ALL.to_vec(),
            only: Some(Only { base: self.bundle, blobs: self.missing, present: self.present }),
            ..Request::default()
        }
    }
}
