//! Parity volumes of a bundle: `verify` reports them, `bundle repack --rebuild` uses them.

use std::path::Path;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::ending;
use crate::app::failure::{ExitCode, Failure};
use crate::app::text::typed;
use crate::archive::{ArchiveError, Survey, VolumeInput};
use crate::cli::{RepackArgs, ResultFormat};
use crate::report::count;
use crate::session::run_report::RunReport;
use crate::session::{Session, console};

/// `bundle repack --rebuild`.
pub(super) async fn rebuild(session: &Session, args: &RepackArgs) -> anyhow::Result<ExitCode> {
    let mut report = RunReport::new("repack", args.report.file.as_deref());
    let result = restore(session, args, &mut report).await;
    ending::close(&report, result.map(|()| ExitCode::Done), &session.reporter)
}

async fn restore(session: &Session, args: &RepackArgs, report: &mut RunReport) -> anyhow::Result<()> {
    let [path] = args.bundles.as_slice() else {
        return Err(Failure::usage("--rebuild takes one set of volumes").into());
    };
    let folder = args.write.output.clone();
    if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(Failure::usage(format!("{} is not a folder", folder.display()))
            .hint("with --rebuild, -o names the folder that the rebuilt volumes are written into")
            .into());
    }
    let survey = survey(session, path).await?.ok_or_else(|| {
        Failure::new(ExitCode::Content, format!("there is no list of volumes for {}", path.display()))
            .hint("bring the file *.volumes.json, which has the checksums of the volumes")
    })?;
    let wrong = survey.wrong();
    if !survey.can_rebuild() {
        return Err(Failure::new(ExitCode::Content, outlook(&survey))
            .hint("bring the volumes that are named again; the others are fine")
            .into());
    }
    let size = survey.list().size;
    session.reporter.begin("rebuilding", if wrong.is_empty() { 0 } else { size }, 0);
    let made = session.blocking("no volume has been replaced", move |moved, stop| {
        survey.rebuild(folder.as_deref(), moved, stop)
    });
    let made = made.await;
    session.reporter.end();
    let made = made?.unwrap_or_default();
    let names: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
    report.bundle = Some(json!({ "rebuilt": names }));
    match session.format {
        ResultFormat::Json => console::print_json(&report.value())?,
        ResultFormat::Human if names.is_empty() => {
            console::print("every volume is whole: nothing to rebuild\n")?;
        }
        ResultFormat::Human => {
            let lines: Vec<String> = names.iter().map(|name| format!("  {name}\n")).collect();
            console::print(&format!("rebuilt, and equal to the list:\n{}", lines.concat()))?;
        }
    }
    Ok(())
}

/// What `verify` reports about the parity volumes of a bundle whose volumes are intact, if it has any.
pub(super) async fn check_set(
    session: &Session,
    path: &Path,
    volumes: &VolumeInput,
) -> anyhow::Result<Option<Spare>> {
    let Some(list) = volumes.list() else { return Ok(None) };
    if list.parity_wanted > 0 {
        let wanted = count(list.parity_wanted, "parity volume");
        let message = format!("the set is not complete: {wanted} requested, but not written");
        return Err(Failure::new(ExitCode::Content, message)
            .hint("run the command that made the set again; the existing volumes are intact")
            .into());
    }
    if list.parity.is_empty() {
        return Ok(None);
    }
    let total = list.parity.len();
    let wrong = survey(session, path).await?.map(|survey| survey.wrong()).unwrap_or_default();
    let text = if wrong.is_empty() {
        let lost = if total == 1 { "any one volume" } else { &format!("any {total} volumes") };
        format!("{}: {lost} can be lost and rebuilt\n", count(total, "parity volume"))
    } else {
        let names: Vec<String> = wrong.iter().map(|path| format!("{}\n", path.display())).collect();
        format!("{} of {total} parity volumes are missing or damaged:\n{}", wrong.len(), names.concat())
    };
    Ok(Some(Spare { text, json: json!({ "volumes": total, "whole": total - wrong.len().min(total) }) }))
}

/// The report on parity volumes.
pub(super) struct Spare {
    pub(super) text: String,
    pub(super) json: serde_json::Value,
}

/// Whether the damage to the set that `path` names can be repaired, if the set has parity volumes.
pub(super) async fn hope(session: &Session, path: &Path) -> Option<String> {
    let survey = survey(session, path).await.ok().flatten()?;
    if survey.list().parity.is_empty() {
        return None;
    }
    let outlook = outlook(&survey);
    let way = format!("\nrun bundle repack --rebuild {}", typed(path));
    Some(if survey.can_rebuild() { outlook + &way } else { outlook })
}

/// `2 volumes are lost or damaged, and 2 of 2 parity volumes are whole: they can be rebuilt`.
fn outlook(survey: &Survey) -> String {
    let (lost, whole, total) = (survey.lost(), survey.parity(), survey.list().parity.len());
    let (are, volumes) = (if lost == 1 { "is" } else { "are" }, count(lost, "volume"));
    let parity = format!(
        "{whole} of {} {} whole",
        count(total, "parity volume"),
        if whole == 1 { "is" } else { "are" }
    );
    let verdict = if survey.can_rebuild() {
        "all can be rebuilt".to_owned()
    } else {
        format!("{} too few to rebuild them", lost - whole)
    };
    let names: Vec<String> = survey.wrong().iter().map(|path| format!("\n  {}", path.display())).collect();
    format!("{volumes} {are} lost or damaged, and {parity}: {verdict}{}", names.concat())
}

async fn survey(session: &Session, path: &Path) -> anyhow::Result<Option<Survey>> {
    let path = path.to_owned();
    session
        .blocking("nothing was changed", move |_, stop| {
            let survey = Survey::of(&path, stop)?;
            Ok::<_, ArchiveError>((!stop.load(Ordering::Relaxed)).then_some(survey))
        })
        .await
        .map(Option::flatten)
}
