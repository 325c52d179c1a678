//! What other tools wrote, given where a catalog or a manifest is expected: known by its own marks, and refused with
//! the way out.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::app::failure::Failure;
use crate::app::foreign_text::{self, NotText};
use crate::app::text::typed;
use crate::archive::{ARCHIVE_HEAD, ArchiveKind, is_archive};
use crate::catalog::discover::Foreign;
use crate::catalog::{Format, list_of_hangar};

/// What stands where a text is expected.
pub(crate) struct Packed {
    pub(crate) what: String,
    /// The way from it to a bundle.
    pub(crate) way: String,
}

/// `input`, if it is a text; else what it is. `name` is what people call it.
pub(crate) fn text_of(
    name: &str,
    mut input: impl Read + Send + 'static,
) -> io::Result<Result<impl BufRead + Send, Packed>> {
    let mut head = Vec::new();
    input.by_ref().take(ARCHIVE_HEAD as u64).read_to_end(&mut head)?;
    let is_archive = is_archive(&head);
    let compression = match foreign_text::text(&head) {
        Err(NotText::Compressed(program)) => Some(program),
        _ => None,
    };
    let whole = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(input));
    if !is_archive {
        return Ok(Ok(whole));
    }
    Ok(Err(match (ArchiveKind::of(whole, Path::new(name)), compression) {
        (ArchiveKind::Other, Some(program)) => compressed(name, program),
        (kind, _) => Packed { what: kind.to_string(), way: way(kind, name) },
    }))
}

/// Refuses a text that is no catalog, where its marks say what it is.
pub(crate) fn refuse_text(name: &str, text: &[u8]) -> Result<(), Failure> {
    let refused = |what: &str, way: String| {
        Err(Failure::usage(format!("catalog {name}: it is {what}, not a catalog")).hint(way))
    };
    let shown = String::from_utf8_lossy(text);
    match Format::sniff(&shown) {
        Format::Yaml => match Foreign::of(text, name) {
            Some(foreign) => refused(foreign.what(), foreign.way(name)),
            None => Ok(()),
        },
        Format::List if list_of_hangar(&shown) => {
            let file = file(name);
            let way = format!(
                "keep source and tag: awk '{{print $1 \":\" $3}}' {file} | bundle export - -o OUT.tar.zst"
            );
            refused("a list of hangar with sources, targets and tags", way)
        }
        Format::List => Ok(()),
    }
}

/// A text, perhaps, once it is unpacked.
fn compressed(name: &str, program: &'static str) -> Packed {
    let (is_stdin, found) = (matches!(name, "-" | "stdin"), NotText::Compressed(program));
    let refused = if is_stdin { found.of_stdin() } else { found.of(Path::new(name)) };
    Packed { what: format!("compressed with {program}"), way: refused.hint.unwrap_or_default() }
}

/// An archive in the place of `place`.
pub(crate) fn refused(place: &str, packed: &Packed) -> Failure {
    Failure::usage(format!("{place}: it is {}, not a text", packed.what)).hint(&packed.way)
}

/// The file as it is typed.
fn file(name: &str) -> String {
    if matches!(name, "-" | "stdin") { "FILE".to_owned() } else { typed(Path::new(name)) }
}

/// The way from an archive to a bundle.
fn way(kind: ArchiveKind, name: &str) -> String {
    let file = file(name);
    let export = "bundle export - -o OUT.tar.zst";
    match kind {
        ArchiveKind::Bundle => "bundle import sends a bundle; bundle repack makes another of it".to_owned(),
        ArchiveKind::Layout => {
            format!(
                "bundle import {file} -d REGISTRY sends its images; a bundle is made from the registry they came from"
            )
        }
        ArchiveKind::DockerSave => format!(
            "list what it was made of: tar -xOf {file} manifest.json | jq -r '.[].RepoTags[]' | {export}"
        ),
        ArchiveKind::OldDockerSave | ArchiveKind::SkopeoFolder => {
            "list the images it was made of, one on each line, and export that list".to_owned()
        }
        ArchiveKind::RegistryStorage => {
            "run a registry on it, and export a list of its images from there; oc-mirror replays its own"
                .to_owned()
        }
        ArchiveKind::Zarf => format!("list its images: zarf package inspect images {file} | {export}"),
        ArchiveKind::Imgpkg => format!(
            "put it into a registry (imgpkg copy --tar {file} --to-repo REPOSITORY), and export from there what its \
             .imgpkg/images.yml lists"
        ),
        ArchiveKind::OcMirror => {
            "oc-mirror alone reads it; for a bundle, export what its image set configuration lists".to_owned()
        }
        ArchiveKind::Chart => format!(
            "bundle catalog discover --chart {file} -o CATALOG.yaml finds its images; --add {file} takes the chart along"
        ),
        ArchiveKind::WrappedChart => {
            format!("unpack it, and list its images: yq '.images[].image' Images.lock | {export}")
        }
        ArchiveKind::Other => {
            "unpack it first; a catalog is YAML, JSON, or a text with one image on each line".to_owned()
        }
    }
}
