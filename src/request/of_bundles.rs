//! A request for images of bundles on this machine: their digests are known, and their content is read from the bundles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::base;
use super::bundles::OpenBundles;
use super::catalogs::{join, positions};
use super::resolved_request::ResolvedRequest;
use crate::app::failure::{ExitCode, Failure};
use crate::archive::manifest::{EntryRecord, RequiredBlob, Requires};
use crate::archive::{ArtifactIndex, ImageStore, Inclusion, Pins, Repinned, StoredBases, fates};
use crate::cli::{BaseContentChoice, RowArgs, SelectionArgs, TrustArgs};
use crate::image::{ParsedManifest, Platform, media_type};
use crate::inputs::content_source::ContentSource;
use crate::inputs::held::Held;
use crate::inputs::open_bundle;
use crate::plan::RequestedImage;
use crate::provenance::{Material, MaterialKind};
use crate::registry::{ClientOptions, RegistryClient};

/// Which images of which bundles.
pub(crate) struct FromBundles<'a> {
    /// The bundles whose images are wanted.
    pub(crate) bundles: &'a [PathBuf],
    /// Further bundles, for blobs that are missing from those.
    pub(crate) fill_from: &'a [PathBuf],
    pub(crate) trust: &'a TrustArgs,
    /// The images of bundles can only be selected by rows.
    pub(crate) rows: &'a RowArgs,
    /// Platforms to keep; empty keeps those that the bundles have.
    pub(crate) platforms: &'a [Platform],
    /// Leave out layers that are kept outside of registries.
    pub(crate) keep_urls: bool,
    /// Make a delta, without the layers that this base has.
    pub(crate) base: Option<&'a Path>,
    /// Whether the new bundle is a compact one, and what it does with the content of the base.
    pub(crate) compact: bool,
    pub(crate) base_content: BaseContentChoice,
}

/// A request for images of bundles.
pub(crate) struct OfBundles {
    pub(crate) loaded: ResolvedRequest,
    /// The open bundles whose images are wanted.
    pub(crate) bundles: Vec<Arc<dyn ImageStore>>,
    /// Where their content is read.
    pub(crate) content: ContentSource,
}

/// Opens the bundles and makes the request.
pub(crate) fn load(wanted: &FromBundles<'_>) -> anyhow::Result<OfBundles> {
    let bundles = open(wanted.bundles, wanted.trust)?;
    let fill = open(wanted.fill_from, wanted.trust)?;
    let materials = bundles.iter().chain(&fill).filter_map(|image_store| material(image_store.as_ref()));
    let mut loaded = ResolvedRequest { materials: materials.collect(), ..ResolvedRequest::default() };
    let base = wanted.base.map(|path| base::load(path, wanted.trust)).transpose()?;
    let of_base = base.as_ref().and_then(|base| base.bundle.clone());
    let known: Vec<Arc<dyn ImageStore>> = fill.iter().chain(&bundles).cloned().chain(of_base).collect();
    for image_store in &bundles {
        // Its blobs may be made from those of older bundles.
        let is_other = |other: &&Arc<dyn ImageStore>| !Arc::ptr_eq(other, image_store);
        let others = known.iter().filter(is_other).cloned().collect();
        image_store.read_bases_from(Arc::new(StoredBases(others)));
    }
    let stock = Arc::new(OpenBundles::new(fill.into_iter().chain(bundles.iter().cloned()).collect()));
    for image_store in &bundles {
        add(&mut loaded, image_store.as_ref()).map_err(|why| {
            Failure::new(
                ExitCode::Failed,
                format!("{} cannot be merged with the others: {why}", image_store.name()),
            )
        })?;
    }
    loaded.select(&SelectionArgs { rows: wanted.rows.clone(), ..SelectionArgs::default() })?;
    let request = &mut loaded.request;
    if !wanted.platforms.is_empty() {
        request.platforms = wanted.platforms.iter().map(ToString::to_string).collect();
    }
    request.repin = true;
    request.keep_urls =
        wanted.keep_urls || bundles.iter().all(|image_store| lacks_foreign_layers(image_store.as_ref()));
    let bases = match &base {
        Some(base) if wanted.compact => base.refer(request, wanted.base_content, None)?,
        _ => None,
    };
    request.base = requires(&bundles, &stock, base.map(|base| base.requires))?;
    let client = RegistryClient::new(ClientOptions::default());
    let content = ContentSource::new(client, Held::only(stock)).with_bases(bases);
    Ok(OfBundles { loaded, bundles, content })
}

fn open(paths: &[PathBuf], trust: &TrustArgs) -> anyhow::Result<Vec<Arc<dyn ImageStore>>> {
    let open = |path: &PathBuf| {
        let image_store = open_bundle::open(Some(path), trust)?.image_store;
        if image_store.is_sequential() {
            let message = format!("{} has no random access, so it cannot be read here", image_store.name());
            return Err(Failure::new(ExitCode::Failed, message)
                .hint("unpack it into a folder and name the folder")
                .into());
        }
        Ok(image_store)
    };
    paths.iter().map(open).collect()
}

/// A bundle as a material of the new one. Layouts of other tools have no id.
fn material(image_store: &dyn ImageStore) -> Option<Material> {
    let name = image_store.name();
    let name = Path::new(&name).file_name()?.to_string_lossy().into_owned();
    Some(Material { kind: MaterialKind::Bundle, name, digest: image_store.id()? })
}

/// Adds the images of a bundle, with their names and rows.
fn add(loaded: &mut ResolvedRequest, image_store: &dyn ImageStore) -> Result<(), String> {
    let bundle = image_store.bundle();
    let request = &mut loaded.request;
    if request.images.is_empty() {
        (request.keep_host, request.platforms) = (bundle.keeps_host(), bundle.platforms.clone());
    } else if request.keep_host != bundle.keeps_host() {
        return Err("one keeps source hosts in its names, the other does not".to_owned());
    } else if request.platforms != bundle.platforms {
        request.platforms.clear();
    }
    let mut record = bundle.catalog.clone();
    // A variable that has different values in two bundles is left out.
    let same = |all: &BTreeMap<String, String>, name: &String, value: &mut String| {
        all.get(name).is_none_or(|other| other == value)
    };
    record.variables.retain(|name, value| same(&request.catalog.variables, name, value));
    request.catalog.variables.retain(|name, value| same(&bundle.catalog.variables, name, value));
    let mut images = bundle.images.clone();
    // Layouts of other tools have no rows.
    for image in images.iter_mut().filter(|image| image.entries.is_empty()) {
        image.entries.push(u32::try_from(record.entries.len()).unwrap_or(u32::MAX));
        record.entries.push(EntryRecord::default());
    }
    let rows = record.entries.len();
    let offset = join(&mut request.catalog, record)?;
    loaded.labels.extend((0..rows).map(|_| Vec::new()));
    let index = ArtifactIndex::of(bundle);
    let known = positions(&loaded.request);
    for (at, image) in images.into_iter().enumerate() {
        let entries = image.entries.iter().map(|entry| entry + offset);
        let artifacts = index.of_image(at, image_store).map_err(|error| error.to_string())?;
        let artifacts = artifacts.into_iter().map(|at| bundle.artifacts[at].clone());
        let repinned = match bundle.pins(&image, image_store).map_err(|error| error.to_string())? {
            Pins::Hold => None,
            Pins::Narrowed(repinned) => Some(repinned),
            Pins::Claimed(_) => Some(Repinned { index: None, platforms: bundle.platforms.clone() }),
        };
        let there = known.get(&image.name).map(|at| &mut loaded.request.images[*at]);
        match there.filter(|wanted| wanted.pin == Some(image.digest)) {
            Some(wanted) => {
                wanted.entries.extend(entries);
                wanted.artifacts.get_or_insert_default().extend(artifacts);
            }
            None => loaded.request.images.push(RequestedImage {
                entries: entries.collect(),
                artifacts: Some(artifacts.collect()),
                pin: Some(image.digest),
                repinned: repinned.clone(),
                name: image.name,
                sources: vec![image.source],
            }),
        }
    }
    Ok(())
}

/// Whether the bundle was made with `--foreign-layers keep-urls`.
fn lacks_foreign_layers(image_store: &dyn ImageStore) -> bool {
    let bundle = image_store.bundle();
    let inclusion = fates(bundle);
    let manifests = bundle.blobs.iter().filter(|blob| media_type::is_manifest(&blob.media_type));
    let left_out = manifests.filter_map(|blob| {
        let bytes = image_store.manifest(&blob.digest).ok()?;
        let layers = ParsedManifest::of(&bytes, Some(&blob.media_type)).ok()?.layers;
        layers.into_iter().find(|layer| inclusion(layer, crate::image::Role::Layer) == Inclusion::LeftOut)
    });
    left_out.take(1).count() > 0
}

/// The base of the new bundle: that of the old bundles where it is still needed, or the one that `--base` names.
fn requires(
    bundles: &[Arc<dyn ImageStore>],
    stock: &OpenBundles,
    base: Option<Requires>,
) -> anyhow::Result<Option<Requires>> {
    let mut all = base;
    let old = bundles.iter().filter_map(|image_store| image_store.bundle().requires.as_ref());
    for requires in old {
        let left: Vec<RequiredBlob> =
            requires.blobs.iter().filter(|blob| !stock.has(&blob.digest)).cloned().collect();
        if left.is_empty() {
            continue;
        }
        let all = all.get_or_insert_with(|| Requires { base: requires.base, blobs: Vec::new() });
        if all.base != requires.base {
            let message = format!("one builds on {}, the other on {}", all.base, requires.base);
            return Err(Failure::new(ExitCode::Failed, message)
                .hint("make the deltas whole with --fill-from BASE")
                .into());
        }
        all.blobs.extend(left);
    }
    if let Some(all) = &mut all {
        all.blobs.sort_by_key(|blob| blob.digest);
        all.blobs.dedup_by_key(|blob| blob.digest);
    }
    Ok(all)
}
