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
use crate::app::stop;
use crate::app::text::typed;
use crate::archive::{ArchiveError, LayoutFolder, decompressed, sync_folder};
use crate::cli::ResultFormat;
use crate::plan::ExportPlan;
use crate::report::{bytes, count};
use crate::session::console;
use crate::session::run_report::RunReport;

/// What to do if content is missing or damaged.
const INCOMPLETE: &str = "leave these images out with --skip, or copy the bundle again; what is missing is taken with --fill-from: \
    the base of a delta, or the answer to a request of bundle import --salvage";
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
    /// What `output` names: `-` is stdout, a name that ends with `.tar` is a file, and any other is a folder. Nothing may
    /// have that name yet, except for a file that may be replaced.
    pub(crate) fn of(output: &Path, force: bool) -> anyhow::Result<Self> {
        if output.as_os_str() == "-" {
            if io::stdout().is_terminal() {
                return Err(Failure::usage("cannot write an archive to a terminal")
                    .hint("redirect it, for example: bundle unpack BUNDLE -o - | ctr images import -")
                    .into());
            }
            return Ok(Self::Stdout);
        }
        let folder = folder_of(output);
        if !folder.is_dir() {
            let message = format!("the folder {} does not exist", folder.display());
            return Err(Failure::new(ExitCode::Failed, message).hint("create it first").into());
        }
        let is_tar = output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar"));
        if !is_tar && target::names_other_format(output) {
            let message = format!("{}: only a folder, or a plain .tar, can be written", output.display());
            return Err(Failure::usage(message)
                .hint(
                    "for a bundle, use bundle repack; for gzip: bundle unpack BUNDLE -o - | gzip >OUT.tar.gz",
                )
                .into());
        }
        let new = if is_tar { Self::Tar(output.to_owned()) } else { Self::Folder(output.to_owned()) };
        let there = match std::fs::symlink_metadata(output) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(new),
            Err(error) => return Err(Failure::io(output, &error).into()),
            Ok(there) => there,
        };
        let shown = output.display();
        let (what, hint) = if there.is_file() && is_tar {
            if force {
                return Ok(new);
            }
            ("exists", "replace it with --force")
        } else if there.is_file() {
            ("is a file", "name a new folder, or a file that ends with .tar")
        } else if there.is_dir() && is_tar {
            ("is a folder, and -o with .tar names a file", "choose another name")
        } else if there.is_dir() {
            ("exists", "name a new folder, for example one inside it")
        } else if there.is_symlink() {
            ("is a link", "name a new folder or file; links are not followed")
        } else {
            ("is neither a file nor a folder", "write to pipes and devices through stdout: -o -")
        };
        Err(Failure::new(ExitCode::Failed, format!("{shown} {what}")).hint(hint).into())
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
        hint: INCOMPLETE,
        room_at: (*target != UnpackTarget::Stdout).then(|| target.name()),
    };
    let plan = match target {
        UnpackTarget::Stdout => {
            let poured = Poured { kept: "the stream is incomplete", ..nothing };
            let _blocks = stop::Blocking::begin(poured.kept);
            let mut out = BufWriter::with_capacity(BUFFER, io::stdout());
            pour(job, report, decompressed(&mut out)?, poured).await?
        }
        UnpackTarget::Tar(path) => {
            let mut aside = own_file::aside(path, 0o666).map_err(ArchiveError::io(path))?;
            let mut out = BufWriter::with_capacity(BUFFER, aside.as_file_mut());
            let plan = pour(job, report, decompressed(&mut out)?, nothing).await?;
            drop(out);
            finish_file(aside, path, job.write.force)?;
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

fn finish_file(aside: NamedTempFile, path: &Path, force: bool) -> Result<(), ArchiveError> {
    aside.as_file().sync_all().map_err(ArchiveError::io(path))?;
    let named = if force { aside.persist(path) } else { aside.persist_noclobber(path) };
    named.map_err(|error| ArchiveError::io(path)(error.error))?;
    sync_folder(path)
}

fn tell(
    job: &ExportJob<'_>,
    target: &UnpackTarget,
    plan: &ExportPlan,
    report: &mut RunReport,
) -> anyhow::Result<()> {
    let (id, reporter) = (plan.bundle.id()?, &job.session.reporter);
    let shown =
        if *target == UnpackTarget::Stdout { "-".to_owned() } else { target.name().display().to_string() };
    report.bundle = Some(serde_json::json!({ "file": shown, "id": id }));
    report.note_sizes(&plan.bundle);
    report.totals = Some(serde_json::json!({
        "blobs": plan.bundle.blobs.len(), "blobBytes": plan.distinct(), "aloneBytes": plan.alone,
    }));
    let done = format!(
        "{}, {}, {}",
        text::images_and_artifacts(&plan.bundle),
        count(plan.bundle.blobs.len(), "blob"),
        bytes(plan.distinct())
    );
    if job.origin.is_some_and(|origin| origin.does_not_sign(&id)) {
        reporter.warn("the signature is about the whole bundle, so this part of it is not signed");
    }
    let (path, use_it) = match target {
        // The result went to stdout.
        UnpackTarget::Stdout => {
            reporter.say(&format!("{done} unpacked"));
            return Ok(());
        }
        UnpackTarget::Tar(path) => (path, format!("  ctr images import {}\n", typed(path))),
        UnpackTarget::Folder(path) => (path, String::new()),
    };
    let beside = match job.origin {
        Some(origin) => origin.accompany(job.write, reporter, path, &id)?,
        None => Vec::new(),
    };
    let beside: Vec<String> = beside.iter().map(|suffix| format!("  {shown}{suffix}\n")).collect();
    match job.session.format {
        ResultFormat::Json => console::print_json(&report.value())?,
        ResultFormat::Human => console::print(&format!(
            "{done}\n  {shown}  (an OCI layout)\n{}\nUse it:\n  bundle import {} -d REGISTRY\n{use_it}",
            beside.concat(),
            typed(path)
        ))?,
    }
    Ok(())
}
