//! The facts that rules need, from the manifests and configs of a bundle.

use std::collections::HashMap;

use super::beside::Means;
use crate::archive::{
    ArchiveError, ArtifactIndex, BundleManifest, Contents, ImageRow, Manifests, Pins, Root, fates,
};
use crate::facts::{ConfigBytes, Configs, Runs, RunsAs, Variant, running_beside, variants};
use crate::image::{ArtifactKind, Digest, ParsedManifest, Reference};

/// The facts about a bundle that rules need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub images: Vec<ImageFacts>,
    /// Bytes of all distinct blobs that are carried or sent.
    pub size: u64,
}

/// The facts about an image that rules need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    pub name: Reference,
    pub source: Reference,
    /// Why no digest binds it, if none does.
    pub unpinned: Option<String>,
    /// Bytes of everything it needs.
    pub size: u64,
    /// Whether the image, or each of its platforms, has a signature beside it.
    pub signature: bool,
    /// The same for an SBOM.
    pub sbom: bool,
    /// The user of each of its platforms; artifacts have none.
    pub runs_as: Vec<(String, RunsAs)>,
    /// The same of what stands beside it and can run, by digest.
    pub beside: Vec<(Digest, RunsAs)>,
}

/// The part of a bundle that is judged: all of it, or what an import sends.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    pub images: &'a dyn Fn(&Reference) -> bool,
    /// Artifacts of other kinds are not sent.
    pub with: &'a [ArtifactKind],
}

impl std::fmt::Debug for Selection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selection").field("with", &self.with).finish_non_exhaustive()
    }
}

impl Selection<'_> {
    /// Everything that a bundle has.
    pub const ALL: Selection<'static> = Selection { images: &|_| true, with: &ArtifactKind::ALL };
}

impl Facts {
    pub fn of(
        bundle: &BundleManifest,
        manifests: &dyn Manifests,
        configs: ConfigBytes<'_>,
        selection: Selection<'_>,
    ) -> Result<Self, ArchiveError> {
        let (index, configs) = (ArtifactIndex::of(bundle), Configs::new(configs));
        let (mut images, mut roots) = (Vec::with_capacity(bundle.images.len()), Vec::new());
        for (at, row) in bundle.images.iter().enumerate() {
            if !(selection.images)(&row.name) {
                continue;
            }
            roots.push(index.image(at).clone());
            let (mut beside, mut running): (HashMap<Digest, Means>, _) = (HashMap::new(), Vec::new());
            for at in index.of_image(at, manifests)? {
                let artifact = &bundle.artifacts[at];
                if artifact.kind().is_none_or(|kind| !selection.with.contains(&kind)) {
                    continue;
                }
                roots.push(index.artifact(at).clone());
                let runs = running_beside(artifact, manifests, &configs, &|_| ())?;
                if !runs.is_empty() {
                    running.extend(runs.iter().filter_map(|own| Some((artifact.digest, own.runs_as()?))));
                    continue;
                }
                let bytes = manifests.manifest(&artifact.digest)?;
                if let Ok(parsed) = ParsedManifest::of(&bytes, Some(&artifact.media_type)) {
                    beside.entry(artifact.subject).or_default().add(Means::of(artifact, &parsed));
                }
            }
            let variants =
                variants(&row.digest, &row.media_type, manifests, &configs, &Means::of_predicates)?;
            let means = means(&row.digest, &variants, beside);
            images.push(ImageFacts {
                name: row.name.clone(),
                source: row.source.clone(),
                unpinned: unpinned(bundle, row, manifests),
                size: row.size,
                signature: means.signature,
                sbom: means.sbom,
                runs_as: variants.iter().filter_map(runs_as).collect(),
                beside: running,
            });
        }
        Ok(Self { images, size: size(bundle, &roots, manifests)? })
    }
}

/// Of one platform among several; an image that has no others has no need to say which it is.
fn runs_as(variant: &Variant<Means>) -> Option<(String, RunsAs)> {
    let platform = variant.entry.as_ref().map_or_else(String::new, |_| variant.platform.clone());
    Some((platform, variant.runs_as()?))
}

/// Why an image is not the one that its name or source pins.
fn unpinned(bundle: &BundleManifest, row: &ImageRow, manifests: &dyn Manifests) -> Option<String> {
    if row.name.digest().is_none() && row.source.digest().is_none() {
        return Some("is named without its digest".to_owned());
    }
    match bundle.pins(row, manifests) {
        Ok(Pins::Hold | Pins::Narrowed(_)) => None,
        Ok(Pins::Claimed(pin)) => {
            Some(format!("is pinned to {pin}, and nothing proves that {} was made from it", row.digest))
        }
        Err(error) => Some(format!("is not what its name pins: {error}")),
    }
}

/// Bytes of what `roots` need of the bundle.
fn size(bundle: &BundleManifest, roots: &[Root], manifests: &dyn Manifests) -> Result<u64, ArchiveError> {
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0u64, u64::saturating_add);
    if roots.len() >= bundle.images.len() + bundle.artifacts.len() {
        return Ok(sum(&mut bundle.blobs.iter().map(|blob| blob.size)));
    }
    let contents = Contents::collect(roots, manifests, &fates(bundle))?;
    Ok(sum(&mut contents.blobs.iter().map(|blob| blob.size)))
}

/// What is about the image itself, or about each of its platforms.
fn means(root: &Digest, variants: &[Variant<Means>], mut beside: HashMap<Digest, Means>) -> Means {
    for variant in variants {
        if let (Runs::Attests(subject), Some(means)) = (&variant.runs, variant.kept) {
            beside.entry(*subject).or_default().add(means);
        }
    }
    let of = |digest: &Digest| beside.get(digest).copied().unwrap_or_default();
    let platforms = variants.iter().filter(|variant| !matches!(variant.runs, Runs::Attests(_)));
    let each = platforms.map(|variant| of(&variant.digest)).reduce(Means::and);
    let mut means = of(root);
    means.add(each.unwrap_or_default());
    means
}
