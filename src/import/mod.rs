//! An import: what a bundle has and its destination lacks is sent there, image by image, each proven.
//!
//! **Place.** Every image gets its target; names that collide or do not fit are refused ([`ImageTargets`]).
//! **Compare.** What is there already, and what a base has brought, is asked for (`presence.rs`,
//! `required.rs`).
//! **Plan.** What is missing, as a value ([`ImportPlan`]); what stands against it ends the run here.
//! **Send.** Blobs (`upload.rs`, `stream.rs`), then manifests, tag and proof of each image (`complete.rs`).
//! **Report.** The report, the receipt, the request for what was damaged, the Helm values.

pub mod complete;
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

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::failure::{ExitCode, Explain, Failure};
use crate::archive::{ArchiveError, BundleManifest, Holdings};
use crate::cli::{ImportArgs, ResultFormat};
use crate::destination::{Destination, Mapping};
use crate::image::{Digest, Reference, matches};
use crate::inputs::policy_check::Rules;
use crate::inputs::{clients, open_bundle, trust};
use crate::plan::{ImageTarget, ImageTargets, ImportPlan};
use crate::policy::Selection;
use crate::registry::{Environment, PingOutcome, RegistryClient, Sessions};
use crate::report::count;
use crate::session::preflight::Preflight;
use crate::session::run_report::{ImageReport, ImageState, RunReport};
use crate::session::{NOTHING_SENT, Session, console};
use crate::signing::{PrivateKey, Vouched};
use prepare::{Preparing, Probe};
use presence::Presence;
use required::BaseSearch;
use text::Found;
use upload::{Import, Sent, UploadError};
use values::WrittenValues;

/// One import with everything it needs.
pub(crate) struct ImportJob<'a> {
    pub(crate) session: &'a Session,
    pub(crate) args: &'a ImportArgs,
    pub(crate) client: &'a RegistryClient,
    pub(crate) destination: &'a Destination,
    pub(crate) holdings: Arc<dyn Holdings>,
    /// What files that come of it are called after.
    pub(crate) stem: String,
    pub(crate) vouched: Vouched,
    /// The policy to enforce, if any.
    pub(crate) rules: Option<Rules>,
}

impl ImportJob<'_> {
    /// Runs it; `values` is where the Helm values go, and `pipe` what has come of a pipe.
    pub(crate) async fn run(
        &self,
        values: PathBuf,
        pipe: Option<open_bundle::Pipe>,
        report: &mut RunReport,
    ) -> anyhow::Result<ExitCode> {
        let began = Instant::now();
        let bundle = self.holdings.bundle();
        let values = values::plan(
            self.args,
            bundle,
            self.destination,
            self.mapping(),
            values,
            &self.session.reporter,
        )?;
        let receipt_signer = receipt::signer(self.args)?;
        self.begin(report);
        let notes = self.tell_notes(0);
        self.enforce(report)?;
        let targets = self.targets(report)?;
        let unfit = report.failures().count();
        self.check_registry().await?;
        let (missing, present) = self.presence().missing(&targets, report).await?;
        let mut plan = ImportPlan::new(bundle, self.holdings.as_ref(), missing, &present)?;
        let mut preflight = Preflight::default();
        preflight.fine("names", names_text(targets.len(), unfit));
        if let Some(requires) = &bundle.requires {
            let there = format!("what bundle {} brought is there", requires.base);
            let found = self.base_search(bundle).find_all(&plan, requires).await;
            let found = found.map(|held| plan.mount_from(held));
            preflight.check("base", found.map(|()| there));
        }
        let preparing = self.preparing();
        let preparation = preparing.preparation(&plan, self.args).await?;
        let lacking =
            self.session.stoppable(NOTHING_SENT, preparation.lacking(&plan.repositories())).await??;
        if self.args.dry_run {
            preparing.look_for_access(&plan, &lacking, &mut preflight).await;
            preflight.registries(&self.client.stats());
            preflight.time(plan.bytes(), self.args.network.limit_rate);
            let (targets, lacking) = (&targets[..], &lacking[..]);
            let found =
                Found { plan: &plan, targets, preparation: &preparation, lacking, preflight: &preflight };
            self.print_found(&found, report)?;
            self.take_off(preflight)?;
            return self.foreseen(report);
        }
        // A name that does not fit is the image's own; what was found at the destination may be about all of it.
        if report.failures().count() > unfit && !self.goes_on() {
            return Err(report.failure().into());
        }
        preflight.registries(&self.client.stats());
        self.take_off(preflight)?;
        preparing.make(&preparation, &lacking).await?;
        if !self.args.skip_preflight {
            preparing.check_access(&plan, Probe::Upload).await?;
        }
        if let Some(sessions) = self.sessions()? {
            self.client.keep_sessions(sessions);
        }
        let (sent, read) = self.send(&plan, pipe, report).await;
        report.totals = Some(serde_json::json!({
            "uploadedBlobs": sent.uploaded, "mountedBlobs": sent.mounted, "presentBlobs": sent.already,
            "artifacts": sent.artifacts, "blobBytes": sent.bytes, "bytesSent": self.client.stats().bytes_sent,
            "seconds": began.elapsed().as_secs_f64(),
        }));
        clients::tell_warnings(self.client, &self.session.reporter);
        self.tell_notes(notes);
        // What is written beside tells of what has arrived: it costs no image, and what became of those is said first.
        let mut beside = Vec::new();
        if self.args.salvage {
            let (holdings, reporter) = (self.holdings.as_ref(), &self.session.reporter);
            beside.push(salvage::ask_again(holdings, &self.stem, &plan, &sent, reporter));
        }
        beside.push(self.write_receipt(report, receipt_signer.as_ref()));
        let was_read = read.is_ok();
        let judged = self.judge(read, report);
        // What has no name there is not missed there: all the rest has arrived.
        let is_rest_there = was_read && report.failures().count() == unfit;
        let arrived = judged.is_ok() || (is_rest_there && !self.session.cancel.is_cancelled());
        let written = match &values {
            Some(values) if arrived => values::write(values, self.destination, self.args.force).map(Some),
            _ => Ok(None),
        };
        if arrived {
            self.client.uploads_finished();
            let written = written.as_ref().ok().and_then(Option::as_ref);
            beside.push(self.print_summary(report, &sent, began.elapsed(), written));
        }
        beside.push(written.map(drop));
        self.ended(judged, beside.into_iter().filter_map(Result::err).collect(), report)
    }

    /// The rows of the report, and what it says of the bundle.
    fn begin(&self, report: &mut RunReport) {
        let images = &self.holdings.bundle().images;
        report.images = images.iter().map(|i| ImageReport::new(&i.name, Some(&i.source))).collect();
        for (row, image) in report.images.iter_mut().zip(images) {
            row.digest = Some(image.digest);
            row.bytes = image.size;
        }
        report.note_chosen(self.holdings.chosen());
        report.bundle = Some(serde_json::json!({
            "file": self.holdings.name(), "id": self.holdings.id(), "signedBy": trust::signed_by(&self.vouched),
            "approvedBy": trust::approved_by(&self.vouched),
        }));
    }

    fn print_found(&self, found: &Found<'_>, report: &RunReport) -> anyhow::Result<()> {
        match self.session.format {
            ResultFormat::Human => console::print(&found.text(self.holdings.bundle(), report))?,
            ResultFormat::Json => console::print_json(&found.json(report))?,
        }
        Ok(())
    }

    /// How the import would end, as far as a dry run can tell.
    fn foreseen(&self, report: &RunReport) -> anyhow::Result<ExitCode> {
        match report.failures().next() {
            None => Ok(ExitCode::Done),
            Some(_) if self.goes_on() => Ok(ExitCode::Partly),
            Some(_) => Err(report.failure().into()),
        }
    }

    /// Says what there is to know of the archive, without what was `said` before; how much there is.
    fn tell_notes(&self, said: usize) -> usize {
        let notes = self.holdings.notes();
        for note in notes.iter().skip(said) {
            self.session.reporter.warn(&format!("{}: {note}", self.holdings.name()));
        }
        notes.len()
    }

    fn jobs(&self) -> usize {
        usize::from(self.args.network.jobs)
    }

    fn presence(&self) -> Presence<'_> {
        Presence {
            session: self.session,
            client: self.client,
            holdings: self.holdings.as_ref(),
            on_conflict: self.args.on_conflict,
            with: &self.args.with.with.0,
            jobs: self.jobs(),
        }
    }

    fn base_search<'a>(&'a self, bundle: &'a BundleManifest) -> BaseSearch<'a> {
        let (mapping, jobs) = (self.mapping(), self.jobs());
        let Self { session, client, destination, .. } = self;
        BaseSearch { session, client, destination, bundle, mapping, jobs }
    }

    fn preparing(&self) -> Preparing<'_> {
        let Self { session, client, destination, .. } = self;
        Preparing { session, client, destination, jobs: self.jobs() }
    }

    fn write_receipt(&self, report: &RunReport, signer: Option<&PrivateKey>) -> anyhow::Result<()> {
        let (holdings, reporter) = (self.holdings.as_ref(), &self.session.reporter);
        receipt::write(self.args, holdings, self.destination, report, signer, reporter)
    }

    fn print_summary(
        &self,
        report: &RunReport,
        sent: &Sent,
        took: Duration,
        values: Option<&WrittenValues>,
    ) -> anyhow::Result<()> {
        match self.session.format {
            ResultFormat::Json => console::print_json(&report.value())?,
            ResultFormat::Human => {
                console::print(&text::summary(self.destination, report, sent, took, values))?;
            }
        }
        Ok(())
    }

    /// How the run ends; of several errors the first counts, and the others are told.
    fn ended(
        &self,
        judged: anyhow::Result<()>,
        beside: Vec<anyhow::Error>,
        report: &RunReport,
    ) -> anyhow::Result<ExitCode> {
        let reporter = &self.session.reporter;
        let mut errors = judged.err().into_iter().chain(beside);
        if let Some(first) = errors.next() {
            errors.for_each(|error| reporter.warn(&error.to_string()));
            return Err(first);
        }
        if report.failures().next().is_none() {
            return Ok(ExitCode::Done);
        }
        reporter.warn(&report.warning());
        Ok(ExitCode::Partly)
    }

    /// Refuses what the policy does not let pass, of the images that are chosen, before anything is asked or sent.
    fn enforce(&self, report: &mut RunReport) -> anyhow::Result<()> {
        let Some(rules) = &self.rules else { return Ok(()) };
        let images = |name: &Reference| matches(&self.args.only, name);
        let selection = Selection { images: &images, with: &self.args.with.with.0 };
        let findings = rules.findings(self.holdings.as_ref(), selection)?;
        match rules.refusal(&findings, report, &self.session.reporter) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    /// Ends the run where something stands against it, unless it shall not matter.
    fn take_off(&self, preflight: Preflight) -> anyhow::Result<()> {
        let reporter = &self.session.reporter;
        preflight.warnings().for_each(|warning| reporter.warn(&warning));
        if self.args.skip_preflight { Ok(()) } else { Ok(preflight.judge()?) }
    }

    /// Sends what the plan says; what came of each image goes into `report`. The last result is that of reading.
    async fn send(
        &self,
        plan: &ImportPlan,
        pipe: Option<open_bundle::Pipe>,
        report: &mut RunReport,
    ) -> (Sent, Result<(), ArchiveError>) {
        self.session.reporter.begin("uploading", plan.bytes(), 0);
        let import = Import {
            client: self.client,
            holdings: &self.holdings,
            plan,
            jobs: self.jobs(),
            reporter: &self.session.reporter,
            cancel: &self.session.cancel,
        };
        let tell = |at, result: &_| self.tell(plan, at, result);
        let (arrived, sent, read) = match pipe {
            Some(pipe) => {
                let stash = Some(&*pipe.stash);
                import.run_piped(&pipe.at_hand, stash, move |sink| (pipe.rest)(sink), &tell).await
            }
            None if self.holdings.is_sequential() => {
                self.session.reporter.detail("this archive has no random access: it is read in order");
                let holdings = self.holdings.clone();
                import.run_piped(&HashSet::new(), None, move |sink| holdings.stream(sink), &tell).await
            }
            None => {
                let (arrived, sent) = import.run(&tell).await;
                (arrived, sent, Ok(()))
            }
        };
        self.session.reporter.end();
        for arrived in arrived {
            self.settle(&plan.image_uploads[arrived.arrival].target, arrived.result, report);
        }
        (sent, read)
    }

    /// Whether what happened lets the import end well, at least in part.
    fn judge(&self, read: Result<(), ArchiveError>, report: &RunReport) -> anyhow::Result<()> {
        let failures = report.failures().count();
        if self.session.cancel.is_cancelled() {
            if failures > 0 {
                self.session.reporter.warn(&report.warning());
            }
            let kept = "images that are complete are there; run the same command again to go on";
            return Err(Failure::interrupted(kept).into());
        }
        // What a pipe has lost is lost: there is nothing to stop for.
        let goes_on = self.goes_on() || report.failed_partly();
        if failures > 0 && (!goes_on || report.images.len() == failures) {
            let failure = report.failure();
            let hint = if failure.code == ExitCode::Content && self.args.salvage {
                "no image of the bundle is whole: copy or export it again"
            } else if failure.code == ExitCode::Content {
                "images that arrived stay; the others need a bundle that is whole: copy or export it again, or take \
                 what is whole with --salvage"
            } else {
                "images that arrived stay; run the same command again to go on"
            };
            return Err(failure.hint(hint).into());
        }
        // Damage after the last image is still damage, and whoever carried the stream should know.
        match read {
            Err(error) if self.args.salvage => self.session.reporter.warn(&error.to_string()),
            read => read?,
        }
        Ok(())
    }

    /// Whether images that fail are left behind.
    fn goes_on(&self) -> bool {
        self.args.keep_going || self.args.salvage
    }

    /// The uploads that an earlier run of the same import left open.
    fn sessions(&self) -> anyhow::Result<Option<Sessions>> {
        let id = self.holdings.id().map_or_else(|| self.holdings.bundle().id(), Ok)?;
        let key = Digest::sha256(format!("{id} {}", self.destination).as_bytes());
        Ok(Sessions::open(&Environment::of_process(), &key.hex()[..32]))
    }

    pub(crate) fn mapping(&self) -> Mapping {
        Mapping {
            keep_host: self.args.mapping.keep_host || self.holdings.bundle().keeps_host(),
            no_synthetic_tags: self.args.mapping.no_synthetic_tags,
        }
    }

    /// Where everything goes. Names that collide, or do not fit, are refused before anything is sent.
    fn targets(&self, report: &mut RunReport) -> anyhow::Result<Vec<ImageTarget>> {
        let bundle = self.holdings.bundle();
        let share = shards::of(self.args, self.holdings.as_ref())?;
        if let Some(share) = &share {
            self.session.reporter.say(&share.text);
        }
        let in_share = |name: &Reference| share.as_ref().is_none_or(|share| share.images.contains(name));
        let selected = |name: &Reference| matches(&self.args.only, name) && in_share(name);
        let targets = ImageTargets::new(bundle, self.destination, self.mapping(), &selected);
        let (ImageTargets(targets), unfit) = targets?;
        for (row, image) in report.images.iter_mut().zip(&bundle.images) {
            if !selected(&image.name) {
                row.not_asked_for();
            }
        }
        // One part may be empty, all of them together not.
        let nothing = share.is_none_or(|share| share.of == 0);
        if targets.is_empty() && unfit.is_empty() && nothing {
            return Err(Failure::usage("no image of the bundle matches --only").into());
        }
        for target in targets.iter().filter(|target| target.main) {
            report.images[target.image].target = Some(target.place());
        }
        for unfit in &unfit {
            let row = report.images.iter_mut().find(|row| row.name == unfit.name);
            if let Some(row) = row {
                row.failed(ExitCode::Failed, &"", &unfit.error, vec![unfit.error.hint().to_owned()]);
            }
        }
        if targets.is_empty() && !unfit.is_empty() {
            return Err(report.failure().into());
        }
        Ok(targets)
    }

    async fn check_registry(&self) -> anyhow::Result<()> {
        let host = self.destination.host();
        match self.session.stoppable(NOTHING_SENT, self.client.ping(host)).await?? {
            PingOutcome::Unclear { status } => self
                .session
                .reporter
                .detail(&format!("{host} answers {status} to /v2/; going on, as some registries do")),
            PingOutcome::Registry { .. } | PingOutcome::NeedsLogin => {}
        }
        Ok(())
    }

    /// Says what has arrived; what has not is told at the end, all of it together.
    fn tell(&self, plan: &ImportPlan, at: usize, result: &Result<(), UploadError>) {
        if result.is_ok() {
            let place = plan.image_uploads[at].target.place();
            self.session.reporter.detail(&format!("{place} is there"));
        }
    }

    fn settle(&self, target: &ImageTarget, result: Result<(), UploadError>, report: &mut RunReport) {
        let _ = self;
        let row = &mut report.images[target.image];
        match result {
            Ok(()) if row.state == ImageState::NotTried => row.state = ImageState::Done,
            Ok(()) | Err(UploadError::Cancelled) => {}
            Err(error) => {
                row.failed(error.exit_code(), &target.place(), &error, error.hints());
            }
        }
    }
}

/// `3 names fit, and none meet`.
fn names_text(fit: usize, unfit: usize) -> String {
    let (verb, others) = (if fit == 1 { "fits" } else { "fit" }, if unfit == 1 { "does" } else { "do" });
    let rest = if unfit == 0 { String::new() } else { format!("; {unfit} {others} not") };
    format!("{} {verb}, and none meet{rest}", count(fit, "name"))
}
