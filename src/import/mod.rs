//! An import: what a bundle has and its destination lacks is sent there, image by image, each proven.
//!
//! **Place.** Every image gets its target; names that collide or do not fit are refused ([`crate::plan::ImageTargets`]).
//! **Compare.** What is there already, and what a base has brought, is asked for (`presence.rs`,
//! `required.rs`).
//! **Plan.** What is missing, as a value ([`ImportPlan`]); what stands against it ends the run here.
//! **Send.** Blobs (`upload.rs`, `stream.rs`), then manifests, tag and proof of each image (`complete.rs`).
//! **Report.** The report, the receipt, the request for what was damaged, the Helm values.

pub mod complete;
pub(crate) mod job;
mod prepare;
mod presence;
mod receipt;
mod refused;
mod required;
mod salvage;
mod shards;
pub mod stream;
mod text;
pub mod upload;
mod values;

use std::path::PathBuf;
use std::time::Instant;

use crate::app::failure::ExitCode;
use crate::inputs::{clients, open_bundle};
use crate::plan::ImportPlan;
use crate::session::NOTHING_SENT;
use crate::session::preflight::Preflight;
use crate::session::run_report::RunReport;
use job::ImportJob;
use prepare::Probe;
use text::Found;

/// Imports a bundle; `values` is where the Helm values go, and `pipe` what has come of a pipe.
pub(crate) async fn run(
    job: &ImportJob<'_>,
    values: PathBuf,
    pipe: Option<open_bundle::Pipe>,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let bundle = job.image_store.bundle();
    let values =
        values::plan(job.args, bundle, job.destination, job.mapping(), values, &job.session.reporter)?;
    let receipt_signer = receipt::signer(job.args)?;
    job.begin(report);
    let notes = job.report_notes(0);
    job.enforce(report)?;
    let targets = job.targets(report)?;
    let unfit = report.failures().count();
    job.check_registry().await?;
    let (missing, present) = job.presence().missing(&targets, report).await?;
    let mut plan = ImportPlan::new(bundle, job.image_store.as_ref(), missing, &present)?;
    let mut preflight = Preflight::default();
    preflight.fine("names", text::names_text(targets.len(), unfit));
    if let Some(requires) = &bundle.requires {
        let there = format!("what bundle {} brought is there", requires.base);
        let found = job.base_search(bundle).find_all(&plan, requires).await;
        let found = found.map(|held| plan.mount_from(held));
        preflight.check("base", found.map(|()| there));
    }
    let preparing = job.preparing();
    let preparation = preparing.preparation(&plan, job.args).await?;
    let lacking = job.session.stoppable(NOTHING_SENT, preparation.lacking(&plan.repositories())).await??;
    if job.args.dry_run {
        preparing.look_for_access(&plan, &lacking, &mut preflight).await;
        preflight.registries(&job.client.stats());
        preflight.time(plan.bytes(), job.args.network.limit_rate);
        let (targets, lacking) = (&targets[..], &lacking[..]);
        let found = Found { plan: &plan, targets, preparation: &preparation, lacking, preflight: &preflight };
        job.print_found(&found, report)?;
        job.run_preflight(preflight)?;
        return job.foreseen(report);
    }
    // A name that does not fit is the image's own; what was found at the destination may be about all of it.
    if report.failures().count() > unfit && !job.keeps_going() {
        return Err(report.failure().into());
    }
    preflight.registries(&job.client.stats());
    job.run_preflight(preflight)?;
    preparing.make(&preparation, &lacking).await?;
    if !job.args.skip_preflight {
        preparing.check_access(&plan, Probe::Upload).await?;
    }
    if let Some(sessions) = job.sessions()? {
        job.client.keep_sessions(sessions);
    }
    let (sent, read) = job.send(&plan, pipe, report).await;
    report.totals = Some(serde_json::json!({
        "uploadedBlobs": sent.uploaded, "mountedBlobs": sent.mounted, "presentBlobs": sent.already,
        "artifacts": sent.artifacts, "blobBytes": sent.bytes, "bytesSent": job.client.stats().bytes_sent,
        "seconds": began.elapsed().as_secs_f64(),
    }));
    clients::tell_warnings(job.client, &job.session.reporter);
    job.report_notes(notes);
    // What is written beside tells of what has arrived: it costs no image, and what became of those is said first.
    let mut beside = Vec::new();
    if job.args.salvage {
        let (image_store, reporter) = (job.image_store.as_ref(), &job.session.reporter);
        beside.push(salvage::ask_again(image_store, &job.stem, &plan, &sent, reporter));
    }
    beside.push(job.write_receipt(report, receipt_signer.as_ref()));
    let was_read = read.is_ok();
    let judged = job.judge(read, report);
    // What has no name there is not missed there: all the rest has arrived.
    let is_rest_there = was_read && report.failures().count() == unfit;
    let arrived = judged.is_ok() || (is_rest_there && !job.session.cancel.is_cancelled());
    let written = match &values {
        Some(values) if arrived => values::write(values, job.destination, job.args.force).map(Some),
        _ => Ok(None),
    };
    if arrived {
        job.client.uploads_finished();
        let written = written.as_ref().ok().and_then(Option::as_ref);
        beside.push(job.print_summary(report, &sent, began.elapsed(), written));
    }
    beside.push(written.map(drop));
    job.ended(judged, beside.into_iter().filter_map(Result::err).collect(), report)
}
