//! `bundle unpack`: the content of a bundle without its compression, as an OCI layout in a folder, a plain tar or a stream.
//!
//! It is an export in one pass whose bytes are decompressed again before they are written: every digest is checked on the
//! way, and what comes out is a bundle in another container, which imports as one. A folder or file gets its name when it
//! is complete; nothing is left of a run that fails.

use std::io::{self, BufWriter, IsTerminal};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::job::ExportJob;
use super::stream::{Poured, pour};
use super::{target, text};
use crate::app::failure::{ExitCode, Failure};
use crate::app::own_file::{self, folder_of};
use crate::app::text::typed;
use crate::archive::{ArchiveError, LayoutFolder, decompressed, sync_folder};
use crate::cli::ResultFormat;
use crate::plan::ExportPlan;
use crate::report::{bytes, count};
use crate::session::console;
use crate::session::run_report::RunReport;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;

/// Where the content is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnpackTarget {
    Stdout,
    Tar(PathBuf),
    Folder(PathBuf),
}

impl UnpackTarget {
    /// What `output` names: `-` is stdout, a name that ends with `.tar` is a file, and any other is a folder. Refuses a
    /// file that exists, unless it may be replaced, and a folder that has content.
    pub(crate) fn of(output: &Path, force: bool) -> anyhow::Result<Self> {
        if output.as_os_str() == "-" {
            if io::stdout().is_terminal() {
                return Err(Failure::usage("cannot write an archive to a terminal")
                    .hint("redirect it, for example: bundle unpack FILE -o - | ctr images import -")
                    .into());
            }
            return Ok(Self::Stdout);
        }
        let folder = folder_of(output);
        if !folder.is_dir() {
            let message = format!("the folder {} does not exist", folder.display());
            return Err(Failure::new(ExitCode::Failed, message).hint("create it first").into());
        }
        if output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar")) && !output.is_dir() {
            target::refuse_special(output)?;
            if output.exists() && !force {
                let message = format!("{} exists", output.display());
                return Err(Failure::new(ExitCode::Failed, message).hint("replace it with --force").into());
            }
            return Ok(Self::Tar(output.to_owned()));
        }
        if target::names_other_format(output) {
            let message = format!("{}: only a folder, or a plain .tar, can be written", output.display());
            return Err(Failure::usage(message)
                .hint("for a bundle, use bundle repack; for another compression: bundle unpack FILE -o - | gzip >FILE")
                .into());
        }
        match std::fs::read_dir(output).map(Iterator::count) {
            Ok(0) => Ok(Self::Folder(output.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Folder(output.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                let message = format!(
                    "{} is a file; -o names a folder, or a file that ends with .tar",
                    output.display()
                );
                Err(Failure::usage(message).into())
            }
            Err(error) => Err(Failure::io(output, &error).into()),
            Ok(_) => {
                let message = format!("{} is not empty", output.display());
                Err(Failure::new(ExitCode::Failed, message).hint("name a new or an empty folder").into())
            }
        }
    }

    /// For messages.
    fn name(&self) -> &Path {
        match self {
            Self::Stdout => "stdout".as_ref(),
            Self::Tar(path) | Self::Folder(path) => path,
        }
    }
}

/// Writes the images of `job` to `target`.
pub(crate) async fn run(
    job: &ExportJob<'_>,
    target: &UnpackTarget,
    report: &mut RunReport,
) -> anyhow::Result<ExitCode> {
    job.list_images(report);
    let nothing = Poured {
        name: target.name(),
        doing: "unpacking",
        kept: "nothing was written",
        hint: "nothing was written",
    };
    let plan = match target {
        UnpackTarget::Stdout => {
            let incomplete = "the stream is incomplete";
            let poured = Poured { kept: incomplete, hint: incomplete, ..nothing };
            let mut out = BufWriter::with_capacity(BUFFER, io::stdout());
            pour(job, report, decompressed(&mut out)?, poured).await?
        }
        UnpackTarget::Tar(path) => {
            let mut aside = own_file::aside(path, 0o666).map_err(ArchiveError::io(path))?;
            let mut out = BufWriter::with_capacity(BUFFER, aside.as_file_mut());
            let plan = pour(job, report, decompressed(&mut out)?, nothing).await?;
            drop(out);
            finish_file(aside, path)?;
            plan
        }
        UnpackTarget::Folder(path) => {
            let mut folder = LayoutFolder::begin(path)?;
            let plan = pour(job, report, decompressed(&mut folder)?, nothing).await;
            let written = folder.written();
            // If the folder cannot be written, the pipe to it breaks; if the bundle cannot be read, the pipe ends early. The
            // other error is only a consequence.
            let plan = match (plan, written) {
                (Err(error), _) if !folder.is_broken() => return Err(error),
                (_, Err(error)) => return Err(error.into()),
                (plan, Ok(())) => plan?,
            };
            folder.finish()?;
            plan
        }
    };
    tell(job, target, &plan, report)?;
    Ok(job.ended(report))
}

fn finish_file(aside: NamedTempFile, path: &Path) -> Result<(), ArchiveError> {
    aside.as_file().sync_all().map_err(ArchiveError::io(path))?;
    aside.persist(path).map_err(|error| ArchiveError::io(path)(error.error))?;
    sync_folder(path)
}

fn tell(
    job: &ExportJob<'_>,
    target: &UnpackTarget,
    plan: &ExportPlan,
    report: &mut RunReport,
) -> anyhow::Result<()> {
    let shown =
        if *target == UnpackTarget::Stdout { "-".to_owned() } else { target.name().display().to_string() };
    report.bundle = Some(serde_json::json!({ "file": shown, "id": plan.bundle.id()? }));
    let done = format!(
        "{}, {}, {}",
        text::images_and_artifacts(&plan.bundle),
        count(plan.bundle.blobs.len(), "blob"),
        bytes(plan.distinct())
    );
    let use_it = match target {
        // The result went to stdout.
        UnpackTarget::Stdout => {
            job.session.reporter.say(&format!("{done} unpacked"));
            return Ok(());
        }
        UnpackTarget::Tar(path) => format!("ctr images import {0}, docker load -i {0}", typed(path)),
        UnpackTarget::Folder(path) => format!("skopeo copy oci:{}:NAME …", typed(path)),
    };
    match job.session.format {
        ResultFormat::Json => console::print_json(&report.value())?,
        ResultFormat::Human => console::print(&format!(
            "{done}\n  {shown}  (an OCI layout)\n\nUse it:\n  bundle import {} -d REGISTRY\n  {use_it}\n",
            typed(target.name())
        ))?,
    }
    Ok(())
}
