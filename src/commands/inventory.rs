//! `bundle inspect -d`: which images of a catalog a registry has, so that an export can leave them out.

use crate::app::failure::{ExitCode, Explain, Failure};
use crate::app::text::typed;
use crate::archive::Root;
use crate::cli::{CatalogArgs, InspectArgs, ResultFormat};
use crate::destination::{Destination, Mapping};
use crate::export::resolve::error::ResolveError;
use crate::export::resolve::manifest_cache::ManifestCache;
use crate::export::resolve::resolver::{Resolved, Unresolved, resolve};
use crate::image::{ArtifactKind, Digest, Reference};
use crate::inputs::clients;
use crate::inputs::content_source::ContentSource;
use crate::inputs::held::Held;
use crate::plan::{Inventory, InventoryImage, KnownBlobs};
use crate::report::{bytes, count};
use crate::request::catalogs;
use crate::session::{Session, console, output_files};

pub(super) async fn run(
    session: &Session,
    args: &InspectArgs,
    destination: &str,
) -> anyhow::Result<ExitCode> {
    let destination: Destination = destination.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    let catalogs = CatalogArgs { catalogs: args.catalog.clone(), set: args.set.clone(), source: Vec::new() };
    let mut request = catalogs::load(&catalogs, &args.network)?.request;
    let mapping =
        Mapping { keep_host: args.mapping.keep_host, no_synthetic_tags: args.mapping.no_synthetic_tags };
    for wanted in &mut request.images {
        wanted.sources = places(&wanted.name, &destination, mapping);
    }
    request.with = ArtifactKind::ALL.to_vec();
    let client = clients::for_destination(&args.network, &destination, &session.reporter)?;
    let cache = ManifestCache::anonymous()?;
    let reporter = &session.reporter;
    reporter.begin_count("checking what exists", request.images.len() as u64);
    let step = |_: &_, _| reporter.step();
    let content = ContentSource::new(client, Held::default());
    let work = resolve(&content, &cache, &request, usize::from(args.network.jobs), &step);
    let resolved = session.stoppable("nothing has been written", work).await?;
    reporter.end();
    clients::tell_warnings(content.client(), reporter);
    let absent = absent(&resolved)?;
    let inventory = inventory(&resolved, &cache)?;
    let text = inventory.to_text()?;
    if let Some(path) = &args.output {
        output_files::refuse_overwrite(path, text.as_bytes(), args.force, "")?;
        output_files::write(path, &text)?;
    }
    match session.format {
        ResultFormat::Json => console::print(&text)?,
        ResultFormat::Human => {
            let absent = absent.into_iter().map(|name| format!("missing  {name}\n"));
            console::print(&(absent.collect::<String>() + &summary(&inventory, args)))?;
        }
    }
    Ok(ExitCode::Done)
}

/// Where the image is in the registry.
fn places(name: &Reference, destination: &Destination, mapping: Mapping) -> Vec<Reference> {
    // Only images that are named by digest alone get a tag made of the digest.
    let digest = name.digest().copied().unwrap_or_else(|| Digest::sha256(b""));
    let targets = mapping.targets(name, &digest).into_iter().filter_map(|target| {
        let repository = destination.repository(&target).ok()?;
        Some(target.tag.map_or_else(|| repository.at(digest), |tag| repository.tagged(tag)))
    });
    targets.collect()
}

/// The images that the registry does not have. A registry that does not answer is an error instead.
fn absent(resolved: &Resolved) -> anyhow::Result<Vec<Reference>> {
    let mut absent = Vec::new();
    for Unresolved { source, error, .. } in &resolved.failures {
        match &**error {
            ResolveError::Content(error) if error.is_not_found() => absent.push(source.clone()),
            ResolveError::Content(error) => {
                let mut failure = Failure::new(error.exit_code(), format!("{source}: {error}"));
                failure.hints = error.hints();
                return Err(failure.into());
            }
            error => return Err(Failure::new(ExitCode::Content, format!("{source}: {error}")).into()),
        }
    }
    Ok(absent)
}

fn inventory(resolved: &Resolved, cache: &ManifestCache) -> anyhow::Result<Inventory> {
    let (mut images, mut stock) = (Vec::new(), KnownBlobs::default());
    for image in &resolved.resolution.images {
        let row = &image.row;
        let root = Root { digest: row.digest, media_type: row.media_type.clone(), size: image.root_size };
        let artifacts = image.artifacts.iter().map(crate::archive::Root::from);
        let roots: Vec<Root> = [root].into_iter().chain(artifacts).collect();
        stock.add(row.name.repository(), &roots, cache)?;
        images.push(InventoryImage { name: row.name.clone(), digest: row.digest });
    }
    Ok(Inventory::new(images, stock))
}

fn summary(inventory: &Inventory, args: &InspectArgs) -> String {
    let size: u64 = inventory.blobs.iter().map(|blob| blob.size).sum();
    let what = format!(
        "{} there; already inside: {} ({})\n",
        count(inventory.images.len(), "image"),
        count(inventory.blobs.len(), "layer"),
        bytes(size)
    );
    match &args.output {
        Some(path) => format!("{what}\nOutside:\n  bundle export CATALOG --base {}\n", typed(path)),
        None => {
            format!("{what}Write it with -o FILE for bundle export --base FILE.\n")
        }
    }
}
