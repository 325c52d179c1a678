//! `bundle verify`: checks every checksum, in parallel and offline, and reports all problems.

use std::sync::Arc;

use serde_json::json;

use super::manifest_check::{self, Covered};
use super::verify_form::Form;
use super::{ending, parity, provenance};
use crate::app::failure::{ExitCode, Failure};
use crate::archive::{BundleManifest, ImageStore, Problem};
use crate::cli::{ResultFormat, VerifyArgs};
use crate::export::text;
use crate::inputs::{open_bundle, policy_check, trust};
use crate::policy::Selection;
use crate::report::{bytes, count};
use crate::session::run_report::{ImageReport, ImageState, RunReport};
use crate::session::{Session, console, output_files};

/// Images that are listed for one damaged place. Thousands of images may share a base layer.
const NAMED: usize = 10;

pub(super) async fn run(session: &Session, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let outputs: Vec<_> = args.report.file.iter().map(|path| ("--report", path.as_path())).collect();
    let mut inputs = vec![("the bundle", args.bundle.as_path())];
    inputs.extend(args.manifests.iter().map(|path| ("the manifests", path.as_path())));
    output_files::refuse_overlaps(&inputs, &outputs)?;
    let mut report = RunReport::new("verify", args.report.file.as_deref());
    let result = verify(session, args, &mut report).await;
    ending::close(&report, result, &session.reporter)
}

async fn verify(session: &Session, args: &VerifyArgs, report: &mut RunReport) -> anyhow::Result<ExitCode> {
    let rules = policy_check::load(&args.policy)?;
    let trust = trust::anywhere(&args.trust, &args.approval, &args.bundle, &args.network)?;
    let form = Form::open(session, args, &trust).await?;
    let image_store = form.image_store();
    if !args.base.is_empty() {
        image_store.read_bases_from(Arc::new(open_bundle::open_bases(&args.base)?));
    }
    let unproven = if args.base.is_empty() { not_provable(image_store) } else { None };
    let vouched = trust::vouched(&trust, image_store)?;
    let custody = provenance::check(args, image_store, &trust)?;
    for note in image_store.notes() {
        session.reporter.warn(&format!("{}: {note}", image_store.name()));
    }
    let (bundle, id) = (image_store.bundle(), image_store.id());
    report.images = bundle.images.iter().map(|i| ImageReport::new(&i.name, Some(&i.source))).collect();
    for (row, image) in report.images.iter_mut().zip(&bundle.images) {
        row.digest = Some(image.digest);
    }
    report.note_chosen(image_store.chosen());
    let findings = rules
        .as_ref()
        .map(|rules| rules.findings(image_store, Selection::ALL))
        .transpose()?
        .unwrap_or_default();
    let forbidden = rules.and_then(|rules| rules.refusal(&findings, report, &session.reporter));
    let covered = if args.manifests.is_empty() {
        None
    } else {
        Some(manifest_check::check(session, args, image_store).await?)
    };
    if let Some(covered) = covered.as_ref().filter(|_| args.names_only) {
        report.bundle = Some(json!({ "id": id, "manifests": covered.json }));
    }
    if args.names_only {
        return print_result(session, report, "", [None, None, custody.failure(), forbidden], covered);
    }
    let total: u64 = bundle.blobs.iter().map(|blob| blob.size).sum();
    session.reporter.begin("verifying", total, 0);
    let problems = check(session, &form).await?;
    session.reporter.end();
    for problem in &problems {
        for image in &problem.images {
            report.images[*image].failed(ExitCode::Content, &"", &problem.what, Vec::new());
        }
    }
    report.all_done(ImageState::Done);
    let spare = match form.volumes().filter(|_| problems.is_empty()) {
        Some(volumes) => parity::check_set(session, &args.bundle, volumes).await?,
        None => None,
    };
    let mut about = json!({
        "id": id, "size": form.file_len(), "form": form.json(), "problems": list(&problems, bundle), "signedBy": trust::signed_by(&vouched),
        "approvedBy": trust::approved_by(&vouched), "statements": custody.json, "findings": findings,
    });
    if let Some(unproven) = &unproven {
        about["unchecked"] = json!(unproven);
    }
    if let Some(covered) = &covered {
        about["manifests"] = covered.json.clone();
    }
    if let Some(spare) = &spare {
        about["parity"] = spare.json.clone();
    }
    report.bundle = Some(about);
    let unproven_line = unproven
        .as_ref()
        .map_or_else(String::new, |why| format!("{why}; to check all, name it with --base FILE\n"));
    let whole = format!(
        "{}: {}, {}, {}\n{}{}{}{}{}{}",
        if unproven.is_some() { "intact" } else { "whole" },
        count(bundle.images.len(), "image"),
        count(bundle.blobs.len(), "blob"),
        bytes(total),
        id.map_or_else(String::new, |id| format!("id {id}\n")),
        form.text() + &report.chosen("checked") + &unproven_line,
        trust::lines(&vouched, &args.bundle, image_store),
        custody.text,
        text::left_out(bundle, bundle.required()),
        spare.as_ref().map_or("", |spare| &spare.text),
    );
    let incomplete = unproven.filter(|_| args.complete).map(|why| {
        Failure::new(ExitCode::Content, why)
            .hint("name the older bundle with --base FILE, or leave out --complete")
    });
    let mut damage = (!problems.is_empty()).then(|| damage(&problems, bundle, form.hint()));
    if damage.is_some() && form.volumes().is_some() {
        let hope = parity::hope(session, &args.bundle).await;
        damage = damage.map(|damage| hope.into_iter().fold(damage, Failure::hint));
    }
    print_result(session, report, &whole, [damage, incomplete, custody.failure(), forbidden], covered)
}

/// How many blobs can be made again only with their base; nothing if there are none.
fn not_provable(image_store: &dyn ImageStore) -> Option<String> {
    let listed = image_store.references().filter(|listed| !listed.references.is_empty())?;
    let (blobs, mut need) = (&image_store.bundle().blobs, 0);
    for blob in blobs {
        // What cannot be read is a problem that is reported with its place.
        need += usize::from(
            image_store.bases_of(&blob.digest).ok().flatten().is_some_and(|bases| !bases.is_empty()),
        );
    }
    let base = listed.base.map_or_else(|| "an older bundle".to_owned(), |id| format!("bundle {id}"));
    (need > 0).then(|| {
        let verb = if need == 1 { "needs" } else { "need" };
        format!("{need} of {} {verb} {base}: only frames are checked there", count(blobs.len(), "blob"))
    })
}

/// The result with all problems: damage, statements and receipts, policy findings, missing images.
fn print_result(
    session: &Session,
    report: &RunReport,
    whole: &str,
    wrong: [Option<Failure>; 4],
    covered: Option<Covered>,
) -> anyhow::Result<ExitCode> {
    let (text, lost) = covered.map(|covered| (covered.text, covered.failure)).unwrap_or_default();
    match session.format {
        ResultFormat::Json => console::print_json(&report.value())?,
        ResultFormat::Human if wrong[0].is_none() => {
            console::print(&format!("{whole}{text}"))?;
        }
        ResultFormat::Human => console::print(&text)?,
    }
    let mut all = wrong.into_iter().chain([lost]).flatten().rev();
    match all.next() {
        None => Ok(ExitCode::Done),
        Some(last) => Err(all.fold(last, |cause, failure| failure.because(cause.into())).into()),
    }
}

async fn check(session: &Session, form: &Form) -> anyhow::Result<Vec<Problem>> {
    let form = form.clone();
    let kept = "no problem was found until then";
    session.blocking(kept, move |advance, stop| form.verify(stop, advance)).await
}

fn damage(problems: &[Problem], bundle: &BundleManifest, hint: &str) -> Failure {
    let line = |problem: &Problem| {
        let blob = problem.blob.map_or_else(String::new, |digest| format!("\n  blob {digest}"));
        let named = problem.images.iter().take(NAMED);
        let images: Vec<_> = named.map(|at| format!("\n  needed by {}", bundle.images[*at].name)).collect();
        let images = images.concat();
        let more = match problem.images.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("\n  and by {} (--format json names all)", count(more, "more image")),
        };
        format!("{}: {}{blob}{images}{more}", problem.place, problem.what)
    };
    let lines: Vec<String> = problems.iter().map(line).collect();
    let places = count(problems.len(), "place");
    Failure::new(ExitCode::Content, format!("the bundle is damaged in {places}:\n{}", lines.join("\n")))
        .hint(hint)
}

fn list(problems: &[Problem], bundle: &BundleManifest) -> Vec<serde_json::Value> {
    problems
        .iter()
        .map(|problem| {
            let images: Vec<_> = problem.images.iter().map(|at| &bundle.images[*at].name).collect();
            json!({
                "range": problem.range.as_ref().map(|r| [r.start, r.end]), "place": problem.place, "blob": problem.blob,
                "images": images, "what": problem.what,
            })
        })
        .collect()
}
