//! The import plan: which image goes where, which blobs are missing, which repository gets each first.

use std::collections::{BTreeMap, HashMap};

use super::PlanError;
use crate::archive::{ArchiveError, BundleManifest, Contents, Fates, Group, Manifests, Root, fates, roots};
use crate::destination::{Destination, Mapping, collisions};
use crate::image::{Digest, Reference, ReferenceError, Repository, Tag};

/// One place an image goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Position of the image in the bundle.
    pub image: usize,
    pub repository: Repository,
    /// None: by digest only.
    pub tag: Option<Tag>,
    /// The main one of the image's places; the others follow it.
    pub main: bool,
}

/// Where every selected image goes.
#[derive(Clone, Debug, Default)]
pub struct Landings(pub Vec<Landing>);

/// An image's name that does not fit at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub name: Reference,
    pub error: ReferenceError,
}

impl Landings {
    /// Maps the images for which `selected` says so; refuses different images on one target.
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
        let (mut landings, mut unfit) = (Vec::new(), Vec::new());
        for (position, image) in bundle.images.iter().enumerate().filter(|(_, i)| selected(&i.name)) {
            for (nth, target) in mapping.targets(&image.name, &image.digest).into_iter().enumerate() {
                match destination.repository(&target) {
                    Ok(repository) => landings.push(Landing {
                        image: position,
                        repository,
                        tag: target.tag,
                        main: nth == 0,
                    }),
                    Err(error) => unfit.push(Unfit { name: image.name.clone(), error }),
                }
            }
        }
        Ok((Self(landings), unfit))
    }
}

/// What a place lacks of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub landing: Landing,
    /// The image itself is missing; else only artifacts are.
    pub image: bool,
    /// Artifacts of the image, by position in the bundle.
    pub artifacts: Vec<usize>,
}

/// One blob that has to cross the wire, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// The repository it is uploaded to.
    pub home: Repository,
    /// A repository that has it already: it may be mounted from it.
    pub held_by: Option<Repository>,
    /// The bundle has it; else the destination must.
    pub carried: bool,
}

/// One image to be completed at one place, once its blobs are there.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub landing: Landing,
    /// Every blob it needs, as positions in the plan's uploads.
    pub blobs: Vec<u32>,
    /// Its manifests, children before parents, the root last: digest and media type. None where the image is there.
    pub manifests: Vec<(Digest, String)>,
    pub artifacts: Vec<ArrivingArtifact>,
}

/// What is about an image, to be put beside it.
#[derive(Clone, Debug)]
pub struct ArrivingArtifact {
    /// Position in the bundle.
    pub artifact: usize,
    /// Its manifests, children before parents, the root last: digest and media type.
    pub manifests: Vec<(Digest, String)>,
}

/// What an import will send.
#[derive(Debug, Default)]
pub struct ImportPlan {
    /// In member order of the bundle, which is the order of the file.
    pub uploads: Vec<Upload>,
    pub arrivals: Vec<Arrival>,
}

impl ImportPlan {
    /// Plans what is `missing`; `present` are the landings whose image is there.
    pub fn new(
        bundle: &BundleManifest,
        manifests: &dyn Manifests,
        missing: Vec<Missing>,
        present: &[Landing],
    ) -> Result<Self, ArchiveError> {
        let required =
            bundle.requires.iter().flat_map(|requires| &requires.blobs).map(|b| (b.digest, b.size));
        let all = bundle.blobs.iter().map(|b| (b.digest, b.size)).chain(required);
        let order: HashMap<Digest, usize> = all.enumerate().map(|(at, (digest, _))| (digest, at)).collect();
        let fate = fates(bundle);
        let roots = roots(bundle);
        // By position in the file; the first landing that needs a blob gives it its home.
        let mut uploads: BTreeMap<usize, Upload> = BTreeMap::new();
        let mut needs = Vec::with_capacity(missing.len());
        for Missing { landing, image, artifacts } in missing {
            let mut blobs = Vec::new();
            let mut walk = |root: usize| -> Result<Vec<(Digest, String)>, ArchiveError> {
                let contents = contents(&roots[root], manifests, &fate)?;
                let own = contents.blobs.iter().filter(|blob| !is_manifest(blob));
                let own = own.map(|blob| (blob.digest, blob.size));
                for (digest, size) in own.chain(contents.required.clone()) {
                    let at = *order.get(&digest).ok_or(ArchiveError::MissingManifest(digest))?;
                    let home = landing.repository.clone();
                    let carried = at < bundle.blobs.len();
                    let upload = Upload { digest, size, home, held_by: None, carried };
                    uploads.entry(at).or_insert(upload);
                    blobs.push(at);
                }
                Ok(contents.bottom_up)
            };
            let own = if image { walk(landing.image)? } else { Vec::new() };
            let mut arriving = Vec::with_capacity(artifacts.len());
            for artifact in artifacts {
                let manifests = walk(bundle.images.len() + artifact)?;
                arriving.push(ArrivingArtifact { artifact, manifests });
            }
            blobs.sort_unstable();
            blobs.dedup();
            needs.push((landing, blobs, own, arriving));
        }
        // Layers are worth mounting; a walk through what is there finds who has them.
        let present = if uploads.is_empty() { &[] } else { present };
        for landing in present {
            let contents = contents(&roots[landing.image], manifests, &fate)?;
            for digest in contents.blobs.iter().map(|blob| &blob.digest).chain(contents.required.keys()) {
                let upload = order.get(digest).and_then(|at| uploads.get_mut(at));
                if let Some(upload) = upload.filter(|upload| upload.held_by.is_none()) {
                    upload.held_by = Some(landing.repository.clone());
                }
            }
        }
        let positions: HashMap<usize, u32> =
            uploads.keys().enumerate().map(|(n, at)| (*at, u32::try_from(n).unwrap_or(u32::MAX))).collect();
        let arrivals = needs
            .into_iter()
            .map(|(landing, blobs, manifests, artifacts)| Arrival {
                landing,
                blobs: blobs.iter().map(|at| positions[at]).collect(),
                manifests,
                artifacts,
            })
            .collect();
        Ok(Self { uploads: uploads.into_values().collect(), arrivals })
    }

    /// Bytes of all uploads, if the destination has none of what the bundle carries.
    pub fn bytes(&self) -> u64 {
        self.uploads.iter().filter(|upload| upload.carried).map(|upload| upload.size).sum()
    }

    /// The repositories that will be written to, each once, in order.
    pub fn repositories(&self) -> Vec<&Repository> {
        let mut all: Vec<_> = self.arrivals.iter().map(|arrival| &arrival.landing.repository).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// What a root of the bundle consists of, as far as the bundle carries or requires it.
fn contents(root: &Root, manifests: &dyn Manifests, fate: &Fates<'_>) -> Result<Contents, ArchiveError> {
    let contents = Contents::collect(std::slice::from_ref(root), manifests, fate)?;
    match contents.faults.first() {
        Some(fault) => Err(ArchiveError::Damaged(format!("{}: {}", root.digest, fault.why))),
        None => Ok(contents),
    }
}

fn is_manifest(blob: &crate::archive::BlobRow) -> bool {
    use crate::image::Role;
    blob.group() == Group::Head && matches!(blob.role, Role::Index | Role::Manifest)
}
