//! The import plan: the target of each image, the missing blobs, and the repository that each is uploaded to first.

use std::collections::HashMap;

use super::PlanError;
use crate::archive::manifest::RequiredBlob;
use crate::archive::{
    ArchiveError, BlobIndex, BlobRow, BundleManifest, Contents, Fates, FormatError, Group, Manifests, Root,
    fates, roots,
};
use crate::destination::{Destination, Mapping, NameError, collisions};
use crate::image::{Digest, MediaType, Reference, Repository, Role, Tag, short_position};

/// One target of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTarget {
    /// Position of the image in the bundle.
    pub image: usize,
    pub repository: Repository,
    /// None if the image is only pushed by digest.
    pub tag: Option<Tag>,
    /// The main one of the image's places; the others follow it.
    pub main: bool,
}

impl ImageTarget {
    /// The target as a reference: `registry.local/shop/server:1.2`, or without a tag the repository.
    pub fn place(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}:{tag}", self.repository),
            None => self.repository.to_string(),
        }
    }
}

/// The targets of all selected images.
#[derive(Clone, Debug, Default)]
pub struct ImageTargets(pub Vec<ImageTarget>);

/// An image whose name does not fit at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub name: Reference,
    pub error: NameError,
}

impl ImageTargets {
    /// Maps the images that `selected` accepts; refuses different images with the same target.
    pub fn new(
        bundle: &BundleManifest,
        destination: &Destination,
        mapping: Mapping,
        selected: &dyn Fn(&Reference) -> bool,
    ) -> Result<(Self, Vec<Unfit>), PlanError> {
        let images = || bundle.images.iter().filter(|image| selected(&image.name));
        let met = collisions(mapping, images().map(|i| (&i.name, &i.digest)));
        if !met.is_empty() {
            return Err(PlanError::Collisions(met));
        }
        let (mut targets, mut unfit) = (Vec::new(), Vec::new());
        for (position, image) in bundle.images.iter().enumerate().filter(|(_, i)| selected(&i.name)) {
            for (nth, target) in mapping.targets(&image.name, &image.digest).into_iter().enumerate() {
                match destination.repository(&target) {
                    Ok(repository) => targets.push(ImageTarget {
                        image: position,
                        repository,
                        tag: target.tag,
                        main: nth == 0,
                    }),
                    Err(error) => unfit.push(Unfit { name: image.name.clone(), error }),
                }
            }
        }
        Ok((Self(targets), unfit))
    }
}

/// The parts of an image that a target lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub target: ImageTarget,
    /// The image itself is missing; otherwise only artifacts are.
    pub image: bool,
    /// Artifacts of the image, by position in the bundle.
    pub artifacts: Vec<usize>,
}

/// One blob to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// The repository it is uploaded to.
    pub home: Repository,
    /// A repository that already has it, from which it may be mounted.
    pub held_by: Option<Repository>,
    /// Whether the bundle has it; otherwise the destination must.
    pub carried: bool,
    /// It is a config: how the image runs.
    pub is_config: bool,
}

/// One image to complete in one place, once its blobs have arrived.
#[derive(Clone, Debug)]
pub struct ImageUpload {
    pub target: ImageTarget,
    /// Every blob it needs, as positions in the plan's uploads.
    pub blobs: Vec<u32>,
    /// Its manifests, children before parents, the root last: digest and media type. None if the image exists already.
    pub manifests: Vec<(Digest, MediaType)>,
    pub artifacts: Vec<ArtifactUpload>,
}

/// An artifact about an image, to be pushed after it.
#[derive(Clone, Debug)]
pub struct ArtifactUpload {
    /// Position in the bundle.
    pub artifact: usize,
    /// Its manifests, children before parents, the root last: digest and media type.
    pub manifests: Vec<(Digest, MediaType)>,
}

/// What an import will send.
#[derive(Debug, Default)]
pub struct ImportPlan {
    /// In member order of the bundle, which is the order of the file.
    pub uploads: Vec<Upload>,
    pub image_uploads: Vec<ImageUpload>,
}

impl ImportPlan {
    /// Mounts the blobs at these positions from repositories of the destination that have them.
    pub fn mount_from(&mut self, held: Vec<(usize, Repository)>) {
        for (at, repository) in held {
            self.uploads[at].held_by = Some(repository);
        }
    }

    /// Plans what is `missing`; `present` are the targets whose image exists already.
    pub fn new(
        bundle: &BundleManifest,
        manifests: &dyn Manifests,
        missing: Vec<Missing>,
        present: &[ImageTarget],
    ) -> Result<Self, ArchiveError> {
        let (inclusion, roots, order) = (fates(bundle), roots(bundle), Order::of(bundle));
        // By position in that order: the first target that needs the blob, which gives it its home.
        let mut homes: Vec<Option<usize>> = vec![None; order.len()];
        let mut needs = Vec::with_capacity(missing.len());
        for Missing { target, image, artifacts } in missing {
            let mut blobs: Vec<u32> = Vec::new();
            let mut walk = |root: usize| -> Result<Vec<(Digest, MediaType)>, ArchiveError> {
                let contents = contents(&roots[root], manifests, &inclusion)?;
                let own = contents.blobs.iter().filter(|blob| !is_manifest(blob)).map(|blob| &blob.digest);
                for digest in own.chain(contents.required.keys()) {
                    let at = order
                        .position(digest)
                        .ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))?;
                    homes[at].get_or_insert(needs.len());
                    blobs.push(short_position(at));
                }
                Ok(contents.bottom_up)
            };
            let manifests = if image { walk(target.image)? } else { Vec::new() };
            let mut arriving = Vec::with_capacity(artifacts.len());
            for artifact in artifacts {
                let manifests = walk(bundle.images.len() + artifact)?;
                arriving.push(ArtifactUpload { artifact, manifests });
            }
            blobs.sort_unstable();
            blobs.dedup();
            blobs.shrink_to_fit();
            needs.push(ImageUpload { target, blobs, manifests, artifacts: arriving });
        }
        // Layers are worth mounting, so the repositories that have them are looked up in the existing images.
        let is_idle = homes.iter().all(Option::is_none);
        let mut held_by: HashMap<usize, &Repository> = HashMap::new();
        for target in present.iter().filter(|_| !is_idle) {
            let contents = contents(&roots[target.image], manifests, &inclusion)?;
            for digest in contents.blobs.iter().map(|blob| &blob.digest).chain(contents.required.keys()) {
                if let Some(at) = order.position(digest).filter(|at| homes[*at].is_some()) {
                    held_by.entry(at).or_insert(&target.repository);
                }
            }
        }
        let mut uploads = Vec::with_capacity(homes.iter().flatten().count());
        // By position in that order: the blob's position in the uploads.
        let mut positions = vec![u32::MAX; homes.len()];
        for (at, home) in homes.iter().enumerate() {
            if let Some(home) = home {
                positions[at] = short_position(uploads.len());
                uploads.push(Upload {
                    held_by: held_by.get(&at).map(|repository| (*repository).clone()),
                    ..order.upload(at, needs[*home].target.repository.clone())
                });
            }
        }
        for blob in needs.iter_mut().flat_map(|image_upload| &mut image_upload.blobs) {
            *blob = positions[*blob as usize];
        }
        Ok(Self { uploads, image_uploads: needs })
    }

    /// Bytes of all uploads, if the destination has none of what the bundle carries.
    pub fn bytes(&self) -> u64 {
        self.uploads.iter().filter(|upload| upload.carried).map(|upload| upload.size).sum()
    }

    /// The repositories that will be written to, each once, in order.
    pub fn repositories(&self) -> Vec<&Repository> {
        let mut all: Vec<_> =
            self.image_uploads.iter().map(|image_upload| &image_upload.target.repository).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// The blobs that a bundle carries, in member order, then those that it requires.
struct Order<'a> {
    carried: &'a [BlobRow],
    index: BlobIndex<'a>,
    required: &'a [RequiredBlob],
}

impl<'a> Order<'a> {
    fn of(bundle: &'a BundleManifest) -> Self {
        let required = bundle.requires.as_ref().map_or(&[][..], |requires| &requires.blobs);
        Self { carried: &bundle.blobs, index: bundle.index(), required }
    }

    fn len(&self) -> usize {
        self.carried.len() + self.required.len()
    }

    fn position(&self, digest: &Digest) -> Option<usize> {
        let required = || self.required.binary_search_by(|blob| blob.digest.cmp(digest)).ok();
        self.index.position(digest).or_else(|| Some(self.carried.len() + required()?))
    }

    fn upload(&self, at: usize, home: Repository) -> Upload {
        let (digest, size) = match at.checked_sub(self.carried.len()) {
            None => (self.carried[at].digest, self.carried[at].size),
            Some(at) => (self.required[at].digest, self.required[at].size),
        };
        let carried = self.carried.get(at);
        let is_config = carried.is_some_and(|blob| blob.role == Role::Config);
        Upload { digest, size, home, held_by: None, carried: carried.is_some(), is_config }
    }
}

/// What a root of the bundle consists of, as far as the bundle carries or requires it.
fn contents(root: &Root, manifests: &dyn Manifests, inclusion: &Fates<'_>) -> Result<Contents, ArchiveError> {
    let contents = Contents::collect(std::slice::from_ref(root), manifests, inclusion)?;
    match contents.faults.first() {
        Some(fault) => {
            Err(ArchiveError::Format(FormatError::Damaged(format!("{}: {}", root.digest, fault.why))))
        }
        None => Ok(contents),
    }
}

fn is_manifest(blob: &BlobRow) -> bool {
    blob.group() == Group::Head && matches!(blob.role, Role::Index | Role::Manifest)
}
