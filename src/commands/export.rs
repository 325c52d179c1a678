//! `bundle export`: catalog → pinned digests → plan → one file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::{catalogs, network};
use crate::archive::{ArchiveError, BundleReader, FileInput, Input, PartialFile};
use crate::cli::{ExportArgs, ResultFormat};
use crate::failure::{ExitCode, Failure, code_of};
use crate::image::{Digest, Repository};
use crate::plan::{ExportPlan, PlanError, Request, Resolution, Wanted};
use crate::registry::RegistryClient;
use crate::report::{ImageReport, ImageState, RunReport, bytes};
use crate::session::Session;
use crate::transfer::journal::{Header, Past};
use crate::transfer::{
    Donor, Download, Downloaded, Front, LostBlob, Resolved, Spool, TransferError, Unfinished, Workspace,
    beside, follow, free_space, keep_barriers, recheck, resolve,
};

pub(super) async fn run(session: &Session, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let catalog = catalogs::load(args)?;
    let client = network::for_export(&args.network, args.registry.as_ref(), &catalog.request)?;
    let mut report = RunReport::new("export", args.output_style.report.as_deref());
    for wanted in &catalog.request.images {
        report
            .images
            .push(ImageReport::new(&wanted.name, wanted.sources.first()));
    }
    let export = Export {
        session,
        args,
        client: &client,
        request: &catalog.request,
    };
    let result = if args.dry_run {
        export.dry_run(&mut report).await
    } else {
        match output(args, catalog.file_name.as_deref())? {
            None => super::export_stream::run(&export, &mut report).await,
            Some(target) => export.to_file(&target, &mut report).await,
        }
    };
    report.write(
        result.as_ref().map_or_else(code_of, |code| *code),
        result.as_ref().err(),
    )?;
    result
}

/// Where to write; none for stdout.
fn output(args: &ExportArgs, file_name: Option<&str>) -> anyhow::Result<Option<PathBuf>> {
    let target = match (&args.output, file_name) {
        (Some(path), _) if path.as_os_str() == "-" => return Ok(None),
        (Some(path), _) => path.clone(),
        (None, Some(name)) => PathBuf::from(name),
        (None, None) => {
            return Err(Failure::usage(
                "several catalogs, or one from stdin, have no file name of their own",
            )
            .hint("say where to write with -o FILE")
            .into());
        }
    };
    let folder = target
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Failure::new(
            ExitCode::Failed,
            format!("there is no folder {}", folder.display()),
        )
        .hint("make it first, or choose another place with -o FILE")
        .into());
    }
    if target.is_dir() {
        return Err(Failure::usage(format!("{} is a folder; -o names a file", target.display())).into());
    }
    Ok(Some(target))
}

/// One export with everything it needs.
pub(super) struct Export<'a> {
    pub(super) session: &'a Session,
    pub(super) args: &'a ExportArgs,
    pub(super) client: &'a RegistryClient,
    pub(super) request: &'a Request,
}

/// A plan whose head is in the partial, with what can be taken over.
struct Prepared {
    plan: ExportPlan,
    file: PartialFile,
    past: Past,
    donor: Option<Donor>,
    header: Header,
}

impl Export<'_> {
    async fn to_file(&self, target: &Path, report: &mut RunReport) -> anyhow::Result<ExitCode> {
        let began = std::time::Instant::now();
        let workspace = Workspace::open(target)?;
        if self.args.fresh {
            workspace.discard()?;
        }
        let spool = workspace.spool()?;
        let fingerprint = self.request.fingerprint()?;
        let unfinished = workspace.unfinished()?;
        let mut dropped = 0;
        let (mut resolution, mut unfinished) = match continued(unfinished, &fingerprint) {
            Ok((resolution, unfinished)) => {
                self.session.reporter.say(&format!(
                    "going on with the run whose tags were resolved on {}; --fresh starts over",
                    unfinished.header.resolved_at
                ));
                (resolution, Some(unfinished))
            }
            Err(unfinished) => {
                let resolved = self.resolve(&spool, report).await?;
                dropped += resolved.failures.len();
                (resolved.resolution, unfinished)
            }
        };
        loop {
            let same = unfinished
                .as_ref()
                .is_some_and(|u| u.header.request == fingerprint)
                && dropped == 0;
            let resolved_at = unfinished
                .as_ref()
                .filter(|_| same)
                .map(|u| u.header.resolved_at.clone());
            // A run that dropped images is not what a later run of the same request shall go on with.
            let marked = if dropped == 0 {
                fingerprint.clone()
            } else {
                format!("{fingerprint} less {dropped}")
            };
            let stamp =
                resolved_at.unwrap_or_else(|| jiff::Timestamp::now().strftime("%F %T UTC").to_string());
            let prepared = self.prepare(&workspace, &spool, &resolution, unfinished.take(), marked, stamp)?;
            if self.already_complete(target, &prepared.plan)? {
                workspace.finished()?;
                report.all_done(ImageState::AlreadyThere);
                self.session
                    .reporter
                    .say(&format!("{} is complete already", target.display()));
                return self
                    .print_result(target, &prepared.plan, report, began)
                    .map(|()| ExitCode::Done);
            }
            self.check_space(&workspace, &prepared.plan)?;
            let (outcome, prepared) = self.transfer(&workspace, &spool, prepared).await?;
            match outcome {
                Outcome::Complete => {
                    report.all_done(ImageState::Done);
                    self.print_result(target, &prepared.plan, report, began)?;
                    if dropped == 0 {
                        return Ok(ExitCode::Done);
                    }
                    self.session.reporter.warn(&report.failure().message);
                    return Ok(ExitCode::Partly);
                }
                Outcome::Lost(lost) => {
                    let hit = self.report_lost(&prepared.plan, &spool, lost, report);
                    if !self.args.keep_going || hit.len() == resolution.images.len() {
                        return Err(failed(
                            report,
                            "the partial stays; run the same command again to go on",
                        ));
                    }
                    dropped += hit.len();
                    let mut position = 0;
                    resolution.images.retain(|_| {
                        position += 1;
                        !hit.contains(&(position - 1))
                    });
                    drop(prepared);
                    unfinished = workspace.unfinished()?;
                }
            }
        }
    }

    /// Resolves every image; failures end the export unless it may keep going.
    pub(super) async fn resolve(&self, spool: &Spool, report: &mut RunReport) -> anyhow::Result<Resolved> {
        let reporter = &self.session.reporter;
        reporter.begin_count("resolving images", self.request.images.len() as u64);
        let jobs = usize::from(self.args.network.jobs);
        let step = |_: &Wanted, _| reporter.step();
        let work = resolve(self.client, spool, self.request, jobs, &step);
        let resolved = tokio::select! {
            resolved = work => resolved,
            () = self.session.cancel.cancelled() => return Err(interrupted("nothing has been written yet")),
        };
        reporter.end();
        for (image, position) in resolved.resolution.images.iter().zip(&resolved.positions) {
            report.images[*position].resolved(&image.row.source, &image.row.digest);
            if let Some(original) = &image.original {
                reporter.warn(&format!(
                    "{}: platforms were left out, so its digest changes from {original} to {}; \
                     pins and signatures of the whole index no longer fit",
                    image.row.name, image.row.digest
                ));
            }
        }
        for failure in &resolved.failures {
            let error = anyhow::Error::new(SharedError(failure.error.clone()));
            let hints = catalogs::source_hint(&failure.source, &failure.error);
            report.images[failure.image].failed(code_of(&error), &failure.source, &failure.error, hints);
        }
        if !resolved.failures.is_empty() && (!self.args.keep_going || resolved.resolution.images.is_empty()) {
            return Err(failed(
                report,
                "correct the catalog, or leave these images out with --keep-going",
            ));
        }
        Ok(resolved)
    }

    /// Plans `resolution`, and puts the head of the file in place.
    fn prepare(
        &self,
        workspace: &Workspace,
        spool: &Spool,
        resolution: &Resolution,
        unfinished: Option<Unfinished>,
        request: String,
        resolved_at: String,
    ) -> anyhow::Result<Prepared> {
        let plan = |out: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>| {
            ExportPlan::new(self.request, resolution, None, spool, out).map_err(explain_plan)
        };
        let stored = serde_json::to_value(resolution).context("the resolution")?;
        // The same head, byte for byte, means the same offsets: the partial fits as it is.
        if let Some(Unfinished { header, past }) = &unfinished
            && header.request == request
        {
            let again = plan(&mut |_| Ok(()))?;
            if again.head.digest == header.head {
                let file = workspace.reopen()?;
                let past = recheck(&file, &again, past.clone())?;
                return Ok(Prepared {
                    plan: again,
                    file,
                    past,
                    donor: None,
                    header: header.clone(),
                });
            }
        }
        let (file, donor) = workspace.replace(unfinished)?;
        let mut at = 0;
        let plan = plan(&mut |bytes| {
            file.write_at(at, bytes)?;
            at += bytes.len() as u64;
            Ok(())
        })?;
        if plan.head.notes.no_docker_manifest {
            self.session
                .reporter
                .detail("there is no manifest.json in this bundle: docker load cannot read it");
        }
        let mut header = Header::new(request, resolved_at, stored, plan.head.digest);
        let layout = &plan.head.layout;
        header.blobs = layout
            .stored()
            .map(|index| {
                let blob = &plan.bundle.blobs[index];
                (
                    u32::try_from(index).unwrap_or(u32::MAX),
                    blob.digest,
                    blob.size,
                    layout.data_offset(index),
                )
            })
            .collect();
        Ok(Prepared {
            plan,
            file,
            past: Past::default(),
            donor,
            header,
        })
    }

    fn already_complete(&self, target: &Path, plan: &ExportPlan) -> anyhow::Result<bool> {
        if !target.exists() || self.args.force {
            return Ok(false);
        }
        let same = BundleReader::open(Arc::new(FileInput::open(target)?))
            .is_ok_and(|found| plan.bundle.id().is_ok_and(|id| found.id() == id));
        if same {
            return Ok(true);
        }
        Err(Failure::new(
            ExitCode::Failed,
            format!("{} exists and has other content", target.display()),
        )
        .hint("replace it with --force, or write elsewhere with -o FILE")
        .into())
    }

    fn check_space(&self, workspace: &Workspace, plan: &ExportPlan) -> anyhow::Result<()> {
        let needed = plan.head.layout.max_len();
        let Some(free) = free_space(workspace.target()) else {
            return Ok(());
        };
        let usable = free.saturating_add(workspace.occupied());
        if usable >= needed {
            return Ok(());
        }
        let _ = self;
        Err(Failure::new(
            ExitCode::NoSpace,
            format!(
                "the bundle needs {}, but there is room for {} in the folder of {}",
                bytes(needed),
                bytes(usable),
                workspace.target().display()
            ),
        )
        .hint("free some space, write to another disk with -o FILE, or keep fewer platforms with --platform")
        .into())
    }

    /// Downloads what is missing, and finishes the file when nothing is.
    async fn transfer(
        &self,
        workspace: &Workspace,
        spool: &Spool,
        prepared: Prepared,
    ) -> anyhow::Result<(Outcome, Finished)> {
        let Prepared {
            plan,
            file,
            mut past,
            donor,
            header,
        } = prepared;
        let reporter = &self.session.reporter;
        file.set_len(plan.head.layout.max_len())?;
        spool.sync()?;
        file.sync()?;
        let journal = workspace.journal(&header, &past)?;
        if let Some(donor) = donor {
            reporter.say(&format!(
                "taking over {} from an earlier run",
                bytes(donor.offers(&plan))
            ));
            donor.give(&plan, &file, &journal, &mut past)?;
            workspace.drop_donor()?;
        }
        let (file, journal) = (Arc::new(file), Arc::new(journal));
        let front = Arc::new(Front::new(&plan.head.layout, &plan.bundle.blobs));
        let already = past_bytes(&plan, &past);
        reporter.begin("downloading", plan.payload(), already);
        let barriers = tokio::spawn(keep_barriers(
            front.clone(),
            file.clone(),
            journal.clone(),
            self.session.cancel.clone(),
        ));
        let follower = (!self.args.no_sidecar).then(|| {
            let (front, file) = (front.clone(), file.clone());
            tokio::task::spawn_blocking(move || follow(&front, &file))
        });
        let elsewhere = |digest: &Digest| repositories_with(&plan, spool, digest);
        let download = Download {
            client: self.client,
            plan: &plan,
            file: &file,
            journal: &journal,
            past: &past,
            elsewhere: &elsewhere,
            jobs: usize::from(self.args.network.jobs),
            reporter,
            cancel: &self.session.cancel,
            front: &front,
        };
        let result = download.run().await;
        reporter.end();
        let complete = result.as_ref().is_ok_and(|d| d.lost.is_empty());
        let finished = match result {
            Ok(done) if complete => self.finish(workspace, &plan, &file, done, &front),
            other => {
                front.close(false);
                other
                    .map_err(anyhow::Error::from)
                    .map(|done| Outcome::Lost(done.lost))
            }
        };
        front.close(false);
        let synced = barriers.await.context("the barrier task")?;
        if self.session.cancel.is_cancelled() && synced.is_ok() && finished.is_err() {
            // What is done stays done, also through a power cut.
            journal.barrier(&file)?;
            return Err(interrupted(
                "what is downloaded is kept; run the same command again to go on",
            ));
        }
        synced?;
        let outcome = finished?;
        if let (Outcome::Complete, Some(follower)) = (&outcome, follower)
            && let Some(digest) = follower.await.context("the sidecar")??
        {
            write_sidecar(workspace.target(), &digest)?;
        }
        Ok((outcome, Finished { plan }))
    }

    fn finish(
        &self,
        workspace: &Workspace,
        plan: &ExportPlan,
        file: &PartialFile,
        done: Downloaded,
        front: &Front,
    ) -> anyhow::Result<Outcome> {
        let _ = self;
        let len = file.finish(
            &plan.head.layout,
            &plan.bundle.blobs,
            &done.compressed,
            done.end,
            workspace.target(),
        )?;
        front.extended(len);
        front.close(true);
        workspace.finished()?;
        Ok(Outcome::Complete)
    }

    /// Names every image that a lost blob costs.
    pub(super) fn report_lost(
        &self,
        plan: &ExportPlan,
        spool: &Spool,
        lost: Vec<LostBlob>,
        report: &mut RunReport,
    ) -> BTreeSet<usize> {
        let mut hit = BTreeSet::new();
        for LostBlob { index, error } in lost {
            let digest = plan.bundle.blobs[index].digest;
            let source = plan.source(index).clone();
            let error = Arc::new(error);
            let code = code_of(&anyhow::Error::new(SharedError(error.clone())));
            for image in plan.users(&digest, spool) {
                let name = &plan.bundle.images[image].name;
                let row = report.images.iter_mut().find(|row| row.name == *name);
                if let Some(row) = row.filter(|_| hit.insert(image)) {
                    row.failed(code, &source, &format_args!("blob {digest}: {error}"), Vec::new());
                }
            }
        }
        hit
    }

    fn print_result(
        &self,
        target: &Path,
        plan: &ExportPlan,
        report: &mut RunReport,
        began: std::time::Instant,
    ) -> anyhow::Result<()> {
        let file = FileInput::open(target)?;
        report.bundle = Some(serde_json::json!({
            "file": target.display().to_string(), "size": file.len(), "id": plan.bundle.id()?,
        }));
        let summary = super::export_print::Summary {
            plan,
            target,
            size: file.len(),
            took: began.elapsed(),
        };
        match self.session.format {
            ResultFormat::Json => super::print_json(&report.value()),
            ResultFormat::Human => super::print(&summary.text(!self.args.no_sidecar)),
        }
        Ok(())
    }

    async fn dry_run(&self, report: &mut RunReport) -> anyhow::Result<ExitCode> {
        let spool = Spool::anonymous()?;
        let resolved = self.resolve(&spool, report).await?;
        let plan = ExportPlan::new(self.request, &resolved.resolution, None, &spool, &mut |_| Ok(()));
        let plan = plan.map_err(explain_plan)?;
        match self.session.format {
            ResultFormat::Json => super::print_json(&super::export_print::plan_json(&plan)),
            ResultFormat::Human => super::print(&super::export_print::plan_text(&plan, self.client, &spool)),
        }
        Ok(if resolved.failures.is_empty() {
            ExitCode::Done
        } else {
            ExitCode::Partly
        })
    }
}

/// How a transfer ended.
enum Outcome {
    Complete,
    Lost(Vec<LostBlob>),
}

struct Finished {
    plan: ExportPlan,
}

/// What an earlier run of the same request resolved to.
fn continued(
    unfinished: Option<Unfinished>,
    fingerprint: &str,
) -> Result<(Resolution, Unfinished), Option<Unfinished>> {
    let unfinished = unfinished.ok_or(None)?;
    if unfinished.header.request != fingerprint {
        return Err(Some(unfinished));
    }
    match serde_json::from_value(unfinished.header.resolution.clone()) {
        Ok(resolution) => Ok((resolution, unfinished)),
        Err(_) => Err(Some(unfinished)),
    }
}

/// Other repositories through which `digest` may be had.
pub(super) fn repositories_with(plan: &ExportPlan, spool: &Spool, digest: &Digest) -> Vec<Repository> {
    let images = plan.users(digest, spool);
    let mut found: Vec<Repository> = images
        .into_iter()
        .map(|image| plan.bundle.images[image].source.repository().clone())
        .collect();
    found.dedup();
    found
}

fn past_bytes(plan: &ExportPlan, past: &Past) -> u64 {
    let size = |index: &u32| plan.bundle.blobs.get(*index as usize).map_or(0, |blob| blob.size);
    let done: u64 = past.done.iter().map(size).sum();
    let half = past
        .progress
        .iter()
        .filter(|(index, _)| !past.done.contains(index));
    done + half
        .map(|(_, frames)| frames * crate::archive::FRAME_CONTENT)
        .sum::<u64>()
}

/// `<hex>  <file name>`, as `sha256sum -c` reads it.
fn write_sidecar(target: &Path, digest: &Digest) -> Result<(), TransferError> {
    let sidecar = beside(target, ".sha256");
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let fresh = beside(&sidecar, ".new");
    std::fs::write(&fresh, format!("{}  {name}\n", digest.hex())).map_err(TransferError::io(&fresh))?;
    std::fs::rename(&fresh, &sidecar).map_err(TransferError::io(&sidecar))
}

pub(super) fn explain_plan(error: PlanError) -> anyhow::Error {
    match error {
        PlanError::Collisions(_) => Failure::new(ExitCode::Failed, error.to_string())
            .hint("give one of them another name in the catalog, or keep source hosts in names with --keep-host")
            .into(),
        PlanError::Images(_) => Failure::new(ExitCode::Content, error.to_string()).into(),
        PlanError::Archive(error) => error.into(),
    }
}

pub(super) fn interrupted(kept: &str) -> anyhow::Error {
    Failure::new(ExitCode::Interrupted, format!("stopped; {kept}")).into()
}

/// One error for all images that failed; the report has each.
pub(super) fn failed(report: &RunReport, hint: &str) -> anyhow::Error {
    report.failure().hint(hint).into()
}

/// An error that several images share.
#[derive(Debug)]
struct SharedError<E>(Arc<E>);

impl<E: std::error::Error> std::fmt::Display for SharedError<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: std::error::Error + 'static> std::error::Error for SharedError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
