//! Layers that their publisher keeps outside of registries: carried from their addresses, or left there.

use airgap_bundle::image::{Digest, media_type as types};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage};
use crate::support::registry::{Fault, TestRegistry};

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/// An image with a foreign layer that `urls` offer; the layer comes last among its blobs.
fn with_foreign(urls: &[String]) -> (TestImage, Digest) {
    let plain = ImageSpec::new(5).docker().layer(Layer::gzip(5, 3000)).build();
    let layer = Bytes::from_static(b"a Windows base that nobody may push");
    let digest = Digest::sha256(&layer);
    let mut manifest: Value = serde_json::from_slice(&plain.manifest).unwrap();
    manifest["layers"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({ "mediaType": FOREIGN, "digest": digest, "size": layer.len(), "urls": urls }));
    let manifest = Bytes::from(manifest.to_string());
    let mut blobs = plain.blobs;
    blobs.push((digest, layer));
    let media_type = types::DOCKER_MANIFEST.to_owned();
    (
        TestImage { digest: Digest::sha256(&manifest), manifest, media_type, blobs, children: Vec::new() },
        digest,
    )
}

#[test]
fn a_foreign_layer_is_carried_from_the_registry_or_from_where_it_says() {
    let publisher = TestRegistry::start();
    let (plain, _) = with_foreign(&[]);
    publisher.put_image("files", "1", &plain);
    let layer = plain.blobs.last().unwrap().0;
    let urls = ["ftp://nowhere/".to_owned(), publisher.url(&format!("/v2/files/blobs/{layer}"))];
    let (image, _) = with_foreign(&urls);

    let mut gap = Gap::new();
    gap.image("team/windows", "1", &image);
    gap.export(&["-o", "one.tar.zst"]);
    assert_eq!(publisher.count("GET", "/blobs/"), 0, "the registry has it");
    gap.source.fault(Fault::status("GET", format!("/blobs/{layer}"), 404).always());
    gap.export(&["-o", "two.tar.zst"]);
    assert_eq!(publisher.count("GET", "/blobs/"), 1);
    assert!(gap.read("one.tar.zst") == gap.read("two.tar.zst"));
    gap.import("two.tar.zst", &[]);
    assert_whole(&gap.destination, "team/windows", "1", &image);
}

#[test]
fn a_foreign_layer_is_left_where_it_is_when_told_to() {
    let (image, layer) = with_foreign(&["https://publisher.example/layer".to_owned()]);
    let mut gap = Gap::new();
    gap.image("team/windows", "1", &image);
    gap.export(&["-o", "out.tar.zst", "--foreign-layers", "keep-urls"]);
    assert_eq!(gap.source.count("GET", &layer.to_string()), 0);
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst"]).code, 0);
    gap.import("out.tar.zst", &[]);
    assert_eq!(gap.destination.manifest("team/windows", "1").unwrap().bytes, image.manifest);
    assert!(!gap.destination.has_blob("team/windows", &layer));
}

#[test]
fn a_foreign_layer_that_is_nowhere_fails_its_image() {
    let (image, layer) = with_foreign(&[]);
    let mut gap = Gap::new();
    gap.image("team/windows", "1", &image);
    gap.source.fault(Fault::status("GET", format!("/blobs/{layer}"), 404).always());
    let ran = gap.try_export(&["-o", "out.tar.zst", "--foreign-layers", "keep-urls"]);
    assert_eq!(ran.code, 1, "a layer without addresses cannot be left to them: {}", ran.shown());
    assert!(ran.stderr.contains(&layer.to_string()), "{}", ran.shown());
}
