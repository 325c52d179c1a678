//! The facts about the images of a bundle: platforms, configs, layers, what is shared, what is signed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::archive::{ArchiveError, ArtifactIndex, Contents, ImageStore, fates};
use crate::destination::Mapping;
use crate::facts::{self, Configs, Runs};
use crate::image::{
    Annotations, ArtifactCounts, Descriptor, Digest, ImageConfig, MAX_CHARS, MediaType, ParsedManifest,
    Reference, shortened,
};

/// Annotations of an entry and its manifest that are kept, each.
const MAX_ANNOTATIONS: usize = 256;

/// Digests with sizes in bytes.
type Needs = Arc<HashMap<Digest, u64>>;

/// What is shared by all names of one image.
type Known = (Arc<[Variant]>, Needs);

/// Bytes that a layer takes where it is listed.
const LAYER: usize = 100;

/// A layer as a manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// What a runtime makes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Container,
    Artifact,
    /// About the manifest with this digest.
    Attestation(Digest),
    /// It may run; this is why it is unclear how.
    Unclear(String),
}

/// One entry of an image: mostly a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    /// `linux/amd64`; empty where nothing says.
    pub platform: String,
    pub digest: Digest,
    pub kind: Kind,
    /// Empty for what is not a container.
    pub config: Arc<ImageConfig>,
    pub layers: Vec<Layer>,
    /// Of the manifest and of the index entry.
    pub annotations: BTreeMap<String, String>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageFacts {
    /// The name that the chart uses.
    pub name: Reference,
    /// Where it was pulled from.
    pub source: Reference,
    /// Where it lands, below the registry: path and tag.
    pub targets: Vec<String>,
    pub digest: Digest,
    /// Set if it is not a container image.
    pub artifact_type: Option<String>,
    /// Charts and components that use it.
    pub used_by: Vec<String>,
    /// Bytes of everything it needs.
    pub size: u64,
    /// Bytes of what no other image here needs.
    pub own: u64,
    pub variants: Arc<[Variant]>,
    /// The artifacts about it.
    pub artifacts: ArtifactCounts,
    /// Everything it needs, with sizes.
    pub blobs: Needs,
}

/// The facts about a bundle.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// For messages and titles.
    pub title: String,
    pub id: Option<Digest>,
    pub images: Vec<ImageFacts>,
    /// Each distinct blob with its size, and how many images need it.
    pub blobs: HashMap<Digest, (u64, u32)>,
    /// The blobs that the destination must have.
    pub base: Option<(Digest, u64)>,
}

impl Facts {
    pub(crate) fn of(image_store: &dyn ImageStore) -> Result<Self, ArchiveError> {
        let bundle = image_store.bundle();
        let (index, inclusion) = (ArtifactIndex::of(bundle), fates(bundle));
        let mapping = Mapping { keep_host: bundle.keeps_host(), ..Mapping::default() };
        let mut blobs: HashMap<Digest, (u64, u32)> = HashMap::new();
        let small = |config: &Descriptor| image_store.small(config);
        let configs = Configs::new(&small);
        // Names of the same image share what is known of it.
        let mut known: HashMap<(Digest, MediaType), Known> = HashMap::new();
        let mut images = Vec::with_capacity(bundle.images.len());
        for (at, row) in bundle.images.iter().enumerate() {
            ArchiveError::unless_stopped()?;
            let key = (row.digest, row.media_type.clone());
            let (variants, needs) = if let Some(same) = known.get(&key) {
                same.clone()
            } else {
                let contents =
                    Contents::collect(std::slice::from_ref(index.image(at)), image_store, &inclusion)?;
                let carried = contents.blobs.iter().map(|blob| (blob.digest, blob.size));
                let needs: Needs = Arc::new(carried.chain(contents.required).collect());
                let found = facts::variants(&row.digest, &row.media_type, image_store, &configs, &Kept::of)?;
                let found: Known = (found.into_iter().map(variant).collect(), needs);
                known.insert(key, found.clone());
                found
            };
            for (digest, size) in needs.iter() {
                blobs.entry(*digest).or_insert((*size, 0)).1 += 1;
            }
            let mut artifacts = ArtifactCounts::default();
            let mut running = Vec::new();
            for artifact in index.of_image(at, image_store)? {
                let artifact = &bundle.artifacts[artifact];
                let runs = facts::running_beside(artifact, image_store, &configs, &Kept::of)?;
                // An artifact that can run is shown as such, and not as the signature that its type claims.
                artifacts.extend(artifact.kind().filter(|_| runs.is_empty()));
                running.extend(runs.into_iter().map(variant).map(beside));
            }
            let variants =
                if running.is_empty() { variants } else { variants.iter().cloned().chain(running).collect() };
            let used_by = row.entries.iter().filter_map(|entry| bundle.catalog.entries.get(*entry as usize));
            let used_by = used_by.map(|entry| match (entry.chart.as_str(), entry.component.as_str()) {
                (chart, "") => chart.to_owned(),
                (chart, component) => format!("{chart}/{component}"),
            });
            images.push(ImageFacts {
                name: row.name.clone(),
                source: row.source.clone(),
                targets: mapping.targets(&row.name, &row.digest).iter().map(ToString::to_string).collect(),
                digest: row.digest,
                artifact_type: row.artifact_type.clone(),
                used_by: used_by.filter(|text| !text.is_empty()).collect(),
                size: row.size,
                own: 0,
                variants,
                artifacts,
                blobs: needs,
            });
        }
        for image in &mut images {
            let own = image.blobs.iter().filter(|(digest, _)| blobs.get(digest).is_some_and(|b| b.1 == 1));
            image.own = own.map(|(_, size)| size).sum();
        }
        let title = match (bundle.catalog.name.as_str(), bundle.catalog.version.as_str()) {
            ("", _) => image_store.name(),
            (name, version) => format!("{name} {version}").trim_end().to_owned(),
        };
        let base = bundle.requires.as_ref().map(|requires| (requires.base, bundle.required()));
        Ok(Self { title, id: image_store.id(), images, blobs, base })
    }

    /// Bytes of what all platforms say of themselves, as often as it would be written.
    pub(crate) fn weight(&self) -> usize {
        let variants = self.images.iter().flat_map(|image| image.variants.iter());
        let annotations = |variant: &Variant| -> usize {
            variant.annotations.iter().map(|(name, value)| name.len() + value.len()).sum()
        };
        variants.map(|v| v.config.weight() + annotations(v) + v.layers.len() * LAYER).sum()
    }

    /// Bytes of all distinct blobs.
    pub(crate) fn size(&self) -> u64 {
        self.blobs.values().fold(0, |sum, (size, _)| sum.saturating_add(*size))
    }
}

impl ImageFacts {
    /// The platform that represents the image: linux/amd64, otherwise the first.
    pub(crate) fn main(&self) -> Option<&Variant> {
        let amd64 = self.containers().find(|variant| variant.platform == "linux/amd64");
        amd64.or_else(|| self.containers().next()).or_else(|| self.variants.first())
    }

    /// The variants that containers can be made of.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Variant> {
        self.variants.iter().filter(|variant| variant.kind == Kind::Container)
    }

    /// Whether a container of it runs as root, or may do so.
    pub(crate) fn may_be_root(&self) -> bool {
        self.variants.iter().any(|variant| match variant.kind {
            Kind::Container => variant.config.is_root(),
            Kind::Unclear(_) => true,
            Kind::Artifact | Kind::Attestation(_) => false,
        })
    }

    /// The users its containers run as, each once; empty if it does not run.
    pub(crate) fn users(&self) -> Vec<&str> {
        let mut users = Vec::new();
        for variant in self.variants.iter() {
            let user = match &variant.kind {
                Kind::Container if variant.config.user.is_empty() => "root (unset)",
                Kind::Container => &variant.config.user,
                Kind::Unclear(_) => "unclear",
                Kind::Artifact | Kind::Attestation(_) => continue,
            };
            if !users.contains(&user) {
                users.push(user);
            }
        }
        users
    }

    /// The value of a label or annotation, of whichever platform has it first.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.variants.iter().find_map(|variant| {
            let labels = &variant.config.labels;
            labels.get(key).or_else(|| variant.annotations.get(key)).map(String::as_str)
        })
    }
}

/// An artifact of the image that can run. Its platform is not one of the image's.
fn beside(mut found: Variant) -> Variant {
    let own = std::mem::take(&mut found.platform);
    found.platform = if own.is_empty() { "beside it".to_owned() } else { format!("beside it: {own}") };
    found
}

/// What is kept of a manifest.
#[derive(Default)]
struct Kept {
    layers: Vec<Layer>,
    annotations: BTreeMap<String, String>,
}

impl Kept {
    fn of(manifest: &ParsedManifest) -> Self {
        let layer = |layer: &Descriptor| Layer { digest: layer.digest, size: layer.size };
        Self {
            layers: manifest.layers.iter().map(layer).collect(),
            annotations: annotations(&manifest.annotations),
        }
    }
}

/// The first annotations, shortened.
fn annotations(own: &Annotations) -> BTreeMap<String, String> {
    let first = own.first(MAX_ANNOTATIONS).into_iter();
    first.map(|(key, value)| (shortened(&key, MAX_CHARS), shortened(&value, MAX_CHARS))).collect()
}

/// One entry, as people see it.
fn variant(found: facts::Variant<Kept>) -> Variant {
    let kept = found.kept.unwrap_or_default();
    let mut all = kept.annotations;
    if let Some(entry) = &found.entry {
        all.extend(annotations(&entry.annotations));
    }
    let none = Arc::<ImageConfig>::default;
    let (config, kind) = match found.runs {
        Runs::Container(config) => (config, Kind::Container),
        Runs::Artifact => (none(), Kind::Artifact),
        Runs::Attests(subject) => (none(), Kind::Attestation(subject)),
        Runs::Unknown(why) => (none(), Kind::Unclear(why)),
    };
    Variant {
        annotations: all,
        layers: kept.layers,
        platform: found.platform,
        digest: found.digest,
        config,
        kind,
    }
}
