//! `bundle export`: turns the arguments into one request and exports it.

use std::path::Path;

use super::ending;
use crate::app::failure::{ExitCode, Failure};
use crate::archive::Profile;
use crate::catalog::builtin;
use crate::cli::{BaseContentChoice, CompactChoice, ExportArgs, ForeignLayers};
use crate::compact::Effort;
use crate::export::job::ExportJob;
use crate::export::{self, target};
use crate::inputs::{clients, keys, policy_check, trust};
use crate::request::base::Base;
use crate::request::resolved_request::ResolvedRequest;
use crate::request::{again, base, catalogs, lock};
use crate::session::Session;
use crate::session::run_report::RunReport;

pub(super) async fn run(session: &Session, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    // Before anything else, so that no report is written over an input.
    target::refuse_overlaps(args, None)?;
    let mut report = RunReport::new("export", args.report.file.as_deref());
    let result = load_and_export(session, args, &mut report).await;
    ending::close(&report, result, &session.reporter)
}

async fn load_and_export(
    session: &Session,
    args: &ExportArgs,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    refuse_detached_values(args)?;
    let Loaded { mut catalog, base } = load(session, args)?;
    if args.compact.is_none() && args.base_content.base_content != BaseContentChoice::Use {
        return Err(Failure::usage("--base-content is about --compact")
            .hint("add --compact, or leave it out")
            .into());
    }
    if let Some(choice) = args.compact {
        target::require_encoders()?;
        catalog.request.profile = Profile::Compact;
        catalog.request.effort = match choice {
            CompactChoice::Normal => Effort::Normal,
            CompactChoice::Max => Effort::Max,
        };
        catalog.file_name = catalog.file_name.map(|name| target::compact_name(&name));
    }
    let write = &args.write;
    let target = target::output(write, catalog.file_name.as_deref());
    // A plan can be printed before its output file can be written.
    let target = if write.dry_run { target.ok().flatten() } else { target? };
    target::refuse_overlaps(args, target.as_deref())?;
    let (registry, request, held) = (args.registry.as_ref(), &mut catalog.request, &catalog.held);
    let mut content = clients::for_export(&args.network, registry, request, held, &session.reporter)?;
    if let Some(base) = base.filter(|_| args.compact.is_some()) {
        let bases = base.refer(request, args.base_content.base_content, Some(content.client()))?;
        content = content.with_bases(bases);
    }
    let (signer, policy) = (keys::signer(&write.sign)?, policy_check::load(&write.policy)?);
    let job = ExportJob {
        session,
        write,
        keep_going: args.keep_going,
        jobs: usize::from(args.network.jobs),
        content: &content,
        signer: signer.as_ref(),
        origin: None,
        policy: policy.as_ref(),
        materials: &catalog.materials,
        request: &catalog.request,
    };
    Box::pin(export::run(&job, target.as_deref(), report)).await
}

/// What to export, and the base that the destination has.
struct Loaded {
    catalog: ResolvedRequest,
    base: Option<Base>,
}

/// Refuses what was meant as the value of a flag that takes one only behind `=`, and was read as a catalog.
fn refuse_detached_values(args: &ExportArgs) -> Result<(), Failure> {
    let catalogs = &args.catalog.catalogs;
    let is_catalog = |name: &str| builtin::text(name).is_ok() || Path::new(name).exists();
    let max = catalogs.iter().find(|name| *name == "max" && !is_catalog(name));
    let lock = catalogs.iter().find(|name| Path::new(name).extension().is_some_and(|end| end == "lock"));
    let is_default = args.locked.as_deref().is_some_and(|path| path == "catalog.lock" && !path.exists());
    let (flag, value) = match (max, lock) {
        (Some(max), _) if args.compact == Some(CompactChoice::Normal) => ("--compact", max),
        (_, Some(lock)) if is_default => ("--locked", lock),
        _ => return Ok(()),
    };
    Err(Failure::usage(format!("{value} stands where a catalog is expected"))
        .hint(format!("{flag} takes its value only with =: {flag}={value}")))
}

/// What to export: the images of catalogs, of a lock, or of a request of `import --salvage`.
fn load(session: &Session, args: &ExportArgs) -> anyhow::Result<Loaded> {
    if args.base.is_none() {
        let hint = "in this command it checks --base; to sign the new bundle: --sign-key FILE";
        trust::refuse_unused(&args.trust, hint)?;
    }
    if let Some(path) = &args.request {
        return Ok(Loaded { catalog: again::load(args, path, &session.reporter)?, base: None });
    }
    let mut catalog = match &args.locked {
        Some(lock) => lock::load(&args.catalog, &args.selection, &args.network, lock)?,
        None => catalogs::load_with(&args.catalog, &args.selection, &args.network)?,
    };
    if args.catalog.catalogs.is_empty() {
        let what =
            "this exports the catalog that is built in; name a file to export another: bundle export FILE";
        session.reporter.say(&format!("{}: {what}", catalogs::DEFAULT));
    }
    catalog.select(&args.selection)?;
    let request = &mut catalog.request;
    request.platforms = args.platform.iter().map(ToString::to_string).collect();
    (request.repin, request.keep_host) = (args.repin, args.keep_host);
    request.with.clone_from(&args.with.with.0);
    request.keep_urls = args.foreign_layers == ForeignLayers::KeepUrls;
    let base = args.base.as_deref().map(|path| base::load(path, &args.trust)).transpose()?;
    request.base = base.as_ref().map(|base| base.requires.clone());
    if let (Some(base), Some(name)) = (&request.base, &mut catalog.file_name) {
        *name = base::delta_name(name, &base.base);
    }
    Ok(Loaded { catalog, base })
}
