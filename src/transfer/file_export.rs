//! One export into a file: head into the partial, what can be taken over, downloads, barriers, sidecar, final name.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::journal::{Header, Journal, Past};
use super::{
    BlobError, Donor, Download, Downloaded, Front, LostBlob, Spool, TransferError, Unfinished, Workspace,
    beside, follow, keep_barriers, recheck,
};
use crate::archive::{ArchiveError, FRAME_CONTENT, PartialFile};
use crate::image::{Algorithm, Digest, Hasher, Repository};
use crate::plan::{ExportPlan, PlanError, Request, Resolution};
use crate::registry::RegistryClient;
use crate::report::{Reporter, bytes};

#[derive(Debug, thiserror::Error)]
pub enum FileExportError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("stopped")]
    Interrupted,
}

impl From<ArchiveError> for FileExportError {
    fn from(error: ArchiveError) -> Self {
        Self::Transfer(error.into())
    }
}

/// How the downloads of a plan ended.
#[derive(Debug)]
pub enum Outcome {
    /// The file has its name.
    Complete,
    /// Some blobs cannot be had; what was fetched stays in the partial.
    Lost(Vec<LostBlob>),
}

/// Everything an export into a file works with.
#[derive(Debug)]
pub struct FileExport<'a> {
    pub client: &'a RegistryClient,
    pub request: &'a Request,
    pub workspace: &'a Workspace,
    pub spool: &'a Spool,
    pub jobs: usize,
    pub reporter: &'a Reporter,
    pub cancel: &'a CancellationToken,
    /// Write `.sha256` beside the file.
    pub sidecar: bool,
}

/// A plan whose head is in the partial, with what can be taken over.
#[derive(Debug)]
pub struct Prepared {
    pub plan: ExportPlan,
    file: PartialFile,
    past: Past,
    donor: Option<Donor>,
    header: Header,
}

/// What runs beside the downloads, sharing the file with them.
struct Shared {
    file: Arc<PartialFile>,
    journal: Arc<Journal>,
    front: Arc<Front>,
}

impl FileExport<'_> {
    /// The plan of `resolution`, before anything is written: what is refused must not cost an earlier partial.
    pub fn draft(&self, resolution: &Resolution) -> Result<ExportPlan, PlanError> {
        ExportPlan::new(self.request, resolution, None, self.spool, &mut |_| Ok(()))
    }

    /// Puts the head of the file in place. The partial of `unfinished` is gone on with when it is of the same
    /// `request` and has the same head; else its blobs may serve the new one.
    pub fn prepare(
        &self,
        resolution: &Resolution,
        draft: ExportPlan,
        unfinished: Option<Unfinished>,
        request: String,
        resolved_at: String,
    ) -> Result<Prepared, FileExportError> {
        if let Some(Unfinished { header, past }) = &unfinished
            && header.request == request
            && header.head == draft.head.digest
        {
            // A take-over that was cut off cannot be gone on with: its donor's journal is gone.
            self.workspace.drop_donor()?;
            let file = self.workspace.reopen()?;
            let past = recheck(&file, &draft, past.clone(), self.reporter)?;
            return Ok(Prepared { plan: draft, file, past, donor: None, header: header.clone() });
        }
        let stored = serde_json::to_value(resolution);
        let stored = stored.map_err(|_| TransferError::Invariant("a resolution is not JSON"))?;
        let (file, donor) = self.workspace.replace(unfinished)?;
        let mut at = 0;
        let plan = ExportPlan::new(self.request, resolution, None, self.spool, &mut |bytes| {
            file.write_at(at, bytes)?;
            at += bytes.len() as u64;
            Ok(())
        })?;
        let mut header = Header::new(request, resolved_at, stored, plan.head.digest);
        header.blobs = places(&plan);
        Ok(Prepared { plan, file, past: Past::default(), donor, header })
    }

    /// Downloads what is missing, and gives the file its name when nothing is.
    pub async fn transfer(&self, prepared: Prepared) -> Result<(ExportPlan, Outcome), FileExportError> {
        let Prepared { plan, file, mut past, donor, header } = prepared;
        file.set_len(plan.head.layout.max_len())?;
        self.spool.sync()?;
        file.sync()?;
        let journal = self.workspace.journal(&header, &past)?;
        if let Some(donor) = &donor {
            let offers = donor.offers(&plan);
            if offers > 0 {
                self.reporter.say(&format!("taking over {} from an earlier run", bytes(offers)));
            }
            donor.give(&plan, &file, &journal, &mut past)?;
        }
        let front = Arc::new(Front::new(&plan.head.layout, &plan.bundle.blobs));
        let shared = Shared { file: Arc::new(file), journal: Arc::new(journal), front };
        let barriers = tokio::spawn(keep_barriers(
            shared.front.clone(),
            shared.file.clone(),
            shared.journal.clone(),
            self.cancel.clone(),
        ));
        let follower = self.sidecar.then(|| {
            let (front, file) = (shared.front.clone(), shared.file.clone());
            tokio::task::spawn_blocking(move || follow(&front, &file))
        });
        let downloaded = self.download(&plan, &past, donor.as_ref(), &shared).await;
        drop(donor);
        self.workspace.drop_donor()?;
        let finished = self.finish(&plan, downloaded, &shared);
        shared.front.close(false);
        let synced = barriers.await.unwrap_or(Err(TransferError::Invariant("the barrier task panicked")));
        if let Err(error) = synced {
            // After a failed sync nobody knows what is on the medium: nothing of it may be trusted later.
            self.workspace.finished()?;
            return Err(error.into());
        }
        if finished.is_err() && self.cancel.is_cancelled() {
            shared.journal.barrier(&shared.file)?;
            return Err(FileExportError::Interrupted);
        }
        let outcome = finished?;
        if let (Outcome::Complete, Some(follower)) = (&outcome, follower) {
            let digest =
                follower.await.unwrap_or(Err(TransferError::Invariant("the sidecar's hasher panicked")))?;
            if let Some(digest) = digest {
                write_sidecar(self.workspace.target(), &digest)?;
            }
        }
        Ok((plan, outcome))
    }

    async fn download(
        &self,
        plan: &ExportPlan,
        past: &Past,
        donor: Option<&Donor>,
        shared: &Shared,
    ) -> Result<Downloaded, BlobError> {
        self.reporter.begin("downloading", plan.payload(), past_bytes(plan, past));
        let elsewhere = |digest: &Digest| repositories_with(plan, self.spool, digest);
        let download = Download {
            client: self.client,
            plan,
            file: &shared.file,
            journal: &shared.journal,
            past,
            elsewhere: &elsewhere,
            donor,
            permits: &Semaphore::new(self.jobs.max(1)),
            jobs: self.jobs,
            reporter: self.reporter,
            cancel: self.cancel,
            front: &shared.front,
        };
        let result = download.run().await;
        self.reporter.end();
        result
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
        let (layout, blobs) = (&plan.head.layout, &plan.bundle.blobs);
        let target = self.workspace.target();
        // A file that is replaced must not leave its checksum to the new one, should this run end in between.
        match std::fs::remove_file(beside(target, ".sha256")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(TransferError::io(target)(error).into());
            }
            _ => {}
        }
        let len = shared.file.finish(layout, blobs, &done.compressed, done.end, target)?;
        shared.front.extended(len);
        shared.front.close(true);
        self.workspace.finished()?;
        Ok(Outcome::Complete)
    }
}

fn places(plan: &ExportPlan) -> Vec<(u32, Digest, u64, u64)> {
    let layout = &plan.head.layout;
    let place = |index: usize| {
        let blob = &plan.bundle.blobs[index];
        (u32::try_from(index).unwrap_or(u32::MAX), blob.digest, blob.size, layout.data_offset(index))
    };
    (layout.stored().start..layout.compressed().end).map(place).collect()
}

/// Other repositories through which `digest` may be had.
pub fn repositories_with(plan: &ExportPlan, spool: &Spool, digest: &Digest) -> Vec<Repository> {
    let images = plan.users(digest, spool).into_iter();
    let mut found: Vec<Repository> =
        images.map(|image| plan.bundle.images[image].source.repository().clone()).collect();
    found.dedup();
    found
}

fn past_bytes(plan: &ExportPlan, past: &Past) -> u64 {
    let size = |index: &u32| plan.bundle.blobs.get(*index as usize).map_or(0, |blob| blob.size);
    let done: u64 = past.done.iter().map(size).sum();
    let half = past.progress.iter().filter(|(index, _)| !past.done.contains(index));
    done + half.map(|(_, frames)| frames * FRAME_CONTENT).sum::<u64>()
}

/// Writes the `.sha256` of a finished file where it is missing: a run may end between the file's name and that.
pub fn complete_sidecar(target: &Path) -> Result<(), TransferError> {
    if beside(target, ".sha256").exists() {
        return Ok(());
    }
    let mut file = std::fs::File::open(target).map_err(TransferError::io(target))?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(TransferError::io(target))? {
            0 => return write_sidecar(target, &hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// `<hex>  <file name>`, as `sha256sum -c` reads it.
fn write_sidecar(target: &Path, digest: &Digest) -> Result<(), TransferError> {
    let sidecar = beside(target, ".sha256");
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let fresh = beside(&sidecar, ".new");
    std::fs::write(&fresh, format!("{}  {name}\n", digest.hex())).map_err(TransferError::io(&fresh))?;
    std::fs::rename(&fresh, &sidecar).map_err(TransferError::io(&sidecar))
}
