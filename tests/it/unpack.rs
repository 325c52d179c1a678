//! `bundle unpack`: the content of a bundle in a folder, a plain tar or a stream, which import takes back.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;

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
    // What a mount, a mode or an owner made of an empty folder must not be lost either.
    refused(&gap, &["full.tar.zst", "-o", "used"], 1, "used exists");
    refused(&gap, &["full.tar.zst", "-o", "empty"], 1, "empty exists");
    refused(&gap, &["full.tar.zst", "-o", "."], 1, ". exists");
    std::os::unix::fs::symlink("nowhere", gap.path("link")).unwrap();
    std::os::unix::fs::symlink("nowhere.tar", gap.path("link.tar")).unwrap();
    for link in ["link", "link.tar"] {
        refused(&gap, &["full.tar.zst", "-o", link, "--force"], 1, "is a link");
    }
    std::fs::create_dir_all(gap.path("dir.tar")).unwrap();
    refused(&gap, &["full.tar.zst", "-o", "dir.tar"], 1, "dir.tar is a folder");
    refused(&gap, &["full.tar.zst", "-o", "full.tar.zst"], 2, "are the same file");
    refused(&gap, &["full.tar.zst", "-o", "x.tgz"], 2, "only a folder, or a plain .tar");
    refused(&gap, &["full.tar.zst", "-o", "missing/x"], 1, "the folder missing does not exist");
    std::fs::write(gap.path("file"), "mine").unwrap();
    refused(&gap, &["full.tar.zst", "-o", "file"], 1, "file is a file");
    unpack(&gap, &["full.tar.zst", "-o", "there.tar", "--force"]);
    // A folder must have exactly the files of the bundle, also afterwards.
    unpack(&gap, &["full.tar.zst", "-o", "layout"]);
    refused(&gap, &["layout", "-o", "layout/inside"], 2, "the output is inside the bundle");
    refused(&gap, &["full.tar.zst", "-o", "new", "--report", "new/report.json"], 2, "the report is inside");
    assert_eq!(gap.cli.run(&["verify", "layout"]).code, 0);
    refused(&gap, &["-", "-o", "new"], 2, "cannot read from stdin");
    refused(&gap, &["https://example.com/x.tar.zst", "-o", "new"], 2, "reads files");
    refused(&gap, &["full.tar.zst", "-o", "-", "--format", "json"], 2, "stdout is taken");
}

#[test]
fn a_run_that_fails_early_has_a_report_too() {
    let (gap, _) = full();
    let host = gap.destination.host();
    std::fs::write(gap.path("tiny.tar.zst"), "not a bundle").unwrap();
    for arguments in [
        &["unpack", "tiny.tar.zst", "-o", "new"][..],
        &["import", "tiny.tar.zst", "-d", &host],
        &["repack", "tiny.tar.zst", "-o", "new.tar.zst"],
        &["export", "missing.txt", "-o", "new.tar.zst"],
    ] {
        let ran = gap.cli.run(&[arguments, &["--report", "report.json"]].concat());
        assert_ne!(ran.code, 0, "{}", ran.shown());
        let report: serde_json::Value = serde_json::from_slice(&gap.read("report.json")).unwrap();
        assert_eq!(report["exitCode"], ran.code, "{arguments:?}");
        assert!(report["error"].is_string(), "{arguments:?}");
        std::fs::remove_file(gap.path("report.json")).unwrap();
    }
    // An input is never written over, not even with a report of that mistake.
    let ran = gap.cli.run(&["import", "tiny.tar.zst", "-d", &host, "--report", "tiny.tar.zst"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert_eq!(gap.read("tiny.tar.zst"), b"not a bundle");
}

#[test]
fn a_reader_that_does_not_read_cannot_keep_the_program() {
    let (gap, _) = full();
    for (verb, more) in [("unpack", &[][..]), ("repack", &["--no-sidecar"][..])] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let mut command = gap.cli.command(&[&[verb, "full.tar.zst", "-o", "-"], more].concat());
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            // It has written something, and the pipe is full long before the end.
            let mut first = [0; 1];
            child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
            let id = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(id, signal).unwrap();
            // Without anybody reading the pipe.
            let stdout = child.stdout.take();
            let output = child.wait_with_output().unwrap();
            drop(stdout);
            let ran = Ran::of(&output);
            assert_eq!(ran.code, code, "{verb}: {}", ran.shown());
            assert!(ran.stderr.contains("stopped; the stream is incomplete"), "{verb}: {}", ran.shown());
        }
    }
}

#[test]
fn signatures_go_with_the_content() {
    let (gap, images) = full();
    assert_eq!(gap.cli.run(&["keygen", "--no-passphrase", "-o", "site"]).code, 0);
    assert_eq!(gap.cli.run(&["sign", "full.tar.zst", "--key", "site.key"]).code, 0);
    for name in ["layout", "full.tar"] {
        let said = unpack(&gap, &["full.tar.zst", "-o", name]);
        assert!(said.contains(&format!("{name}.sig")), "{said}");
        let ran = gap.cli.run(&["verify", name, "--verify-key", "site.pub"]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
    }
    // A part of it is another bundle, which nobody has signed.
    unpack(&gap, &["full.tar.zst", "-o", "part", "--only", "*/d/small*"]);
    assert!(!gap.path("part.sig").exists());
    arrives(&gap, "part", "part", &images[2..]);
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
