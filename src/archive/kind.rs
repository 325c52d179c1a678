//! What an archive is that stands where a text was expected: by its first bytes, and by the names in it.

use std::io::{BufRead, Read};
use std::path::Path;

use super::compression::{Packing, content_of, unread};
use super::foreign_tar::Members;

/// As much of the content is read, in bytes, and as many names.
const MAX_READ: u64 = 64 << 20;
const MAX_NAMES: usize = 1000;
/// Where a tar says that it is one.
const USTAR: std::ops::Range<usize> = 257..262;

/// What wrote an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    /// A bundle of this program.
    Bundle,
    /// Images, as `docker save` and OCI tools write them.
    Images,
    Zarf,
    Imgpkg,
    OcMirror,
    /// A packed Helm chart.
    Chart,
    /// A chart with its images, as `dt wrap` packs them.
    WrappedChart,
    /// None of these.
    Other,
}

/// As many bytes of a file as [`is_archive`] looks at.
pub const ARCHIVE_HEAD: usize = 512;

/// Whether a file that begins with `head` is a tar, or compressed.
pub fn is_archive(head: &[u8]) -> bool {
    Packing::of(head) != Packing::Plain || unread(head).is_some() || head.get(USTAR) == Some(b"ustar")
}

impl ArchiveKind {
    /// What is in `input`, as far as it can be read; `path` is for nothing but messages of the reader.
    pub fn of(input: impl BufRead + Send + 'static, path: &Path) -> Self {
        let Ok((reader, _)) = content_of(input, path) else { return Self::Other };
        let mut members = Members::new(reader.take(MAX_READ), path);
        let (mut kind, mut has_checksums) = (Self::Other, false);
        for _ in 0..MAX_NAMES {
            let Ok(Some(member)) = members.next() else { break };
            has_checksums |= member.name == "checksums.txt";
            match Self::by(&member.name) {
                // Others have members of this name too, so what comes later may say more.
                Self::Images | Self::Other if has_checksums && member.name.starts_with("components/") => {
                    return Self::Zarf;
                }
                Self::Images => kind = Self::Images,
                Self::Other => {}
                certain => return certain,
            }
        }
        kind
    }

    fn by(name: &str) -> Self {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let of_oc_mirror = ["docker/registry/", "docker/v2/", "working-dir/", "publish/"];
        match (folder, file) {
            ("", "bundle.json") => Self::Bundle,
            ("", "zarf.yaml") => Self::Zarf,
            ("", layer) if layer.starts_with("sha256-") && layer.ends_with(".tar.gz") => Self::Imgpkg,
            _ if of_oc_mirror.iter().any(|start| name.starts_with(start)) => Self::OcMirror,
            (_, "Images.lock") => Self::WrappedChart,
            (chart, "Chart.yaml") if !chart.is_empty() && !chart.contains('/') => Self::Chart,
            ("", "manifest.json" | "index.json" | "oci-layout" | "repositories") | (_, "layer.tar") => {
                Self::Images
            }
            (blobs, _) if blobs.starts_with("blobs/") => Self::Images,
            _ => Self::Other,
        }
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
        for (names, kind) in [
            (&["bundle.json", "blobs/sha256/aa"][..], ArchiveKind::Bundle),
            (&["blobs/sha256/aa", "index.json", "manifest.json"], ArchiveKind::Images),
            (&["aa/VERSION", "aa/layer.tar", "manifest.json"], ArchiveKind::Images),
            (&["checksums.txt", "components/a.tar", "images/index.json", "zarf.yaml"], ArchiveKind::Zarf),
            (&["manifest.json", "sha256-aa.tar.gz"], ArchiveKind::Imgpkg),
            (&["docker/registry/v2/repositories/x/link"], ArchiveKind::OcMirror),
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
