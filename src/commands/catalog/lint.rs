//! `bundle catalog lint`: checks a catalog, the names at the destination, and whether the images can be pulled.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::StreamExt;
use serde::Serialize;
use serde_json::json;

use crate::app::failure::{ExitCode, Failure};
use crate::archive::ImageRow;
use crate::catalog::lint::{Finding, Level, lint};
use crate::catalog::{Catalog, ResolvedImage};
use crate::cli::{LintArgs, ResultFormat};
use crate::cluster_config::{ValuesError, ValuesStyle, helm_values};
use crate::destination::{Destination, Mapping, collisions};
use crate::image::{Digest, Reference};
use crate::inputs::clients;
use crate::inputs::held::Held;
use crate::plan::{Request, RequestedImage};
use crate::registry::{ManifestTarget, RegistryClient, RegistryError};
use crate::report::count;
use crate::request::{catalogs, charts};
use crate::session::Session;
use crate::session::console::{print, print_json};

/// Clients cap host and path of a name at 255 characters together; this much is left for a registry and its prefix.
const ROOM: usize = 80;
const MAX_NAME: usize = 255;

/// One finding and the catalog it is about.
#[derive(Debug, Serialize)]
struct Found {
    #[serde(skip_serializing_if = "String::is_empty")]
    catalog: String,
    #[serde(flatten)]
    finding: Finding,
}

/// One image of a catalog.
struct Listed {
    catalog: String,
    line: u64,
    image: ResolvedImage,
}

pub(super) async fn run(session: &Session, args: &LintArgs) -> anyhow::Result<ExitCode> {
    let destination: Option<Destination> = args
        .destination
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|e| Failure::usage(format!("{e}")))?;
    let (mut found, mut images) = (Vec::new(), Vec::new());
    for name in &catalogs::names(&args.catalog, &args.network)? {
        let catalog = catalogs::read(name)?;
        let findings = lint(&catalog, &args.catalog.set);
        found.extend(findings.into_iter().map(|finding| Found { catalog: name.clone(), finding }));
        images.extend(listed(name, &catalog, args)?);
    }
    let mut digests = BTreeMap::new();
    if args.online {
        ask(session, args, &images, &mut found, &mut digests).await?;
    }
    let mapping = Mapping { keep_host: args.keep_host, ..Mapping::default() };
    clashes(&images, mapping, &digests, &mut found);
    for listed in &images {
        place(listed, mapping, destination.as_ref(), &mut found);
        if let Some(archive) = &listed.image.archive {
            let path = catalogs::folder(&listed.catalog).join(archive);
            let fault = charts::packed(&listed.image.reference, &path).err();
            found.extend(fault.map(|error| listed.find(Level::Error, "bad-archive", error.to_string())));
        }
    }
    found.extend(contradictions(args, destination.as_ref(), mapping));
    found.sort_by_key(|one| (one.catalog.clone(), one.finding.line, one.finding.level));
    show(session, &found, images.len())?;
    let worst = if args.strict { Level::Warning } else { Level::Error };
    let fails = found.iter().any(|one| one.finding.level <= worst);
    Ok(if fails { ExitCode::Content } else { ExitCode::Done })
}

/// The images of a catalog. Empty if variables are missing, which is a finding already.
fn listed(name: &str, catalog: &Catalog, args: &LintArgs) -> anyhow::Result<Vec<Listed>> {
    let Ok(mut resolved) = catalog.resolve(&args.catalog.set) else {
        return Ok(Vec::new());
    };
    let usage = |error: &dyn std::fmt::Display| Failure::usage(format!("catalog {name}: {error}"));
    resolved.rewrite_sources(&args.catalog.source).map_err(|error| usage(&error))?;
    let line = |image: &ResolvedImage| image.entries.first().map_or(0, |row| resolved.entries[*row].line);
    let images = resolved.images.iter();
    Ok(images
        .map(|image| Listed { catalog: name.to_owned(), line: line(image), image: image.clone() })
        .collect())
}

impl Listed {
    fn find(&self, level: Level, rule: &'static str, message: String) -> Found {
        let line = (self.line > 0).then_some(self.line);
        Found { catalog: self.catalog.clone(), finding: Finding { level, line, rule, message } }
    }
}

/// Names that different images would share. Without their digests, different names count as different images.
fn clashes(
    images: &[Listed],
    mapping: Mapping,
    digests: &BTreeMap<Reference, Digest>,
    found: &mut Vec<Found>,
) {
    let digest = |name: &Reference| {
        let known = digests.get(name).or(name.digest()).copied();
        (name.clone(), known.unwrap_or_else(|| Digest::sha256(name.to_string().as_bytes())))
    };
    let named: BTreeMap<Reference, Digest> =
        images.iter().map(|listed| digest(&listed.image.reference)).collect();
    for collision in collisions(mapping, named.iter()) {
        let is_certain = collision.names.iter().all(|(name, _)| digests.contains_key(name));
        let level = if is_certain { Level::Error } else { Level::Warning };
        let names: Vec<String> = collision.names.iter().map(|(name, _)| name.to_string()).collect();
        let message = format!(
            "{} would all be <destination>/{}; rename one, or keep source hosts in names with --keep-host",
            names.join(" and "),
            collision.target
        );
        let last = images
            .iter()
            .rev()
            .find(|listed| collision.names.iter().any(|(n, _)| *n == listed.image.reference));
        found.extend(last.map(|listed| listed.find(level, "name-clash", message)));
    }
}

/// Value paths for which rows need different values, so that no values file fits all rows.
fn contradictions(args: &LintArgs, destination: Option<&Destination>, mapping: Mapping) -> Vec<Found> {
    // A catalog that cannot be loaded is a finding already, and stdin cannot be read twice.
    let stdin = args.catalog.catalogs.iter().any(|name| name == "-");
    let Some(Ok(loaded)) = (!stdin).then(|| catalogs::load(&args.catalog, &args.network)) else {
        return Vec::new();
    };
    let placeholder = "registry.invalid".parse().ok();
    let Some(destination) = destination.cloned().or(placeholder) else { return Vec::new() };
    let images: Vec<ImageRow> = loaded.request.images.iter().map(unresolved).collect();
    let images: Vec<&ImageRow> = images.iter().collect();
    let style = ValuesStyle { per_image: true, pin: true };
    match helm_values(&loaded.request.catalog, &images, &destination, mapping, style) {
        Err(error @ (ValuesError::Conflicts(_) | ValuesError::Nested(_))) => {
            let message = format!("bundle values --per-image fails: {error}");
            let finding = Finding { level: Level::Warning, line: None, rule: "value-conflict", message };
            vec![Found { catalog: loaded.request.catalog.name, finding }]
        }
        _ => Vec::new(),
    }
}

/// An image that has not been checked at a registry yet.
fn unresolved(wanted: &RequestedImage) -> ImageRow {
    ImageRow {
        artifact_type: None,
        digest: wanted
            .name
            .digest()
            .copied()
            .unwrap_or_else(|| Digest::sha256(wanted.name.to_string().as_bytes())),
        entries: wanted.entries.clone(),
        media_type: crate::image::media_type::OCI_INDEX.into(),
        name: wanted.name.clone(),
        platforms: Vec::new(),
        size: 0,
        source: wanted.name.clone(),
    }
}

/// Checks a name against the destination.
fn place(listed: &Listed, mapping: Mapping, destination: Option<&Destination>, found: &mut Vec<Found>) {
    let reference = &listed.image.reference;
    let digest = reference.digest().copied().unwrap_or_else(|| Digest::sha256(b""));
    for target in mapping.targets(reference, &digest) {
        let length = target.path.len();
        let result = destination.map(|destination| destination.repository(&target));
        if let Some(Err(error)) = result {
            found.push(listed.find(Level::Error, "long-name", error.to_string()));
        } else if destination.is_none() && length + ROOM > MAX_NAME {
            let left = MAX_NAME.saturating_sub(length);
            let message = format!(
                "{} has {length} characters, which leaves {left} for the registry and its prefix",
                target.path
            );
            found.push(listed.find(Level::Warning, "long-name", message));
        }
    }
}

/// Checks that each image exists at one of its sources.
async fn ask(
    session: &Session,
    args: &LintArgs,
    images: &[Listed],
    found: &mut Vec<Found>,
    digests: &mut BTreeMap<Reference, Digest>,
) -> anyhow::Result<()> {
    let remote = || images.iter().filter(|listed| listed.image.archive.is_none());
    let wanted = remote().map(|listed| RequestedImage {
        name: listed.image.reference.clone(),
        sources: listed.image.sources.clone(),
        entries: Vec::new(),
        artifacts: None,
        pin: None,
        repinned: None,
    });
    let request = Request { images: wanted.collect(), ..Request::default() };
    let content = clients::for_export(
        &args.network,
        args.registry.as_ref(),
        &request,
        &Held::default(),
        &session.reporter,
    )?;
    session.reporter.begin_count("asking for images", remote().count() as u64);
    let client = content.client();
    let asked = futures_util::stream::iter(remote()).map(|listed| async move {
        let answer = first(client, &listed.image.sources).await;
        session.reporter.step();
        (listed, answer)
    });
    let answers = asked.buffered(usize::from(args.network.jobs)).collect::<Vec<_>>();
    let answers = session.stoppable("not every registry was checked", answers).await?;
    session.reporter.end();
    clients::tell_warnings(client, &session.reporter);
    for (listed, answer) in answers {
        match answer {
            Ok(digest) => {
                digests.insert(listed.image.reference.clone(), digest);
            }
            Err(why) => found.push(listed.find(Level::Error, "unreachable", why)),
        }
    }
    Ok(())
}

async fn first(client: &RegistryClient, sources: &[Reference]) -> Result<Digest, String> {
    let mut reasons = Vec::new();
    for source in sources {
        let target = match (source.digest(), source.tag()) {
            (Some(digest), _) => ManifestTarget::Digest(*digest),
            (None, Some(tag)) => ManifestTarget::Tag(tag.clone()),
            (None, None) => continue,
        };
        match client.head_manifest(source.repository(), &target).await {
            Ok(Some(digest)) => return Ok(digest),
            Ok(None) => reasons.push(format!("{source} is not there")),
            Err(error) => reasons.push(reason(source, &error)),
        }
    }
    Err(reasons.join("; "))
}

fn reason(source: &Reference, error: &RegistryError) -> String {
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let text = error.to_string();
    let text = if text.contains(&source.to_string()) { text } else { format!("{source}: {text}") };
    format!("{text}{hint}")
}

fn show(session: &Session, found: &[Found], images: usize) -> Result<(), Failure> {
    let number = |level| found.iter().filter(|one| one.finding.level == level).count();
    let [errors, warnings, notes] = [Level::Error, Level::Warning, Level::Note].map(number);
    if session.format == ResultFormat::Json {
        return print_json(&json!({
            "findings": found, "errors": errors, "warnings": warnings, "notes": notes, "images": images,
        }));
    }
    let mut text = String::new();
    for Found { catalog, finding } in found {
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        let Finding { level, message, rule, .. } = finding;
        let _ = writeln!(text, "{catalog}{line}: {level}: {message} [{rule}]");
    }
    let end = format!("{}, {}, {}", count(errors, "error"), count(warnings, "warning"), count(notes, "note"));
    let space = if text.is_empty() { "" } else { "\n" };
    print(&format!("{text}{space}{}: {end}\n", count(images, "image")))
}
