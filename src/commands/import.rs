//! `bundle import`: what the arguments name is opened, and that is imported.

use std::path::PathBuf;

use super::ending;
use crate::app::failure::{ExitCode, Failure};
use crate::cli::ImportArgs;
use crate::destination::Destination;
use crate::import;
use crate::import::job::ImportJob;
use crate::inputs::{clients, open_bundle, policy_check, trust};
use crate::session::Session;
use crate::session::output_files::keep_apart;
use crate::session::run_report::RunReport;

pub(super) async fn run(session: &Session, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let destination: Destination = args.destination.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    let rules = policy_check::load(&args.policy)?;
    let opened = open_bundle::open_for_import(session, args)?;
    let values = args.values.clone().unwrap_or_else(|| PathBuf::from(format!("{}.values.yaml", opened.stem)));
    let inputs: Vec<_> = args.bundle.iter().map(|path| ("the bundle", path.as_path())).collect();
    let mut outputs = vec![("the values file", values.as_path())];
    outputs.extend(args.receipt.iter().map(|path| ("the receipt", path.as_path())));
    outputs.extend(args.report.file.iter().map(|path| ("--report", path.as_path())));
    keep_apart(&inputs, &outputs)?;
    trust::tell(&opened.vouched, &session.reporter);
    let client = clients::for_destination(&args.network, &destination, &session.reporter)?;
    let mut report = RunReport::new("import", args.report.file.as_deref());
    let job = ImportJob {
        session,
        args,
        client: &client,
        destination: &destination,
        holdings: opened.holdings,
        stem: opened.stem,
        vouched: opened.vouched,
        rules,
    };
    let result = import::run(&job, values, opened.pipe, &mut report).await;
    clients::tell_warnings(&client, &session.reporter);
    clients::tell_of_hosts(&client, &session.reporter);
    ending::close(&report, result, &session.reporter)
}
