//! Which images need which blob, to name the images that a lost blob affects and to find other sources for it.
//!
//! Made by one walk over all manifests, however many blobs are looked up.

use rayon::prelude::*;

use super::contents::{Contents, Root};
use super::manifest_source::Manifests;
use crate::archive::{ArchiveError, ArtifactIndex, BlobIndex, BundleManifest};
use crate::image::{Digest, short_position};

/// The images that need each blob of a bundle, themselves or for an artifact.
#[derive(Debug)]
pub struct Users<'a> {
    blobs: BlobIndex<'a>,
    /// (blob, image) by position, sorted.
    pairs: Vec<(u32, u32)>,
    /// Images whose manifests cannot be read; any lost blob may affect them.
    unreadable: Vec<u32>,
}

impl<'a> Users<'a> {
    pub fn of(bundle: &'a BundleManifest, manifests: &dyn Manifests) -> Self {
        let (index, blobs) = (ArtifactIndex::of(bundle), bundle.index());
        let needs = |image: usize| -> Result<Vec<u32>, ArchiveError> {
            let artifacts = index.of_image(image, manifests)?;
            let artifacts = artifacts.into_iter().map(|at| index.artifact(at));
            let roots: Vec<Root> = std::iter::once(index.image(image)).chain(artifacts).cloned().collect();
            let contents = Contents::all(&roots, manifests)?;
            Ok(contents
                .blobs
                .iter()
                .filter_map(|blob| blobs.position(&blob.digest))
                .map(short_position)
                .collect())
        };
        let images =
            (0..bundle.images.len()).into_par_iter().map(|image| (short_position(image), needs(image)));
        let images: Vec<(u32, Result<Vec<u32>, ArchiveError>)> = images.collect();
        let (mut pairs, mut unreadable) = (Vec::new(), Vec::new());
        for (image, needed) in images {
            match needed {
                Ok(needed) => pairs.extend(needed.into_iter().map(|blob| (blob, image))),
                Err(_) => unreadable.push(image),
            }
        }
        pairs.sort_unstable();
        Self { blobs, pairs, unreadable }
    }

    /// The images that need `digest`, by position in the bundle, ascending.
    pub fn of_blob(&self, digest: &Digest) -> Vec<usize> {
        let mut images = self.unreadable.clone();
        if let Some(blob) = self.blobs.position(digest).map(short_position) {
            let first = self.pairs.partition_point(|(other, _)| *other < blob);
            let own = self.pairs[first..].iter().take_while(|(other, _)| *other == blob);
            images.extend(own.map(|(_, image)| image));
        }
        images.sort_unstable();
        images.into_iter().map(|image| image as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::archive::FormatError;
    use crate::archive::{BlobRow, ImageRow};
    use crate::image::{Role, media_type};

    /// Manifests of images that all have the layer `base`, and one of their own; how often one is read is counted.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    fn content(image: usize) -> Bytes {
        let layer = |name: String| json!({ "mediaType": media_type::OCI_LAYER_GZIP, "digest": Digest::sha256(name.as_bytes()), "size": 9 });
        let layers = [layer("base".to_owned()), layer(format!("own {image}"))];
        let config =
            json!({ "mediaType": media_type::OCI_CONFIG, "digest": Digest::sha256(b"config"), "size": 6 });
        Bytes::from(json!({ "schemaVersion": 2, "layers": layers, "config": config }).to_string())
    }

    impl Manifests for Counted {
        fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let found = (0..4).map(content).find(|content| Digest::sha256(content) == *digest);
            found.ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))
        }
    }

    #[test]
    fn damage_is_laid_to_the_images_that_need_it_and_manifests_are_read_once_for_all_of_it() {
        let mut bundle = crate::archive::manifest::tests::sample();
        let template: ImageRow = bundle.images.remove(0);
        // The manifest of the last cannot be read.
        let manifests = [content(0), content(1), content(2), Bytes::from_static(b"lost")]
            .map(|bytes| Digest::sha256(&bytes));
        bundle.images =
            manifests.iter().map(|digest| ImageRow { digest: *digest, ..template.clone() }).collect();
        let named = ["base", "own 0", "own 1", "own 2", "config"].map(|name| Digest::sha256(name.as_bytes()));
        let row = |digest: &Digest| BlobRow {
            digest: *digest,
            media_type: media_type::OCI_LAYER_GZIP.into(),
            role: Role::Layer,
            size: 9,
        };
        bundle.blobs = manifests.iter().chain(&named).map(row).collect();

        let counted = Counted::default();
        let users = Users::of(&bundle, &counted);
        assert_eq!(users.of_blob(&named[0]), [0, 1, 2, 3]);
        assert_eq!(users.of_blob(&named[2]), [1, 3]);
        assert_eq!(users.of_blob(&named[4]), [0, 1, 2, 3]);
        assert_eq!(users.of_blob(&manifests[2]), [2, 3]);
        assert_eq!(users.of_blob(&Digest::sha256(b"of nobody")), [3]);
        assert_eq!(counted.0.load(Ordering::Relaxed), 4);
    }
}
