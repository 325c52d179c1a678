//! A bundle as a read-only registry: manifests from its head, blobs straight out of the file.
//!
//! Images are found under the names they would have at a destination, so that what is tried here is what a cluster
//! will ask for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use super::listing::{Gathering, Listed, MAX_REFERRERS, Page, Referrers};
use super::store::{RepositoryName, Store, StoreError, TagOrDigest};
use crate::archive::{ArchiveError, ArtifactIndex, Contents, ImageStore, PieceReader, fates};
use crate::destination::Mapping;
use crate::image::{Digest, MediaType, RawManifest, Tag};

#[derive(Debug)]
pub struct BundleStore {
    image_store: Arc<dyn ImageStore>,
    repositories: BTreeMap<RepositoryName, Shelf>,
}

/// The content of one repository.
#[derive(Debug, Default)]
struct Shelf {
    tags: BTreeMap<Tag, Digest>,
    /// Media types of the manifests here.
    manifests: HashMap<Digest, MediaType>,
    /// Sizes of the blobs here, in bytes.
    blobs: HashMap<Digest, u64>,
    /// Subject → manifests about it.
    about: BTreeMap<Digest, BTreeSet<Digest>>,
}

impl BundleStore {
    /// Lays out `image_store` under the names that `mapping` gives.
    pub fn new(image_store: Arc<dyn ImageStore>, mapping: Mapping) -> Result<Self, ArchiveError> {
        let repositories = Self::shelves(image_store.as_ref(), mapping)?;
        let mut store = Self { image_store, repositories };
        store.index_subjects()?;
        Ok(store)
    }

    fn shelves(
        image_store: &dyn ImageStore,
        mapping: Mapping,
    ) -> Result<BTreeMap<RepositoryName, Shelf>, ArchiveError> {
        let mut repositories: BTreeMap<RepositoryName, Shelf> = BTreeMap::new();
        let bundle = image_store.bundle();
        let inclusion = fates(bundle);
        let index = ArtifactIndex::of(bundle);
        for (at, image) in bundle.images.iter().enumerate() {
            let artifacts = index.of_image(at, image_store)?;
            let mut roots = vec![index.image(at).clone()];
            roots.extend(artifacts.iter().map(|at| index.artifact(*at).clone()));
            let contents = Contents::collect(&roots, image_store, &inclusion)?;
            for target in mapping.targets(&image.name, &image.digest) {
                let Ok(name) = target.path.parse::<RepositoryName>() else {
                    continue;
                };
                let shelf = repositories.entry(name).or_default();
                shelf.tags.extend(target.tag.map(|tag| (tag, image.digest)));
                let tagged = artifacts.iter().map(|at| &bundle.artifacts[*at]);
                shelf.tags.extend(tagged.filter_map(|row| Some((row.tag.clone()?, row.digest))));
                shelf.blobs.extend(contents.blobs.iter().map(|b| (b.digest, b.size)));
                for (digest, media_type) in &contents.bottom_up {
                    shelf.blobs.remove(digest);
                    shelf.manifests.insert(*digest, media_type.clone());
                }
            }
        }
        Ok(repositories)
    }

    fn index_subjects(&mut self) -> Result<(), ArchiveError> {
        for shelf in self.repositories.values_mut() {
            for (digest, media_type) in &shelf.manifests {
                let bytes = self.image_store.manifest(digest)?;
                let parsed = crate::image::ParsedManifest::of(&bytes, Some(media_type));
                if let Some(subject) = parsed.ok().and_then(|parsed| parsed.subject) {
                    shelf.about.entry(subject.digest).or_default().insert(*digest);
                }
            }
        }
        Ok(())
    }

    /// Every name with its tag, as a client on `address` pulls it.
    pub fn references(&self) -> impl Iterator<Item = (&RepositoryName, &Tag)> {
        self.repositories.iter().flat_map(|(name, shelf)| shelf.tags.keys().map(move |tag| (name, tag)))
    }

    fn shelf(&self, repository: &RepositoryName) -> Result<&Shelf, StoreError> {
        self.repositories.get(repository).ok_or_else(|| StoreError::NameUnknown(repository.clone()))
    }

    fn raw(&self, shelf: &Shelf, digest: &Digest) -> Result<RawManifest, StoreError> {
        let unknown = || StoreError::ManifestUnknown(digest.to_string());
        let media_type = shelf.manifests.get(digest).ok_or_else(unknown)?;
        let bytes = self.image_store.manifest(digest).map_err(io::Error::other)?;
        let raw = RawManifest::new(bytes, Some(media_type), Some(digest)).map_err(io::Error::other)?;
        if raw.digest != *digest {
            return Err(io::Error::other(format!("manifest {digest} is damaged in the bundle")).into());
        }
        Ok(raw)
    }
}

impl Store for BundleStore {
    fn repositories(&self, page: &Page) -> Result<Listed, StoreError> {
        let mut gathering = Gathering::new(page);
        self.repositories.keys().for_each(|name| gathering.add(name.as_str()));
        Ok(gathering.done())
    }

    fn tags(&self, repository: &RepositoryName, page: &Page) -> Result<Listed, StoreError> {
        let mut gathering = Gathering::new(page);
        self.shelf(repository)?.tags.keys().for_each(|tag| gathering.add(tag.as_str()));
        Ok(gathering.done())
    }

    fn manifest(&self, repository: &RepositoryName, wanted: &TagOrDigest) -> Result<RawManifest, StoreError> {
        let shelf = self.shelf(repository)?;
        match wanted {
            TagOrDigest::Digest(digest) => self.raw(shelf, digest),
            TagOrDigest::Tag(tag) => {
                let digest =
                    shelf.tags.get(tag).ok_or_else(|| StoreError::ManifestUnknown(tag.to_string()))?;
                self.raw(shelf, digest)
            }
        }
    }

    fn referrers(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        after: Option<&Digest>,
    ) -> Result<Referrers, StoreError> {
        let shelf = self.shelf(repository)?;
        let about = shelf.about.get(digest).into_iter().flatten();
        let about = about.filter(|digest| after.is_none_or(|after| *digest > after));
        let (mut found, mut last) = (Referrers::default(), None);
        for (count, digest) in about.enumerate() {
            let raw = self.raw(shelf, digest)?;
            let parsed = raw.parse().map_err(io::Error::other)?;
            if count == MAX_REFERRERS || !found.add(raw.as_referrer(&parsed)) {
                found.next = last;
                break;
            }
            last = Some(*digest);
        }
        Ok(found)
    }

    fn blob_size(&self, repository: &RepositoryName, digest: &Digest) -> Result<u64, StoreError> {
        let shelf = self.shelf(repository)?;
        shelf.blobs.get(digest).copied().ok_or(StoreError::BlobUnknown(*digest))
    }

    fn has_parts(&self) -> bool {
        self.image_store.has_parts()
    }

    fn open_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        let size = self.blob_size(repository, digest)?;
        let pieces = if range == (0..size) {
            self.image_store.open(digest, 0)
        } else {
            let part = self.image_store.open_part(digest, range.clone());
            part.and_then(|part| part.ok_or(ArchiveError::Invariant("only whole blobs are given out")))
        };
        let pieces = pieces.map_err(io::Error::other)?;
        Ok(Box::new(PieceReader::new(pieces).take(range.end - range.start)))
    }
}
