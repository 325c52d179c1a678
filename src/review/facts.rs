//! What a bundle says of each of its images: platforms, configs, layers, what is shared, what is signed.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::archive::{ArchiveError, ArtifactIndex, Contents, Holdings, MAX_DEPTH, fates};
use crate::destination::Mapping;
use crate::image::{
    ArtifactCounts, Descriptor, Digest, ImageConfig, ManifestKind, ParsedManifest, Platform, Reference,
};

/// A layer as a manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// One platform of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// `linux/amd64`; empty where nothing says.
    pub platform: String,
    pub digest: Digest,
    pub config: ImageConfig,
    pub layers: Vec<Layer>,
    /// Of the manifest and of the index entry.
    pub annotations: BTreeMap<String, String>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// What the chart calls it.
    pub name: Reference,
    /// Where it was pulled from.
    pub source: Reference,
    /// Where it lands, below the registry: path and tag.
    pub targets: Vec<String>,
    pub digest: Digest,
    /// Set when it is no container image.
    pub artifact_type: Option<String>,
    /// Charts and components that use it.
    pub used_by: Vec<String>,
    /// Bytes of everything it needs.
    pub size: u64,
    /// Bytes of what no other image here needs.
    pub own: u64,
    pub variants: Vec<Variant>,
    /// What is about it.
    pub artifacts: ArtifactCounts,
    /// Everything it needs, with sizes.
    pub blobs: HashMap<Digest, u64>,
}

/// What a bundle says of itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// For messages and titles.
    pub title: String,
    pub id: Option<Digest>,
    pub images: Vec<ImageFacts>,
    /// Each distinct blob with its size, and how many images need it.
    pub blobs: HashMap<Digest, (u64, u32)>,
    /// What the destination must have already.
    pub base: Option<(Digest, u64)>,
}

impl Facts {
    pub fn of(holdings: &dyn Holdings) -> Result<Self, ArchiveError> {
        let bundle = holdings.bundle();
        let (index, fate) = (ArtifactIndex::of(bundle), fates(bundle));
        let mapping = Mapping { keep_host: bundle.keeps_host(), ..Mapping::default() };
        let mut blobs: HashMap<Digest, (u64, u32)> = HashMap::new();
        let mut images = Vec::with_capacity(bundle.images.len());
        for (at, row) in bundle.images.iter().enumerate() {
            let contents = Contents::collect(std::slice::from_ref(index.image(at)), holdings, &fate)?;
            let carried = contents.blobs.iter().map(|blob| (blob.digest, blob.size));
            let needs: HashMap<Digest, u64> = carried.chain(contents.required).collect();
            for (digest, size) in &needs {
                blobs.entry(*digest).or_insert((*size, 0)).1 += 1;
            }
            let mut artifacts = ArtifactCounts::default();
            for artifact in index.of_image(at, holdings)? {
                artifacts.extend(bundle.artifacts[artifact].kind());
            }
            let used_by = row.entries.iter().filter_map(|entry| bundle.catalog.entries.get(*entry as usize));
            let used_by = used_by.map(|entry| match (entry.chart.as_str(), entry.component.as_str()) {
                (chart, "") => chart.to_owned(),
                (chart, component) => format!("{chart}/{component}"),
            });
            let mut variants = Variants { holdings, seen: HashSet::new(), found: Vec::new() };
            variants.add(&row.digest, &row.media_type, None, 0)?;
            images.push(ImageFacts {
                name: row.name.clone(),
                source: row.source.clone(),
                targets: mapping.targets(&row.name, &row.digest).iter().map(ToString::to_string).collect(),
                digest: row.digest,
                artifact_type: row.artifact_type.clone(),
                used_by: used_by.filter(|text| !text.is_empty()).collect(),
                size: row.size,
                own: 0,
                variants: variants.found,
                artifacts,
                blobs: needs,
            });
        }
        for image in &mut images {
            let own = image.blobs.iter().filter(|(digest, _)| blobs.get(digest).is_some_and(|b| b.1 == 1));
            image.own = own.map(|(_, size)| size).sum();
        }
        let title = match (bundle.catalog.name.as_str(), bundle.catalog.version.as_str()) {
            ("", _) => holdings.name(),
            (name, version) => format!("{name} {version}").trim_end().to_owned(),
        };
        let base = bundle.requires.as_ref().map(|requires| (requires.base, bundle.required()));
        Ok(Self { title, id: holdings.id(), images, blobs, base })
    }

    /// Bytes of all distinct blobs.
    pub fn size(&self) -> u64 {
        self.blobs.values().fold(0, |sum, (size, _)| sum.saturating_add(*size))
    }
}

impl ImageFacts {
    /// The platform that stands for the image where one is shown: linux/amd64, else the first.
    pub fn main(&self) -> Option<&Variant> {
        let amd64 = self.variants.iter().find(|variant| variant.platform == "linux/amd64");
        amd64.or_else(|| self.variants.first())
    }

    /// The value of a label or annotation, of whichever platform has it first.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.variants.iter().find_map(|variant| {
            let labels = &variant.config.labels;
            labels.get(key).or_else(|| variant.annotations.get(key)).map(String::as_str)
        })
    }
}

struct Variants<'a> {
    holdings: &'a dyn Holdings,
    seen: HashSet<Digest>,
    found: Vec<Variant>,
}

impl Variants<'_> {
    fn add(
        &mut self,
        digest: &Digest,
        stated: &str,
        entry: Option<&Descriptor>,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        if depth > MAX_DEPTH || !self.seen.insert(*digest) {
            return Ok(());
        }
        let Ok(parsed) = ParsedManifest::of(&self.holdings.manifest(digest)?, Some(stated)) else {
            return Ok(());
        };
        if parsed.kind == ManifestKind::Index {
            for child in &parsed.manifests {
                let runs = !child.platform.as_ref().is_some_and(Platform::is_unknown);
                if runs && crate::image::media_type::is_manifest(&child.media_type) {
                    self.add(&child.digest, &child.media_type, Some(child), depth + 1)?;
                }
            }
            return Ok(());
        }
        let bytes = parsed.config.as_ref().and_then(|config| self.holdings.small(config));
        let config = bytes.as_deref().and_then(ImageConfig::of).unwrap_or_default();
        let platform = entry.and_then(|entry| entry.platform.as_ref()).map(ToString::to_string);
        let own = || bytes.as_deref().and_then(platform_of).unwrap_or_default();
        let annotations = parsed.annotations.iter().chain(entry.into_iter().flat_map(|e| &e.annotations));
        let annotations =
            annotations.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        self.found.push(Variant {
            platform: platform.unwrap_or_else(own),
            digest: *digest,
            config,
            layers: parsed.layers.iter().map(|l| Layer { digest: l.digest, size: l.size }).collect(),
            annotations,
        });
        Ok(())
    }
}

/// The platform that a config states.
fn platform_of(config: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(config).ok()?;
    let part = |key: &str| value.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
    let mut platform = format!("{}/{}", part("os")?, part("architecture")?);
    if let Some(variant) = part("variant") {
        platform.push('/');
        platform.push_str(variant);
    }
    Some(platform)
}
