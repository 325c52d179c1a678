//! Which blobs of a base the blobs of a compact bundle may refer to.
//!
//! A new layer is most like the one at its place in the older image: of the same repository, for the same platform, at the
//! same position. Those beside it come next, the most alike in size first. The choice follows from the two sets of manifests
//! alone; whether a reference is worth it is decided when the content is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::archive::manifest::{RequiredBlob, Requires};
use crate::archive::{ArchiveError, BlobRow, CompactHead, ImageRow, Manifests};
use crate::image::{Digest, ParsedManifest, Repository};

/// Bases that one blob may refer to, the best first.
const MOST: usize = 3;
/// Smaller blobs are not made compact.
const SMALLEST: u64 = 32 << 10;

/// The layers of an image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformLayers {
    pub repository: Repository,
    /// As its index says; none without an index.
    pub platform: Option<String>,
    /// Digest and bytes of each.
    pub layers: Vec<(Digest, u64)>,
    /// Whether they are all layers of one image, in its order; otherwise those of a repository.
    pub is_ordered: bool,
}

/// The layers of each repository of a base of which no more is known.
pub fn layers_by_repository(base: &Requires) -> Vec<PlatformLayers> {
    let mut all: BTreeMap<&Repository, Vec<(Digest, u64)>> = BTreeMap::new();
    for blob in &base.blobs {
        for repository in &blob.repositories {
            all.entry(repository).or_default().push((blob.digest, blob.size));
        }
    }
    let of = |(repository, layers): (&Repository, _)| PlatformLayers {
        repository: repository.clone(),
        platform: None,
        layers,
        is_ordered: false,
    };
    all.into_iter().map(of).collect()
}

/// The layers of all `images`.
pub fn layers_of<'a>(
    images: impl IntoIterator<Item = &'a ImageRow>,
    manifests: &dyn Manifests,
) -> Result<Vec<PlatformLayers>, ArchiveError> {
    let mut all = Vec::new();
    for image in images {
        let repository = image.name.repository();
        let Ok(root) = ParsedManifest::of(&manifests.manifest(&image.digest)?, Some(&image.media_type))
        else {
            continue;
        };
        for child in &root.manifests {
            // An index may list platforms that were left out.
            let Ok(bytes) = manifests.manifest(&child.digest) else { continue };
            if let Ok(parsed) = ParsedManifest::of(&bytes, Some(&child.media_type)) {
                let platform = child.platform.as_ref().map(ToString::to_string);
                all.push(PlatformLayers::new(repository, platform, &parsed));
            }
        }
        if root.manifests.is_empty() {
            all.push(PlatformLayers::new(repository, None, &root));
        }
    }
    Ok(all)
}

impl PlatformLayers {
    fn new(repository: &Repository, platform: Option<String>, manifest: &ParsedManifest) -> Self {
        let layers = manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect();
        Self { repository: repository.clone(), platform, layers, is_ordered: true }
    }

    /// Whether it may be a version of the same image. The registry may have changed, and an image may have got or lost its
    /// index.
    fn is_like(&self, other: &Self) -> bool {
        let name = |layers: &Self| layers.repository.path().rsplit('/').next().map(str::to_owned);
        let platforms = self.platform.as_ref().zip(other.platform.as_ref());
        name(self) == name(other) && platforms.is_none_or(|(one, other)| one == other)
    }
}

/// The bases of a bundle, and which of them each blob may refer to.
#[derive(Clone, Debug, Default)]
pub struct BlobBases {
    pub listed: CompactHead,
    /// For each blob, positions in the list.
    pub of: Vec<Vec<u32>>,
}

impl BlobBases {
    /// For a bundle with these `blobs`, whose images have the layers `new`.
    pub fn choose(
        base: Option<&Requires>,
        old: &[PlatformLayers],
        new: &[PlatformLayers],
        blobs: &[BlobRow],
    ) -> Self {
        let places: HashMap<Digest, &RequiredBlob> =
            base.iter().flat_map(|base| &base.blobs).map(|blob| (blob.digest, blob)).collect();
        let carried: BTreeSet<Digest> = blobs.iter().map(|blob| blob.digest).collect();
        // What the bundle carries need not be there before it.
        let is_usable = |digest: &Digest| places.contains_key(digest) && !carried.contains(digest);
        // Where no order is known, the others are not worth reading them.
        let most = if old.iter().all(|old| old.is_ordered) { MOST } else { 1 };
        let mut wanted: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for image in new {
            let is_same = |old: &&PlatformLayers| old.repository == image.repository;
            let alike: Vec<_> = old.iter().filter(|old| old.is_like(image)).collect();
            let same: Vec<_> = alike.iter().copied().filter(is_same).collect();
            let alike = if same.is_empty() { alike } else { same };
            for (at, (digest, size)) in image.layers.iter().enumerate() {
                let bases = wanted.entry(*digest).or_default();
                for old in &alike {
                    if bases.len() == most {
                        break;
                    }
                    let mut order: Vec<usize> = (0..old.layers.len()).collect();
                    order.sort_by_key(|other| {
                        (old.is_ordered && *other != at, old.layers[*other].1.abs_diff(*size))
                    });
                    for (other, bytes) in order.into_iter().map(|other| old.layers[other]) {
                        let is_new = other != *digest && bytes >= SMALLEST && !bases.contains(&other);
                        if is_new && bases.len() < most && is_usable(&other) {
                            bases.push(other);
                        }
                    }
                }
            }
        }
        let (mut listed, mut numbers) = (Vec::new(), HashMap::new());
        let mut of_blob = |blob: &BlobRow| {
            let mut bases = Vec::new();
            let wanted = wanted.get(&blob.digest).filter(|_| blob.size >= SMALLEST);
            for digest in wanted.into_iter().flatten() {
                let Some(row) = places.get(digest) else { continue };
                let number = *numbers.entry(*digest).or_insert_with(|| {
                    listed.push((*row).clone());
                    u32::try_from(listed.len() - 1).unwrap_or(u32::MAX)
                });
                if !bases.contains(&number) {
                    bases.push(number);
                }
            }
            bases
        };
        let of: Vec<Vec<u32>> = blobs.iter().map(&mut of_blob).collect();
        let base = base.filter(|_| !listed.is_empty()).map(|base| base.base);
        Self { listed: CompactHead { base, references: listed, ..CompactHead::default() }, of }
    }
}
