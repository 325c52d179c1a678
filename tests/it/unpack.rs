//! `bundle unpack`: the content of a bundle in a folder, a plain tar or a stream, which import takes back.

use std::io::Read;
use std::path::Path;

use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, artifact, image, multi_platform};

/// `full.tar.zst`, and its images; the source does not have them any more.
fn full() -> (Gap, Vec<(&'static str, TestImage)>) {
    let mut gap = Gap::new();
    let large = ImageSpec::new(1).layer(Layer::gzip(1, 9 << 20)).layer(Layer::tar(2, 900_000)).build();
    let images = vec![("a/large", large), ("c/multi", multi_platform(6)), ("d/small", image(3))];
    for (repository, image) in &images {
        gap.image(repository, "1", image);
    }
    gap.source.put_untagged("c/multi", &artifact(&images[1].1, "application/spdx+json", b"an SBOM"));
    gap.export(&["-o", "full.tar.zst"]);
    gap.source.forget();
    (gap, images)
}

/// Everything in the folder, hidden or not.
fn names(gap: &Gap) -> Vec<String> {
    let entries = std::fs::read_dir(gap.path(".")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn unpack(gap: &Gap, arguments: &[&str]) -> String {
    let ran = gap.cli.run(&[&["unpack"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.shown());
    ran.stdout
}

/// Fails with this code and text, and leaves nothing.
fn refused(gap: &Gap, arguments: &[&str], code: i32, text: &str) {
    let before = names(gap);
    let ran = gap.cli.run(&[&["unpack"], arguments].concat());
    assert_eq!(ran.code, code, "{arguments:?}: {}", ran.shown());
    assert!(ran.stderr.contains(text), "{arguments:?}: {}", ran.shown());
    assert_eq!(names(gap), before, "{arguments:?}");
}

fn arrives(gap: &Gap, name: &str, prefix: &str, images: &[(&str, TestImage)]) {
    let destination = format!("{}/{prefix}", gap.destination.host());
    let values = format!("{prefix}.yaml");
    let ran = gap.cli.run(&["import", name, "-d", &destination, "--values", &values]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    for (repository, image) in images {
        assert_whole(&gap.destination, &format!("{prefix}/{repository}"), "1", image);
    }
}

#[test]
fn every_form_has_the_same_content_and_imports_again() {
    let (gap, images) = full();
    let mut plain = Vec::new();
    zstd::Decoder::new(&gap.read("full.tar.zst")[..]).unwrap().read_to_end(&mut plain).unwrap();
    unpack(&gap, &["full.tar.zst", "-o", "full.tar"]);
    assert!(gap.read("full.tar") == plain);
    unpack(&gap, &["full.tar.zst", "-o", "layout"]);
    let mut members = 0;
    for entry in tar::Archive::new(&plain[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let name = format!("layout/{}", entry.path().unwrap().display());
        assert!(gap.read(&name) == content, "{name}");
        members += 1;
    }
    assert!(members > 15, "{members}");
    let streamed = gap.cli.command(&["unpack", "full.tar.zst", "-o", "-"]).output().unwrap().stdout;
    assert!(streamed == plain);
    let id = |name: &str| {
        let ran = gap.cli.run(&["inspect", name, "--format", "json"]);
        serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap()["id"].clone()
    };
    for name in ["full.tar", "layout"] {
        assert_eq!(id(name), id("full.tar.zst"));
        arrives(&gap, name, &name.replace('.', "-"), &images);
    }
    let destination = format!("{}/stream", gap.destination.host());
    let ran = gap.fed(&["import", "-", "-d", &destination, "--values", "s.yaml"], &streamed);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_whole(&gap.destination, "stream/a/large", "1", &images[0].1);
    // What was unpacked can be packed again, into the same bytes.
    let ran = gap.cli.run(&["repack", "layout", "-o", "again.tar.zst"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(gap.read("again.tar.zst") == gap.read("full.tar.zst"));
}

#[test]
fn a_part_of_a_bundle_is_a_bundle() {
    let (gap, images) = full();
    unpack(&gap, &["full.tar.zst", "-o", "part", "--only", "*/c/multi*"]);
    arrives(&gap, "part", "part", &images[1..2]);
    let ran = gap.cli.run(&["verify", "part"]);
    assert!(ran.code == 0 && ran.stdout.contains("whole: 1 image"), "{}", ran.shown());
    unpack(&gap, &["full.tar.zst", "-o", "one.tar", "--platform", "linux/arm64", "--only", "*/c/multi*"]);
    let ran = gap.cli.run(&["inspect", "one.tar"]);
    assert!(ran.stdout.contains("linux/arm64") && !ran.stdout.contains("linux/amd64"), "{}", ran.shown());
}

#[test]
fn damage_leaves_nothing_behind() {
    let (gap, _) = full();
    let mut bytes = gap.read("full.tar.zst");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(gap.path("damaged.tar.zst"), &bytes).unwrap();
    std::fs::write(gap.path("cut.tar.zst"), &bytes[..middle]).unwrap();
    for output in ["new", "new.tar"] {
        refused(&gap, &["damaged.tar.zst", "-o", output], 3, "has another digest");
        refused(&gap, &["cut.tar.zst", "-o", output], 3, "is cut short");
    }
    // A stream is left without its end, and import notices.
    let output = gap.cli.command(&["unpack", "damaged.tar.zst", "-o", "-"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let destination = format!("{}/cut", gap.destination.host());
    let ran = gap.fed(&["import", "-", "-d", &destination], &output.stdout);
    assert_eq!(ran.code, 3, "{}", ran.shown());
}

#[test]
fn nothing_is_replaced_by_mistake() {
    let (gap, _) = full();
    std::fs::write(gap.path("there.tar"), "mine").unwrap();
    std::fs::create_dir_all(gap.path("empty")).unwrap();
    std::fs::create_dir_all(gap.path("used/mine")).unwrap();
    refused(&gap, &["full.tar.zst", "-o", "there.tar"], 1, "there.tar exists");
    refused(&gap, &["full.tar.zst", "-o", "used"], 1, "used is not empty");
    refused(&gap, &["full.tar.zst", "-o", "full.tar.zst"], 2, "are the same file");
    refused(&gap, &["full.tar.zst", "-o", "x.tgz"], 2, "only a folder, or a plain .tar");
    refused(&gap, &["full.tar.zst", "-o", "missing/x"], 1, "the folder missing does not exist");
    std::fs::write(gap.path("file"), "mine").unwrap();
    refused(&gap, &["full.tar.zst", "-o", "file"], 2, "file is a file");
    unpack(&gap, &["full.tar.zst", "-o", "there.tar", "--force"]);
    unpack(&gap, &["full.tar.zst", "-o", "empty"]);
    assert_eq!(gap.cli.run(&["verify", "empty"]).code, 0);
}

#[test]
fn a_disk_that_is_full_is_the_reason() {
    let (gap, _) = full();
    let before = names(&gap);
    for output in ["new", "new.tar"] {
        // No file may be longer than half a MiB.
        let script = format!("trap '' XFSZ; ulimit -f 1024; exec $0 unpack full.tar.zst -o {output}");
        let mut shell = gap.cli.environment_of(Path::new("sh"));
        let ran = Ran::of(&shell.args(["-c", &script, env!("CARGO_BIN_EXE_bundle")]).output().unwrap());
        assert_eq!(ran.code, 6, "{}", ran.shown());
        assert!(ran.stderr.contains("File too large"), "{}", ran.shown());
        assert_eq!(names(&gap), before);
    }
}

#[test]
fn a_delta_is_unpacked_with_its_base() {
    let mut gap = Gap::new();
    let base = Layer::gzip(1, 300_000);
    let mut made = crate::support::images::sharing([2, 3], &base).into_iter();
    let (old, new) = (made.next().unwrap(), made.next().unwrap());
    gap.image("team/app", "1", &old).export(&["-o", "old.tar.zst"]);
    gap.source.put_image("team/app", "1", &new);
    gap.export(&["-o", "delta.tar.zst", "--base", "old.tar.zst"]);
    refused(&gap, &["delta.tar.zst", "-o", "layout"], 1, "only in its base");
    unpack(&gap, &["delta.tar.zst", "--fill-from", "old.tar.zst", "-o", "layout"]);
    arrives(&gap, "layout", "layout", &[("team/app", new)]);
}
