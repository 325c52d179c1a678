//! An export: what is asked for is resolved to digests, planned, written, and completed by what goes beside it.
//!
//! **Resolve.** Every reference becomes a digest; manifests and configs are fetched, no layer (`resolve/`).
//! **Plan.** Distinct blobs, their offsets and the size of the whole, as a value ([`crate::plan::ExportPlan`]). What
//! stands against it ends the run here.
//! **Write.** Into a file, where each blob has its place (`file.rs`, `write/`) and an interrupted run is resumed
//! (`resume/`), or to stdout in one pass (`stream.rs`). A dry run shows the plan instead (`dry_run.rs`).
//! **Finish.** Signature, statement, parity and program beside the file (`finish.rs`).

mod dry_run;
mod existing;
mod file;
pub(crate) mod finish;
pub(crate) mod job;
mod lost;
pub(crate) mod resolve;
pub(crate) mod resume;
mod stream;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod with_self;
pub(crate) mod write;

use std::path::Path;

use crate::app::failure::ExitCode;
use crate::inputs::clients;
use crate::session::run_report::{ImageReport, RunReport};
use job::ExportJob;

/// Plans or writes the bundle; no target is stdout.
pub(crate) async fn run(
    job: &ExportJob<'_>,
    target: Option<&Path>,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    for wanted in &job.request.images {
        report.images.push(ImageReport::new(&wanted.name, wanted.sources.first()));
    }
    let result = match target {
        _ if job.write.dry_run => dry_run::run(job, target, report).await,
        None => stream::run(job, report).await,
        Some(target) => file::run(job, target, report).await,
    };
    clients::tell_warnings(job.content.client(), &job.session.reporter);
    clients::tell_of_hosts(job.content.client(), &job.session.reporter);
    result
}
