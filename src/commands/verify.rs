//! `bundle verify`: every checksum, in parallel, offline; all problems.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::input;
use super::run_report::{ImageReport, ImageState, RunReport};
use crate::archive::{ArchiveError, BundleReader, Problem};
use crate::cli::{ResultFormat, VerifyArgs};
use crate::failure::{ExitCode, Failure};
use crate::report::{bytes, count};
use crate::session::Session;

pub(super) async fn run(session: &Session, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let outputs: Vec<_> = args.output_style.report.iter().map(|path| ("--report", path.as_path())).collect();
    super::outputs::keep_apart(&[("the bundle", &args.bundle)], &outputs)?;
    let mut report = RunReport::new("verify", args.output_style.report.as_deref());
    let result = verify(session, args, &mut report).await;
    report
        .write(result.as_ref().map_or_else(crate::failure::code_of, |code| *code), result.as_ref().err())?;
    result
}

async fn verify(session: &Session, args: &VerifyArgs, report: &mut RunReport) -> anyhow::Result<ExitCode> {
    let reader = match input::open_bundle(&args.bundle) {
        Err(ArchiveError::NotABundle(why)) => return Err(not_ours(&args.bundle, why)),
        other => other?,
    };
    let bundle = reader.manifest();
    report.images = bundle.images.iter().map(|i| ImageReport::new(&i.name, Some(&i.source))).collect();
    for (row, image) in report.images.iter_mut().zip(&bundle.images) {
        row.digest = Some(image.digest);
    }
    let total: u64 = bundle.blobs.iter().map(|blob| blob.size).sum();
    session.reporter.begin("verifying", total, 0);
    let problems = check(session, &reader).await?;
    session.reporter.end();
    for problem in &problems {
        for row in report.images.iter_mut().filter(|row| problem.images.contains(&row.name.to_string())) {
            row.failed(ExitCode::Content, &"", &problem.what, Vec::new());
        }
    }
    report.all_done(ImageState::Done);
    report.bundle =
        Some(json!({ "id": reader.id(), "size": reader.file_len(), "problems": list(&problems) }));
    if session.format == ResultFormat::Json {
        super::print_json(&report.value());
    }
    if !problems.is_empty() {
        return Err(damage(&problems, reader.volumes() > 1));
    }
    if session.format == ResultFormat::Human {
        super::print(&format!(
            "whole: {}, {}, {}\nid {}\n",
            count(bundle.images.len(), "image"),
            count(bundle.blobs.len(), "blob"),
            bytes(total),
            reader.id()
        ));
    }
    Ok(ExitCode::Done)
}

async fn check(session: &Session, reader: &BundleReader) -> anyhow::Result<Vec<Problem>> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (flag, own, reporter) = (cancelled.clone(), reader.clone(), session.reporter.clone());
    let mut work = tokio::task::spawn_blocking(move || own.verify(&flag, &|bytes| reporter.advance(bytes)));
    tokio::select! {
        problems = &mut work => Ok(problems??),
        () = session.cancel.cancelled() => {
            cancelled.store(true, Ordering::Relaxed);
            let _ = work.await;
            Err(super::export::interrupted("what was checked so far was right"))
        }
    }
}

fn not_ours(path: &std::path::Path, why: String) -> anyhow::Error {
    let error = anyhow::Error::new(ArchiveError::NotABundle(why));
    let Ok(layout) = crate::archive::ForeignLayout::open(path, None) else { return error };
    let what = match crate::archive::Holdings::id(&layout) {
        Some(id) => format!("this is bundle {id}, but unpacked or packed again"),
        None => "this is another tool's OCI layout".to_owned(),
    };
    Failure::new(ExitCode::Content, format!("{what}: only a bundle as it was exported can be verified"))
        .hint("bundle import compares every digest of it while it sends; unpacked, sha256sum -c SHA256SUMS does")
        .because(error)
        .into()
}

fn damage(problems: &[Problem], in_volumes: bool) -> anyhow::Error {
    let hint = if in_volumes {
        "bring the volumes that are named again; the others are fine"
    } else {
        "copy the file again, or export it again, and compare it with its .sha256 on both sides"
    };
    let line = |problem: &Problem| {
        let blob = problem.blob.map_or_else(String::new, |digest| format!("\n  blob {digest}"));
        let images: Vec<_> = problem.images.iter().map(|name| format!("\n  needed by {name}")).collect();
        let images = images.concat();
        format!("{}: {}{blob}{images}", problem.place, problem.what)
    };
    let lines: Vec<String> = problems.iter().map(line).collect();
    let places = count(problems.len(), "place");
    Failure::new(ExitCode::Content, format!("the bundle is damaged in {places}:\n{}", lines.join("\n")))
        .hint(hint)
        .into()
}

fn list(problems: &[Problem]) -> Vec<serde_json::Value> {
    problems
        .iter()
        .map(|problem| {
            json!({
                "range": problem.range.as_ref().map(|r| [r.start, r.end]), "place": problem.place, "blob": problem.blob,
                "images": problem.images, "what": problem.what,
            })
        })
        .collect()
}
