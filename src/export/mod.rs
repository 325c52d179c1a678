//! An export: resolves the requested images to digests, plans the bundle, writes it, and adds the sidecar files.
//!
//! **Resolve.** Every reference becomes a digest; manifests and configs are fetched, but no layers (`resolve/`).
//! **Plan.** The distinct blobs, their offsets and the total size become one value ([`crate::plan::ExportPlan`]). If
//! there are problems, such as too little free space, the run ends here.
//! **Write.** The bundle goes into a file, where each blob has its own offset (`file.rs`, `write/`) and an interrupted
//! run can be resumed (`resume/`), or to stdout in one pass (`stream.rs`). A dry run only prints the plan
//! (`dry_run.rs`).
//! **Finish.** Signature, statement, parity volumes and the program itself are written beside the file (`finish.rs`).

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

/// Plans or writes the bundle; without a `target` it goes to stdout.
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
