//! Recognises an unexpected archive or folder by its first bytes and by the names in it.

use std::fmt;
use std::io::{BufRead, Read};
use std::path::Path;

use super::compression::{Packing, content_of, unread};
use super::foreign_tar::Members;
use super::tar_header::shown;

/// Maximum amount of content that is read, in bytes, and maximum number of names.
const MAX_READ: u64 = 64 << 20;
const MAX_NAMES: usize = 1000;
/// Maximum number of entries of a folder that are checked.
const MAX_ENTRIES: usize = 1000;
/// Offset and value of the magic bytes of a tar.
const USTAR: std::ops::Range<usize> = 257..262;

/// The tool or format of an archive or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// A bundle of this program.
    Bundle,
    /// An OCI layout, or a part of one.
    Layout,
    /// `docker save` before Docker 25; skopeo and other tools write it too.
    DockerSave,
    /// `docker save` before Docker 1.10.
    OldDockerSave,
    /// A folder of skopeo's `dir:` transport.
    SkopeoFolder,
    Zarf,
    Imgpkg,
    OcMirror,
    /// The folder in which a registry stores its images.
    RegistryStorage,
    /// The folder of `bundle serve --dir`.
    ServedFolder,
    /// A packed Helm chart.
    Chart,
    /// A chart with its images, as `dt wrap` packs them.
    WrappedChart,
    /// None of these.
    Other,
}

impl fmt::Display for ArchiveKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bundle => "a bundle",
            Self::Layout => "an OCI layout",
            Self::DockerSave => "an archive of `docker save` without an OCI layout",
            Self::OldDockerSave => "an archive of `docker save` before Docker 1.10",
            Self::SkopeoFolder => "a folder of skopeo's `dir:` transport",
            Self::Zarf => "a Zarf package",
            Self::Imgpkg => "an imgpkg tar",
            Self::OcMirror => "an archive of oc-mirror",
            Self::RegistryStorage => "the storage of a registry",
            Self::ServedFolder => "the folder of a registry of `bundle serve --dir`",
            Self::Chart => "a packed Helm chart",
            Self::WrappedChart => "a chart with its images, as dt wraps them",
            Self::Other => "an archive, or compressed",
        })
    }
}

/// The marks found among the names of members.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own")]
pub(in crate::archive) struct Marks {
    bundle: bool,
    layout: bool,
    blobs: bool,
    docker: bool,
    repositories: bool,
    imgpkg: bool,
    zarf: bool,
    checksums: bool,
    components: bool,
    oc_mirror: bool,
    registry: bool,
    served: bool,
    directory: bool,
    chart: bool,
    wrapped: bool,
    /// A folder in it that contains a layout.
    pub(in crate::archive) nested: Option<String>,
}

impl Marks {
    /// Records the name of a member.
    pub(in crate::archive) fn see(&mut self, name: &str) {
        let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let layer = name.strip_prefix("sha256-").and_then(|rest| rest.strip_suffix(".tar.gz"));
        match name {
            "bundle.json" => self.bundle = true,
            "bundle-registry" => self.served = true,
            "index.json" | "oci-layout" => self.layout = true,
            "manifest.json" => self.docker = true,
            "repositories" => self.repositories = true,
            "zarf.yaml" => self.zarf = true,
            "checksums.txt" => self.checksums = true,
            "version" => self.directory = true,
            _ if layer.is_some_and(is_hex) => self.imgpkg = true,
            _ if ["isc_", "working-dir/", "publish/"].iter().any(|start| name.starts_with(start)) => {
                self.oc_mirror = true;
            }
            _ if name.starts_with("docker/registry/") || name.starts_with("docker/v2/") => {
                self.registry = true;
            }
            _ if name.starts_with("blobs/") => self.blobs = true,
            _ if name.starts_with("components/") => self.components = true,
            _ => match name.split_once('/') {
                Some((_, "Chart.yaml")) => self.chart = true,
                Some((_, file)) if file.rsplit('/').next() == Some("Images.lock") => self.wrapped = true,
                Some((_, "layer.tar")) => self.docker = true,
                Some((folder, "oci-layout")) if self.nested.is_none() => {
                    self.nested = Some(shown(folder.as_bytes()));
                }
                _ => {}
            },
        }
    }

    /// The marks of a folder.
    pub(in crate::archive) fn of_folder(folder: &Path) -> Self {
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

    /// A kind that is certain, whatever members follow.
    fn certain(&self) -> Option<ArchiveKind> {
        // Other tools also write members named `checksums.txt`.
        if self.zarf || (self.checksums && self.components) {
            Some(ArchiveKind::Zarf)
        } else if self.bundle {
            Some(ArchiveKind::Bundle)
        } else if self.imgpkg {
            Some(ArchiveKind::Imgpkg)
        } else if self.oc_mirror {
            Some(ArchiveKind::OcMirror)
        } else {
            self.wrapped.then_some(ArchiveKind::WrappedChart)
        }
    }

    /// The kind that follows from all marks.
    fn kind(&self) -> ArchiveKind {
        match self.certain() {
            None if self.layout && !self.registry => ArchiveKind::Layout,
            _ => self.without_layout(false),
        }
    }

    /// Like `kind`, for something that cannot be read as a layout; a folder may have kinds that an archive cannot.
    pub(in crate::archive) fn without_layout(&self, is_folder: bool) -> ArchiveKind {
        match self.certain() {
            Some(kind) => kind,
            None if self.registry => ArchiveKind::RegistryStorage,
            None if self.served && is_folder => ArchiveKind::ServedFolder,
            None if self.docker && is_folder && self.directory => ArchiveKind::SkopeoFolder,
            None if self.docker => ArchiveKind::DockerSave,
            None if self.repositories => ArchiveKind::OldDockerSave,
            None if self.chart => ArchiveKind::Chart,
            None if self.blobs => ArchiveKind::Layout,
            None => ArchiveKind::Other,
        }
    }
}

/// Number of bytes of a file that [`is_archive`] needs.
pub const ARCHIVE_HEAD: usize = 512;

/// Whether a file that begins with `head` is a tar, or compressed.
pub fn is_archive(head: &[u8]) -> bool {
    Packing::of(head) != Packing::Plain || unread(head).is_some() || head.get(USTAR) == Some(b"ustar")
}

impl ArchiveKind {
    /// The kind of `input`, as far as it can be read; `path` is only used in messages.
    pub fn of(input: impl BufRead + Send + 'static, path: &Path) -> Self {
        let Ok((reader, _)) = content_of(input, path) else { return Self::Other };
        let mut members = Members::new(reader.take(MAX_READ), path);
        let mut marks = Marks::default();
        for _ in 0..MAX_NAMES {
            let Ok(Some(member)) = members.next() else { break };
            marks.see(&member.name);
            if let Some(certain) = marks.certain() {
                return certain;
            }
        }
        marks.kind()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn tar(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn archives_are_known_by_the_names_in_them() {
        let imgpkg = format!("sha256-{}.tar.gz", "0a".repeat(32));
        for (names, kind) in [
            (&["bundle.json", "blobs/sha256/aa"][..], ArchiveKind::Bundle),
            (&["blobs/sha256/aa", "index.json", "manifest.json"], ArchiveKind::Layout),
            (&["aa/VERSION", "aa/layer.tar", "manifest.json"], ArchiveKind::DockerSave),
            (&["checksums.txt", "components/a.tar", "images/index.json", "zarf.yaml"], ArchiveKind::Zarf),
            (&["checksums.txt", "components/a.tar"], ArchiveKind::Zarf),
            (&["manifest.json", &imgpkg], ArchiveKind::Imgpkg),
            (&["docker/registry/v2/repositories/x/link"], ArchiveKind::RegistryStorage),
            (&["docker/registry/v2/repositories/x/link", "isc_2026"], ArchiveKind::OcMirror),
            (&["publish/.metadata.json"], ArchiveKind::OcMirror),
            (&["shop/Chart.yaml"], ArchiveKind::Chart),
            (&["shop-1.0/chart/values.yaml", "shop-1.0/chart/Images.lock"], ArchiveKind::WrappedChart),
            (&["x.txt"], ArchiveKind::Other),
        ] {
            let bytes = tar(names);
            assert!(is_archive(&bytes), "{names:?}");
            let packed = zstd::encode_all(&bytes[..], 1).unwrap();
            assert!(is_archive(&packed), "{names:?}");
            // As pzstd begins.
            let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &packed].concat();
            assert!(is_archive(&skippable), "{names:?}");
            for bytes in [bytes, packed, skippable] {
                assert_eq!(ArchiveKind::of(Cursor::new(bytes), Path::new("x")), kind, "{names:?}");
            }
        }
        let cut = tar(&["bundle.json"])[..600].to_vec();
        assert_eq!(ArchiveKind::of(Cursor::new(cut), Path::new("x")), ArchiveKind::Bundle);
        assert_eq!(ArchiveKind::of(Cursor::new(b"PK\x03\x04".to_vec()), Path::new("x")), ArchiveKind::Other);
        assert!(!is_archive(b"images:\n- nginx\n") && !is_archive(b""));
    }
}
