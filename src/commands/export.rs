//! `bundle export`: catalog → pinned digests → plan → one file.

use std::path::{Path, PathBuf};

use super::export_finish::{Finish, Origin};
use super::export_lost::{report_faults, report_lost, way_on, without};
use super::export_there::There;
use super::input::open_input;
use super::policy::{self, Rules};
use super::preflight::Preflight;
use super::request::Loaded;
use super::resolving::Resolving;
use super::run_report::{ImageReport, ImageState, RunReport};
use super::{asked_again, base, ending, export_target, keys, locked, network, request, sidecar, trust};
use crate::app::failure::ExitCode;
use crate::archive::VolumeInput;
use crate::cli::{ExportArgs, ForeignLayers, ResultFormat, WriteArgs};
use crate::custody::Material;
use crate::plan::{ExportPlan, PlanError, Request, Resolution, Signer};
use crate::registry::RegistryClient;
use crate::session::Session;
use crate::signing::PrivateKey;
use crate::transfer::{
    BlobSpool, FileExport, Outcome, Resolved, Spool, Unfinished, Workspace, complete_sidecar,
};

pub(super) async fn run(session: &Session, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let catalog = load(session, args)?;
    let write = &args.write;
    let target = export_target::output(write, catalog.file_name.as_deref());
    // A plan can be looked at before there is a place for it.
    let target = if write.dry_run { target.ok().flatten() } else { target? };
    export_target::keep_apart(args, target.as_deref())?;
    let (registry, request, held) = (args.registry.as_ref(), &catalog.request, &catalog.held);
    let client = network::for_export(&args.network, registry, request, held, &session.reporter)?;
    let (signer, policy) = (keys::signer(&write.sign)?, policy::load(&write.policy)?);
    let mut report = RunReport::new("export", args.report.file.as_deref());
    let export = Export {
        session,
        write,
        keep_going: args.keep_going,
        jobs: usize::from(args.network.jobs),
        client: &client,
        signer: signer.as_ref(),
        origin: None,
        policy: policy.as_ref(),
        materials: &catalog.materials,
        request: &catalog.request,
    };
    let result = Box::pin(export.run(target.as_deref(), &mut report)).await;
    ending::close(&report, result, &session.reporter)
}

/// What is to be exported: of catalogs, a lock, or a request from the other side.
fn load(session: &Session, args: &ExportArgs) -> anyhow::Result<Loaded> {
    if args.base.is_none() {
        let hint = "here it is for --base; to sign what is written: --sign-key FILE";
        trust::refuse_unused(&args.trust, hint)?;
    }
    if let Some(path) = &args.request {
        return asked_again::load(args, path, &session.reporter);
    }
    let mut catalog = match &args.locked {
        Some(lock) => locked::load(&args.catalog, &args.selection, &args.network, lock)?,
        None => request::load_with(&args.catalog, &args.selection, &args.network)?,
    };
    catalog.select(&args.selection)?;
    let request = &mut catalog.request;
    request.platforms = args.platform.iter().map(ToString::to_string).collect();
    (request.repin, request.keep_host) = (args.repin, args.keep_host);
    request.with.clone_from(&args.with.with.0);
    request.keep_urls = args.foreign_layers == ForeignLayers::KeepUrls;
    request.base = args.base.as_deref().map(|path| base::load(path, &args.trust)).transpose()?;
    if let (Some(base), Some(name)) = (&request.base, &mut catalog.file_name) {
        *name = base::delta_name(name, &base.base);
    }
    Ok(catalog)
}

/// One export with everything it needs.
pub(super) struct Export<'a> {
    pub(super) session: &'a Session,
    pub(super) write: &'a WriteArgs,
    /// Leave out images that fail.
    pub(super) keep_going: bool,
    pub(super) jobs: usize,
    pub(super) client: &'a RegistryClient,
    /// Signs the bundle.
    pub(super) signer: Option<&'a PrivateKey>,
    /// The one bundle it is made of, whose signatures it keeps where it is the same bundle.
    pub(super) origin: Option<&'a Origin>,
    /// What it has to keep to.
    pub(super) policy: Option<&'a Rules>,
    /// What the bundle is made of.
    pub(super) materials: &'a [Material],
    pub(super) request: &'a Request,
}

impl Export<'_> {
    /// Plans or writes the bundle; no target is stdout.
    pub(super) async fn run(
        &self,
        target: Option<&Path>,
        report: &mut RunReport,
    ) -> anyhow::Result<ExitCode> {
        for wanted in &self.request.images {
            report.images.push(ImageReport::new(&wanted.name, wanted.sources.first()));
        }
        let result = match target {
            _ if self.write.dry_run => self.dry_run(target, report).await,
            None => super::export_stream::run(self, report).await,
            Some(target) => self.to_file(target, report).await,
        };
        network::tell_warnings(self.client, &self.session.reporter);
        network::tell_of_hosts(self.client, &self.session.reporter);
        result
    }

    /// What the bundle gets as its signature.
    pub(super) fn seal(&self) -> Option<Signer<'_>> {
        let kept = || self.origin.and_then(Origin::signature);
        self.signer.map(Signer::Key).or_else(kept)
    }

    fn finish(&self) -> Finish<'_> {
        Finish {
            session: self.session,
            write: self.write,
            signer: self.signer,
            origin: self.origin,
            materials: self.materials,
        }
    }

    async fn to_file(&self, target: &Path, report: &mut RunReport) -> anyhow::Result<ExitCode> {
        let began = std::time::Instant::now();
        if self.write.with_self {
            super::with_self::check(target, self.write.force)?;
        }
        let workspace = Workspace::open(target)?;
        if self.write.fresh {
            workspace.discard()?;
        }
        let spool = workspace.spool()?;
        let mut blob_spool = self.blob_spool(Some(target))?;
        if let Some(old) = blob_spool.take_if(|_| self.write.fresh) {
            old.remove()?;
            blob_spool = self.blob_spool(Some(target))?;
        }
        let there = There::under(target, self.write);
        let stale = there.stale();
        let run = FileExport {
            client: self.client,
            request: self.request,
            signer: self.seal(),
            workspace: &workspace,
            spool: &spool,
            jobs: self.jobs,
            reporter: &self.session.reporter,
            cancel: &self.session.cancel,
            sidecar: !self.write.no_sidecar,
            parity: self.write.parity.map_or(0, usize::from),
            volume_size: export_target::cut_size(self.write),
            blob_spool: blob_spool.as_ref(),
            stale: &stale,
        };
        let fingerprint = self.request.fingerprint()?;
        let (mut resolution, mut unfinished, mut dropped) =
            self.resolution(&workspace, &spool, &fingerprint, report).await?;
        let resumed = unfinished.as_ref().is_some_and(|earlier| earlier.header.request == fingerprint);
        let mut probed = None;
        loop {
            let draft = match run.draft(&resolution) {
                Ok(draft) => draft,
                Err(PlanError::Images(faults)) => {
                    let hit = report_faults(&resolution, &faults, report);
                    if !self.keep_going || hit.len() == resolution.images.len() {
                        let hint = "leave these images out, or go on without them with --keep-going";
                        return Err(report.failure().hint(hint).into());
                    }
                    dropped += hit.len();
                    resolution = without(resolution, &hit);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            self.enforce(&draft, &spool, report)?;
            if there.is_complete(&draft)? {
                workspace.finished()?;
                blob_spool.map_or(Ok(()), BlobSpool::remove)?;
                self.session.reporter.say(&format!("{} is complete already", target.display()));
                return self.complete_already(target, &draft, report, began).await;
            }
            if self.request.base.is_some() && draft.bundle.requires.is_none() {
                self.session.reporter.say("nothing of the base is of use here: this bundle needs no other");
            }
            self.take_off(self.preflight(&draft, Some(target)))?;
            // A run that dropped images is not what a later run of the same request shall go on with.
            let marked =
                if dropped == 0 { fingerprint.clone() } else { format!("{fingerprint} less {dropped}") };
            let earlier = unfinished.as_ref().filter(|u| u.header.request == marked);
            let stamp = earlier.map_or_else(now, |u| u.header.resolved_at.clone());
            let probe = || export_target::medium(self.session, self.write, target, &draft);
            let medium = probed.map_or_else(probe, Ok)?;
            probed = Some(medium);
            let prepared = run.prepare(medium, &resolution, draft, unfinished.take(), marked, stamp)?;
            let (plan, outcome) = run.transfer(prepared).await?;
            let Outcome::Lost(lost) = outcome else {
                blob_spool.map_or(Ok(()), BlobSpool::remove)?;
                if self.origin.is_none() {
                    there.warn_of_strangers(&plan.bundle.id()?, &self.session.reporter);
                }
                let kept = self.finish().run(target, &plan, true).await?;
                report.all_done(ImageState::Done);
                self.print_result(target, &plan, report, began, kept)?;
                return Ok(self.ended(report));
            };
            let hit = report_lost(&plan, &spool, &lost, resumed, report);
            if !self.keep_going || hit.len() == resolution.images.len() {
                return Err(report.failure().hint(way_on(&lost, resumed)).into());
            }
            dropped += hit.len();
            resolution = without(resolution, &hit);
            unfinished = workspace.unfinished()?;
        }
    }

    /// Adds what an earlier run did not get to: the sidecar, and the files beside the bundle.
    async fn complete_already(
        &self,
        target: &Path,
        draft: &ExportPlan,
        report: &mut RunReport,
        began: std::time::Instant,
    ) -> anyhow::Result<ExitCode> {
        if !self.write.no_sidecar {
            let (file, id) = (open_input(target)?, draft.bundle.id()?);
            tokio::task::block_in_place(|| complete_sidecar(target, file.as_ref(), id))?;
        }
        report.all_done(ImageState::AlreadyThere);
        let kept = self.finish().run(target, draft, false).await?;
        self.print_result(target, draft, report, began, kept)?;
        Ok(self.ended(report))
    }

    /// Where blobs wait for their turn.
    pub(super) fn blob_spool(&self, target: Option<&Path>) -> anyhow::Result<Option<BlobSpool>> {
        let open = |folder: &PathBuf| BlobSpool::open(folder, target);
        Ok(self.write.spool.as_ref().map(open).transpose()?)
    }

    /// What an earlier run of the same request resolved to, or what the registries say now; then the earlier run
    /// itself, whatever its request, and how many images failed.
    async fn resolution(
        &self,
        workspace: &Workspace,
        spool: &Spool,
        fingerprint: &str,
        report: &mut RunReport,
    ) -> anyhow::Result<(Resolution, Option<Unfinished>, usize)> {
        let unfinished = workspace.unfinished()?;
        if let Some(earlier) = unfinished.as_ref().filter(|u| u.header.request == fingerprint)
            && let Ok(resolution) = serde_json::from_value::<Resolution>(earlier.header.resolution.clone())
        {
            self.session.reporter.say(&format!(
                "going on with the run whose tags were resolved on {}; --fresh starts over",
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
        let resolved = self.resolve(spool, report).await?;
        Ok((resolved.resolution, unfinished, resolved.failures.len()))
    }

    /// Done, or done in part: then the images that are missing are named.
    pub(super) fn ended(&self, report: &RunReport) -> ExitCode {
        network::tell_warnings(self.client, &self.session.reporter);
        if report.failures().next().is_none() {
            return ExitCode::Done;
        }
        self.session.reporter.warn(&report.warning());
        ExitCode::Partly
    }

    /// Resolves every image; failures end the export unless it may keep going.
    pub(super) async fn resolve(&self, spool: &Spool, report: &mut RunReport) -> anyhow::Result<Resolved> {
        let resolving = Resolving {
            session: self.session,
            client: self.client,
            request: self.request,
            jobs: self.jobs,
            keep_going: self.keep_going,
        };
        let resolved = resolving.run(spool, report).await?;
        let reporter = &self.session.reporter;
        let drift = locked::warn_of_drift(self.client, self.request, resolving.jobs, reporter);
        self.session.stoppable("nothing has been written yet", drift).await?;
        Ok(resolved)
    }

    fn print_result(
        &self,
        target: &Path,
        plan: &ExportPlan,
        report: &mut RunReport,
        began: std::time::Instant,
        kept: Vec<String>,
    ) -> anyhow::Result<()> {
        let file = open_input(target)?;
        report.bundle = Some(serde_json::json!({
            "file": target.display().to_string(), "size": file.len(), "id": plan.bundle.id()?,
        }));
        let stats = self.client.stats();
        let received = (!self.client.is_offline()).then_some(stats.bytes_received);
        for image in &plan.bundle.images {
            if let Some(row) = report.images.iter_mut().find(|row| row.name == image.name) {
                row.bytes = image.size;
            }
        }
        report.totals = Some(serde_json::json!({
            "blobs": plan.bundle.blobs.len(), "blobBytes": plan.distinct(), "aloneBytes": plan.alone,
            "bytesReceived": stats.bytes_received, "seconds": began.elapsed().as_secs_f64(),
        }));
        let volumes = VolumeInput::open(target)?.map(|volumes| {
            let (count, parity) = (volumes.count(), volumes.list().map_or(0, |list| list.parity.len()));
            super::export_print::Volumes {
                first: volumes.path(0),
                last: volumes.path(count - 1),
                count,
                parity,
            }
        });
        let (took, with_self) = (began.elapsed(), self.write.with_self);
        let size = file.len();
        let summary = super::export_print::Summary { plan, target, size, volumes, received, took, with_self };
        match self.session.format {
            ResultFormat::Json => super::console::print_json(&report.value())?,
            ResultFormat::Human => {
                let beside = [sidecar::written_with(self.write), kept].concat();
                super::console::print(&summary.text(&beside))?;
            }
        }
        Ok(())
    }

    /// Refuses a plan that the policy does not let pass, before any layer of it is fetched.
    pub(super) fn enforce(
        &self,
        plan: &ExportPlan,
        spool: &Spool,
        report: &mut RunReport,
    ) -> anyhow::Result<()> {
        let Some(rules) = self.policy else { return Ok(()) };
        match rules.refusal(&rules.planned(plan, spool)?, report, &self.session.reporter) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    /// What stands for and against writing `plan`.
    fn preflight(&self, plan: &ExportPlan, target: Option<&Path>) -> Preflight {
        let mut preflight = Preflight::default();
        let longest = plan.bundle.images.iter().map(|image| image.name.repository().path().len()).max();
        preflight.fine("names", format!("the longest has {} characters; none meet", longest.unwrap_or(0)));
        if let Some(target) = target {
            let space = export_target::check_space(target, plan, self.write);
            preflight.check("space", space);
        }
        if !self.client.is_offline() {
            preflight.registries(&self.client.stats());
            preflight.time(plan.payload(), self.client.limit_rate());
        }
        preflight
    }

    /// Ends the run where something stands against it, unless it shall not matter.
    fn take_off(&self, preflight: Preflight) -> anyhow::Result<()> {
        let reporter = &self.session.reporter;
        preflight.warnings().for_each(|warning| reporter.warn(&warning));
        reporter.detail(&preflight.text());
        if self.write.skip_preflight {
            return Ok(());
        }
        Ok(preflight.judge()?)
    }

    async fn dry_run(&self, target: Option<&Path>, report: &mut RunReport) -> anyhow::Result<ExitCode> {
        let spool = Spool::anonymous()?;
        let resolved = self.resolve(&spool, report).await?;
        let plan = ExportPlan::new(self.request, &resolved.resolution, self.seal(), &spool, &mut |_| Ok(()));
        let plan = plan?;
        let preflight = self.preflight(&plan, target);
        let allowed = self.enforce(&plan, &spool, report);
        match self.session.format {
            ResultFormat::Json => {
                let mut value = super::export_print::plan_json(&plan);
                value["preflight"] = preflight.json();
                super::console::print_json(&value)?;
            }
            ResultFormat::Human => {
                let plan = super::export_print::plan_text(&plan, self.client, &spool);
                super::console::print(&format!("{plan}\n{}", preflight.text()))?;
            }
        }
        allowed?;
        if !self.write.skip_preflight {
            preflight.judge()?;
        }
        Ok(self.ended(report))
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%F %T UTC").to_string()
}
