//! One import, with everything it needs and its steps.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::error::UploadError;
use super::prepare::Preparing;
use super::presence::Presence;
use super::required::BaseSearch;
use super::run::{Import, Sent};
use super::text::{self, Found};
use super::values::WrittenValues;
use super::{receipt, shards, stream, upload};
use crate::app::failure::{ExitCode, Explain, Failure};
use crate::archive::{ArchiveError, BundleManifest, ImageStore, OLDER_IS_DAMAGED, StoredBases};
use crate::cli::{ImportArgs, ResultFormat};
use crate::destination::{Destination, Mapping};
use crate::image::{Digest, Reference, matches};
use crate::inputs::policy_check::Rules;
use crate::inputs::{open_bundle, trust};
use crate::plan::{ImageTarget, ImageTargets, ImportPlan};
use crate::policy::Selection;
use crate::registry::{Environment, PingOutcome, RegistryClient, Sessions};
use crate::session::preflight::Preflight;
use crate::session::run_report::{ImageReport, ImageState, RunReport};
use crate::session::{NOTHING_SENT, Session, console};
use crate::signing::{PrivateKey, Vouched};

/// One import with everything it needs.
pub(crate) struct ImportJob<'a> {
    pub(crate) session: &'a Session,
    pub(crate) args: &'a ImportArgs,
    pub(crate) client: &'a RegistryClient,
    pub(crate) destination: &'a Destination,
    pub(crate) image_store: Arc<dyn ImageStore>,
    /// The bundles of `--base`.
    pub(crate) bases: StoredBases,
    /// The name from which the names of its output files are made.
    pub(crate) stem: String,
    pub(crate) vouched: Vouched,
    /// The policy to enforce, if any.
    pub(crate) rules: Option<Rules>,
}

impl ImportJob<'_> {
    /// The rows of the report, and what it says about the bundle.
    pub(super) fn begin(&self, report: &mut RunReport) {
        let images = &self.image_store.bundle().images;
        report.images = images.iter().map(|i| ImageReport::new(&i.name, Some(&i.source))).collect();
        for (row, image) in report.images.iter_mut().zip(images) {
            row.digest = Some(image.digest);
            row.bytes = image.size;
        }
        report.note_chosen(self.image_store.chosen());
        report.bundle = Some(serde_json::json!({
            "file": self.image_store.name(), "id": self.image_store.id(), "signedBy": trust::signed_by(&self.vouched),
            "approvedBy": trust::approved_by(&self.vouched),
        }));
    }

    pub(super) fn print_found(&self, found: &Found<'_>, report: &RunReport) -> anyhow::Result<()> {
        match self.session.format {
            ResultFormat::Human => console::print(&found.text(self.image_store.bundle(), report))?,
            ResultFormat::Json => console::print_json(&found.json(report))?,
        }
        Ok(())
    }

    /// How the import would end, as far as a dry run can predict.
    pub(super) fn foreseen(&self, report: &RunReport) -> anyhow::Result<ExitCode> {
        match report.failures().next() {
            None => Ok(ExitCode::Done),
            Some(_) if self.keeps_going() => Ok(ExitCode::Partly),
            Some(_) => Err(report.failure().into()),
        }
    }

    /// Prints the notes about the archive, without those already `said`; returns their number.
    pub(super) fn report_notes(&self, said: usize) -> usize {
        let notes = self.image_store.notes();
        for note in notes.iter().skip(said) {
            self.session.reporter.warn(&format!("{}: {note}", self.image_store.name()));
        }
        notes.len()
    }

    pub(super) fn jobs(&self) -> usize {
        usize::from(self.args.network.jobs)
    }

    pub(super) fn presence(&self) -> Presence<'_> {
        Presence {
            session: self.session,
            client: self.client,
            image_store: self.image_store.as_ref(),
            on_conflict: self.args.on_conflict,
            with: &self.args.with.with.0,
            jobs: self.jobs(),
        }
    }

    pub(super) fn base_search<'a>(&'a self, bundle: &'a BundleManifest) -> BaseSearch<'a> {
        let (mapping, jobs) = (self.mapping(), self.jobs());
        let Self { session, client, destination, .. } = self;
        BaseSearch { session, client, destination, bundle, mapping, jobs }
    }

    pub(super) fn preparing(&self) -> Preparing<'_> {
        let Self { session, client, destination, .. } = self;
        Preparing { session, client, destination, jobs: self.jobs() }
    }

    pub(super) fn write_receipt(
        &self,
        report: &RunReport,
        signer: Option<&PrivateKey>,
    ) -> anyhow::Result<()> {
        let (image_store, reporter) = (self.image_store.as_ref(), &self.session.reporter);
        receipt::write(self.args, image_store, self.destination, report, signer, reporter)
    }

    pub(super) fn print_summary(
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

    /// How the run ends; of several errors the first decides, and the others are reported.
    pub(super) fn ended(
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

    /// Refuses selected images that the policy does not allow, before any request is sent.
    pub(super) fn enforce(&self, report: &mut RunReport) -> anyhow::Result<()> {
        let Some(rules) = &self.rules else { return Ok(()) };
        let images = |name: &Reference| matches(&self.args.only, name);
        let selection = Selection { images: &images, with: &self.args.with.with.0 };
        let findings = rules.findings(self.image_store.as_ref(), selection)?;
        match rules.refusal(&findings, report, &self.session.reporter) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    /// Ends the run if the preflight found problems, unless the checks are skipped.
    pub(super) fn run_preflight(&self, preflight: Preflight) -> anyhow::Result<()> {
        let reporter = &self.session.reporter;
        preflight.warnings().for_each(|warning| reporter.warn(&warning));
        if self.args.skip_preflight { Ok(()) } else { Ok(preflight.judge()?) }
    }

    /// Sends what the plan contains; the result of each image goes into `report`. The second value is the result of
    /// reading.
    pub(super) async fn send(
        &self,
        plan: &ImportPlan,
        pipe: Option<open_bundle::Pipe>,
        report: &mut RunReport,
    ) -> (Sent, Result<(), ArchiveError>) {
        self.session.reporter.begin("uploading", plan.bytes(), 0);
        let import = Import {
            client: self.client,
            image_store: &self.image_store,
            plan,
            jobs: self.jobs(),
            reporter: &self.session.reporter,
            cancel: &self.session.cancel,
        };
        let tell = |at, result: &_| self.tell(plan, at, result);
        let (arrived, sent, read) = match pipe {
            Some(pipe) => {
                let pipe_buffer = Some(&*pipe.buffer);
                stream::run_piped(&import, &pipe.at_hand, pipe_buffer, move |sink| (pipe.rest)(sink), &tell)
                    .await
            }
            None if self.image_store.is_sequential() => {
                self.session.reporter.detail("this archive has no random access: it is read in order");
                let image_store = self.image_store.clone();
                stream::run_piped(&import, &HashSet::new(), None, move |sink| image_store.stream(sink), &tell)
                    .await
            }
            None => {
                let (arrived, sent) = upload::run(&import, &tell).await;
                (arrived, sent, Ok(()))
            }
        };
        self.session.reporter.end();
        for arrived in arrived {
            Self::settle(&plan.image_uploads[arrived.image_upload].target, arrived.result, report);
        }
        (sent, read)
    }

    /// Whether the import succeeded, at least in part.
    pub(super) fn judge(&self, read: Result<(), ArchiveError>, report: &RunReport) -> anyhow::Result<()> {
        let failures = report.failures().count();
        if self.session.cancel.is_cancelled() {
            if failures > 0 {
                self.session.reporter.warn(&report.warning());
            }
            let kept = "images that were completed have arrived; run the same command again to resume";
            return Err(Failure::interrupted(kept).into());
        }
        // What a pipe has lost cannot be read again, so there is no reason to stop for it.
        let keeps_going = self.keeps_going() || report.failed_partly();
        if failures > 0 && (!keeps_going || report.images.len() == failures) {
            let failure = report.failure();
            if failure.hints.iter().any(|hint| hint == OLDER_IS_DAMAGED) {
                return Err(failure.into());
            }
            let hint = if failure.code == ExitCode::Content && self.args.salvage {
                format!("no image of the bundle is intact: {}", self.image_store.remedy())
            } else if failure.code == ExitCode::Content {
                format!(
                    "images that arrived stay; the others need an intact bundle: {}; or take what is intact with --salvage",
                    self.image_store.remedy()
                )
            } else {
                "images that arrived stay; run the same command again to resume".to_owned()
            };
            return Err(failure.hint(hint).into());
        }
        // Damage after the last image is still damage, and must be reported.
        match read {
            Err(error) if self.args.salvage => self.session.reporter.warn(&error.to_string()),
            read => read?,
        }
        Ok(())
    }

    /// Whether images that fail are skipped.
    pub(super) fn keeps_going(&self) -> bool {
        self.args.keep_going || self.args.salvage
    }

    /// The upload sessions that an earlier run of the same import left open.
    pub(super) fn sessions(&self) -> anyhow::Result<Option<Sessions>> {
        let id = self.image_store.id().map_or_else(|| self.image_store.bundle().id(), Ok)?;
        let key = Digest::sha256(format!("{id} {}", self.destination).as_bytes());
        Ok(Sessions::open(&Environment::of_process(), &key.hex()[..32]))
    }

    pub(crate) fn mapping(&self) -> Mapping {
        Mapping {
            keep_host: self.args.mapping.keep_host || self.image_store.bundle().keeps_host(),
            no_synthetic_tags: self.args.mapping.no_synthetic_tags,
        }
    }

    /// The target of every image. Names that collide or do not fit are refused before anything is sent.
    pub(super) fn targets(&self, report: &mut RunReport) -> anyhow::Result<Vec<ImageTarget>> {
        let bundle = self.image_store.bundle();
        let share = shards::of(self.args, self.image_store.as_ref())?;
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
        // One shard may be empty, but not the whole selection.
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

    pub(super) async fn check_registry(&self) -> anyhow::Result<()> {
        let host = self.destination.host();
        match self.session.stoppable(NOTHING_SENT, self.client.ping(host)).await?? {
            PingOutcome::Unclear { status } => self.session.reporter.detail(&format!(
                "{host} answers {status} to /v2/; continuing, since some registries do that"
            )),
            PingOutcome::Registry { .. } | PingOutcome::NeedsLogin => {}
        }
        Ok(())
    }

    /// Prints which images have arrived; failures are printed together at the end.
    pub(super) fn tell(&self, plan: &ImportPlan, at: usize, result: &Result<(), UploadError>) {
        if result.is_ok() {
            let place = plan.image_uploads[at].target.place();
            self.session.reporter.detail(&format!("{place} has arrived"));
        }
    }

    fn settle(target: &ImageTarget, result: Result<(), UploadError>, report: &mut RunReport) {
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
