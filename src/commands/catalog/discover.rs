//! `bundle catalog discover`: manifests, values and charts in, a catalog out.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::app::failure::{ExitCode, Failure};
use crate::app::small_file;
use crate::archive::{MAX_CHART_FILE, MAX_CHART_FILES, chart_files};
use crate::catalog::discover::{Discovery, Rank, Title, is_about_a_chart, read, read_chart, to_catalog};
use crate::cli::{DiscoverArgs, ResultFormat};
use crate::commands::helm::Chart;
use crate::commands::manifests::{Look, failed};
use crate::image::Reference;
use crate::report::count;
use crate::request::catalogs;
use crate::session::console::{print, print_json};
use crate::session::{Session, output_files};

/// How deeply sub-charts may be nested.
const MAX_DEPTH: usize = 64;
/// Unclear places that are printed. The catalog lists more, and `--format json` all that are kept.
const SHOWN: usize = 20;

pub(super) async fn run(session: &Session, args: &DiscoverArgs) -> anyhow::Result<ExitCode> {
    let (own, arguments) = (session.clone(), args.clone());
    let work = tokio::task::spawn_blocking(move || discover(&own, &arguments));
    session.stoppable("nothing has been written", work).await??
}

fn discover(session: &Session, args: &DiscoverArgs) -> anyhow::Result<ExitCode> {
    let target = args.output.as_deref().filter(|path| path.as_os_str() != "-");
    if let Some(target) = target {
        let inputs: Vec<_> = args.inputs.iter().map(|path| ("the input", path.as_path())).collect();
        output_files::refuse_overlaps(&inputs, &[("the catalog", target)])?;
    }
    let mut found = Discovery::default();
    let own = target.and_then(|target| target.canonicalize().ok());
    let mut look = Look { found: &mut found, own, passed_by: 0 };
    for input in &args.inputs {
        look.at(input)?;
    }
    let passed_by = look.passed_by;
    if let Some(name) = &args.chart {
        chart(session, args, name, &mut found)?;
    }
    if args.certain {
        found.images.retain(|_, image| image.rank == Rank::Certain);
    }
    let differs = match &args.diff {
        Some(catalog) => Some(compare(session, args, catalog, &found)?),
        None => None,
    };
    if found.images.is_empty() {
        tell(session, &found, passed_by);
        return Err(nothing(&found));
    }
    let title = title(args, &found);
    let text = to_catalog(&found, &title).map_err(|error| Failure::new(ExitCode::Failed, error))?;
    match target {
        Some(target) => {
            write(args, target, &text)?;
            print(&format!("{}: {}\n", target.display(), count(found.images.len(), "image")))?;
        }
        None if session.format == ResultFormat::Json => print_json(&as_json(&found, &title))?,
        None if differs.is_none() => print(&text)?,
        None => {}
    }
    tell(session, &found, passed_by);
    Ok(match differs {
        _ if found.hiding_count > 0 => ExitCode::Partly,
        Some(true) if args.exit_code => ExitCode::Differs,
        _ => ExitCode::Done,
    })
}

/// Renders a chart once for every set of values, and searches its own lists of images.
fn chart(session: &Session, args: &DiscoverArgs, name: &str, found: &mut Discovery) -> anyhow::Result<()> {
    let (repo, version) = (args.repo.as_deref(), args.chart_version.as_deref());
    let remote = Chart { name, repo, version, arguments: &args.helm_arg };
    let scratch = tempfile::tempdir()?;
    let path: PathBuf = if let Some(path) = remote.path() {
        path.to_owned()
    } else {
        session.reporter.detail(&format!("fetching {name} with helm"));
        remote.pull(scratch.path())?
    };
    let shown = path.to_string_lossy();
    let local = Chart { name: &shown, repo: None, version: None, arguments: &args.helm_arg };
    about(&path, name, found)?;
    let none = String::new();
    let profiles: Vec<&String> =
        if args.values.is_empty() { vec![&none] } else { args.values.iter().collect() };
    for profile in profiles {
        let files: Vec<&str> = profile.split(',').filter(|file| !file.is_empty()).collect();
        let with = if files.is_empty() { String::new() } else { format!(" with {}", files.join(", ")) };
        session.reporter.detail(&format!("rendering {name}{with}"));
        let mut rendering = local.render(&files)?;
        read(found, &format!("{name}{with}"), rendering.output())?;
        rendering.finish()?;
    }
    Ok(())
}

/// Searches the metadata of the chart and of its sub-charts.
fn about(path: &Path, name: &str, found: &mut Discovery) -> anyhow::Result<()> {
    let mut files = Vec::new();
    if path.is_dir() {
        let mut left = MAX_CHART_FILES;
        collect(path, "", &mut files, &mut left, 0)?;
    } else {
        files.extend(chart_files(path, &is_about_a_chart)?.into_iter().map(|file| (file.path, file.bytes)));
    }
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
    Ok(read_chart(found, name, &files)?)
}

fn collect(
    folder: &Path,
    below: &str,
    files: &mut Vec<(String, Vec<u8>)>,
    left: &mut u64,
    depth: usize,
) -> anyhow::Result<()> {
    let unread = failed(folder);
    for entry in std::fs::read_dir(folder).map_err(&unread)? {
        let entry = entry.map_err(&unread)?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        let is_folder = entry.file_type().map_err(&unread)?.is_dir();
        if is_folder && depth < MAX_DEPTH && (name.ends_with("charts") || below.ends_with("charts/")) {
            collect(&entry.path(), &format!("{name}/"), files, left, depth + 1)?;
        } else if !is_folder && is_about_a_chart(&name) {
            let path = entry.path();
            let bytes = small_file::beside(&path, MAX_CHART_FILE.min(*left));
            let bytes = bytes.map_err(failed(&path))?.unwrap_or_default();
            *left -= bytes.len() as u64;
            files.push((name, bytes));
        }
    }
    Ok(())
}

/// The chart's name and version, with `--chart`.
fn title(args: &DiscoverArgs, found: &Discovery) -> Title {
    match found.charts.first().filter(|_| args.chart.is_some()) {
        Some((name, version)) => Title { name: Some(name.clone()), version: Some(version.clone()) },
        None => Title::default(),
    }
}

fn write(args: &DiscoverArgs, target: &Path, text: &str) -> anyhow::Result<()> {
    output_files::refuse_overwrite(target, text.as_bytes(), args.force, "see what differs with --diff")?;
    output_files::write(target, text)
}

/// Prints the differences to the catalog called `name`. Returns whether there are any.
fn compare(session: &Session, args: &DiscoverArgs, name: &str, found: &Discovery) -> anyhow::Result<bool> {
    let catalog = catalogs::read(name)?;
    let resolved = catalog.resolve(&args.set).map_err(|e| Failure::usage(format!("catalog {name}: {e}")))?;
    let listed: BTreeSet<&Reference> = resolved.images.iter().map(|image| &image.reference).collect();
    let missing: Vec<_> = found.images.iter().filter(|(image, _)| !listed.contains(image)).collect();
    let unused: Vec<&&Reference> =
        listed.iter().filter(|image| !found.images.contains_key(**image)).collect();
    if session.format == ResultFormat::Json {
        let missing: Vec<_> =
            missing.iter().map(|(image, found)| json!({ "image": image, "found": found })).collect();
        print_json(&json!({ "catalog": name, "missing": missing, "unused": unused }))?;
    } else {
        let mut text = String::new();
        for (image, found) in &missing {
            let place = found.places.first().map(ToString::to_string).unwrap_or_default();
            let rank = if found.rank == Rank::Certain { "" } else { "probably, " };
            let _ = writeln!(text, "+ {image}\n    {rank}{place}");
        }
        for image in &unused {
            let _ = writeln!(text, "- {image}");
        }
        let same = found.images.len() - missing.len();
        let space = if text.is_empty() { "" } else { "\n" };
        print(&format!(
            "{text}{space}{} missing in {name}, {} only in {name}, {same} in both\n",
            count(missing.len(), "image"),
            unused.len()
        ))?;
    }
    Ok(!missing.is_empty() || !unused.is_empty())
}

fn as_json(found: &Discovery, title: &Title) -> serde_json::Value {
    let images: Vec<_> = found
        .images
        .iter()
        .map(|(image, found)| {
            json!({ "image": image, "rank": found.rank, "count": found.count, "places": found.places })
        })
        .collect();
    json!({
        "name": title.name, "version": title.version, "images": images, "unclear": found.unclear,
        "unclearCount": found.unclear_count, "hidingCount": found.hiding_count, "files": found.files,
        "objects": found.objects, "secrets": found.secrets,
    })
}

/// The summary: what was searched, and what was not understood.
fn tell(session: &Session, found: &Discovery, passed_by: usize) {
    let reporter = &session.reporter;
    // Places that may hide an image come first.
    let mut unclear: Vec<_> = found.unclear.iter().collect();
    unclear.sort_by_key(|one| !one.hides);
    for one in unclear.iter().take(SHOWN) {
        if one.hides { reporter.warn(&one.to_string()) } else { reporter.say(&format!("unclear: {one}")) }
    }
    if found.unclear_count > SHOWN {
        reporter.say(&format!("and {} more; --format json lists them", found.unclear_count - SHOWN));
    }
    let mut text = format!(
        "{} certain, {} probable; looked at {} in {}",
        count(found.count(Rank::Certain), "image"),
        found.count(Rank::Probable),
        count(found.objects, "object"),
        count(found.files, "file"),
    );
    if found.unclear_count > 0 {
        let _ = write!(text, "; not understood: {}", found.unclear_count);
    }
    if found.secrets > 0 {
        let _ = write!(text, "; {} not looked into", count(found.secrets, "Secret"));
    }
    if passed_by > 0 {
        let _ = write!(text, "; {} of another kind ignored", count(passed_by, "file"));
    }
    reporter.say(&text);
    // If nothing was found, the error says so.
    if found.hiding_count > 0 && !found.images.is_empty() {
        reporter.warn(&format!(
            "images may be missing: {} could not be read; the exit code is 7",
            count(found.hiding_count, "place")
        ));
    }
}

fn nothing(found: &Discovery) -> anyhow::Error {
    let failure = Failure::usage("no image was found");
    if found.hiding_count > 0 {
        return failure.hint("see above for what could not be read").into();
    }
    failure.hint("give it rendered manifests: helm template … | bundle catalog discover -").into()
}
