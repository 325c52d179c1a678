//! `bundle import`: opens the bundle that the arguments name and imports it.

use std::path::{Path, PathBuf};

use super::ending;
use crate::app::failure::{ExitCode, Failure};
use crate::cli::{EcrArgs, ImportArgs};
use crate::destination::Destination;
use crate::import;
use crate::import::job::ImportJob;
use crate::inputs::{clients, open_bundle, policy_check, trust};
use crate::session::Session;
use crate::session::output_files::refuse_overlaps;
use crate::session::run_report::RunReport;

pub(super) async fn run(session: &Session, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    if let Some(flag) = ecr_flag(&args.ecr).filter(|_| !cfg!(feature = "ecr")) {
        return Err(Failure::usage(format!(
            "`{flag}` needs the feature `ecr`, which this build of bundle lacks"
        ))
        .hint("rebuild bundle with cargo build --release")
        .into());
    }
    // Before anything else, so that no report is written over an input.
    let mut inputs: Vec<_> = args.bundle.iter().map(|path| ("the bundle", path.as_path())).collect();
    inputs.extend(args.base.iter().map(|path| ("--base", path.as_path())));
    let mut outputs: Vec<_> = args.values.iter().map(|path| ("the values file", path.as_path())).collect();
    outputs.extend(args.receipt.iter().map(|path| ("the receipt", path.as_path())));
    outputs.extend(args.report.file.iter().map(|path| ("--report", path.as_path())));
    refuse_overlaps(&inputs, &outputs)?;
    let mut report = RunReport::new("import", args.report.file.as_deref());
    let result = open_and_import(session, args, &inputs, outputs, &mut report).await;
    ending::close(&report, result, &session.reporter)
}

async fn open_and_import(
    session: &Session,
    args: &ImportArgs,
    inputs: &[(&str, &Path)],
    mut outputs: Vec<(&str, &Path)>,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    let destination: Destination = args.destination.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    let rules = policy_check::load(&args.policy)?;
    let opened = open_bundle::open_for_import(session, args)?;
    let values = args.values.clone().unwrap_or_else(|| PathBuf::from(format!("{}.values.yaml", opened.stem)));
    if args.values.is_none() {
        outputs.push(("the values file", &values));
        refuse_overlaps(inputs, &outputs)?;
    }
    let bases = open_bundle::open_bases(&args.base)?;
    trust::tell(&opened.vouched, &session.reporter);
    let client = clients::for_destination(&args.network, &destination, &session.reporter)?;
    let job = ImportJob {
        session,
        args,
        client: &client,
        destination: &destination,
        image_store: opened.image_store,
        bases,
        stem: opened.stem,
        vouched: opened.vouched,
        rules,
    };
    let result = import::run(&job, values.clone(), opened.pipe, report).await;
    clients::tell_warnings(&client, &session.reporter);
    clients::tell_of_hosts(&client, &session.reporter);
    result
}

/// The first of the flags for Amazon ECR that was given.
fn ecr_flag(args: &EcrArgs) -> Option<&'static str> {
    let flags = [
        (args.ecr_immutable_tags, "--ecr-immutable-tags"),
        (args.ecr_scan_on_push, "--ecr-scan-on-push"),
        (args.ecr_kms_key.is_some(), "--ecr-kms-key"),
        (args.ecr_lifecycle.is_some(), "--ecr-lifecycle"),
    ];
    flags.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag)
}
