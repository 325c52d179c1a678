//! Archives of other tools that are not OCI layouts: recognised by their own marks, with the command that leads on.

use std::path::Path;

use serde::Deserialize;

use super::tar_header::shown;
use super::{ArchiveError, compression};
use crate::app::text::typed;
use crate::image::Reference;

/// Entries of a folder that are looked at.
const MAX_ENTRIES: usize = 1000;
/// `manifest.json` of `docker save`, in bytes.
pub(super) const MAX_DOCKER: u64 = 1 << 20;

/// What the names of members tell.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own")]
pub(super) struct Marks {
    docker: bool,
    repositories: bool,
    imgpkg: bool,
    zarf: bool,
    oc_mirror: bool,
    registry: bool,
    directory: bool,
    chart: bool,
    /// A folder in it that has a layout.
    nested: Option<String>,
}

impl Marks {
    /// Takes in the name of a member.
    pub(super) fn see(&mut self, name: &str) {
        let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let layer = name.strip_prefix("sha256-").and_then(|rest| rest.strip_suffix(".tar.gz"));
        match name {
            "manifest.json" => self.docker = true,
            "repositories" => self.repositories = true,
            "zarf.yaml" => self.zarf = true,
            "version" => self.directory = true,
            _ if layer.is_some_and(is_hex) => self.imgpkg = true,
            _ if name.starts_with("isc_") || name.starts_with("working-dir/") => self.oc_mirror = true,
            _ if name.starts_with("docker/registry/v2/") => self.registry = true,
            _ => match name.split_once('/') {
                Some((_, "Chart.yaml")) => self.chart = true,
                Some((folder, "oci-layout")) if self.nested.is_none() => {
                    self.nested = Some(shown(folder.as_bytes()));
                }
                _ => {}
            },
        }
    }

    /// The marks of a folder.
    pub(super) fn of_folder(folder: &Path) -> Self {
        let mut marks = Self::default();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_ENTRIES) {
            let name = entry.file_name().to_string_lossy().into_owned();
            marks.see(&name);
            for inside in ["oci-layout", "Chart.yaml", "registry/v2"] {
                if entry.path().join(inside).exists() {
                    marks.see(&format!("{name}/{inside}/"));
                    marks.see(&format!("{name}/{inside}"));
                }
            }
        }
        marks
    }

    /// What the archive at `path` is, if it is one of those. `docker` is its `manifest.json`.
    pub(super) fn recognised(&self, path: &Path, docker: Option<&[u8]>) -> Option<ArchiveError> {
        let (file, archive) = (given(path), path.display());
        let folder = path.is_dir();
        let (what, hint) = if self.zarf {
            (
                "a Zarf package",
                format!(
                    "its images are an OCI layout inside: tar --zstd -xf {file} images && bundle import images -d REGISTRY"
                ),
            )
        } else if self.imgpkg {
            ("an imgpkg tar", format!("push it with: imgpkg copy --tar {file} --to-repo REGISTRY/REPOSITORY"))
        } else if self.oc_mirror {
            (
                "an archive of oc-mirror",
                "replay it with: oc-mirror -c CONFIG --from file://FOLDER docker://REGISTRY --v2".to_owned(),
            )
        } else if self.registry {
            (
                "the storage of a registry",
                "run a registry on it, and export from there: bundle export CATALOG -o FILE.tar.zst"
                    .to_owned(),
            )
        } else if self.docker && folder && self.directory {
            (
                "a folder of skopeo's `dir:` transport",
                format!("convert it with: skopeo copy --preserve-digests dir:{file} oci:FOLDER:NAME"),
            )
        } else if self.docker {
            ("an archive of `docker save` without an OCI layout", of_docker(&file, docker))
        } else if self.repositories {
            (
                "an archive of `docker save` before Docker 1.10",
                "load it into docker, and save or push it from there".to_owned(),
            )
        } else if self.chart {
            (
                "a packed Helm chart",
                format!("carry it in a bundle: bundle export --add {file} -o FILE.tar.zst"),
            )
        } else {
            let nested = self.nested.as_ref()?;
            let hint = if folder {
                "name that folder".to_owned()
            } else {
                "unpack it and name that folder, or pack the folder from inside: tar -C FOLDER -cf FILE.tar ."
                    .to_owned()
            };
            let what = format!("{archive} holds an OCI layout in its folder {nested}, and none at its top");
            return Some(ArchiveError::OtherFormat { what, hint });
        };
        Some(ArchiveError::OtherFormat { what: format!("{archive} is {what}"), hint })
    }
}

/// A compression that is not read, by how the file at `path` begins.
pub(super) fn compressed(path: &Path, start: &[u8]) -> Option<ArchiveError> {
    let (what, command) = compression::unread(start)?;
    let (file, archive) = (given(path), path.display());
    let hint = if matches!(what, "zip" | "7z") {
        format!("unpack it, and name the folder: {command} {file}")
    } else {
        format!("decompress it first: {command} {file}")
    };
    let what = format!("{archive} is compressed with {what}; gzip and zstd are read");
    Some(ArchiveError::OtherFormat { what, hint })
}

/// How to convert what `docker save` wrote: the names in it are only shown where they are references.
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

/// The archive as it is typed in a command.
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
        match marks.recognised(Path::new("a b.tar"), docker) {
            Some(ArchiveError::OtherFormat { what, hint }) => Some((what, hint)),
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
            (&["repositories", "x/VERSION"], "before Docker 1.10", "load it"),
            (&["shop/Chart.yaml", "shop/values.yaml"], "Helm chart", "--add"),
            (&["x/oci-layout", "x/index.json"], "in its folder \"x\"", "tar -C FOLDER"),
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
