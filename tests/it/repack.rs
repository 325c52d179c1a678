//! `bundle repack`: bundles made of bundles, without any registry, with the bytes that an export would have written.

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{
    ImageSpec, Layer, TestImage, artifact, image, multi_platform, sharing, signature,
};

/// A bundle with everything that a bundle can have: `full.tar.zst`.
fn full() -> (Gap, Vec<(&'static str, TestImage)>) {
    let mut gap = Gap::new();
    let base = Layer::gzip(1, 300_000);
    let mut shared = sharing([2, 3], &base).into_iter();
    let (one, two) = (shared.next().unwrap(), shared.next().unwrap());
    let raw = ImageSpec::new(4).layer(Layer::tar(5, 900_000)).docker().build();
    let images = vec![("a/one", one), ("b/two", two), ("c/multi", multi_platform(6)), ("d/raw", raw)];
    for (repository, image) in &images {
        gap.image(repository, "1", image);
    }
    let (tag, signed) = signature(&images[0].1);
    gap.source.put_image("a/one", &tag, &signed);
    gap.source.put_untagged("c/multi", &artifact(&images[2].1, "application/spdx+json", b"an SBOM"));
    gap.export(&["-o", "full.tar.zst"]);
    gap.source.forget();
    (gap, images)
}

fn repack(gap: &Gap, arguments: &[&str]) -> String {
    let ran = gap.cli.run(&[&["repack"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.shown());
    ran.stdout
}

#[test]
fn the_same_images_give_the_same_bytes_in_any_volumes() {
    let (gap, _) = full();
    let full = gap.read("full.tar.zst");
    let said = repack(&gap, &["full.tar.zst", "-o", "same.tar.zst"]);
    assert!(!said.contains("downloaded"), "{said}");
    assert!(gap.read("same.tar.zst") == full);
    repack(&gap, &["full.tar.zst", "-o", "cut.tar.zst", "--volume-size", "200000"]);
    repack(&gap, &["cut.tar.zst.002", "-o", "other.tar.zst", "--volume-size", "150001"]);
    repack(&gap, &["other.tar.zst.volumes.json", "-o", "joined.tar.zst"]);
    assert!(gap.read("joined.tar.zst") == full);
    assert_eq!(gap.source.log().len(), 0, "a registry was asked");
}

#[test]
fn a_part_is_what_an_export_of_that_part_would_be() {
    let (gap, images) = full();
    repack(&gap, &["full.tar.zst", "--only", "*/c/multi*", "-o", "part.tar.zst"]);
    std::fs::write(gap.path("full.txt"), format!("{}/c/multi:1\n", gap.source.host())).unwrap();
    gap.cli.run(&["export", "full.txt", "-o", "exported.tar.zst"]);
    // The catalog's name is that of the list.
    let manifest = |name: &str| {
        let ran = gap.cli.run(&["inspect", name, "--format", "json"]);
        let mut value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        value["bundle"]["catalog"]["name"] = "".into();
        value["bundle"].clone()
    };
    assert_eq!(manifest("part.tar.zst"), manifest("exported.tar.zst"));
    gap.import("part.tar.zst", &[]);
    assert_whole(&gap.destination, "c/multi", "1", &images[2].1);
    assert_eq!(gap.destination.count("PUT", "/a/one/"), 0);
    let ran = gap.cli.run(&["repack", "full.tar.zst", "--only", "*/kafka*", "-o", "none.tar.zst"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
}

#[test]
fn platforms_are_left_out_and_signatures_too() {
    let (gap, images) = full();
    repack(&gap, &["full.tar.zst", "--platform", "linux/arm64", "--only", "*/c/multi*", "-o", "arm.tar.zst"]);
    gap.import("arm.tar.zst", &[]);
    let index = gap.destination.manifest("c/multi", "1").unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index.bytes).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    repack(&gap, &["full.tar.zst", "--only", "*/a/one*", "--with", "none", "-o", "bare.tar.zst"]);
    gap.destination.forget();
    gap.import("bare.tar.zst", &[]);
    assert_whole(&gap.destination, "a/one", "1", &images[0].1);
    assert_eq!(gap.destination.count("PUT", ".sig"), 0);
}

#[test]
fn several_become_one_with_their_layers_shared() {
    let (gap, images) = full();
    repack(&gap, &["full.tar.zst", "--only", "*/a/one*", "-o", "one.tar.zst"]);
    repack(&gap, &["full.tar.zst", "--only", "*/b/two*", "--only", "*/a/one*", "-o", "two.tar.zst"]);
    repack(&gap, &["one.tar.zst", "two.tar.zst", "-o", "both.tar.zst"]);
    let (one, both) = (gap.read("one.tar.zst").len(), gap.read("both.tar.zst").len());
    assert!(both < one + 100_000, "the base is there twice: {one} {both}");
    gap.import("both.tar.zst", &[]);
    assert_whole(&gap.destination, "a/one", "1", &images[0].1);
    assert_whole(&gap.destination, "b/two", "1", &images[1].1);
    let (tag, signed) = signature(&images[0].1);
    assert_whole(&gap.destination, "a/one", &tag, &signed);
}

#[test]
fn two_images_of_one_name_are_refused() {
    let mut gap = Gap::new();
    gap.image("a/one", "1", &image(1));
    gap.export(&["-o", "old.tar.zst"]);
    gap.source.put_image("a/one", "1", &image(2));
    gap.export(&["-o", "new.tar.zst"]);
    let ran = gap.cli.run(&["repack", "old.tar.zst", "new.tar.zst", "-o", "both.tar.zst"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("different images would get the same name"), "{}", ran.shown());
    assert!(!gap.files().iter().any(|name| name.starts_with("both")), "{:?}", gap.files());
}

#[test]
fn damage_is_found_on_the_way_and_nothing_gets_a_name() {
    let (gap, _) = full();
    let mut bytes = gap.read("full.tar.zst");
    // Inside the first layer: frames of the head are checked when the bundle is opened.
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(gap.path("bad.tar.zst"), bytes).unwrap();
    let ran = gap.cli.run(&["repack", "bad.tar.zst", "-o", "out.tar.zst"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("another digest") || ran.stderr.contains("checksum"), "{}", ran.shown());
    assert!(!gap.path("out.tar.zst").exists());
    // A whole one of the same images puts right what is wrong.
    repack(&gap, &["bad.tar.zst", "--fill-from", "full.tar.zst", "-o", "out.tar.zst"]);
    assert!(gap.read("out.tar.zst") == gap.read("full.tar.zst"));
}

#[test]
fn an_output_is_never_an_input() {
    let (gap, _) = full();
    let before = gap.read("full.tar.zst");
    for arguments in [
        &["repack", "full.tar.zst", "-o", "full.tar.zst", "--force"][..],
        &["repack", "full.tar.zst"],
        &["repack", "full.tar.zst", "-o", "-", "--volume-size", "1M"],
    ] {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 2, "{}", ran.shown());
    }
    assert!(gap.read("full.tar.zst") == before);
}

#[test]
fn a_stream_of_it_is_the_file() {
    let (gap, _) = full();
    let output = gap.cli.command(&["repack", "full.tar.zst", "-o", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == gap.read("full.tar.zst"));
}
