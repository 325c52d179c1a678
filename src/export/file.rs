//! An export into a file: resumes an earlier run, and gives the file its name only when it is complete.

use std::path::Path;
use std::time::Instant;

use super::existing::ExistingOutput;
use super::finish::Finish;
use super::job::ExportJob;
use super::lost::{report_faults, report_lost, way_on, without};
use super::resolve::manifest_cache::ManifestCache;
use super::resume::workspace::{Unfinished, Workspace};
use super::resume::worth::RequestMark;
use super::write::blob_spool::BlobSpool;
use super::write::checksum::complete_sidecar;
use super::write::file_export::{FileExport, Outcome};
use super::{target, text, with_self};
use crate::app::failure::ExitCode;
use crate::app::medium::Medium;
use crate::archive::{Compaction, Profile, VolumeInput};
use crate::cli::ResultFormat;
use crate::inputs::open_bundle::{open_bundle, open_input};
use crate::plan::{ExportPlan, PlanError, Resolution};
use crate::session::preflight::Preflight;
use crate::session::run_report::{ImageState, RunReport};
use crate::session::{console, sidecar};

/// Writes the bundle `target` and its sidecar files.
pub(crate) async fn run(
    job: &ExportJob<'_>,
    target: &Path,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    FileRun { job, target }.run(report).await
}

struct FileRun<'a> {
    job: &'a ExportJob<'a>,
    target: &'a Path,
}

impl FileRun<'_> {
    async fn run(&self, report: &mut RunReport) -> anyhow::Result<ExitCode> {
        let (job, target) = (self.job, self.target);
        let began = Instant::now();
        if job.write.with_self {
            with_self::check(target, job.write.force)?;
        }
        let workspace = Workspace::open(target)?;
        if job.write.fresh {
            workspace.discard()?;
        }
        let cache = workspace.manifest_cache()?;
        let mut blob_spool = job.blob_spool(Some(target))?;
        if let Some(old) = blob_spool.take_if(|_| job.write.fresh) {
            old.remove()?;
            blob_spool = job.blob_spool(Some(target))?;
        }
        let there = ExistingOutput::under(target, job.write);
        let stale = there.stale();
        let run = FileExport {
            content: job.content,
            request: job.request,
            signer: job.signature_source(),
            workspace: &workspace,
            cache: &cache,
            jobs: job.jobs,
            reporter: &job.session.reporter,
            cancel: &job.session.cancel,
            sidecar: !job.write.no_sidecar,
            parity: job.write.parity.map_or(0, usize::from),
            volume_size: target::cut_size(job.write),
            blob_spool: blob_spool.as_ref(),
            stale: &stale,
        };
        let fingerprint = job.request.fingerprint()?;
        let mark = RequestMark::new(&fingerprint, 0);
        let (mut resolution, mut unfinished, mut dropped) =
            self.resolution(&workspace, &cache, &mark, report).await?;
        let resumed = unfinished.as_ref().is_some_and(|earlier| earlier.is_of(&mark));
        let mut probed = None;
        loop {
            let draft = match run.draft(&resolution) {
                Ok(draft) => draft,
                Err(PlanError::Images(faults)) => {
                    let hit = report_faults(&resolution, &faults, report);
                    if !job.keep_going || hit.len() == resolution.images.len() {
                        let hint =
                            "remove these images from the request, or export the others with --keep-going";
                        return Err(report.failure().hint(hint).into());
                    }
                    dropped += hit.len();
                    resolution = without(resolution, &hit);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            job.enforce(&draft, &cache, report)?;
            if there.is_complete(&draft)? {
                workspace.finished()?;
                blob_spool.map_or(Ok(()), BlobSpool::remove)?;
                job.session.reporter.say(&format!("{} is already complete", target.display()));
                return self.complete_already(&draft, report, began).await;
            }
            if job.request.base.is_some() && !draft.is_delta() {
                job.session
                    .reporter
                    .say("the base has no blob of this bundle, so the bundle does not need it");
            }
            self.run_preflight(job.preflight(&draft, Some(target)))?;
            let mark = RequestMark::new(&fingerprint, dropped);
            let earlier = unfinished.as_ref().filter(|earlier| earlier.is_of(&mark));
            let stamp = earlier.map_or_else(now, |earlier| earlier.header.resolved_at.clone());
            // A compact file is written in order on every medium.
            let probe = || match draft.bundle.profile {
                Profile::Layout => target::medium(job.session, job.write, target, &draft),
                Profile::Compact => Medium::Filling,
            };
            let medium = probed.unwrap_or_else(probe);
            probed = Some(medium);
            let prepared = run.prepare(medium, &resolution, draft, unfinished.take(), mark, stamp)?;
            let (plan, outcome) = run.transfer(prepared).await?;
            let Outcome::Lost(lost) = outcome else {
                blob_spool.map_or(Ok(()), BlobSpool::remove)?;
                if job.origin.is_none() {
                    there.warn_of_strangers(&plan.bundle.id()?, &job.session.reporter);
                }
                let kept = self.finish().run(target, &plan, true).await?;
                report.all_done(ImageState::Done);
                self.print_result(&plan, report, began, kept)?;
                return Ok(job.ended(report));
            };
            let hit = report_lost(&plan, &cache, &lost, resumed, report);
            if !job.keep_going || hit.len() == resolution.images.len() {
                return Err(report.failure().hint(way_on(&lost, resumed)).into());
            }
            dropped += hit.len();
            resolution = without(resolution, &hit);
            unfinished = workspace.unfinished()?;
        }
    }

    /// Adds what an earlier run did not write: the checksum, and the other sidecar files.
    async fn complete_already(
        &self,
        draft: &ExportPlan,
        report: &mut RunReport,
        began: Instant,
    ) -> anyhow::Result<ExitCode> {
        let (job, target) = (self.job, self.target);
        if !job.write.no_sidecar {
            let (file, id) = (open_input(target)?, draft.bundle.id()?);
            tokio::task::block_in_place(|| complete_sidecar(target, file.as_ref(), id))?;
        }
        report.all_done(ImageState::AlreadyThere);
        let kept = self.finish().run(target, draft, false).await?;
        self.print_result(draft, report, began, kept)?;
        Ok(job.ended(report))
    }

    /// The resolution of an earlier run of the same request, or a new one from the registries. Also returns the earlier
    /// run itself, whatever its request, and the number of images that failed.
    async fn resolution(
        &self,
        workspace: &Workspace,
        cache: &ManifestCache,
        mark: &RequestMark,
        report: &mut RunReport,
    ) -> anyhow::Result<(Resolution, Option<Unfinished>, usize)> {
        let job = self.job;
        let unfinished = workspace.unfinished()?;
        if let Some(earlier) = &unfinished
            && let Some(resolution) = earlier.resolution(mark)
        {
            job.session.reporter.say(&format!(
                "resuming the run whose tags were resolved on {}; --fresh starts over",
                earlier.header.resolved_at
            ));
            for image in &resolution.images {
                let row = report.images.iter_mut().find(|row| row.name == image.row.name);
                if let Some(row) = row {
                    row.resolved(&image.row.source, &image.row.digest);
                }
            }
            return Ok((resolution, unfinished, 0));
        }
        let resolved = job.resolve(cache, report).await?;
        Ok((resolved.resolution, unfinished, resolved.failures.len()))
    }

    /// Ends the run if the preflight found problems, unless the checks are skipped.
    fn run_preflight(&self, preflight: Preflight) -> anyhow::Result<()> {
        let job = self.job;
        let reporter = &job.session.reporter;
        preflight.warnings().for_each(|warning| reporter.warn(&warning));
        reporter.detail(&preflight.text());
        if job.write.skip_preflight {
            return Ok(());
        }
        Ok(preflight.judge()?)
    }

    fn finish(&self) -> Finish<'_> {
        let job = self.job;
        Finish {
            session: job.session,
            write: job.write,
            signer: job.signer,
            origin: job.origin,
            materials: job.materials,
        }
    }

    fn print_result(
        &self,
        plan: &ExportPlan,
        report: &mut RunReport,
        began: Instant,
        kept: Vec<String>,
    ) -> anyhow::Result<()> {
        let (job, target) = (self.job, self.target);
        let file = open_input(target)?;
        report.bundle = Some(serde_json::json!({
            "file": target.display().to_string(), "size": file.len(), "id": plan.bundle.id()?,
        }));
        let stats = job.content.client().stats();
        let received = (!job.content.is_local()).then_some(stats.bytes_received);
        report.note_sizes(&plan.bundle);
        report.totals = Some(serde_json::json!({
            "blobs": plan.bundle.blobs.len(), "blobBytes": plan.distinct(), "aloneBytes": plan.alone,
            "bytesReceived": stats.bytes_received, "seconds": began.elapsed().as_secs_f64(),
        }));
        let volumes = VolumeInput::open(target)?.map(|volumes| {
            let (count, parity) = (volumes.count(), volumes.list().map_or(0, |list| list.parity.len()));
            text::Volumes { first: volumes.path(0), last: volumes.path(count - 1), count, parity }
        });
        let (took, with_self) = (began.elapsed(), job.write.with_self);
        let size = file.len();
        let compaction = match plan.bundle.profile {
            Profile::Layout => None,
            Profile::Compact => open_bundle(target)?.compaction(),
        };
        if let Some(Compaction { blobs, compact, size, held }) = compaction
            && let Some(totals) = &mut report.totals
        {
            totals["compact"] = serde_json::json!({ "blobs": blobs, "compactBlobs": compact, "bytes": size, "heldBytes": held });
        }
        let summary = text::Summary { plan, target, size, volumes, received, took, with_self, compaction };
        match job.session.format {
            ResultFormat::Json => console::print_json(&report.value())?,
            ResultFormat::Human => {
                let beside = [sidecar::written_with(job.write), kept].concat();
                console::print(&summary.text(&beside))?;
            }
        }
        Ok(())
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%F %T UTC").to_string()
}
