//! One export into a file: writes the head into the partial file, takes over earlier content, downloads the rest, sets
//! barriers, and finally writes the sidecar files and renames the file.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::alternate_sources::AlternateSources;
use super::append::{self, AppendState};
use super::blob_error::{BlobError, LostBlob};
use super::blob_spool::BlobSpool;
use super::checksum::Seal;
use super::compact::{self, CompactState};
use super::error::TransferError;
use super::file_run::{Downloaded, Shared, Sidecar, past_bytes};
use super::parallel;
use super::read_ahead::{Source, Window};
use crate::app::failure::{ExitCode, Explain};
use crate::app::medium::{Medium, free_space};
use crate::app::own_file;
use crate::archive::{ArchiveError, Cut, PartialFile, Profile};
use crate::export::resolve::manifest_cache::ManifestCache;
use crate::export::resume::journal::{Header, ResumeState};
use crate::export::resume::old_partial::OldPartial;
use crate::export::resume::readback::recheck;
use crate::export::resume::watermark::{Watermark, follow, keep_barriers};
use crate::export::resume::workspace::{Unfinished, Workspace};
use crate::export::resume::worth::{self, Continued, RequestMark};
use crate::image::Digest;
use crate::inputs::content_source::ContentSource;
use crate::plan::{ExportPlan, PlanError, Request, Resolution, Signer};
use crate::report::{Reporter, bytes};

#[derive(Debug, thiserror::Error)]
pub(crate) enum FileExportError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// In bytes of content.
    #[error("stopped; finished work is kept ({} of {}); run the same command again to resume", bytes(*.kept), bytes(*.total))]
    Interrupted { kept: u64, total: u64 },
}

impl Explain for FileExportError {
    fn calls_for(&self) -> Option<ExitCode> {
        match self {
            Self::Plan(error) => error.calls_for(),
            Self::Transfer(error) => error.calls_for(),
            Self::Blob(error) => error.calls_for(),
            Self::Interrupted { .. } => Some(ExitCode::Interrupted),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Plan(error) => error.hints(),
            Self::Transfer(error) => error.hints(),
            Self::Blob(error) => error.hints(),
            Self::Interrupted { .. } => Vec::new(),
        }
    }
}

impl From<ArchiveError> for FileExportError {
    fn from(error: ArchiveError) -> Self {
        Self::Transfer(error.into())
    }
}

/// How the downloads of a plan ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The file is complete and has its final name.
    Complete,
    /// Some blobs could not be fetched; the others stay in the partial file.
    Lost(Vec<LostBlob>),
}

/// Everything needed for an export into a file.
#[derive(Debug)]
pub(crate) struct FileExport<'a> {
    pub content: &'a ContentSource,
    pub request: &'a Request,
    /// Signs the bundle.
    pub signer: Option<Signer<'a>>,
    pub workspace: &'a Workspace,
    pub cache: &'a ManifestCache,
    pub jobs: usize,
    pub reporter: &'a Reporter,
    pub cancel: &'a CancellationToken,
    /// Write `.sha256` beside the file.
    pub sidecar: bool,
    /// Parity volumes that are added afterwards.
    pub parity: usize,
    /// Bytes of each volume, if the file is cut.
    pub volume_size: Option<u64>,
    /// Where blobs are buffered, in case the medium can only be written in order.
    pub blob_spool: Option<&'a BlobSpool>,
    pub stale: &'a OldSidecars,
}

/// Files that are removed when the file gets its name, unless they are about this bundle.
#[derive(Debug)]
pub(crate) struct OldSidecars {
    /// None if this is not known.
    pub of: Option<Digest>,
    pub files: Vec<PathBuf>,
}

/// A plan whose head is in the partial file, with what can be taken over.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub plan: ExportPlan,
    file: PartialFile,
    past: ResumeState,
    old_partial: Option<OldPartial>,
    header: Header,
    /// How much of the file is complete, if it is written in order.
    grown: Option<Grown>,
}

/// How much of a file that is written in order is complete.
#[derive(Debug)]
enum Grown {
    Layout(Box<AppendState>),
    Compact(Box<CompactState>),
}

impl FileExport<'_> {
    /// The plan of `resolution`, made before anything is written: a refusal must not cost an earlier partial file.
    pub(crate) fn draft(&self, resolution: &Resolution) -> Result<ExportPlan, PlanError> {
        ExportPlan::new(self.request, resolution, self.signer, self.cache, &mut |_| Ok(()))
    }

    /// Makes the partial file ready: goes on with that of `unfinished`, or writes the head of a new one.
    pub(crate) fn prepare(
        &self,
        medium: Medium,
        resolution: &Resolution,
        draft: ExportPlan,
        unfinished: Option<Unfinished>,
        mark: RequestMark,
        resolved_at: String,
    ) -> Result<Prepared, FileExportError> {
        let cut = self.cut(&draft)?;
        if let Some(Continued { file, header, past }) =
            worth::of(self.workspace, unfinished, &mark, &draft, cut)?
        {
            let old_partial = self.old_partial(medium, &draft)?;
            let (past, grown) = match (draft.bundle.profile, medium) {
                (Profile::Compact, _) => {
                    let grown = CompactState::checked(&file, &draft, cut, &past, self.reporter)?;
                    (grown.past(&past), Some(Grown::Compact(grown.into())))
                }
                (Profile::Layout, Medium::Sparse) => (recheck(&file, &draft, past, self.reporter)?, None),
                (Profile::Layout, Medium::Filling) => {
                    let grown = AppendState::checked(&file, &draft, cut, &past, self.reporter)?;
                    (grown.past(&draft, &past), Some(Grown::Layout(grown.into())))
                }
            };
            return Ok(Prepared { plan: draft, file, past, old_partial, header, grown });
        }
        let stored = serde_json::to_value(resolution);
        let stored = stored.map_err(|_| TransferError::Invariant("a resolution is not JSON"))?;
        let old_partial = self.old_partial(medium, &draft)?;
        let file = self.workspace.begin(cut)?;
        let mut at = 0;
        let plan = ExportPlan::new(self.request, resolution, self.signer, self.cache, &mut |bytes| {
            file.write_at(at, bytes)?;
            at += bytes.len() as u64;
            Ok(())
        })?;
        let mut header = Header::new(mark.into_string(), resolved_at, stored, plan.head.digest);
        header.blobs = places(&plan);
        header.cut = cut;
        let grown = match (plan.bundle.profile, medium) {
            (Profile::Compact, _) => Some(Grown::Compact(CompactState::head(&file, &plan, cut)?.into())),
            (Profile::Layout, Medium::Sparse) => None,
            (Profile::Layout, Medium::Filling) => {
                Some(Grown::Layout(AppendState::head(&file, &plan, cut)?.into()))
            }
        };
        Ok(Prepared { plan, file, past: ResumeState::default(), old_partial, header, grown })
    }

    /// How the file of `plan` is cut.
    fn cut(&self, plan: &ExportPlan) -> Result<Option<Cut>, ArchiveError> {
        self.volume_size.map(|size| Cut::new(size, plan.head.layout.max_len())).transpose()
    }

    /// The old partial, if it is of use for `plan`. A medium that fills gaps does not give space back before a file is
    /// removed: there, both files must fit on it, or the blobs are fetched again.
    fn old_partial(&self, medium: Medium, plan: &ExportPlan) -> Result<Option<OldPartial>, TransferError> {
        if plan.bundle.profile == Profile::Compact {
            // Its content would have to be made compact while the download waits for it.
            self.workspace.drop_old()?;
            return Ok(None);
        }
        let old_partial = self.workspace.old_partial()?;
        let needed = plan.head.layout.max_len();
        let fits = || free_space(self.workspace.target()).is_none_or(|free| free >= needed);
        if medium == Medium::Filling && old_partial.is_some() && !fits() {
            self.reporter.say(
                "there is too little space to take over blobs of an earlier run: they are fetched again",
            );
            drop(old_partial);
            self.workspace.drop_old()?;
            return Ok(None);
        }
        Ok(old_partial)
    }

    /// Downloads what is missing, and gives the file its name if nothing failed.
    pub(crate) async fn transfer(
        &self,
        prepared: Prepared,
    ) -> Result<(ExportPlan, Outcome), FileExportError> {
        let Prepared { plan, file, mut past, old_partial, header, grown } = prepared;
        if grown.is_none() {
            file.set_len(plan.head.layout.max_len())?;
        }
        self.cache.sync()?;
        file.sync()?;
        let journal = self.workspace.journal(&header, &past)?;
        let front = Arc::new(Watermark::new(&plan.head.layout, &plan.bundle.blobs));
        // A file that cannot be written also cancels everything, and that is not an interrupt by the user.
        let stop = self.cancel.child_token();
        let shared = Shared { file: Arc::new(file), journal: Arc::new(journal), front, stop };
        if let Some(old) = &old_partial {
            let offers = old.offers(&plan, &past);
            if offers > 0 {
                self.reporter.say(&format!("taking over {} from an earlier run", bytes(offers)));
            }
            if grown.is_none() {
                old.give(&plan, &shared, &mut past)?;
            }
        }
        let barriers = tokio::spawn(keep_barriers(
            shared.front.clone(),
            shared.file.clone(),
            shared.journal.clone(),
            shared.stop.clone(),
        ));
        let cut = header.cut;
        let kept = past_bytes(&plan, &past);
        if kept > 0 {
            self.reporter.say(&format!("{} of {} are there already", bytes(kept), bytes(plan.payload())));
        }
        let grows = grown.is_some();
        self.reporter.begin(self.doing(), plan.payload(), kept);
        let places = AlternateSources::new(self.content, &plan, self.cache);
        let source = Source {
            places: &places,
            plan: &plan,
            reporter: self.reporter,
            spool: None,
            old_partial: old_partial.as_ref(),
            jobs: self.jobs.max(1),
            window: Window::AT_ONCE,
        };
        let (downloaded, sidecar) = match grown {
            Some(Grown::Layout(grown)) => {
                let source = Source { spool: self.blob_spool, window: Window::IN_TURN, ..source };
                append::run(source, &shared, *grown).await
            }
            Some(Grown::Compact(grown)) => compact::run(source, &shared, *grown).await,
            None => {
                let follower = (self.sidecar || cut.is_some()).then(|| {
                    let (front, file) = (shared.front.clone(), shared.file.clone());
                    tokio::task::spawn_blocking(move || follow(&front, &file, cut))
                });
                let downloaded = parallel::run(source, &shared, &past).await;
                (downloaded, follower.map_or(Sidecar::None, Sidecar::Followed))
            }
        };
        self.reporter.end();
        drop(old_partial);
        let finished = self.finish(&plan, downloaded, &shared);
        shared.front.close(false);
        let synced = barriers.await.unwrap_or(Err(TransferError::Invariant("the barrier task panicked")));
        if let Err(error) = synced {
            // After a failed sync it is not known what is on disk, so a later run must not trust any of it.
            self.workspace.finished()?;
            return Err(error.into());
        }
        if finished.is_err() && self.cancel.is_cancelled() {
            shared.journal.barrier(&shared.file)?;
            let kept = if grows {
                shared.file.len()?.min(plan.payload())
            } else {
                self.workspace.unfinished()?.map_or(0, |left| past_bytes(&plan, &left.past))
            };
            return Err(FileExportError::Interrupted { kept, total: plan.payload() });
        }
        let outcome = finished?;
        if matches!(outcome, Outcome::Complete) {
            if let Some(checksums) = sidecar.checksums().await? {
                let bundle = plan.bundle.id()?;
                let (target, len) = (self.workspace.target(), shared.file.len()?);
                Seal { target, cut, bundle, len, sidecar: self.sidecar, parity: self.parity }
                    .write(&checksums)?;
            }
            self.workspace.finished()?;
        }
        Ok((plan, outcome))
    }

    /// A word for the progress display.
    fn doing(&self) -> &'static str {
        if self.content.is_local() { "copying" } else { "downloading" }
    }

    fn finish(
        &self,
        plan: &ExportPlan,
        downloaded: Result<Downloaded, BlobError>,
        shared: &Shared,
    ) -> Result<Outcome, FileExportError> {
        let done = downloaded?;
        if !done.lost.is_empty() {
            return Ok(Outcome::Lost(done.lost));
        }
        let target = self.workspace.target();
        // In case this run ends in between.
        Seal::remove(target)?;
        if self.stale.of != Some(plan.bundle.id()?) {
            for path in &self.stale.files {
                own_file::remove(path).map_err(TransferError::io(path))?;
            }
        }
        let len = shared.file.finish(done.end, &done.ending, target)?;
        shared.front.extended(len);
        shared.front.close(true);
        Ok(Outcome::Complete)
    }
}

/// Where a later run finds the content of blobs; nowhere in a compact file, whose blobs would have to be made again.
fn places(plan: &ExportPlan) -> Vec<(u32, Digest, u64, u64)> {
    let layout = &plan.head.layout;
    if layout.profile() == Profile::Compact {
        return Vec::new();
    }
    let place = |index: usize| {
        let blob = &plan.bundle.blobs[index];
        (u32::try_from(index).unwrap_or(u32::MAX), blob.digest, blob.size, layout.data_offset(index))
    };
    (layout.stored().start..layout.compressed().end).map(place).collect()
}
