//! An export: resolves the requested images to digests, plans the bundle, writes it, and adds the sidecar files.
//!
//! **Resolve.** Every reference becomes a digest; manifests and configs are fetched, but no layers (`resolve/`).
//! **Plan.** The distinct blobs, their offsets and the total size become one value ([`crate::plan::ExportPlan`]). The
//! run ends here if the policy forbids it, if the file is complete already, or if there are problems such as too little
//! free space.
//! **Write.** The bundle goes to stdout in one pass (`stream.rs`), or into a file (`file.rs`, `write/`). There an
//! interrupted run is resumed, and the blobs of an unfinished export of other images are taken over (`resume/`). Seek
//! table, final name and `.sha256` come last. With `--keep-going`, images whose blobs cannot be had are left out, and the
//! run plans and writes again without them. A dry run only prints the plan (`dry_run.rs`).
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
pub(crate) mod unpack;
pub(crate) mod with_self;
pub(crate) mod write;

use std::path::Path;

use crate::app::failure::ExitCode;
use crate::inputs::clients;
use crate::session::run_report::RunReport;
use job::ExportJob;

/// Plans or writes the bundle; without a `target` it goes to stdout.
pub(crate) async fn run(
    job: &ExportJob<'_>,
    target: Option<&Path>,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    job.list_images(report);
    let result = match target {
        _ if job.write.dry_run => dry_run::run(job, target, report).await,
        None => stream::run(job, report).await,
        Some(target) => file::run(job, target, report).await,
    };
    clients::tell_warnings(job.content.client(), &job.session.reporter);
    clients::tell_of_hosts(job.content.client(), &job.session.reporter);
    result
}
