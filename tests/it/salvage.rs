//! `import --salvage`: whole images arrive, the rest is requested, and the answer completes it.

use std::ops::Range;

use airgap_bundle::image::Digest;
use serde_json::Value;

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, signature};

/// Three images in `out.tar.zst`, a layer each that nothing else has; the first two share one; the last is compressed.
fn three() -> (Gap, Vec<(&'static str, TestImage)>) {
    let mut gap = Gap::new();
    let shared = Layer::gzip(1, 50_000);
    let one = ImageSpec::new(1).layer(shared.clone()).layer(Layer::gzip(10, 200_000)).build();
    let two = ImageSpec::new(2).layer(shared).layer(Layer::gzip(20, 200_000)).build();
    let raw = ImageSpec::new(3).layer(Layer::tar(30, 400_000)).build();
    let images = vec![("a/one", one), ("b/two", two), ("c/raw", raw)];
    for (repository, image) in &images {
        gap.image(repository, "1", image);
    }
    let (tag, signed) = signature(&images[1].1);
    gap.source.put_image("b/two", &tag, &signed);
    gap.export(&["-o", "out.tar.zst"]);
    (gap, images)
}

/// Where the content of `digest` is in the file, which must have it as it is.
fn place(file: &[u8], content: &[u8]) -> Range<usize> {
    let start = file.windows(64).position(|window| window == &content[..64]).unwrap();
    start..start + content.len()
}

fn request(gap: &Gap) -> (String, Value) {
    let name = gap.files().into_iter().find(|name| name.contains(".request-")).expect("no request");
    let value = serde_json::from_slice(&gap.read(&name)).unwrap();
    (name, value)
}

fn names(value: &Value) -> Vec<String> {
    let images = value["images"].as_array().unwrap();
    images
        .iter()
        .map(|image| image["name"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned())
        .collect()
}

fn assert_all(gap: &Gap, images: &[(&'static str, TestImage)]) {
    for (repository, image) in images {
        assert_whole(&gap.destination, repository, "1", image);
    }
    let (tag, signed) = signature(&images[1].1);
    assert_whole(&gap.destination, "b/two", &tag, &signed);
}

/// Exports what `name` asks for, and imports that: then everything is there.
fn made_good(gap: &Gap, images: &[(&'static str, TestImage)], name: &str) {
    gap.source.forget();
    let ran = gap.cli.run(&["export", "--request", name]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let delta =
        gap.files().into_iter().find(|name| name.contains(".delta-") && !name.contains(".sha256")).unwrap();
    let ran = gap.import(&delta, &[]);
    assert!(ran.stdout.contains("uploaded"), "{}", ran.shown());
    assert_all(gap, images);
}

#[test]
fn a_damaged_layer_costs_its_image_and_is_asked_for() {
    let (gap, images) = three();
    let layer = Layer::gzip(20, 200_000).bytes;
    let mut file = gap.read("out.tar.zst");
    let at = place(&file, &layer).start + 5_000;
    file[at] ^= 1;
    std::fs::write(gap.path("out.tar.zst"), file).unwrap();
    let ran = gap.try_import("out.tar.zst", &["--salvage"]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    assert!(ran.stderr.contains("bundle export --request out.request-"), "{}", ran.shown());
    assert_whole(&gap.destination, "a/one", "1", &images[0].1);
    assert_whole(&gap.destination, "c/raw", "1", &images[2].1);
    assert!(gap.destination.manifest("b/two", "1").is_none());
    let (name, value) = request(&gap);
    assert_eq!(names(&value), ["two:1"]);
    assert_eq!(value["missing"], serde_json::json!([Digest::sha256(&layer).to_string()]));
    made_good(&gap, &images, &name);
    let fetched = gap.source.blob_gets();
    assert!(fetched.contains_key(&Digest::sha256(&layer)));
    let shared = Digest::sha256(&Layer::gzip(1, 50_000).bytes);
    assert!(!fetched.contains_key(&shared), "what arrived was carried again: {fetched:?}");
}

#[test]
fn of_a_file_that_was_cut_short_what_is_before_the_cut_arrives() {
    let (gap, images) = three();
    let file = gap.read("out.tar.zst");
    let cut = place(&file, &Layer::gzip(20, 200_000).bytes).start + 1000;
    std::fs::write(gap.path("out.tar.zst"), &file[..cut]).unwrap();
    let ran = gap.cli.run(&["verify", "out.tar.zst"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("/b/two:1") && !ran.stderr.contains("/a/one:1"), "{}", ran.shown());
    assert_eq!(gap.try_import("out.tar.zst", &[]).code, 3);
    let ran = gap.try_import("out.tar.zst", &["--salvage"]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    gap.snapshot("refusals", "salvage_of_a_cut_file", &gap.shown(&ran));
    assert_whole(&gap.destination, "a/one", "1", &images[0].1);
    let (name, value) = request(&gap);
    assert_eq!(names(&value), ["two:1", "raw:1"]);
    made_good(&gap, &images, &name);
}

#[test]
fn where_no_image_is_whole_nothing_is_suggested_that_was_tried() {
    let (gap, _) = three();
    let file = gap.read("out.tar.zst");
    let cut = place(&file, &Layer::gzip(1, 50_000).bytes).start;
    std::fs::write(gap.path("out.tar.zst"), &file[..cut]).unwrap();
    let ran = gap.try_import("out.tar.zst", &["--salvage"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("hint: no image of the bundle is intact"), "{}", ran.shown());
    assert!(!ran.stderr.contains("with --salvage"), "{}", ran.shown());
}

#[test]
fn a_lost_seek_table_costs_nothing() {
    let (gap, images) = three();
    let mut file = gap.read("out.tar.zst");
    file.truncate(file.len() - 20);
    std::fs::write(gap.path("out.tar.zst"), file).unwrap();
    let ran = gap.try_import("out.tar.zst", &["--salvage"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_all(&gap, &images);
    assert!(!gap.files().iter().any(|name| name.contains("request")), "{:?}", gap.files());
}

#[test]
fn without_its_head_nothing_can_be_told() {
    let (gap, _) = three();
    let mut file = gap.read("out.tar.zst");
    file[200] ^= 1;
    std::fs::write(gap.path("out.tar.zst"), file).unwrap();
    let ran = gap.try_import("out.tar.zst", &["--salvage"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert_eq!(gap.destination.count("PUT", ""), 0);
}

#[test]
fn a_missing_volume_costs_what_is_in_it() {
    for with_list in [true, false] {
        let (gap, images) = three();
        gap.export(&["-o", "vols.tar.zst", "--volume-size", "70000"]);
        // The first layer of all is shared by the first two; the second volume has the one of its own of the first.
        let layer = place(&gap.read("out.tar.zst"), &Layer::gzip(20, 200_000).bytes);
        let number = (layer.start + 100_000) / 70_000 + 1;
        std::fs::remove_file(gap.path(&format!("vols.tar.zst.{number:03}"))).unwrap();
        if !with_list {
            std::fs::remove_file(gap.path("vols.tar.zst.volumes.json")).unwrap();
        }
        assert_eq!(gap.try_import("vols.tar.zst", &[]).code, 3);
        let ran = gap.try_import("vols.tar.zst", &["--salvage"]);
        assert_eq!(ran.code, 7, "{}", ran.shown());
        assert!(ran.stderr.contains("is missing"), "{}", ran.shown());
        assert_whole(&gap.destination, "a/one", "1", &images[0].1);
        let (name, value) = request(&gap);
        assert_eq!(names(&value), ["two:1"]);
        made_good(&gap, &images, &name);
    }
}

#[test]
fn a_stream_that_ends_early_is_salvaged_too() {
    let (gap, images) = three();
    let file = gap.read("out.tar.zst");
    let cut = place(&file, &Layer::gzip(20, 200_000).bytes).start + 1000;
    let host = gap.destination.host();
    let ran = gap.fed(&["import", "-", "-d", &host, "--salvage"], &file[..cut]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    assert_whole(&gap.destination, "a/one", "1", &images[0].1);
    let (name, _) = request(&gap);
    made_good(&gap, &images, &name);
}

#[test]
fn what_came_again_makes_the_damaged_file_whole() {
    let (gap, _) = three();
    let whole = gap.read("out.tar.zst");
    let mut file = whole.clone();
    let at = place(&file, &Layer::gzip(20, 200_000).bytes).start + 5_000;
    file[at] ^= 1;
    std::fs::write(gap.path("out.tar.zst"), file).unwrap();
    gap.try_import("out.tar.zst", &["--salvage"]);
    let (name, _) = request(&gap);
    let run = |arguments: &[&str]| {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.shown());
    };
    run(&["export", "--request", &name, "-o", "again.tar.zst"]);
    run(&["repack", "out.tar.zst", "--fill-from", "again.tar.zst", "-o", "mended.tar.zst"]);
    assert!(gap.read("mended.tar.zst") == whole);
}

#[test]
fn a_request_of_something_else_is_refused() {
    let (gap, _) = three();
    for text in ["", "{}", "[1]", r#"{"schemaVersion":1}"#] {
        std::fs::write(gap.path("request.json"), text).unwrap();
        let ran = gap.cli.run(&["export", "--request", "request.json"]);
        assert_eq!(ran.code, 2, "{}", ran.shown());
    }
    assert_eq!(gap.cli.run(&["export", "images.txt", "--request", "request.json"]).code, 2);
}

#[test]
fn a_request_is_held_against_what_is_known_on_this_side() {
    let (gap, _) = three();
    let layer = Layer::gzip(20, 200_000).bytes;
    let whole = gap.read("out.tar.zst");
    let mut file = whole.clone();
    let at = place(&file, &layer).start + 5_000;
    file[at] ^= 1;
    std::fs::write(gap.path("out.tar.zst"), file).unwrap();
    assert_eq!(gap.try_import("out.tar.zst", &["--salvage"]).code, 7);
    let (name, value) = request(&gap);
    std::fs::write(gap.path("whole.tar.zst"), whole).unwrap();
    let lists: [&[&str]; 3] = [&[], &["images.txt"], &["--base", "whole.tar.zst"]];
    let answer = |file: &str, beside: &[&str]| {
        gap.cli.run(&[&["export", "--request", file, "-o", "again.tar.zst", "--force"], beside].concat())
    };
    for beside in lists {
        let ran = answer(&name, beside);
        assert_eq!(ran.code, 0, "{beside:?}: {}", ran.shown());
        // Where nothing is named, its word is said to be all there is.
        let says = "the images of the request cannot be compared with a catalog";
        assert_eq!(ran.stderr.contains(says), beside.is_empty(), "{beside:?}: {}", ran.shown());
    }
    let forged = |change: &dyn Fn(&mut Value)| {
        let mut value = value.clone();
        change(&mut value);
        std::fs::write(gap.path("forged.json"), value.to_string()).unwrap();
    };
    let host = gap.source.host();
    let one = gap.source.manifest_digest("a/one", "1").unwrap().to_string();
    // Another image under its name: said, and refused where anything else is known of it.
    forged(&|value| {
        value["images"][0]["source"] = format!("{host}/a/one:1").into();
        value["images"][0]["digest"] = one.clone().into();
    });
    let ran = answer("forged.json", &[]);
    assert!(ran.stderr.contains(&format!("two:1 from {host}/a/one:1")), "{}", ran.shown());
    for beside in &lists[1..] {
        let ran = answer("forged.json", beside);
        assert_eq!(ran.code, 3, "{beside:?}: {}", ran.shown());
        assert!(ran.stderr.contains("the request pulls"), "{beside:?}: {}", ran.shown());
    }
    forged(&|value| value["images"][0]["digest"] = one.clone().into());
    let ran = answer("forged.json", lists[2]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("the request asks for"), "{}", ran.shown());
    // A name that pins one digest and asks for another is refused by itself.
    forged(&|value| {
        let name = format!("{}@{one}", value["images"][0]["name"].as_str().unwrap());
        value["images"][0]["name"] = name.into();
    });
    let ran = answer("forged.json", &[]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("it is pinned to"), "{}", ran.shown());
}
