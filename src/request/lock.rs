//! Converts between locks and requests: a lock is made from a request, and a request from a lock.

use std::path::Path;

use futures_util::StreamExt;

use super::catalogs::{file_name, material};
use super::resolved_request::ResolvedRequest;
use crate::app::failure::{ExitCode, Failure};
use crate::app::{foreign_text, small_file};
use crate::archive::ArtifactRow;
use crate::archive::manifest::{CatalogRecord, EntryRecord};
use crate::catalog::lock::{Lock, LockedArtifact, LockedCatalog, LockedEntry, LockedImage};
use crate::cli::{CatalogArgs, NetworkArgs, SelectionArgs};
use crate::image::{Digest, Repository};
use crate::inputs::content_source::ContentSource;
use crate::plan::{Request, RequestedImage};
use crate::provenance::MaterialKind;
use crate::registry::ManifestTarget;
use crate::report::Reporter;

/// Maximum length of a lock, in bytes.
const MAX_LOCK: u64 = 64 << 20;

/// Reads the lock at `path`; none if there is no such file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Lock>> {
    text(path)?.map(|text| parse(path, &text)).transpose()
}

fn text(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match small_file::named(path, MAX_LOCK) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::usage(format!("lock {}: {error}", path.display())).into()),
    }
}

fn parse(path: &Path, text: &[u8]) -> anyhow::Result<Lock> {
    let place = format!("lock {}", path.display());
    let text = foreign_text::text(text).map_err(|error| Failure::unusable(error.of(path).about(&place)))?;
    Lock::parse(text.as_bytes()).map_err(|error| Failure::usage(format!("{place}: {error}")).into())
}

/// The request described by the lock at `path`. If catalogs are named too, they must still equal the locked ones.
pub(crate) fn load(
    args: &CatalogArgs,
    selection: &SelectionArgs,
    network: &NetworkArgs,
    path: &Path,
) -> anyhow::Result<ResolvedRequest> {
    let Some(text) = text(path)? else {
        return Err(Failure::usage(format!("the lock {} does not exist", path.display()))
            .hint("create it with bundle catalog lock")
            .into());
    };
    let lock = parse(path, &text)?;
    let mut materials = vec![material(MaterialKind::Lock, &path.to_string_lossy(), &text)];
    if !args.catalogs.is_empty() {
        let named = super::catalogs::load_with(args, selection, network)?;
        let catalog = catalog_of(&named);
        materials.extend(named.materials);
        if catalog != lock.catalog {
            return Err(outdated(path, &lock.catalog, &catalog));
        }
    }
    let mut loaded = from_lock(&lock, args)?;
    loaded.materials = materials;
    pack(&mut loaded, &lock, crate::app::own_file::folder_of(path))?;
    let is_locked = |wanted: &&RequestedImage| {
        lock.image(&wanted.name).is_none_or(|locked| wanted.pin == Some(locked.digest))
    };
    if let Some(changed) = loaded.request.images.iter().find(|wanted| !is_locked(wanted)) {
        let message =
            format!("{} is not the chart that was locked", loaded.archives[&changed.name].display());
        return Err(Failure::new(ExitCode::Failed, message)
            .hint("restore the locked chart, or lock the new one with bundle catalog lock")
            .into());
    }
    loaded.add(&selection.add, &args.source)?;
    if let Some(open) = loaded.request.images.iter().find(|wanted| wanted.pin.is_none()) {
        let message = format!("--add {}: it is not in {}", open.name, path.display());
        return Err(Failure::usage(message)
            .hint(format!("add it to the lock: bundle catalog lock --add {}", open.name))
            .into());
    }
    if loaded.request.images.is_empty() {
        return Err(Failure::usage(format!("lock {} lists no image", path.display())).into());
    }
    Ok(loaded)
}

/// The rows of `lock`, which is in `folder`, without their digests, which are resolved again.
pub(crate) fn again(lock: &Lock, args: &CatalogArgs, folder: &Path) -> anyhow::Result<ResolvedRequest> {
    let mut loaded = from_lock(lock, args)?;
    loaded.request.images.iter_mut().for_each(|wanted| (wanted.pin, wanted.artifacts) = (None, None));
    pack(&mut loaded, lock, folder)?;
    Ok(loaded)
}

/// Makes artifacts of the charts that `lock` names below `folder`.
fn pack(loaded: &mut ResolvedRequest, lock: &Lock, folder: &Path) -> anyhow::Result<()> {
    for image in &lock.images {
        if let Some(archive) = &image.archive {
            super::charts::pack(loaded, &image.name, &folder.join(archive))?;
        }
    }
    Ok(())
}

fn from_lock(lock: &Lock, args: &CatalogArgs) -> anyhow::Result<ResolvedRequest> {
    if args.catalogs.is_empty() && !args.set.is_empty() {
        let why = "--set needs a catalog; the variables in a lock are already filled in";
        return Err(Failure::usage(why)
            .hint("lock the catalog again with the new values: bundle catalog lock CATALOG --set NAME=VALUE")
            .into());
    }
    let mut loaded = request_of(lock);
    for wanted in &mut loaded.request.images {
        wanted.sources = crate::catalog::rewritten(&wanted.sources, &args.source)
            .map_err(|error| Failure::usage(error.to_string()))?;
    }
    Ok(loaded)
}

fn outdated(path: &Path, locked: &LockedCatalog, now: &LockedCatalog) -> anyhow::Error {
    let has =
        |catalog: &LockedCatalog, row: &LockedEntry| catalog.entries.iter().any(|e| e.image == row.image);
    let mut lines: Vec<String> = Vec::new();
    for row in now.entries.iter().filter(|row| !has(locked, row)) {
        lines.push(format!("{} is in the catalog, but not in the lock", row.image));
    }
    for row in locked.entries.iter().filter(|row| !has(now, row)) {
        lines.push(format!("{} is in the lock, but not in the catalog", row.image));
    }
    lines.dedup();
    if lines.is_empty() {
        lines.push("its rows, value paths or variables have changed".to_owned());
    }
    let message = format!("the catalog has changed since {} was made:\n{}", path.display(), lines.join("\n"));
    Failure::new(ExitCode::Failed, message)
        .hint("update the lock with bundle catalog lock, or leave the catalog out to use the lock alone")
        .into()
}

fn request_of(lock: &Lock) -> ResolvedRequest {
    let catalog = &lock.catalog;
    let mut request = Request {
        catalog: CatalogRecord {
            entries: catalog.entries.iter().map(record).collect(),
            name: catalog.name.clone(),
            registry_override: catalog.registry_override.clone(),
            values: catalog.values.clone(),
            per_image_values: catalog.per_image_values.clone(),
            variables: catalog.variables.clone(),
            version: catalog.version.clone(),
        },
        ..Request::default()
    };
    for (at, entry) in catalog.entries.iter().enumerate() {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        if let Some(wanted) = request.images.iter_mut().find(|wanted| wanted.name == entry.image) {
            wanted.entries.push(at);
        } else if let Some(locked) = lock.image(&entry.image) {
            let source = locked.source.clone().unwrap_or_else(|| locked.name.clone());
            request.images.push(RequestedImage {
                name: locked.name.clone(),
                sources: vec![source.clone()],
                entries: vec![at],
                artifacts: Some(artifacts(locked, source.repository())),
                pin: Some(locked.digest),
                repinned: None,
            });
        }
    }
    ResolvedRequest {
        request,
        labels: catalog.entries.iter().map(|entry| entry.labels.clone()).collect(),
        file_name: Some(file_name(&catalog.name, &catalog.version)),
        ..ResolvedRequest::default()
    }
}

fn artifacts(image: &LockedImage, repository: &Repository) -> Vec<ArtifactRow> {
    let row = |locked: &LockedArtifact| ArtifactRow {
        artifact_type: locked.artifact_type.clone(),
        digest: locked.digest,
        media_type: locked.media_type.clone(),
        repository: repository.clone(),
        size: locked.size,
        subject: locked.subject,
        tag: locked.tag.clone(),
    };
    image.artifacts.iter().map(row).collect()
}

/// The record of an artifact in a lock.
pub(crate) fn locked_artifact(row: &ArtifactRow) -> LockedArtifact {
    LockedArtifact {
        subject: row.subject,
        tag: row.tag.clone(),
        artifact_type: row.artifact_type.clone(),
        digest: row.digest,
        media_type: row.media_type.clone(),
        size: row.size,
    }
}

fn record(entry: &LockedEntry) -> EntryRecord {
    EntryRecord {
        chart: entry.chart.clone(),
        component: entry.component.clone(),
        registry_path: entry.registry.clone(),
        repository_path: entry.repository.clone(),
        tag_paths: entry.tag.clone(),
        digest_path: entry.digest.clone(),
    }
}

/// The record of the catalogs in `loaded` in a lock.
pub(crate) fn catalog_of(loaded: &ResolvedRequest) -> LockedCatalog {
    let CatalogRecord { entries, name, per_image_values, registry_override, values, variables, version } =
        loaded.request.catalog.clone();
    let labels = loaded.labels.iter().cloned().chain(std::iter::repeat(Vec::new()));
    let rows = entries.into_iter().zip(labels).enumerate().filter_map(|(at, (entry, labels))| {
        let uses = |wanted: &&RequestedImage| wanted.entries.iter().any(|entry| *entry as usize == at);
        Some(LockedEntry {
            image: loaded.request.images.iter().find(uses)?.name.clone(),
            chart: entry.chart,
            component: entry.component,
            registry: entry.registry_path,
            repository: entry.repository_path,
            tag: entry.tag_paths,
            digest: entry.digest_path,
            labels,
        })
    });
    LockedCatalog {
        entries: rows.collect(),
        name,
        per_image_values,
        registry_override,
        values,
        variables,
        version,
    }
}

/// Warns about tags that have moved since the lock was written. The bundle does not depend on this, so a registry that
/// does not answer is not a failure.
pub(crate) async fn warn_of_drift(
    content: &ContentSource,
    request: &Request,
    jobs: usize,
    reporter: &Reporter,
) {
    let locked: Vec<_> = request.images.iter().filter_map(|wanted| Some((wanted, wanted.pin?))).collect();
    let asked = futures_util::stream::iter(locked).map(|(wanted, pin)| async move {
        let source = wanted.sources.first()?;
        if source.digest().is_some() || content.holds(&pin) {
            return None;
        }
        let target = ManifestTarget::Tag(source.tag()?.clone());
        let now = content.client().head_manifest(source.repository(), &target).await;
        Some((source, pin, now))
    });
    let found: Vec<_> = asked.buffered(jobs.max(1)).filter_map(std::future::ready).collect().await;
    for (source, pin, now) in found {
        match now {
            Ok(Some(now)) if same(&now, &pin) => {}
            Ok(Some(now)) => reporter.warn(&format!(
                "{source} has moved since it was locked: {pin} is exported, but the tag now resolves to {now}"
            )),
            Ok(None) => {
                reporter.warn(&format!("{source} was deleted since it was locked; {pin} still exists"));
            }
            Err(error) => reporter.detail(&format!("{source}: cannot check whether the tag moved: {error}")),
        }
    }
}

/// Whether the two may be the same content: digests of different algorithms cannot be compared.
fn same(now: &Digest, pin: &Digest) -> bool {
    now == pin || now.algorithm() != pin.algorithm()
}
