//! `export --request`: reads the request of an import that found damage, and compares it with what is known on this
//! side.
//!
//! A request comes from the other side of the gap. Where its images are pulled from, and what they are called, must be
//! compared with a catalog, a lock or the damaged bundle; otherwise only the request states it.

use std::path::Path;

use super::catalogs::{self, MAX_CATALOG, file_name, material};
use super::resolved_request::ResolvedRequest;
use super::{base, lock};
use crate::app::failure::{ExitCode, Failure};
use crate::app::foreign_text;
use crate::catalog::rewritten;
use crate::cli::ExportArgs;
use crate::image::{Digest, Reference};
use crate::plan::{RequestedImage, SalvageRequest};
use crate::provenance::MaterialKind;
use crate::report::Reporter;

/// What is known about an image of a request.
struct Known {
    name: Reference,
    sources: Vec<Reference>,
    /// None if a catalog names a tag.
    digest: Option<Digest>,
}

/// The export for the request at `path`.
pub(crate) fn load(args: &ExportArgs, path: &Path, reporter: &Reporter) -> anyhow::Result<ResolvedRequest> {
    let usage = |why: String| Failure::usage(format!("--request {}: {why}", path.display()));
    let text = foreign_text::named(path, MAX_CATALOG)
        .map_err(|error| Failure::unusable(error.about(format_args!("--request {}", path.display()))))?;
    let bytes = text.into_bytes();
    let asked = SalvageRequest::from_bytes(&bytes).map_err(|error| usage(error.to_string()))?;
    compare(args, &asked, reporter)?;
    let (title, bundle) = (file_name(&asked.catalog.name, &asked.catalog.version), asked.bundle);
    let mut request = asked.export();
    for wanted in &mut request.images {
        wanted.sources =
            rewritten(&wanted.sources, &args.catalog.source).map_err(|error| usage(error.to_string()))?;
    }
    let file_name = Some(base::delta_name(&title, &bundle));
    let materials = vec![material(MaterialKind::Request, &path.to_string_lossy(), &bytes)];
    Ok(ResolvedRequest { request, file_name, materials, ..ResolvedRequest::default() })
}

/// Refuses a request that differs from the catalog, lock or bundle that was named; if none was, prints what it
/// requests.
fn compare(args: &ExportArgs, asked: &SalvageRequest, reporter: &Reporter) -> anyhow::Result<()> {
    let Some((what, known)) = known(args, asked)? else {
        let names = asked.images.iter().map(|image| {
            if image.source.repository() == image.name.repository() {
                image.name.to_string()
            } else {
                format!("{} from {}", image.name, image.source)
            }
        });
        let names: Vec<String> = names.collect();
        reporter.warn(&format!(
            "the images of the request cannot be compared with a catalog; name one, --locked or --base BUNDLE: {}",
            names.join(", ")
        ));
        return Ok(());
    };
    for image in &asked.images {
        let Some(known) = known.iter().find(|known| known.name == image.name) else {
            return Err(differs(format!("the request asks for {}, which is not in {what}", image.name)));
        };
        let is_known = |source: &Reference| source.repository() == image.source.repository();
        if !known.sources.iter().any(is_known) {
            let sources: Vec<String> = known.sources.iter().map(ToString::to_string).collect();
            let (name, source, sources) = (&image.name, &image.source, sources.join(", "));
            return Err(differs(format!(
                "the request pulls {name} from {source}, but {what} from {sources}"
            )));
        }
        if let Some(digest) = known.digest.filter(|digest| *digest != image.digest) {
            let (name, other) = (&image.name, image.digest);
            return Err(differs(format!(
                "the request asks for {name} with {other}, but {what} has {digest}"
            )));
        }
    }
    Ok(())
}

/// The catalog, lock or bundle that was named beside the request, and what it says about images.
fn known(args: &ExportArgs, asked: &SalvageRequest) -> anyhow::Result<Option<(String, Vec<Known>)>> {
    if let Some(path) = &args.base {
        let (bundle, id) = base::bundle(path, &args.trust)?;
        if id != asked.bundle {
            let (path, bundle) = (path.display(), asked.bundle);
            return Err(differs(format!("the request is about bundle {bundle}, but {path} is {id}")));
        }
        let row = |row: crate::archive::ImageRow| Known {
            name: row.name,
            sources: vec![row.source],
            digest: Some(row.digest),
        };
        return Ok(Some((path.display().to_string(), bundle.images.into_iter().map(row).collect())));
    }
    let (what, loaded) = match &args.locked {
        Some(lock) => {
            let loaded = lock::load(&args.catalog, &args.selection, &args.network, lock)?;
            (lock.display().to_string(), loaded)
        }
        None if args.catalog.catalogs.is_empty() => return Ok(None),
        None => {
            let loaded = catalogs::load(&args.catalog, &args.network)?;
            (format!("the catalog {}", args.catalog.catalogs.join(", ")), loaded)
        }
    };
    let image = |wanted: RequestedImage| {
        let digest = wanted.pin.or(wanted.name.digest().copied());
        Known { name: wanted.name, sources: wanted.sources, digest }
    };
    Ok(Some((what, loaded.request.images.into_iter().map(image).collect())))
}

fn differs(why: String) -> anyhow::Error {
    Failure::new(ExitCode::Content, why)
        .hint("ask the sender of the request; it may be altered, or about another version of the catalog")
        .into()
}
