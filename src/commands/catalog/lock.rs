//! `bundle catalog lock`: records the digest of every reference, and reports what changed since the last lock.

use std::path::Path;

use serde_json::json;

use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file::folder_of;
use crate::archive::{Contents, Manifests, Root};
use crate::catalog::lock::{Drift, Lock, LockedImage};
use crate::cli::{LockArgs, ResultFormat};
use crate::commands::ending;
use crate::export::resolve::manifest_cache::ManifestCache;
use crate::export::resolve::report::Resolving;
use crate::image::{Digest, ImageConfig, MediaType, ParsedManifest, media_type};
use crate::inputs::clients;
use crate::plan::ResolvedImage;
use crate::report::count;
use crate::request::resolved_request::ResolvedRequest;
use crate::request::{catalogs, lock};
use crate::session::console::{print, print_json};
use crate::session::run_report::{ImageReport, RunReport};
use crate::session::{Session, output_files};

/// How deeply nested indexes are searched for a date.
const MAX_DEPTH: usize = 8;

pub(super) async fn run(session: &Session, args: &LockArgs) -> anyhow::Result<ExitCode> {
    let mut report = RunReport::new("catalog lock", args.report.file.as_deref());
    let result = lock(session, args, &mut report).await;
    ending::close(&report, result, &session.reporter)
}

async fn lock(session: &Session, args: &LockArgs, report: &mut RunReport) -> anyhow::Result<ExitCode> {
    refuse_overlaps(args)?;
    let old = earlier(args)?;
    // Without a catalog, the rows of the lock are used.
    let mut loaded = match &old {
        Some(old) if args.catalog.catalogs.is_empty() => {
            lock::again(old, &args.catalog, folder_of(&args.output))?
        }
        _ => catalogs::load(&args.catalog, &args.network)?,
    };
    loaded.add(&args.selection.add, &args.catalog.source)?;
    loaded.select(&args.selection)?;
    loaded.request.with.clone_from(&args.with.with.0);
    if args.keep {
        keep(&mut loaded, old.as_ref());
    }
    let content = clients::for_export(
        &args.network,
        args.registry.as_ref(),
        &loaded.request,
        &loaded.held,
        &session.reporter,
    )?;
    let images = &loaded.request.images;
    report.images =
        images.iter().map(|wanted| ImageReport::new(&wanted.name, wanted.sources.first())).collect();
    let resolving = Resolving {
        session,
        content: &content,
        request: &loaded.request,
        jobs: usize::from(args.network.jobs),
        keep_going: false,
    };
    let cache = ManifestCache::anonymous()?;
    let resolved = resolving.run(&cache, report).await;
    clients::tell_warnings(content.client(), &session.reporter);
    let resolved = resolved?;
    report.all_done(crate::session::run_report::ImageState::Done);
    let images = resolved.resolution.images.iter().map(|image| {
        let mut locked = locked_image(image, &cache, args.dates)?;
        locked.archive = loaded.archives.get(&locked.name).map(|path| below(folder_of(&args.output), path));
        Ok(locked)
    });
    let new = Lock::new(lock::catalog_of(&loaded), images.collect::<anyhow::Result<_>>()?);
    finish(session, args, old.as_ref(), &new)
}

/// The existing lock. A file that is not a lock is an error without --force.
fn earlier(args: &LockArgs) -> anyhow::Result<Option<Lock>> {
    if args.output.as_os_str() == "-" {
        return Ok(None);
    }
    match lock::read(&args.output) {
        Ok(None) if args.check => {
            let message = format!("there is no lock {} to compare with", args.output.display());
            Err(Failure::usage(message).hint("write it first: bundle catalog lock").into())
        }
        Err(error) if !args.force || args.check => {
            let message = format!("{} exists, but cannot be read as a lock", args.output.display());
            let failure = Failure::new(ExitCode::Usage, message).because(error);
            Err(failure.hint("replace it with --force, or write elsewhere with -o FILE").into())
        }
        Err(_) => Ok(None),
        Ok(old) => Ok(old),
    }
}

fn refuse_overlaps(args: &LockArgs) -> anyhow::Result<()> {
    let inputs: Vec<_> = args.catalog.catalogs.iter().map(|name| ("the catalog", Path::new(name))).collect();
    let mut outputs = vec![("the lock", args.output.as_path())];
    outputs.extend(args.report.file.iter().map(|path| ("--report", path.as_path())));
    output_files::refuse_overlaps(&inputs, &outputs)
}

/// Pins each reference that `old` has locked to the digest and source in the lock.
fn keep(loaded: &mut ResolvedRequest, old: Option<&Lock>) {
    // A chart from a file always has the digest of the file.
    let from_registries = loaded.request.images.iter_mut().filter(|w| !loaded.archives.contains_key(&w.name));
    for wanted in from_registries {
        if let Some(locked) = old.and_then(|old| old.image(&wanted.name)) {
            wanted.pin = Some(locked.digest);
            wanted.sources = vec![locked.source.clone().unwrap_or_else(|| locked.name.clone())];
        }
    }
}

fn locked_image(image: &ResolvedImage, cache: &ManifestCache, dates: bool) -> anyhow::Result<LockedImage> {
    let row = &image.row;
    let root = Root { digest: row.digest, media_type: row.media_type.clone(), size: image.root_size };
    let contents = Contents::all(&[root], cache)?;
    if let Some(fault) = contents.faults.first() {
        return Err(Failure::new(ExitCode::Content, format!("{}: {}", row.name, fault.why)).into());
    }
    Ok(LockedImage {
        name: row.name.clone(),
        source: (row.source != row.name).then(|| row.source.clone()),
        archive: None,
        digest: row.digest,
        media_type: row.media_type.clone(),
        platforms: row.platforms.clone(),
        size: contents.sizes.first().copied().unwrap_or_default(),
        created: if dates { created(cache, &row.digest, &row.media_type) } else { None },
        artifacts: image.artifacts.iter().map(lock::locked_artifact).collect(),
    })
}

/// `path` as the lock writes it: relative to the folder of the lock if it is below it, so that both can be moved.
fn below(folder: &Path, path: &Path) -> String {
    let (whole, home) = (path.canonicalize(), folder.canonicalize());
    let below =
        whole.ok().zip(home.ok()).and_then(|(path, home)| Some(path.strip_prefix(home).ok()?.to_owned()));
    below.unwrap_or_else(|| path.to_owned()).to_string_lossy().into_owned()
}

/// The date in the config of the image, or of the first image of an index.
fn created(cache: &ManifestCache, digest: &Digest, media_type: &str) -> Option<String> {
    let (mut digest, mut stated) = (*digest, MediaType::from(media_type));
    for _ in 0..MAX_DEPTH {
        let parsed = ParsedManifest::of(&cache.manifest(&digest).ok()?, Some(&stated)).ok()?;
        if let Some(config) = parsed.config {
            let config = ImageConfig::of(&cache.manifest(&config.digest).ok()?).ok()?;
            let date = config.created?.parse::<jiff::Timestamp>().ok()?;
            return Some(date.to_string());
        }
        let child = parsed.manifests.into_iter().find(|child| {
            media_type::is_manifest(&child.media_type)
                && !child.platform.as_ref().is_some_and(crate::image::Platform::is_unknown)
        })?;
        (digest, stated) = (child.digest, child.media_type);
    }
    None
}

fn finish(session: &Session, args: &LockArgs, old: Option<&Lock>, new: &Lock) -> anyhow::Result<ExitCode> {
    let text = new.to_text()?;
    if args.output.as_os_str() == "-" {
        print(&text)?;
        return Ok(ExitCode::Done);
    }
    let drift = old.map(|old| old.drift(new));
    // A file with the same text is not rewritten, so that its time does not change.
    let same = old.is_some_and(|old| old.to_text().is_ok_and(|old| old == text));
    if !args.check && !same {
        output_files::write(&args.output, &text)?;
    }
    match session.format {
        ResultFormat::Json => print_json(&json!({
            "lock": args.output, "images": new.images.len(), "written": !args.check && !same,
            "drift": drift.as_ref().map(drift_json),
        }))?,
        ResultFormat::Human => print(&summary(args, new, drift.as_ref()))?,
    }
    let differs = drift.is_some_and(|drift| !drift.is_empty());
    Ok(if differs && args.exit_code { ExitCode::Differs } else { ExitCode::Done })
}

fn summary(args: &LockArgs, new: &Lock, drift: Option<&Drift<'_>>) -> String {
    let (file, images) = (args.output.display(), count(new.images.len(), "image"));
    let text = drift.map(ToString::to_string).unwrap_or_default();
    let end = match drift {
        Some(drift) if drift.is_empty() => format!("{file}: {images}, nothing changed since it was locked"),
        Some(_) if args.check => format!("\n{file} is unchanged; the catalog has {images} now"),
        Some(_) => format!("\n{file}: {images} locked"),
        None => format!("{file}: {images} locked"),
    };
    format!("{text}{end}\n")
}

fn drift_json(drift: &Drift<'_>) -> serde_json::Value {
    let names = |images: &[&LockedImage]| -> Vec<_> {
        images.iter().map(|image| json!({ "name": image.name, "digest": image.digest })).collect()
    };
    let moved: Vec<_> = drift
        .moved
        .iter()
        .map(|(old, new)| json!({ "name": new.name, "before": old.digest, "now": new.digest }))
        .collect();
    let artifacts: Vec<_> = drift.artifacts.iter().map(|(_, new)| &new.name).collect();
    json!({
        "added": names(&drift.added), "removed": names(&drift.removed), "moved": moved,
        "artifacts": artifacts, "rows": drift.rows,
    })
}
