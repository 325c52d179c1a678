//! The export plan: distinct blobs, every offset, the final size.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::references::{BlobBases, PlatformLayers, layers_of};
use crate::app::failure::{ExitCode, Explain};
use crate::archive::manifest::{
    CatalogRecord, FORMAT_REVISION, MEDIA_TYPE, Profile, RequiredBlob, Requires, SCHEMA_VERSION, total,
};
use crate::archive::{
    ArchiveError, ArtifactRow, BundleManifest, CompactHead, Contents, DraftedHead, ImageFault, ImageRow,
    Inclusion, Manifests, REPINNED, Repinned, Root, repinned_extension,
};
use crate::compact::Effort;
use crate::destination::{Collision, Mapping, collisions};
use crate::image::{ArtifactKind, Descriptor, Digest, Reference, Repository, Role, media_type};
use crate::signing::PrivateKey;

/// One image to be exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedImage {
    /// The name that the chart uses.
    pub name: Reference,
    /// Where to look for it, in order.
    pub sources: Vec<Reference>,
    /// Catalog entries that use it.
    pub entries: Vec<u32>,
    /// The digest from a lock, whatever the tag resolves to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Digest>,
    /// The artifacts from a lock, whatever the registry lists now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Vec<ArtifactRow>>,
    /// For an image of a bundle that was exported with `--platform`: why its digest differs from the pinned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repinned: Option<Repinned>,
}

/// The blobs to carry for images whose other blobs arrived with a damaged bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Only {
    /// The id of the damaged bundle.
    pub base: Digest,
    pub blobs: Vec<Digest>,
    /// The repositories of the other blobs.
    pub present: Vec<RequiredBlob>,
}

/// Everything that decides what a bundle contains. An equal request can resume an interrupted export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub catalog: CatalogRecord,
    pub images: Vec<RequestedImage>,
    /// Platforms to keep, in order; empty keeps all.
    pub platforms: Vec<String>,
    pub repin: bool,
    pub keep_host: bool,
    /// The kinds of artifacts that are carried with the images.
    pub with: Vec<ArtifactKind>,
    /// Leave out layers with urls, which their publisher keeps outside of registries.
    pub keep_urls: bool,
    /// The blobs that the destination already has, which are not carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Requires>,
    /// For a compact bundle: the layers of the base, whose content it may refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_layers: Vec<PlatformLayers>,
    /// Carry these layers and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// The form of the blobs in the file.
    #[serde(default, skip_serializing_if = "Profile::is_layout")]
    pub profile: Profile,
    /// How small the blobs of a compact bundle are made.
    #[serde(default, skip_serializing_if = "Effort::is_normal")]
    pub effort: Effort,
}

impl Request {
    /// Identifies the request in the journal.
    pub fn fingerprint(&self) -> Result<String, serde_json::Error> {
        Ok(Digest::sha256(&serde_json::to_vec(self)?).hex())
    }
}

/// One resolved image: its digest, source and artifacts are fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedImage {
    pub row: ImageRow,
    /// Bytes of the root manifest or index.
    pub root_size: u64,
    /// The digest at the source, when platforms were left out of the index.
    pub original: Option<Digest>,
    /// Why its digest differs from the one that its name or source pins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repinned: Option<Repinned>,
    /// The artifacts about its manifests.
    pub artifacts: Vec<ArtifactRow>,
}

/// What a request resolved to: its images in catalog order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    pub images: Vec<ResolvedImage>,
}

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("different images would get the same name at the destination:\n  {}", list(.0))]
    Collisions(Vec<Collision>),
    /// Images that cannot be carried because their manifests contradict each other, by position in the resolution.
    #[error("{}", reasons(.0))]
    Images(Vec<ImageFault>),
    #[error("the sizes stated by the images add up to more than any disk can hold")]
    TooLarge,
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl Explain for PlanError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Collisions(_) => Some(ExitCode::Failed),
            Self::Images(_) | Self::TooLarge => Some(ExitCode::Content),
            Self::Archive(error) => error.calls_for(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Collisions(_) => vec![
                "give one of them another name in the catalog, or keep source hosts in names with --keep-host"
                    .to_owned(),
            ],
            Self::Images(_) | Self::TooLarge => Vec::new(),
            Self::Archive(error) => error.hints(),
        }
    }
}

fn reasons(faults: &[ImageFault]) -> String {
    let reasons: Vec<&str> = faults.iter().map(|fault| fault.why.as_str()).collect();
    reasons.join("\n")
}

fn list(collisions: &[Collision]) -> String {
    collisions.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}

/// The signature of a bundle.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'a> {
    Key(&'a PrivateKey),
    /// Existing signatures, each valid only for the bundle with this id.
    Kept(&'a [(Digest, Vec<u8>)]),
}

impl Signer<'_> {
    /// The signature of this bundle.
    fn sign(self, bundle: &BundleManifest) -> Result<Option<Vec<u8>>, ArchiveError> {
        match self {
            Self::Key(key) => Ok(Some(key.sign(&bundle.to_bytes()?).to_file().into_bytes())),
            Self::Kept(signatures) => {
                let own = bundle.id()?;
                Ok(signatures.iter().find(|(id, _)| *id == own).map(|(_, signature)| signature.clone()))
            }
        }
    }
}

/// What an export will write.
#[derive(Debug)]
pub struct ExportPlan {
    pub bundle: BundleManifest,
    /// The content of `bundle.json.sig`.
    pub signature: Option<Vec<u8>>,
    pub head: DraftedHead,
    /// For each blob, the image or (counted on) artifact through which it is fetched.
    first_root: Vec<u32>,
    /// Of a compact bundle, what its `compact.json` says.
    pub compact: CompactHead,
    /// For each blob, the positions of its bases among them.
    pub bases: Vec<Vec<u32>>,
    /// Bytes of all images if each were carried alone.
    pub alone: u64,
}

impl ExportPlan {
    /// Plans `resolution`, signed if there is a key; the compressed head is written to `out`.
    pub fn new(
        request: &Request,
        resolution: &Resolution,
        signer: Option<Signer<'_>>,
        manifests: &dyn Manifests,
        out: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<Self, PlanError> {
        let mapping = Mapping { keep_host: request.keep_host, ..Mapping::default() };
        let met = collisions(mapping, resolution.images.iter().map(|i| (&i.row.name, &i.row.digest)));
        if !met.is_empty() {
            return Err(PlanError::Collisions(met));
        }
        let artifacts = resolution.artifacts();
        let mut roots: Vec<Root> = resolution.images.iter().map(ResolvedImage::root).collect();
        roots.extend(artifacts.iter().map(Root::from));
        let present = request.only.iter().flat_map(|only| &only.present);
        let base = request.base.iter().flat_map(|base| &base.blobs).chain(present);
        let base: HashMap<Digest, &RequiredBlob> = base.map(|blob| (blob.digest, blob)).collect();
        let only = request.only.as_ref().map(|only| only.blobs.iter().copied().collect::<HashSet<_>>());
        let inclusion = |layer: &Descriptor, role: Role| {
            let in_base = match &only {
                Some(only) => !only.contains(&layer.digest),
                None => base.get(&layer.digest).is_some_and(|blob| blob.size == layer.size),
            };
            if in_base && role.may_be_required() {
                Inclusion::Required
            } else if request.keep_urls && media_type::is_foreign(&layer.media_type) && !layer.urls.is_empty()
            {
                Inclusion::LeftOut
            } else {
                Inclusion::Carried
            }
        };
        let contents = Contents::proven(&roots, manifests, &inclusion)?;
        if !contents.faults.is_empty() {
            return Err(PlanError::Images(resolution.blame(contents.faults, &artifacts)));
        }
        if total(&contents.blobs).is_none() {
            return Err(PlanError::TooLarge);
        }
        let mut images: Vec<ImageRow> = resolution.images.iter().map(|image| image.row.clone()).collect();
        for (image, size) in images.iter_mut().zip(&contents.sizes) {
            image.size = *size;
        }
        let mut extensions = std::collections::BTreeMap::new();
        if request.keep_host {
            extensions.insert("mapping".to_owned(), serde_json::json!({ "keepHost": true }));
        }
        let repinned = resolution.images.iter().filter_map(|i| Some((&i.row.digest, i.repinned.as_ref()?)));
        if let Some(repinned) = repinned_extension(repinned) {
            extensions.insert(REPINNED.to_owned(), repinned);
        }
        let required = contents.required.iter().map(|(digest, size)| {
            let elsewhere = || RequiredBlob { digest: *digest, repositories: Vec::new(), size: *size };
            base.get(digest).map_or_else(elsewhere, |blob| (*blob).clone())
        });
        let blobs: Vec<RequiredBlob> = required.collect();
        let bases =
            request.base.iter().map(|base| base.base).chain(request.only.iter().map(|only| only.base));
        let requires = bases.last().filter(|_| !blobs.is_empty()).map(|base| Requires { base, blobs });
        let bundle = BundleManifest {
            artifacts,
            blobs: contents.blobs,
            catalog: request.catalog.clone(),
            extensions,
            format_revision: FORMAT_REVISION,
            images,
            media_type: MEDIA_TYPE.to_owned(),
            platforms: request.platforms.clone(),
            profile: request.profile,
            requires,
            schema_version: SCHEMA_VERSION,
        };
        let signature = signer.map(|signer| signer.sign(&bundle)).transpose()?.flatten();
        let mut bases = match bundle.profile {
            Profile::Compact if !request.old_layers.is_empty() => {
                let new = layers_of(&bundle.images, manifests)?;
                BlobBases::choose(request.base.as_ref(), &request.old_layers, &new, &bundle.blobs)
            }
            _ => BlobBases { of: vec![Vec::new(); bundle.blobs.len()], ..BlobBases::default() },
        };
        bases.listed.effort = request.effort;
        if let Some(signer) = signer.filter(|_| !bundle.profile.is_layout()) {
            let of_layout = signer.sign(&bundle.as_layout())?;
            bases.listed.layout_signature = of_layout.and_then(|signature| String::from_utf8(signature).ok());
        }
        let head = crate::archive::draft_head(&bundle, signature.as_deref(), &bases.listed, manifests, out)?;
        let (first_root, alone) = (contents.first_root, contents.alone);
        Ok(Self { bundle, signature, head, first_root, bases: bases.of, compact: bases.listed, alone })
    }

    /// Whether the bundle needs blobs that are elsewhere.
    pub fn is_delta(&self) -> bool {
        self.bundle.requires.is_some() || !self.compact.references.is_empty()
    }

    /// The repository from which blob `index` is fetched first.
    pub fn source(&self, index: usize) -> &Repository {
        let root = self.first_root[index] as usize;
        match root.checked_sub(self.bundle.images.len()) {
            None => self.bundle.images[root].source.repository(),
            Some(artifact) => &self.bundle.artifacts[artifact].repository,
        }
    }

    /// Bytes of all distinct blobs.
    pub fn distinct(&self) -> u64 {
        self.bundle.blobs.iter().map(|blob| blob.size).sum()
    }

    /// Bytes of all distinct blobs that the destination already has.
    pub fn required(&self) -> u64 {
        self.bundle.required()
    }

    /// Bytes to download after planning: everything outside the head.
    pub fn payload(&self) -> u64 {
        let layout = &self.head.layout;
        let outside = layout.stored().start..layout.compressed().end;
        self.bundle.blobs[outside].iter().map(|blob| blob.size).sum()
    }
}

impl Resolution {
    /// The artifacts of all images, each once, in the order of the images.
    fn artifacts(&self) -> Vec<ArtifactRow> {
        let mut seen = HashSet::new();
        let all = self.images.iter().flat_map(|image| &image.artifacts);
        all.filter(|row| seen.insert(*row)).cloned().collect()
    }

    /// Faults by image. A fault of an artifact counts for every image that it belongs to.
    fn blame(&self, faults: Vec<ImageFault>, artifacts: &[ArtifactRow]) -> Vec<ImageFault> {
        let of_images = |fault: ImageFault| {
            let Some(at) = fault.root.checked_sub(self.images.len()) else {
                return vec![fault];
            };
            let owners = self.images.iter().enumerate();
            let owners = owners.filter(|(_, image)| image.artifacts.contains(&artifacts[at]));
            let why = format!("artifact {}: {}", artifacts[at].digest, fault.why);
            owners.map(|(root, _)| ImageFault { root, why: why.clone() }).collect()
        };
        faults.into_iter().flat_map(of_images).collect()
    }
}

impl ResolvedImage {
    fn root(&self) -> Root {
        Root { digest: self.row.digest, media_type: self.row.media_type.clone(), size: self.root_size }
    }
}
