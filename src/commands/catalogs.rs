//! From catalog arguments to a request.
use crate::archive::manifest::CatalogRecord;
use crate::cli::ExportArgs;
use crate::image::Reference;
use crate::plan::{Request, Wanted};
use crate::transfer::ResolveError;
pub(super) struct Loaded { pub(super) request: Request, pub(super) file_name: Option<String> }
pub(super) fn load(args: &ExportArgs) -> anyhow::Result<Loaded> {
    let text = std::fs::read_to_string(&args.catalogs[0])?;
    let images = text.lines().map(|l| { let r: Reference = l.parse().unwrap(); Wanted { name: r.clone(), sources: vec![r], entries: vec![] } }).collect();
    Ok(Loaded { request: Request { catalog: CatalogRecord::default(), images, platforms: args.platform.iter().map(ToString::to_string).collect(), repin: args.repin, keep_host: args.keep_host }, file_name: Some("x.tar.zst".into()) })
}
pub(super) fn source_hint(_name: &Reference, _source: &Reference, _error: &ResolveError) -> Vec<String> { Vec::new() }
