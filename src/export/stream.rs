//! `bundle export -o -`: writes the same bytes to stdout in one pass. Nothing is kept for a later run.

use std::io::Write;
use std::path::Path;

use super::job::ExportJob;
use super::lost::report_lost;
use super::resolve::manifest_cache::ManifestCache;
use super::write::alternate_sources::AlternateSources;
use super::write::blob_error::{BlobError, LostBlob, WriteFailure};
use super::write::in_order::StreamExport;
use crate::app::failure::{ExitCode, Failure};
use crate::app::medium::free_space;
use crate::app::own_file::folder_of;
use crate::app::stop;
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
    let _blocks = stop::Blocking::begin(kept);
    let poured = Poured { name: "stdout".as_ref(), doing: "streaming", kept, hint, room_at: None };
    let plan = pour(job, report, out, poured).await?;
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
    /// Where the content of the bundle must have room, if it is written to a disk.
    pub(super) room_at: Option<&'a Path>,
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
    if let Some(place) = poured.room_at {
        check_room(place, &plan)?;
    }
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

/// Refuses to begin where the content of the bundle cannot have room.
fn check_room(place: &Path, plan: &ExportPlan) -> Result<(), Failure> {
    let needed = plan.distinct();
    match free_space(place) {
        Some(free) if free < needed => {
            let message = format!(
                "the content needs {}, but only {} are free at {}",
                bytes(needed),
                bytes(free),
                folder_of(place).display()
            );
            Err(Failure::new(ExitCode::NoSpace, message)
                .hint("free space there, write elsewhere with -o, or take a part with --only"))
        }
        _ => Ok(()),
    }
}
