//! Detects files of other tools that are given instead of a catalog or a manifest, and refuses them with a hint how to
//! convert them.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use crate::app::failure::Failure;
use crate::app::foreign_text::{self, NotText};
use crate::app::text::typed;
use crate::archive::{ARCHIVE_HEAD, ArchiveKind, is_archive};
use crate::catalog::discover::Foreign;
use crate::catalog::{Format, list_of_hangar};

/// A file that was given instead of a text.
pub(crate) struct Packed {
    pub(crate) what: String,
    /// How to get a bundle from it.
    pub(crate) way: String,
}

/// `input` if it is a text; otherwise what it is. `name` is the user's name for it.
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

/// Refuses a text that is recognised as a file of another tool, and not a catalog.
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
            refused("a hangar list with sources, targets and tags", way)
        }
        Format::List => Ok(()),
    }
}

/// Compressed data, which may be a text once it is unpacked.
fn compressed(name: &str, program: &'static str) -> Packed {
    let (is_stdin, found) = (matches!(name, "-" | "stdin"), NotText::Compressed(program));
    let refused = if is_stdin { found.of_stdin() } else { found.of(Path::new(name)) };
    Packed { what: format!("compressed with {program}"), way: refused.hint.unwrap_or_default() }
}

/// The failure for an archive where a text is expected.
pub(crate) fn refused(place: &str, packed: &Packed) -> Failure {
    Failure::usage(format!("{place}: it is {}, not a text", packed.what)).hint(&packed.way)
}

/// The file name quoted for a shell.
fn file(name: &str) -> String {
    if matches!(name, "-" | "stdin") { "FILE".to_owned() } else { typed(Path::new(name)) }
}

/// How to get a bundle from an archive.
fn way(kind: ArchiveKind, name: &str) -> String {
    let file = file(name);
    let export = "bundle export - -o OUT.tar.zst";
    match kind {
        ArchiveKind::Bundle => "push a bundle with bundle import; change it with bundle repack".to_owned(),
        ArchiveKind::Layout => {
            format!(
                "push its images with bundle import {file} -d REGISTRY; export a bundle from their source registry"
            )
        }
        ArchiveKind::DockerSave => format!(
            "list its images: tar -xOf {file} manifest.json | jq -r '.[].RepoTags[]' | {export}"
        ),
        ArchiveKind::OldDockerSave | ArchiveKind::SkopeoFolder => {
            "list its images, one per line, and export that list: bundle export LIST.txt".to_owned()
        }
        ArchiveKind::ServedFolder => {
            format!("start it, and export a list of its images from there: bundle serve --dir {file}")
        }
        ArchiveKind::RegistryStorage => {
            "run a registry on it, and export a list of its images from there; for oc-mirror archives use oc-mirror"
                .to_owned()
        }
        ArchiveKind::Zarf => format!("list its images: zarf package inspect images {file} | {export}"),
        ArchiveKind::Imgpkg => format!(
            "push it to a registry (imgpkg copy --tar {file} --to-repo REPOSITORY), and export the images in its \
             .imgpkg/images.yml from there"
        ),
        ArchiveKind::OcMirror => {
            "only oc-mirror reads it; for a bundle, export the images of its image set configuration".to_owned()
        }
        ArchiveKind::Chart => format!(
            "find its images with bundle catalog discover --chart {file} -o CATALOG.yaml; \
             add the chart with --add {file}"
        ),
        ArchiveKind::WrappedChart => {
            format!("unpack it, and list its images: yq '.images[].image' Images.lock | {export}")
        }
        ArchiveKind::Other => {
            "unpack it first; a catalog is YAML, JSON, or a text with one image per line".to_owned()
        }
    }
}
