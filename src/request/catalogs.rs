//! Turns catalog arguments into a request: the images, their names, and their sources.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::resolved_request::ResolvedRequest;
use super::{charts, foreign};
use crate::app::failure::Failure;
use crate::app::foreign_text::{self, NotText};
use crate::app::small_file;
use crate::app::text::typed;
use crate::archive::manifest::{CatalogRecord, EntryRecord};
use crate::catalog::{Catalog, ResolvedCatalog, ResolvedImage, builtin};
use crate::cli::{CatalogArgs, NetworkArgs, SelectionArgs};
use crate::image::{Digest, Reference};
use crate::plan::{Request, RequestedImage};
use crate::provenance::{Material, MaterialKind};
use crate::session::output_files::plain_name;

/// The catalog that `bundle export` uses without an argument.
pub(crate) const DEFAULT: &str = "stackstate@4.1";
/// The largest file that is read as a catalog, a list or a request, in bytes. The size of a catalog is then checked
/// against the smaller limit of `catalog/parse.rs`.
pub(crate) const MAX_CATALOG: u64 = 64 << 20;

/// The named catalogs, or the default.
pub(crate) fn names(args: &CatalogArgs, network: &NetworkArgs) -> anyhow::Result<Vec<String>> {
    if args.catalogs.iter().any(|name| name == "-") && network.password_stdin {
        return Err(Failure::usage("the catalog and the password cannot both come from stdin")
            .hint("store the login first: bundle login REGISTRY")
            .into());
    }
    let default = || vec![DEFAULT.to_owned()];
    Ok(if args.catalogs.is_empty() { default() } else { args.catalogs.clone() })
}

/// Reads every named catalog, fills in variables and rewrites sources, before any request is sent.
pub(crate) fn load(args: &CatalogArgs, network: &NetworkArgs) -> anyhow::Result<ResolvedRequest> {
    let names = names(args, network)?;
    let mut loaded = ResolvedRequest::default();
    for name in &names {
        let usage = |error: String| Failure::usage(format!("catalog {name}: {error}"));
        let text = text(name)?;
        let catalog = parse(name, &text)?;
        loaded.materials.push(material(MaterialKind::Catalog, name, &text));
        let mut resolved = catalog.resolve(&args.set).map_err(|e| usage(e.to_string()))?;
        resolved.rewrite_sources(&args.source).map_err(|e| usage(e.to_string()))?;
        if resolved.images.is_empty() {
            return Err(usage("it lists no image".to_owned()).into());
        }
        let (title, version) = title(name, &resolved);
        loaded.file_name = (names.len() == 1 && name != "-").then(|| file_name(&title, &version));
        loaded.labels.extend(resolved.entries.iter().map(|entry| entry.labels.clone()));
        let of_archives = |image: &ResolvedImage| Some((image.reference.clone(), image.archive.clone()?));
        let archives: Vec<_> = resolved.images.iter().filter_map(of_archives).collect();
        add(&mut loaded.request, resolved, &title, &version).map_err(usage)?;
        for (image, path) in archives {
            charts::pack(&mut loaded, &image, &below(name, &path)?)?;
        }
    }
    Ok(loaded)
}

/// Like [`load`], with the images of `--add`.
pub(crate) fn load_with(
    args: &CatalogArgs,
    selection: &SelectionArgs,
    network: &NetworkArgs,
) -> anyhow::Result<ResolvedRequest> {
    let mut loaded = load(args, network)?;
    loaded.add(&selection.add, &args.source)?;
    Ok(loaded)
}

/// The name and hash of `content`, for the statement.
pub(crate) fn material(kind: MaterialKind, name: &str, content: &[u8]) -> Material {
    let name = match name {
        "-" => "stdin".to_owned(),
        name => Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    Material { kind, name, digest: Digest::sha256(content) }
}

/// The folder to which paths in the catalog `name` are relative.
pub(crate) fn folder(name: &str) -> PathBuf {
    let is_file = Path::new(name).is_file();
    if is_file { crate::app::own_file::folder_of(Path::new(name)).to_owned() } else { PathBuf::new() }
}

/// A file named in the catalog `name`. It must be below the catalog's folder: a catalog from elsewhere must not select
/// other files of this machine.
fn below(name: &str, path: &str) -> anyhow::Result<PathBuf> {
    let folder = folder(name);
    let home = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
    let place = folder.join(path);
    let usage = |why: String| Failure::usage(format!("catalog {name}: archive {path}: {why}"));
    match (home.canonicalize(), place.canonicalize()) {
        (Ok(home), Ok(whole)) if whole.starts_with(&home) => Ok(place),
        // A missing file is reported where it is read.
        (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound && stays(Path::new(path)) => {
            Ok(place)
        }
        _ => Err(usage("it is not below the folder of the catalog".to_owned())
            .hint("put the chart beside the catalog, or add it with --add FILE")
            .into()),
    }
}

/// Whether `path` stays below its starting folder.
fn stays(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The file name of a bundle with this name and version.
pub(crate) fn file_name(name: &str, version: &str) -> String {
    let joint = if version.is_empty() { "" } else { "-" };
    format!("{}{joint}{}.tar.zst", plain_name(name), plain_name(version))
}

/// A catalog by built-in name, file, or `-`. An argument that looks like a path, or exists, is a file.
pub(crate) fn read(name: &str) -> anyhow::Result<Catalog> {
    parse(name, &text(name)?)
}

fn parse(name: &str, text: &[u8]) -> anyhow::Result<Catalog> {
    if let Err(error @ NotText::Encoding(_)) = foreign_text::text(text) {
        let refused = if name == "-" { error.of_stdin() } else { error.of(Path::new(name)) };
        return Err(Failure::unusable(refused.about(format_args!("catalog {name}"))).into());
    }
    foreign::refuse_text(name, text)?;
    crate::catalog::parse(text, None).map_err(|e| Failure::usage(format!("catalog {name}: {e}")).into())
}

/// The text of a catalog.
fn text(name: &str) -> anyhow::Result<Vec<u8>> {
    let usage = |why: String| Failure::usage(format!("catalog {name}: {why}"));
    let input: Box<dyn Read + Send> = if name == "-" {
        Box::new(small_file::stdin_stream())
    } else if Path::new(name).exists() || looks_like_a_file(name) {
        Box::new(small_file::stream(Path::new(name)).map_err(|error| {
            if error.kind() != std::io::ErrorKind::NotFound {
                return usage(error.to_string());
            }
            let failure = usage("there is no such file".to_owned());
            if is_called_a_text(name) || name.parse::<Reference>().is_err() {
                return failure;
            }
            failure.hint(format!(
                "to export a single image, pass it on stdin: echo {} | bundle export - -o FILE",
                typed(Path::new(name))
            ))
        })?)
    } else {
        let shipped = builtin::text(name).map_err(|e| Failure::usage(e.to_string()))?;
        return Ok(shipped.as_bytes().to_vec());
    };
    let input = foreign::text_of(name, input).map_err(|e| usage(e.to_string()))?;
    let input = input.map_err(|packed| foreign::refused(&format!("catalog {name}"), &packed))?;
    let bytes = small_file::all(input, MAX_CATALOG).map_err(|error| usage(error.to_string()))?;
    Ok(bytes)
}

/// Whether `name` ends like a catalog or list file, and so cannot be an image.
fn is_called_a_text(name: &str) -> bool {
    let ending = Path::new(name).extension().map(OsStr::to_ascii_lowercase);
    ending.is_some_and(|ending| {
        ["yaml", "yml", "json", "txt", "list", "lock"].iter().any(|known| ending == *known)
    })
}

/// Whether `name` is a path or has a suffix, and so cannot be a built-in catalog.
fn looks_like_a_file(name: &str) -> bool {
    name.contains('/') || (!name.contains('@') && Path::new(name).extension().is_some())
}

/// The catalog's own name and version, or the file's stem.
fn title(argument: &str, catalog: &ResolvedCatalog) -> (String, String) {
    let own = catalog.name.clone().filter(|name| !name.is_empty());
    let name = own.unwrap_or_else(|| match argument {
        "-" => "stdin".to_owned(),
        path => Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    });
    (plain_name(&name), plain_name(&catalog.version.clone().unwrap_or_default()))
}

/// Adds `catalog` to `request`; refuses catalogs that set the same value differently.
pub(crate) fn add(
    request: &mut Request,
    catalog: ResolvedCatalog,
    title: &str,
    version: &str,
) -> Result<(), String> {
    let entries = catalog.entries.into_iter().map(|entry| EntryRecord {
        chart: entry.chart.unwrap_or_default(),
        component: entry.component.unwrap_or_default(),
        registry_path: entry.registry_path,
        repository_path: entry.repository_path,
        tag_paths: entry.tag_paths,
        digest_path: entry.digest_path,
    });
    let record = CatalogRecord {
        entries: entries.collect(),
        name: title.to_owned(),
        per_image_values: catalog.per_image_values.into_iter().collect(),
        registry_override: catalog.registry_override,
        values: catalog.values.into_iter().collect(),
        variables: catalog.variables.into_iter().collect(),
        version: version.to_owned(),
    };
    let offset = join(&mut request.catalog, record)?;
    let mut known = positions(request);
    for image in catalog.images {
        let entries = image.entries.iter().map(|entry| u32::try_from(*entry).unwrap_or(u32::MAX) + offset);
        if let Some(at) = known.get(&image.reference) {
            request.images[*at].entries.extend(entries);
            continue;
        }
        known.insert(image.reference.clone(), request.images.len());
        request.images.push(RequestedImage {
            name: image.reference,
            sources: image.sources,
            entries: entries.collect(),
            artifacts: None,
            pin: None,
            repinned: None,
        });
    }
    Ok(())
}

/// The position of each image in `request`.
pub(crate) fn positions(request: &Request) -> HashMap<Reference, usize> {
    request.images.iter().enumerate().map(|(at, wanted)| (wanted.name.clone(), at)).collect()
}

/// Adds the record of one catalog to those of others, and returns the number of its first row.
pub(crate) fn join(record: &mut CatalogRecord, more: CatalogRecord) -> Result<u32, String> {
    let joint = |own: &str, more: &str| match (own, more) {
        ("", text) | (text, "") => text.to_owned(),
        (own, more) if own == more => own.to_owned(),
        (own, more) => format!("{own}+{more}"),
    };
    record.name = joint(&record.name, &more.name);
    record.version = joint(&record.version, &more.version);
    match (&record.registry_override, more.registry_override) {
        (Some(one), Some(other)) if *one != other => {
            return Err(format!("its registry override is {other}, but another catalog has {one}"));
        }
        (None, Some(path)) => record.registry_override = Some(path),
        _ => {}
    }
    merge(&mut record.values, more.values)?;
    merge(&mut record.per_image_values, more.per_image_values)?;
    merge(&mut record.variables, more.variables)?;
    let offset = u32::try_from(record.entries.len()).unwrap_or(u32::MAX);
    record.entries.extend(more.entries);
    Ok(offset)
}

fn merge(
    into: &mut BTreeMap<String, String>,
    more: impl IntoIterator<Item = (String, String)>,
) -> Result<(), String> {
    for (key, value) in more {
        match into.get(&key) {
            Some(other) if *other != value => {
                return Err(format!("it sets {key} to {value:?}, but another catalog sets it to {other:?}"));
            }
            _ => into.insert(key, value),
        };
    }
    Ok(())
}
