//! Archives as other people pack them: bundles packed again, layouts of other tools, and what else is handed over.

use std::io::Write as _;
use std::path::Path;

use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage};
use crate::support::rebuilt::members;

mod bundle;
mod ends;
mod frames;
mod names;
mod platforms;
mod tools;
mod verified;

/// One member as it stands in a tar, whatever tar libraries think of it.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    kind: tar::EntryType,
    content: Vec<u8>,
}

impl Entry {
    fn file(name: &str, content: &[u8]) -> Self {
        Self { name: name.to_owned(), kind: tar::EntryType::Regular, content: content.to_vec() }
    }

    fn of_kind(name: &str, kind: tar::EntryType) -> Self {
        Self { name: name.to_owned(), kind, content: Vec::new() }
    }

    fn header(&self) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..self.name.len()].copy_from_slice(self.name.as_bytes());
        header.set_entry_type(self.kind);
        header.set_size(self.content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        header
    }
}

/// A tar of these members, without the end-of-archive marker.
fn open_tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(entry.header().as_bytes());
        bytes.extend_from_slice(&entry.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = open_tar(entries);
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A small image in `out.tar.zst`, and the members of that.
fn exported() -> (Gap, TestImage, Vec<Entry>) {
    let mut gap = Gap::new();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 9_000)).layer(Layer::tar(2, 3_000)).build();
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst"]);
    let members = members(&gap.read("out.tar.zst"));
    let entries = members.iter().map(|(name, content)| Entry::file(name, content)).collect();
    (gap, image, entries)
}

/// What another tool would have made of it.
fn foreign(entries: &[Entry]) -> Vec<Entry> {
    let own = ["bundle.json", "SHA256SUMS", "manifest.json"];
    entries.iter().filter(|entry| !own.contains(&entry.name.as_str())).cloned().collect()
}

fn position(entries: &[Entry], name: &str) -> usize {
    entries.iter().position(|entry| entry.name == name).unwrap()
}

/// Writes a folder of these files in the place of what was there.
fn unpacked(entries: &[Entry], folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    for entry in entries {
        let path = folder.join(&entry.name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &entry.content).unwrap();
    }
}

/// Imports a tar in each container, and gives the outcome of each by its name.
fn in_each_container(gap: &Gap, tar: &[u8], arguments: &[&str]) -> Vec<(&'static str, Ran)> {
    let forms = [("x.tar", tar.to_vec()), ("x.tar.gz", gzip(tar)), ("x.tar.zst", zst(tar))];
    let mut outcomes = Vec::new();
    for (name, bytes) in forms {
        std::fs::write(gap.path(name), bytes).unwrap();
        outcomes.push((name, gap.try_import(name, &[&["--force"], arguments].concat())));
    }
    outcomes.push(("pipe", piped(gap, tar, arguments)));
    outcomes
}

fn piped(gap: &Gap, input: &[u8], arguments: &[&str]) -> Ran {
    let destination = gap.destination.host();
    gap.fed(&[&["import", "-", "-d", &destination, "--force"], arguments].concat(), input)
}

/// Refused as damaged or wrong, with these words, and not one tag has moved.
fn assert_refused(gap: &Gap, what: &str, ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code, code, "{what}: {}", ran.shown());
    for says in says {
        assert!(ran.stderr.contains(says), "{what}: {says:?} in {}", ran.shown());
    }
    assert!(ran.stderr.len() < 4_000, "{what}: {}", ran.shown());
    assert!(gap.destination.manifest("team/app", "1").is_none(), "{what}: the tag is there");
}

fn assert_arrived(gap: &Gap, what: &str, ran: &Ran, image: &TestImage) {
    assert_eq!(ran.code, 0, "{what}: {}", ran.shown());
    assert_whole(&gap.destination, "team/app", "1", image);
}
