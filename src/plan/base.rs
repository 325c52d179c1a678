//! The base of a delta: the blobs that a destination has from another bundle, or from its own images.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::archive::manifest::{RequiredBlob, Requires};
use crate::archive::{ArchiveError, ArtifactIndex, BundleManifest, Contents, FormatError, Manifests, Root};
use crate::image::{Digest, Reference, Repository};

const MEDIA_TYPE: &str = "application/vnd.airgap.inventory.v1+json";
const SCHEMA_VERSION: u32 = 1;

/// Blobs by digest: size, and the repositories that have them.
#[derive(Clone, Debug, Default)]
pub struct KnownBlobs(BTreeMap<Digest, (u64, BTreeSet<Repository>)>);

impl KnownBlobs {
    /// Adds what `roots` need, as found in `repository`. Manifests and configs always travel and do not count.
    pub fn add(
        &mut self,
        repository: &Repository,
        roots: &[Root],
        manifests: &dyn Manifests,
    ) -> Result<(), ArchiveError> {
        for blob in Contents::all(roots, manifests)?.blobs {
            if blob.role.may_be_required() {
                let row = self.0.entry(blob.digest).or_insert((blob.size, BTreeSet::new()));
                row.1.insert(repository.clone());
            }
        }
        Ok(())
    }

    /// Adds rows unchanged.
    pub fn add_required(&mut self, blobs: &[RequiredBlob]) {
        for blob in blobs {
            let row = self.0.entry(blob.digest).or_insert((blob.size, BTreeSet::new()));
            row.1.extend(blob.repositories.iter().cloned());
        }
    }

    /// The rows, by digest.
    pub fn blobs(self) -> Vec<RequiredBlob> {
        let row = |(digest, (size, repositories)): (Digest, (u64, BTreeSet<Repository>))| RequiredBlob {
            digest,
            repositories: repositories.into_iter().collect(),
            size,
        };
        self.0.into_iter().map(row).collect()
    }
}

/// The bundle with this id as a base: the blobs that it carries, and those that it requires.
pub fn of_bundle(
    bundle: &BundleManifest,
    id: Digest,
    manifests: &dyn Manifests,
) -> Result<Requires, ArchiveError> {
    let mut stock = KnownBlobs::default();
    let index = ArtifactIndex::of(bundle);
    for (at, image) in bundle.images.iter().enumerate() {
        let mut roots = vec![index.image(at).clone()];
        let artifacts = index.of_image(at, manifests)?;
        roots.extend(artifacts.into_iter().map(|at| index.artifact(at).clone()));
        stock.add(image.name.repository(), &roots, manifests)?;
    }
    stock.add_required(required(bundle));
    Ok(Requires { base: id, blobs: stock.blobs() })
}

/// The same from `bundle.json` alone, which does not say which repository has which blob.
pub fn of_manifest(bundle: &BundleManifest, id: Digest) -> Requires {
    let mut stock = KnownBlobs::default();
    let carried = bundle.blobs.iter().filter(|blob| blob.role.may_be_required());
    stock.0.extend(carried.map(|blob| (blob.digest, (blob.size, BTreeSet::new()))));
    stock.add_required(required(bundle));
    Requires { base: id, blobs: stock.blobs() }
}

fn required(bundle: &BundleManifest) -> &[RequiredBlob] {
    bundle.requires.as_ref().map_or(&[], |requires| &requires.blobs)
}

/// What a registry has of a catalog: sorted names and digests, short enough to be read before it leaves a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inventory {
    schema_version: u32,
    media_type: String,
    /// By name.
    pub images: Vec<InventoryImage>,
    /// By digest.
    pub blobs: Vec<RequiredBlob>,
}

/// An image that the registry has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryImage {
    /// The name that the chart uses.
    pub name: Reference,
    pub digest: Digest,
}

impl Inventory {
    pub fn new(mut images: Vec<InventoryImage>, stock: KnownBlobs) -> Self {
        images.sort();
        let (schema_version, media_type) = (SCHEMA_VERSION, MEDIA_TYPE.to_owned());
        Self { schema_version, media_type, images, blobs: stock.blobs() }
    }

    /// Whether JSON of this `mediaType` is an inventory.
    pub fn is(media_type: &str) -> bool {
        media_type == MEDIA_TYPE
    }

    pub fn to_text(&self) -> Result<String, ArchiveError> {
        let text = serde_json::to_string_pretty(self);
        Ok(text
            .map_err(|error| ArchiveError::Format(FormatError::Json("the inventory", error.to_string())))?
            + "\n")
    }

    /// The inventory as a base. Its id is the SHA-256 of its bytes.
    pub fn base(bytes: &[u8]) -> Result<Requires, ArchiveError> {
        let refuse = |why: String| ArchiveError::Format(FormatError::Json("the inventory", why));
        let inventory: Self = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
        if inventory.schema_version != SCHEMA_VERSION {
            return Err(ArchiveError::Format(FormatError::UnknownVersion(format!(
                "inventory {}",
                inventory.schema_version
            ))));
        }
        let mut stock = KnownBlobs::default();
        stock.add_required(&inventory.blobs);
        Ok(Requires { base: Digest::sha256(bytes), blobs: stock.blobs() })
    }
}
