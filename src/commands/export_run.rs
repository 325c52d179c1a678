//! An export: what is asked for is resolved to digests, planned, written, and completed by what goes beside it.
//!
//! **Resolve.** Every reference becomes a digest; manifests and configs are fetched, no layer ([`super::export_job`]).
//! **Plan.** Distinct blobs, their offsets and the size of the whole, as a value ([`crate::plan::ExportPlan`]); what
//! stands against it ends the run here.
//! **Write.** Into a file, where each blob has its place and an interrupted run is resumed ([`super::export_file`]), or
//! to stdout in one pass ([`super::export_stream`]). A dry run shows the plan instead ([`super::export_dry_run`]).
//! **Finish.** Signature, statement, parity and program beside the file ([`super::export_finish`]).

use std::path::Path;

use super::export_job::ExportJob;
use super::run_report::{ImageReport, RunReport};
use super::{export_dry_run, export_file, export_stream, network};
use crate::app::failure::ExitCode;

/// Plans or writes the bundle; no target is stdout.
pub(super) async fn run(
    job: &ExportJob<'_>,
    target: Option<&Path>,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    for wanted in &job.request.images {
        report.images.push(ImageReport::new(&wanted.name, wanted.sources.first()));
    }
    let result = match target {
        _ if job.write.dry_run => export_dry_run::run(job, target, report).await,
        None => export_stream::run(job, report).await,
        Some(target) => export_file::run(job, target, report).await,
    };
    network::tell_warnings(job.client, &job.session.reporter);
    network::tell_of_hosts(job.client, &job.session.reporter);
    result
}
