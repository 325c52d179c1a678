//! `bundle repack`: makes one bundle from others, offline: split, subset, merged, completed, or as a delta.
//!
//! It is an export that reads from bundles instead of registries: the images are pinned to the digests in the bundles,
//! and go through the same plan, journal and writer.

use std::path::Path;

use super::ending;
use crate::app::failure::{ExitCode, Failure};
use crate::archive::Profile;
use crate::cli::{ForeignLayers, ProfileChoice, RepackArgs};
use crate::compact::Effort;
use crate::export::finish::SourceBundle;
use crate::export::job::ExportJob;
use crate::export::{self, target};
use crate::inputs::{keys, policy_check, trust};
use crate::request::of_bundles::{self, FromBundles, OfBundles};
use crate::session::run_report::RunReport;
use crate::session::{Session, output_files};

pub(super) async fn run(session: &Session, args: &RepackArgs) -> anyhow::Result<ExitCode> {
    if args.rebuild {
        trust::refuse_unused(
            &args.trust,
            "--rebuild only compares volumes with their list; check signatures with bundle verify",
        )?;
        return super::parity::rebuild(session, args).await;
    }
    let write = &args.write;
    if write.output.is_none() && !write.dry_run {
        return Err(Failure::usage("repack has no default file name")
            .hint("name the file with -o FILE")
            .into());
    }
    let target = target::output(write, None);
    let target = if write.dry_run { target.ok().flatten() } else { target? };
    let mut inputs: Vec<_> = args.bundles.iter().map(|path| ("a bundle", path.as_path())).collect();
    inputs.extend(args.fill_from.iter().map(|path| ("--fill-from", path.as_path())));
    inputs.extend(write.policy.policy.iter().map(|path| ("the policy", path.as_path())));
    inputs.extend(args.base.iter().map(|path| ("the base", path.as_path())));
    inputs.extend(write.sign.sign_key.iter().map(|path| ("the key", path.as_path())));
    output_files::refuse_overlaps(&inputs, &target::files(write, target.as_deref(), &args.report))?;
    let mut report = RunReport::new("repack", args.report.file.as_deref());
    let result = load_and_export(session, args, target.as_deref(), &mut report).await;
    ending::close(&report, result, &session.reporter)
}

async fn load_and_export(
    session: &Session,
    args: &RepackArgs,
    target: Option<&Path>,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    let write = &args.write;
    let effort = match args.profile {
        ProfileChoice::Layout => None,
        ProfileChoice::Compact => Some(Effort::Normal),
        ProfileChoice::Max => Some(Effort::Max),
    };
    let wanted = FromBundles {
        bundles: &args.bundles,
        fill_from: &args.fill_from,
        trust: &args.trust,
        rows: &args.rows,
        platforms: &args.platform,
        keep_urls: args.foreign_layers == ForeignLayers::KeepUrls,
        base: args.base.as_deref(),
        compact: effort.is_some(),
        base_content: args.base_content.base_content,
    };
    let OfBundles { mut loaded, bundles, content } = of_bundles::load(&wanted)?;
    loaded.request.with.clone_from(&args.with.with.0);
    if let Some(effort) = effort {
        target::require_encoders()?;
        loaded.request.profile = Profile::Compact;
        loaded.request.effort = effort;
    }
    let (signer, policy) = (keys::signer(&write.sign)?, policy_check::load(&write.policy)?);
    let origin = match (&args.bundles[..], &bundles[..]) {
        ([path], [image_store]) => SourceBundle::of(path, image_store.as_ref())?,
        _ => None,
    };
    let job = ExportJob {
        session,
        write,
        keep_going: false,
        jobs: usize::from(args.jobs),
        content: &content,
        signer: signer.as_ref(),
        origin: origin.as_ref(),
        policy: policy.as_ref(),
        materials: &loaded.materials,
        request: &loaded.request,
    };
    Box::pin(export::run(&job, target, report)).await
}
