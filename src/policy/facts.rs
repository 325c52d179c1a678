//! What of a bundle rules ask about, taken from its manifests and configs.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::beside::Means;
use crate::archive::{ArchiveError, ArtifactIndex, BundleManifest, MAX_DEPTH, Manifests};
use crate::image::{
    Descriptor, Digest, ImageConfig, ManifestKind, ParsedManifest, Platform, Reference, media_type,
};

/// Gives the bytes of a config, verified; none where they are not at hand.
pub type Configs<'a> = &'a dyn Fn(&Descriptor) -> Option<Vec<u8>>;

/// What rules ask of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub images: Vec<ImageFacts>,
    /// Bytes of all distinct blobs it carries.
    pub size: u64,
}

/// What rules ask of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    pub name: Reference,
    pub source: Reference,
    /// Bytes of everything it needs.
    pub size: u64,
    /// Whether the image, or each of its platforms, has a signature beside it.
    pub signature: bool,
    /// The same for an SBOM.
    pub sbom: bool,
    /// Who runs in it, for each platform; none for what is no container image.
    pub runs_as: Vec<(String, RunsAs)>,
}

/// Who a container of it runs as, unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunsAs {
    Root(String),
    User(String),
    Unknown(&'static str),
}

impl Facts {
    pub fn of(
        bundle: &BundleManifest,
        manifests: &dyn Manifests,
        configs: Configs<'_>,
    ) -> Result<Self, ArchiveError> {
        let index = ArtifactIndex::of(bundle);
        let mut images = Vec::with_capacity(bundle.images.len());
        for (at, row) in bundle.images.iter().enumerate() {
            let mut beside: HashMap<Digest, Means> = HashMap::new();
            for artifact in index.of_image(at, manifests)? {
                let artifact = &bundle.artifacts[artifact];
                let bytes = manifests.manifest(&artifact.digest)?;
                if let Ok(parsed) = ParsedManifest::of(&bytes, Some(&artifact.media_type)) {
                    beside.entry(artifact.subject).or_default().add(Means::of(artifact, &parsed));
                }
            }
            let mut walk = Walk { manifests, configs, seen: HashSet::new(), variants: Vec::new(), beside };
            walk.add(&row.digest, &row.media_type, None, 0)?;
            let means = walk.means(&row.digest);
            images.push(ImageFacts {
                name: row.name.clone(),
                source: row.source.clone(),
                size: row.size,
                signature: means.signature,
                sbom: means.sbom,
                runs_as: walk.variants.into_iter().filter_map(|v| Some((v.platform, v.runs_as?))).collect(),
            });
        }
        let size = bundle.blobs.iter().fold(0u64, |sum, blob| sum.saturating_add(blob.size));
        Ok(Self { images, size })
    }
}

/// One manifest below an image.
struct Variant {
    platform: String,
    digest: Digest,
    /// None for what no container is made of.
    runs_as: Option<RunsAs>,
}

struct Walk<'a> {
    manifests: &'a dyn Manifests,
    configs: Configs<'a>,
    seen: HashSet<Digest>,
    variants: Vec<Variant>,
    /// By what they are about.
    beside: HashMap<Digest, Means>,
}

impl Walk<'_> {
    fn add(
        &mut self,
        digest: &Digest,
        stated: &str,
        entry: Option<&Descriptor>,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        if !self.seen.insert(*digest) {
            return Ok(());
        }
        let platform = entry.and_then(|entry| entry.platform.as_ref());
        let platform = platform.map(ToString::to_string).unwrap_or_default();
        let unknown = |why| Variant {
            platform: platform.clone(),
            digest: *digest,
            runs_as: Some(RunsAs::Unknown(why)),
        };
        if depth > MAX_DEPTH {
            self.variants.push(unknown("its indexes are nested too deep"));
            return Ok(());
        }
        let Ok(parsed) = ParsedManifest::of(&self.manifests.manifest(digest)?, Some(stated)) else {
            self.variants.push(unknown("its manifest cannot be read"));
            return Ok(());
        };
        if parsed.kind == ManifestKind::Index {
            for child in parsed.manifests.iter().filter(|child| media_type::is_manifest(&child.media_type)) {
                match attested(child) {
                    Some(subject) => {
                        let bytes = self.manifests.manifest(&child.digest)?;
                        if let Ok(parsed) = ParsedManifest::of(&bytes, Some(&child.media_type)) {
                            self.beside.entry(subject).or_default().add(Means::of_predicates(&parsed));
                        }
                    }
                    None => self.add(&child.digest, &child.media_type, Some(child), depth + 1)?,
                }
            }
            return Ok(());
        }
        let config = parsed.config.as_ref().filter(|config| {
            matches!(config.media_type.as_str(), media_type::OCI_CONFIG | media_type::DOCKER_CONFIG)
        });
        let runs_as = config.map(|config| runs_as((self.configs)(config).as_deref()));
        self.variants.push(Variant { platform, digest: *digest, runs_as });
        Ok(())
    }

    /// What is about the image itself, or about each of its platforms.
    fn means(&self, root: &Digest) -> Means {
        let of = |digest: &Digest| self.beside.get(digest).copied().unwrap_or_default();
        let each = self.variants.iter().map(|variant| of(&variant.digest)).reduce(Means::and);
        let mut means = of(root);
        means.add(each.unwrap_or_default());
        means
    }
}

/// What `BuildKit`'s attestations are about that stand among the platforms of an index.
fn attested(child: &Descriptor) -> Option<Digest> {
    let annotation = |key: &str| child.annotations.get(key).and_then(Value::as_str);
    let runs = !child.platform.as_ref().is_some_and(Platform::is_unknown);
    if runs || annotation("vnd.docker.reference.type") != Some("attestation-manifest") {
        return None;
    }
    annotation("vnd.docker.reference.digest")?.parse().ok()
}

fn runs_as(config: Option<&[u8]>) -> RunsAs {
    let Some(bytes) = config else {
        return RunsAs::Unknown("its config is not at hand");
    };
    let Some(config) = ImageConfig::of(bytes) else {
        return RunsAs::Unknown("its config cannot be read");
    };
    if !ImageConfig::is_plain(bytes) {
        return RunsAs::Unknown("its config spells its user in two ways");
    }
    if config.is_root() { RunsAs::Root(config.user) } else { RunsAs::User(config.user) }
}
