//! An import: sends the parts of a bundle that the destination lacks, image by image, and verifies that each arrived.
//!
//! **Place.** What the policy forbids ends the run. Every image gets its target, of all images or of one shard
//! (`shards.rs`); names that collide or are too long are refused ([`crate::plan::ImageTargets`]).
//! **Compare.** The destination is asked what it already has (`presence.rs`), and for a delta also whether it has the
//! blobs of the base (`required.rs`), or those to whose content its own refer (`bases.rs`).
//! **Plan.** What is missing becomes one value ([`ImportPlan`]). If there are problems, the run ends here; a dry run
//! prints the plan.
//! **Prepare.** Repositories that the registry does not make by itself are made, and access is checked (`prepare.rs`).
//! **Send.** Blobs are uploaded (`upload.rs`, `stream.rs`). Then each image is completed: its manifests and its tag are
//! pushed, and the registry must return them (`complete.rs`; `refused.rs` knows why a registry refuses one).
//! **Report.** The last files are the receipt, the request for damaged content, and the Helm values; the command writes
//! the report.

mod bases;
mod complete;
pub mod error;
pub(crate) mod job;
mod prepare;
mod presence;
mod receipt;
mod refused;
mod required;
pub mod run;
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
use crate::report::count;
use crate::session::NOTHING_SENT;
use crate::session::preflight::Preflight;
use crate::session::run_report::RunReport;
use job::ImportJob;
use prepare::Probe;
use text::Found;

/// Imports a bundle. `values` is the path for the Helm values; `pipe` is what has been read of a pipe, if there is one.
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
    let mut has_base = true;
    if let Some(requires) = &bundle.requires {
        let there = format!("the destination has everything from bundle {}", requires.base);
        let found = job.base_search(bundle).find_all(&plan, requires).await;
        let found = found.map(|held| plan.mount_from(held));
        has_base = found.is_ok();
        preflight.check("base", found.map(|()| there));
    }
    // Where whole blobs are missing, those that others are made from say nothing more.
    if has_base || job.args.skip_preflight {
        let search = job.base_search(bundle);
        let found =
            bases::find(&search, job.image_store.as_ref(), job.bases.clone(), &plan, job.keeps_going()).await;
        if !matches!(found, Ok(0)) {
            let made = |found| format!("{} of the destination will be read again", count(found, "blob"));
            preflight.check("references", found.map(made));
        }
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
    // A name that does not fit affects its image only; a failure found at the destination may affect all images.
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
    // These files record what has arrived. A failure to write one does not fail any image, and comes after the images'
    // results.
    let mut beside = Vec::new();
    if job.args.salvage {
        let (image_store, reporter) = (job.image_store.as_ref(), &job.session.reporter);
        beside.push(salvage::ask_again(image_store, &job.stem, &plan, &sent, reporter));
    }
    beside.push(job.write_receipt(report, receipt_signer.as_ref()));
    let was_read = read.is_ok();
    let judged = job.judge(read, report);
    // Images whose name does not fit do not count as missing here: all others have arrived.
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
