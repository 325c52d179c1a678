//! Deltas: only what a base does not have travels, and import finds the rest at the destination or says what is missing.

use airgap_bundle::image::Digest;
use serde_json::Value;

use crate::support::gap::{Gap, assert_whole, uploads};
use crate::support::images::{ImageSpec, Layer, TestImage, sharing};
use crate::support::registry::{Effect, Fault};

const BASE: usize = 600_000;

/// `old.tar.zst` with the first image, and a list with a second one on the same base.
fn two_versions() -> (Gap, Vec<TestImage>, Digest) {
    let mut gap = Gap::new();
    let base = Layer::gzip(1, BASE);
    let images = sharing([2, 3], &base);
    gap.image("a/app", "1", &images[0]);
    gap.export(&["-o", "old.tar.zst"]);
    gap.image("b/app", "2", &images[1]);
    (gap, images, Digest::sha256(&base.bytes))
}

fn delta(gap: &Gap, base: &str) -> Vec<u8> {
    gap.export(&["--base", base, "-o", "delta.tar.zst", "--force"]);
    gap.read("delta.tar.zst")
}

fn bundle_json(gap: &Gap, name: &str) -> Value {
    let ran = gap.cli.run(&["inspect", name, "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    serde_json::from_str::<Value>(&ran.stdout).unwrap()["bundle"].clone()
}

#[test]
fn only_the_difference_travels_and_the_rest_is_mounted() {
    let (gap, images, base) = two_versions();
    gap.source.forget();
    let bytes = delta(&gap, "old.tar.zst");
    assert!(bytes.len() < BASE / 2, "{} bytes", bytes.len());
    assert!(!gap.source.blob_gets().contains_key(&base), "the base was downloaded");
    let ran = gap.cli.run(&["verify", "delta.tar.zst"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stdout.contains("a delta:"), "{}", ran.shown());
    gap.import("old.tar.zst", &[]);
    gap.destination.forget();
    gap.import("delta.tar.zst", &[]);
    assert_whole(&gap.destination, "a/app", "1", &images[0]);
    assert_whole(&gap.destination, "b/app", "2", &images[1]);
    assert!(!uploads(&gap.destination).contains_key(&base));
    // The image that the base brought is there already.
    gap.destination.forget();
    let ran = gap.import("delta.tar.zst", &["--dry-run"]);
    assert_eq!(ran.stdout.matches("there ").count(), 2, "{}", ran.shown());
}

#[test]
fn it_is_called_after_its_base_and_no_other_tool_takes_it_for_whole() {
    let (gap, ..) = two_versions();
    let base = bundle_json(&gap, "old.tar.zst");
    assert!(base["requires"].is_null());
    gap.export(&["--base", "old.tar.zst"]);
    let name = gap.files().into_iter().find(|name| name.starts_with("images.delta-")).unwrap();
    let requires = bundle_json(&gap, &name)["requires"].clone();
    let id = requires["base"].as_str().unwrap();
    assert_eq!(name, format!("images.delta-{}.tar.zst", &id["sha256:".len()..][..8]));
    let row = &requires["blobs"][0];
    assert_eq!(row["repositories"][0].as_str().unwrap(), format!("{}/a/app", gap.source.host()));
    let tar = zstd::decode_all(&gap.read(&name)[..]).unwrap();
    let text = String::from_utf8_lossy(&tar);
    assert!(!text.contains("manifest.json\0") && !text.contains("io.containerd.image.name"));
    let ran = gap.cli.run(&["serve", &name]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("--fill-from"), "{}", ran.shown());
}

#[test]
fn without_its_base_nothing_is_sent() {
    let (gap, ..) = two_versions();
    delta(&gap, "old.tar.zst");
    let ran = gap.try_import("delta.tar.zst", &[]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    gap.snapshot("refusals", "delta_without_base", &ran.shown());
    assert_eq!(gap.destination.count("POST", ""), 0);
    assert_eq!(gap.destination.count("PUT", ""), 0);
}

#[test]
fn a_base_under_another_name_is_found_and_brought_over() {
    for refusing in [false, true] {
        let (gap, images, base) = two_versions();
        delta(&gap, "old.tar.zst");
        // The base came with its hosts kept, the delta comes without.
        gap.import("old.tar.zst", &["--keep-host"]);
        gap.destination.forget();
        if refusing {
            let refusal = r#"{"errors":[{"code":"UNSUPPORTED"}]}"#.to_owned();
            gap.destination
                .fault(Fault::on("POST", "mount=", Effect::Answer(405, Vec::new(), refusal)).always());
        }
        gap.import("delta.tar.zst", &[]);
        assert_whole(&gap.destination, "a/app", "1", &images[0]);
        assert_whole(&gap.destination, "b/app", "2", &images[1]);
        // Where nothing can be mounted it comes from the other repository, and not across the gap.
        assert_eq!(uploads(&gap.destination).contains_key(&base), refusing);
    }
}

#[test]
fn it_passes_through_a_pipe() {
    let (gap, images, _) = two_versions();
    let bytes = delta(&gap, "old.tar.zst");
    gap.import("old.tar.zst", &[]);
    let ran = gap.fed(&["import", "-", "-d", &gap.destination.host(), "--values", "piped.yaml"], &bytes);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_whole(&gap.destination, "b/app", "2", &images[1]);
}

#[test]
fn it_is_made_whole_again_and_made_offline() {
    let (gap, ..) = two_versions();
    let bytes = delta(&gap, "old.tar.zst");
    gap.export(&["-o", "whole.tar.zst"]);
    let run = |arguments: &[&str]| {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.shown());
    };
    run(&["repack", "delta.tar.zst", "--fill-from", "old.tar.zst", "-o", "filled.tar.zst"]);
    assert!(gap.read("filled.tar.zst") == gap.read("whole.tar.zst"));
    run(&["repack", "whole.tar.zst", "--base", "old.tar.zst", "-o", "offline.tar.zst"]);
    assert!(gap.read("offline.tar.zst") == bytes);
    run(&["repack", "delta.tar.zst", "-o", "again.tar.zst"]);
    assert!(gap.read("again.tar.zst") == bytes);
}

#[test]
fn a_delta_on_a_delta_counts_what_the_first_one_built_on() {
    let (mut gap, images, base) = two_versions();
    delta(&gap, "old.tar.zst");
    let third = ImageSpec::new(9).layer(Layer::gzip(1, BASE)).layer(Layer::gzip(90, 5_000)).build();
    gap.image("c/app", "3", &third);
    gap.source.forget();
    gap.export(&["--base", "delta.tar.zst", "-o", "next.tar.zst"]);
    assert!(!gap.source.blob_gets().contains_key(&base));
    for bundle in ["old.tar.zst", "delta.tar.zst", "next.tar.zst"] {
        gap.import(bundle, &[]);
    }
    assert_whole(&gap.destination, "b/app", "2", &images[1]);
    assert_whole(&gap.destination, "c/app", "3", &third);
}

#[test]
fn bundle_json_alone_is_a_base_too() {
    let (gap, images, base) = two_versions();
    let tar = zstd::decode_all(&gap.read("old.tar.zst")[..]).unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let mut member =
        archive.entries().unwrap().map(Result::unwrap).find(|e| &*e.path_bytes() == b"bundle.json").unwrap();
    let mut json = Vec::new();
    std::io::Read::read_to_end(&mut member, &mut json).unwrap();
    std::fs::write(gap.path("old.json"), json).unwrap();
    delta(&gap, "old.json");
    gap.import("old.tar.zst", &[]);
    gap.destination.forget();
    gap.import("delta.tar.zst", &[]);
    assert_whole(&gap.destination, "b/app", "2", &images[1]);
    assert!(!uploads(&gap.destination).contains_key(&base));
}

#[test]
fn an_inventory_of_the_registry_inside_is_a_base() {
    let (gap, images, base) = two_versions();
    gap.import("old.tar.zst", &[]);
    let host = gap.destination.host();
    let inspect = ["inspect", "-d", &host, "--catalog", "images.txt", "-o", "inventory.json"];
    let ran = gap.cli.run(&inspect);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.snapshot("refusals", "inventory", &ran.shown());
    let text = String::from_utf8(gap.read("inventory.json")).unwrap();
    assert!(!text.contains(&host), "the registry's own name leaves the site: {text}");
    let inventory: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(inventory["images"].as_array().unwrap().len(), 1);
    assert_eq!(gap.cli.run(&inspect).code, 0, "the same again is no conflict");
    gap.source.forget();
    delta(&gap, "inventory.json");
    assert!(!gap.source.blob_gets().contains_key(&base));
    gap.destination.forget();
    gap.import("delta.tar.zst", &[]);
    assert_whole(&gap.destination, "b/app", "2", &images[1]);
    assert!(!uploads(&gap.destination).contains_key(&base));
}

#[test]
fn what_is_no_base_is_refused() {
    let (gap, ..) = two_versions();
    for (name, content, code) in [
        ("nothing.json", "{}", 3),
        ("other.json", r#"{"mediaType":"application/json"}"#, 3),
        (
            "inventory.json",
            r#"{"mediaType":"application/vnd.airgap.inventory.v1+json","schemaVersion":1}"#,
            3,
        ),
        ("text.txt", "hello", 3),
    ] {
        std::fs::write(gap.path(name), content).unwrap();
        let ran = gap.try_export(&["--base", name, "-o", "delta.tar.zst"]);
        assert_eq!(ran.code, code, "{name}: {}", ran.shown());
        assert!(!gap.path("delta.tar.zst").exists());
    }
    assert_eq!(gap.try_export(&["--base", "absent", "-o", "delta.tar.zst"]).code, 1);
}

#[test]
fn a_base_of_no_use_makes_a_bundle_that_needs_no_other() {
    let mut gap = Gap::new();
    gap.image("a/app", "1", &sharing([2], &Layer::gzip(1, 3_000))[0]);
    gap.export(&["-o", "old.tar.zst"]);
    let mut other = Gap::new();
    other.image("b/app", "1", &sharing([5], &Layer::gzip(6, 3_000))[0]);
    std::fs::copy(gap.path("old.tar.zst"), other.path("old.tar.zst")).unwrap();
    let ran = other.export(&["--base", "old.tar.zst", "-o", "delta.tar.zst"]);
    assert!(ran.stderr.contains("the base has no blob of this bundle"), "{}", ran.shown());
    other.export(&["-o", "whole.tar.zst"]);
    assert!(other.read("delta.tar.zst") == other.read("whole.tar.zst"));
}
