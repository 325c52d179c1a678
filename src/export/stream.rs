//! `bundle export -o -`: writes the same bytes to stdout in one pass. Nothing is kept for a later run.

use std::io::Write;
use std::path::Path;

use super::job::ExportJob;
use super::lost::report_lost;
use super::resolve::manifest_cache::ManifestCache;
use super::write::alternate_sources::AlternateSources;
use super::write::blob_error::{BlobError, LostBlob};
use super::write::in_order::{StreamExport, WriteFailure};
use crate::app::failure::{ExitCode, Failure};
use crate::archive::ArchiveError;
use crate::plan::ExportPlan;
use crate::report::bytes;
use crate::session::run_report::{ImageState, RunReport};

pub(crate) async fn run(job: &ExportJob<'_>, report: &mut RunReport) -> anyhow::Result<ExitCode> {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() {
        return Err(Failure::usage("cannot write a bundle to a terminal")
            .hint("redirect it, for example: bundle export -o - | ssh inside bundle import - -d REGISTRY")
            .into());
    }
    let out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout());
    let kept = "the stream is incomplete, and an import will detect that";
    let hint = "the stream is incomplete; run the command again";
    let plan =
        pour(job, report, out, Poured { name: "stdout".as_ref(), doing: "streaming", kept, hint }).await?;
    report.bundle = Some(serde_json::json!({ "file": "-", "id": plan.bundle.id()? }));
    job.session.reporter.say(&format!(
        "{}, {} streamed",
        super::text::images_and_artifacts(&plan.bundle),
        bytes(plan.distinct())
    ));
    Ok(job.ended(report))
}

/// What is said of bytes that are written in one pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poured<'a> {
    /// The output, for errors.
    pub(super) name: &'a Path,
    /// A word for the progress display.
    pub(super) doing: &'static str,
    /// What is left after an interrupt.
    pub(super) kept: &'static str,
    /// What to do after a failure.
    pub(super) hint: &'static str,
}

/// Plans the bundle and writes all its bytes to `out`, in order. Nothing is written before the plan stands.
pub(super) async fn pour<W: Write>(
    job: &ExportJob<'_>,
    report: &mut RunReport,
    mut out: W,
    poured: Poured<'_>,
) -> anyhow::Result<ExportPlan> {
    let cache = ManifestCache::anonymous()?;
    let resolved = job.resolve(&cache, report).await?;
    let reporter = &job.session.reporter;
    let plan =
        ExportPlan::new(job.request, &resolved.resolution, job.signature_source(), &cache, &mut |_| Ok(()));
    let plan = plan?;
    job.enforce(&plan, &cache, report)?;
    // Planned without output first: a problem found halfway must not leave half a head in the pipe.
    ExportPlan::new(job.request, &resolved.resolution, job.signature_source(), &cache, &mut |head| {
        out.write_all(head).map_err(ArchiveError::io(poured.name))
    })?;
    reporter.begin(poured.doing, plan.payload(), 0);
    let places = AlternateSources::new(job.content, &plan, &cache);
    let blob_spool = job.blob_spool(None)?;
    let stream = StreamExport {
        plan: &plan,
        out,
        name: poured.name,
        places: &places,
        spool: blob_spool.as_ref(),
        jobs: job.jobs,
        reporter,
    };
    let result = job.session.stoppable(poured.kept, stream.run()).await?;
    reporter.end();
    match result {
        // The output failed, not an image.
        Err(WriteFailure { error: BlobError::Transfer(error), .. }) => return Err(error.into()),
        Err(WriteFailure { index, error }) => {
            report_lost(&plan, &cache, &[LostBlob { index, error }], false, report);
            return Err(report.failure().hint(poured.hint).into());
        }
        Ok(()) => {}
    }
    report.all_done(ImageState::Done);
    Ok(plan)
}
