//! Converts the index and the manifests of another tool's layout into the rows of a bundle.

use std::collections::HashSet;

use super::beside::{Beside, is_type_of_image, name_of, related, root_of, tag_of, unnamed};
use super::platforms::{Known, Leaves};
use crate::archive::format::contents::{Contents, Inclusion, Root};
use crate::archive::format::manifest_source::Manifests;
use crate::archive::manifest::{
    BundleManifest, CatalogRecord, FORMAT_REVISION, ImageRow, MEDIA_TYPE, Profile, SCHEMA_VERSION,
};
use crate::archive::{ArchiveError, FormatError, InputError};
use crate::image::{Descriptor, Digest, ManifestKind, ParsedManifest, Platform, Reference, media_type};

/// Number of images that one message names.
const NAMED: usize = 10;

/// How the images of another tool's layout are used.
#[derive(Clone, Debug, Default)]
pub struct LayoutOptions {
    /// The name of the only image, which may have none in the archive.
    pub name: Option<Reference>,
    /// For images with several platforms, use only the manifest of this one.
    pub platform: Option<Platform>,
    /// Also use images without a name, under a name that no registry has. For reading, not for importing.
    pub nameless: bool,
}

impl LayoutOptions {
    /// Refuses options that do not apply to a bundle: its images have names and are imported as they are.
    pub fn refuse_for_bundle(&self) -> Result<(), ArchiveError> {
        match (&self.name, &self.platform) {
            (Some(name), _) => Err(ArchiveError::Input(InputError::NameUnneeded(name.to_string()))),
            (None, Some(platform)) => {
                Err(ArchiveError::Input(InputError::PlatformUnneeded(platform.to_string())))
            }
            (None, None) => Ok(()),
        }
    }
}

/// An image of which only one platform is used, and not the index that lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Position of the image in the bundle.
    pub image: usize,
    pub platform: String,
    pub index: Digest,
}

/// A layout in the form of a bundle.
#[derive(Debug)]
pub(in crate::archive) struct Described {
    pub(in crate::archive) bundle: BundleManifest,
    pub(in crate::archive) chosen: Vec<Chosen>,
    /// Notes for the user who imports it.
    pub(in crate::archive) notes: Vec<String>,
}

/// Converts the index and the manifests. `small` also has the configs, as far as they are at hand.
pub(in crate::archive) fn describe(
    index: &ParsedManifest,
    known: &Known<'_>,
    small: &dyn Manifests,
    options: &LayoutOptions,
) -> Result<Described, ArchiveError> {
    let manifests = known.manifests;
    let (roots, others): (Vec<&Descriptor>, Vec<&Descriptor>) =
        index.manifests.iter().partition(|d| media_type::is_manifest(&d.media_type));
    if let Some(image) = others.iter().find(|d| d.platform.is_some() || matches!(name_of(d), Ok(Some(_)))) {
        let (digest, what) = (image.digest, &image.media_type);
        return Err(ArchiveError::Format(FormatError::Damaged(format!(
            "index.json lists {digest} as an image with the type {what:?}, which is not that of a manifest"
        ))));
    }
    let mut found = Found::default();
    let images: Vec<&Descriptor> = roots.iter().copied().filter(|root| related(root).is_none()).collect();
    for root in &roots {
        ArchiveError::unless_stopped()?;
        // A given name is for the only image: with several, it is not known which one is meant.
        let given = options.name.as_ref().filter(|_| images.len() == 1 && related(root).is_none());
        found.add(root, given, known, options)?;
    }
    found.refuse_sparse(options)?;
    let Found { mut images, beside, chosen, mut notes, is_name_used, .. } = found;
    if let Some(name) = options.name.as_ref().filter(|_| !is_name_used) {
        return Err(ArchiveError::Input(InputError::NameUnused(name.to_string())));
    }
    if images.is_empty() {
        return Err(match roots.first() {
            Some(root) => unnamed(root),
            None => ArchiveError::Format(FormatError::NotABundle("its index.json lists no image".to_owned())),
        });
    }
    let artifacts = beside.artifacts(&images, manifests, &mut notes)?;
    let mut roots: Vec<Root> = images.iter().map(root_of).collect();
    roots.extend(artifacts.iter().map(Root::from));
    let contents = Contents::proven(&roots, small, &|_, _| Inclusion::Carried)?;
    if let Some(fault) = contents.faults.first() {
        let name = images
            .get(fault.root)
            .map_or_else(|| format!("artifact {}", roots[fault.root].digest), |image| image.name.to_string());
        return Err(ArchiveError::Format(FormatError::Damaged(format!("{name}: {}", fault.why))));
    }
    for (image, size) in images.iter_mut().zip(&contents.sizes) {
        image.size = *size;
    }
    let bundle = BundleManifest {
        artifacts,
        blobs: contents.blobs,
        catalog: CatalogRecord::default(),
        extensions: std::collections::BTreeMap::new(),
        format_revision: FORMAT_REVISION,
        images,
        media_type: MEDIA_TYPE.to_owned(),
        platforms: Vec::new(),
        profile: Profile::Layout,
        requires: None,
        schema_version: SCHEMA_VERSION,
    };
    for image in &bundle.images {
        ArchiveError::unless_stopped()?;
        bundle.pins(image, manifests)?;
    }
    Ok(Described { bundle, chosen, notes })
}

/// The entries of an index, by kind.
#[derive(Default)]
struct Found<'a> {
    images: Vec<ImageRow>,
    names: HashSet<Reference>,
    is_name_used: bool,
    beside: Beside<'a>,
    chosen: Vec<Chosen>,
    /// Images that are incomplete, one line each, and the platform that is present.
    sparse: Vec<String>,
    only: Vec<Option<Platform>>,
    /// Images that lack the requested platform.
    unfit: Vec<String>,
    notes: Vec<String>,
}

impl<'a> Found<'a> {
    fn add(
        &mut self,
        root: &'a Descriptor,
        given: Option<&Reference>,
        known: &Known<'_>,
        options: &LayoutOptions,
    ) -> Result<(), ArchiveError> {
        self.is_name_used |= given.is_some();
        let own = if given.is_some() || related(root).is_some() { Ok(None) } else { name_of(root) };
        let name = given.cloned().or(own?);
        let Some(name) = name.or_else(|| self.placeholder(root, known, options)) else {
            self.beside.entries.push(root);
            return Ok(());
        };
        self.beside.named.insert(name.clone(), root.digest);
        let leaves = Leaves::of(root, known);
        let taken = match (&leaves, &options.platform) {
            (Some(leaves), Some(wanted)) => match leaves.choose(&name, wanted) {
                Ok(chosen) => {
                    if name.digest() == Some(&root.digest) {
                        return Err(ArchiveError::Input(InputError::PlatformPinned(name.to_string())));
                    }
                    let platform = chosen.platform.as_ref().map_or_else(String::new, ToString::to_string);
                    self.chosen.push(Chosen { image: self.images.len(), platform, index: root.digest });
                    self.beside.left_out.insert(root.digest);
                    chosen
                }
                Err(why) => {
                    self.unfit.push(why);
                    return Ok(());
                }
            },
            (Some(leaves), None) if !leaves.is_whole() => {
                self.sparse.push(leaves.description(&name));
                self.only.push(leaves.only());
                return Ok(());
            }
            _ => root.clone(),
        };
        let bytes = known
            .manifests
            .get(&taken.digest)
            .ok_or(ArchiveError::Format(FormatError::MissingManifest(taken.digest)))?;
        let parsed = ParsedManifest::of(bytes, Some(&taken.media_type))
            .map_err(|e| ArchiveError::Format(FormatError::Damaged(format!("{}: {e}", taken.digest))))?;
        if !self.names.insert(name.clone()) {
            return Err(ArchiveError::Format(FormatError::Damaged(format!("the name {name} appears twice"))));
        }
        self.images.push(ImageRow {
            artifact_type: None,
            digest: taken.digest,
            entries: Vec::new(),
            media_type: parsed.media_type.clone(),
            name: name.clone(),
            platforms: platforms(&parsed),
            size: taken.size,
            source: name,
        });
        Ok(())
    }

    /// A name for an image that has none, if that is sufficient.
    fn placeholder(
        &mut self,
        root: &Descriptor,
        known: &Known<'_>,
        options: &LayoutOptions,
    ) -> Option<Reference> {
        let bytes = known.manifests.get(&root.digest).filter(|_| options.nameless)?;
        let parsed = ParsedManifest::of(bytes, Some(&root.media_type)).ok()?;
        let is_artifact = related(root).is_some() || tag_of(root).is_some() || parsed.subject.is_some();
        if is_artifact || root.artifact_type.as_deref().is_some_and(|t| !is_type_of_image(t)) {
            return None;
        }
        self.notes.push(format!("{}; `bundle import` needs one", unnamed(root)));
        format!("unnamed.invalid/image@{}", root.digest).parse().ok()
    }

    /// Refuses images of which the archive lacks a requested part.
    fn refuse_sparse(&mut self, options: &LayoutOptions) -> Result<(), ArchiveError> {
        if let Some(wanted) = options.platform.as_ref().filter(|_| !self.unfit.is_empty()) {
            let images = lines(&self.unfit);
            return Err(ArchiveError::Input(InputError::NoPlatform { wanted: wanted.to_string(), images }));
        }
        if self.sparse.is_empty() {
            return Ok(());
        }
        let first = self.only.first().cloned().flatten();
        let platform = first.filter(|first| self.only.iter().all(|only| only.as_ref() == Some(first)));
        let platform = platform.map(|platform| platform.to_string());
        Err(ArchiveError::Input(InputError::Sparse { images: lines(&self.sparse), platform }))
    }
}

/// One image per line, up to a limit.
fn lines(images: &[String]) -> String {
    let named = images[..images.len().min(NAMED)].join("\n");
    match images.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}\n… and {more} more"),
    }
}

fn platforms(parsed: &ParsedManifest) -> Vec<String> {
    if parsed.kind != ManifestKind::Index {
        return Vec::new();
    }
    let known = parsed.manifests.iter().filter_map(|child| child.platform.as_ref());
    known.filter(|p: &&Platform| p.is_nameable()).map(ToString::to_string).collect()
}
