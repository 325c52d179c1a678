//! Archives of other tools that are not OCI layouts: recognises them and gives the command to convert them.

use std::path::Path;

use serde::Deserialize;

use super::compression;
use super::kind::{ArchiveKind, Marks};
use crate::app::text::typed;
use crate::archive::{ArchiveError, InputError};
use crate::image::Reference;

/// Maximum size of `manifest.json` of `docker save`, in bytes.
pub(in crate::archive) const MAX_DOCKER: u64 = 1 << 20;

/// Why `path` with these marks is not read, if it belongs to one of those tools. `docker` is its `manifest.json`.
pub(in crate::archive) fn recognised(
    marks: &Marks,
    path: &Path,
    docker: Option<&[u8]>,
) -> Option<ArchiveError> {
    let (file, archive) = (given(path), path.display());
    let is_folder = path.is_dir();
    let kind = marks.without_layout(is_folder);
    let hint = match kind {
        ArchiveKind::Zarf => format!(
            "its images are an OCI layout inside: tar --zstd -xf {file} images && bundle import images -d REGISTRY"
        ),
        ArchiveKind::Imgpkg => {
            format!("push it with: imgpkg copy --tar {file} --to-repo REGISTRY/REPOSITORY")
        }
        ArchiveKind::OcMirror => {
            "push it with: oc-mirror -c CONFIG --from file://FOLDER docker://REGISTRY --v2".to_owned()
        }
        ArchiveKind::RegistryStorage => {
            "run a registry on it, and export from there: bundle export CATALOG -o FILE.tar.zst".to_owned()
        }
        ArchiveKind::ServedFolder => {
            format!("start it, and export from there: bundle serve --dir {file}")
        }
        ArchiveKind::SkopeoFolder => {
            format!("convert it with: skopeo copy --preserve-digests dir:{file} oci:FOLDER:NAME")
        }
        ArchiveKind::DockerSave => of_docker(&file, docker),
        ArchiveKind::OldDockerSave => "load it into docker, and save or push it from there".to_owned(),
        ArchiveKind::Chart => format!("carry it in a bundle: bundle export --add {file} -o FILE.tar.zst"),
        ArchiveKind::WrappedChart => format!("push it with: dt unwrap {file} REGISTRY"),
        ArchiveKind::Bundle | ArchiveKind::Layout | ArchiveKind::Other => {
            let nested = marks.nested.as_ref()?;
            let what = format!("{archive} has its OCI layout in the folder {nested}, not at the top");
            let hint = if is_folder {
                "name that folder"
            } else {
                "unpack it and name that folder, or pack the folder from inside: tar -C FOLDER -cf FILE.tar ."
            };
            return Some(ArchiveError::Input(InputError::OtherFormat { what, hint: hint.to_owned() }));
        }
    };
    Some(ArchiveError::Input(InputError::OtherFormat { what: format!("{archive} is {kind}"), hint }))
}

/// An unsupported compression, by the first bytes of the file at `path`.
pub(in crate::archive) fn compressed(path: &Path, start: &[u8]) -> Option<ArchiveError> {
    let (what, command) = compression::unread(start)?;
    let (file, archive) = (given(path), path.display());
    let hint = if matches!(what, "zip" | "7z") {
        format!("unpack it, and name the folder: {command} {file}")
    } else {
        format!("decompress it first: {command} {file}")
    };
    let what = format!("{archive} is compressed with {what}; only gzip and zstd are supported");
    Some(ArchiveError::Input(InputError::OtherFormat { what, hint }))
}

/// How to convert an archive of `docker save`: names in it are only shown if they are references.
fn of_docker(file: &str, manifest: Option<&[u8]>) -> String {
    #[derive(Deserialize)]
    struct Row {
        #[serde(rename = "RepoTags", default)]
        tags: Option<Vec<String>>,
    }
    let rows: Vec<Row> = manifest.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let mut names = rows.iter().flat_map(|row| row.tags.iter().flatten());
    let first = names.next().filter(|name| name.parse::<Reference>().is_ok());
    let each = if names.next().is_some() { ", and so for each of its images" } else { "" };
    let name = first.map_or("NAME", String::as_str);
    let source = if each.is_empty() { file.to_owned() } else { format!("{file}:{name}") };
    format!(
        "convert it with: skopeo copy docker-archive:{source} oci-archive:FILE.tar:{name}{each}; or save it with Docker 25 \
         or later, which writes a layout"
    )
}

/// The archive quoted for a shell.
fn given(path: &Path) -> String {
    if path == Path::new("stdin") { "FILE".to_owned() } else { typed(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(names: &[&str], docker: Option<&[u8]>) -> Option<(String, String)> {
        let mut marks = Marks::default();
        for name in names {
            marks.see(name);
        }
        match recognised(&marks, Path::new("a b.tar"), docker) {
            Some(ArchiveError::Input(InputError::OtherFormat { what, hint })) => Some((what, hint)),
            _ => None,
        }
    }

    #[test]
    fn archives_of_other_tools_are_named_with_the_way_on() {
        let layer = format!("sha256-{}.tar.gz", "0a".repeat(32));
        for (names, what, way) in [
            (
                &["zarf.yaml", "checksums.txt", "images/oci-layout"][..],
                "Zarf",
                "tar --zstd -xf 'a b.tar' images",
            ),
            (&["manifest.json", &layer], "imgpkg", "imgpkg copy --tar 'a b.tar'"),
            (&["docker/registry/v2/x", "isc_2026"], "oc-mirror", "oc-mirror -c"),
            (&["docker/registry/v2/x"], "storage of a registry", "bundle export"),
            (&["manifest.json", "repositories", "x/layer.tar"], "docker save", "skopeo copy docker-archive:"),
            // A layout that lost its index.
            (
                &["oci-layout", "blobs/sha256/aa", "manifest.json"],
                "docker save",
                "skopeo copy docker-archive:",
            ),
            (&["repositories", "x/VERSION"], "before Docker 1.10", "load it"),
            (&["shop/Chart.yaml", "shop/values.yaml"], "Helm chart", "--add"),
            (&["x/oci-layout", "x/index.json"], "in the folder \"x\"", "tar -C FOLDER"),
        ] {
            let (said, hint) = says(names, None).unwrap();
            assert!(said.contains(what) && hint.contains(way), "{names:?}: {said}: {hint}");
        }
        assert_eq!(says(&["README", "x/y/oci-layout", "layer.tar"], None), None);
    }

    #[test]
    fn the_conversion_names_the_image_unless_the_name_could_be_a_command() {
        let hint = |json: &str| says(&["manifest.json"], Some(json.as_bytes())).unwrap().1;
        let one = hint(r#"[{"Config":"x","RepoTags":["r.io/a:1"],"Layers":[]}]"#);
        assert!(one.contains("docker-archive:'a b.tar' oci-archive:FILE.tar:r.io/a:1;"), "{one}");
        let two = hint(r#"[{"RepoTags":["r.io/a:1"]},{"RepoTags":["r.io/b:1"]}]"#);
        assert!(two.contains("docker-archive:'a b.tar':r.io/a:1 ") && two.contains("for each"), "{two}");
        for odd in [r#"[{"RepoTags":["$(reboot)"]}]"#, r#"[{"RepoTags":null}]"#, "{}", "[{}]", "x"] {
            assert!(hint(odd).contains("oci-archive:FILE.tar:NAME;"), "{odd}");
        }
    }
}
