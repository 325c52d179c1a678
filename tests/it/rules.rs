//! Rules for registries and archives that only whole commands can keep; `registry/tests/` has those of single requests.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::gap::{Gap, assert_whole, uploads};
use crate::support::images::{ImageSpec, Layer, TestImage, image, multi_platform, sharing};
use crate::support::registry::{Effect, Fault};

fn one(image: &TestImage) -> Gap {
    let mut gap = Gap::new();
    gap.image("team/app", "1", image);
    gap
}

/// From the source into the destination, with further arguments for the export.
fn carried(gap: &Gap, arguments: &[&str]) -> crate::support::cli::Ran {
    let ran = gap.export(&[&["-o", "out.tar.zst"], arguments].concat());
    gap.import("out.tar.zst", &[]);
    ran
}

#[test]
fn a_known_manifest_costs_a_head_and_no_get() {
    let (first, second) = (image(1), image(2));
    let mut gap = one(&first);
    let lost = first.layers()[0];
    gap.source.fault(Fault::status("GET", format!("/blobs/{lost}"), 404).always());
    assert_eq!(gap.try_export(&["-o", "out.tar.zst", "--retries", "1"]).code, 1);
    gap.source.heal();
    gap.image("team/other", "1", &second);
    gap.source.forget();
    gap.export(&["-o", "out.tar.zst"]);
    assert_eq!(gap.source.count("HEAD", "/v2/team/app/manifests/1"), 1);
    // Neither by tag nor by digest; what may be about it is asked for under other names.
    for path in ["/v2/team/app/manifests/1", "/v2/team/app/manifests/sha256:"] {
        assert_eq!(gap.source.count("GET", path), 0, "{path}");
    }
    assert_eq!(gap.source.count("GET", "/v2/team/other/manifests/1"), 1);
}

#[test]
fn what_registries_warn_of_is_told_once() {
    let gap = one(&image(1));
    let warning = |text: &str| Effect::Header("warning", Some(format!("299 - \"{text}\"")));
    gap.source.fault(Fault::on("*", "", warning("this registry moves in May")).always());
    gap.destination.fault(Fault::on("*", "", warning("nearly full")).always());
    let exported = gap.export(&["-o", "out.tar.zst"]);
    assert_eq!(exported.stderr.matches("this registry moves in May").count(), 1, "{}", exported.stderr);
    let imported = gap.import("out.tar.zst", &[]);
    assert_eq!(imported.stderr.matches("nearly full").count(), 1, "{}", imported.stderr);
    assert_eq!(imported.code, 0);
}

#[test]
fn a_cache_that_has_the_parts_a_moment_later_is_waited_for() {
    let index = multi_platform(1);
    let gap = one(&index);
    let (child, layer) = (&index.children[0], index.children[1].layers()[1]);
    gap.source.fault(Fault::status("GET", format!("/manifests/{}", child.digest), 404).times(2));
    gap.source.fault(Fault::status("GET", format!("/blobs/{layer}"), 404).times(2));
    carried(&gap, &[]);
    assert_eq!(gap.source.faulted(), 4);
    assert_whole(&gap.destination, "team/app", "1", &index);
}

#[test]
fn content_inside_a_descriptor_is_carried_as_a_blob_all_the_same() {
    let image = image(1).altered(|manifest| {
        let engine = base64::engine::general_purpose::STANDARD;
        let inline = base64::Engine::encode(&engine, b"whatever");
        manifest["config"]["data"] = inline.into();
    });
    let gap = one(&image);
    carried(&gap, &[]);
    assert_whole(&gap.destination, "team/app", "1", &image);
}

#[test]
fn layers_of_every_compression_are_carried_as_they_are() {
    let kinds = [
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/x.never.heard.of",
    ];
    let layers = (0..4).map(|n| Layer::tar(n, 30_000));
    let image = ImageSpec::new(1).layers(layers).build().altered(|manifest| {
        for (layer, kind) in manifest["layers"].as_array_mut().unwrap().iter_mut().zip(kinds) {
            layer["mediaType"] = kind.into();
            layer["annotations"] =
                json!({ "io.github.containers.zstd-chunked.manifest-position": "1:2:3:4" });
        }
    });
    let gap = one(&image);
    carried(&gap, &[]);
    assert_whole(&gap.destination, "team/app", "1", &image);
    // A layer that is declared as compressed is not compressed again.
    let size = std::fs::metadata(gap.path("out.tar.zst")).unwrap().len();
    assert!(size > 4 * 30_000, "{size}");
}

#[test]
fn an_obsolete_manifest_is_refused_with_what_to_do() {
    let gap = one(&image(1));
    let body = json!({ "schemaVersion": 1, "name": "team/app", "tag": "1", "fsLayers": [], "history": [] });
    let kind = vec![("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws".to_owned())];
    let answer = Effect::Answer(200, kind, body.to_string());
    gap.source.fault(Fault::on("GET", "/manifests/1", answer).always());
    let ran = gap.try_export(&["-o", "out.tar.zst"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("obsolete schema 1") && ran.stderr.contains("rebuild"), "{}", ran.stderr);
}

#[test]
fn platforms_that_are_left_out_make_a_new_index_that_registries_take() {
    let index = multi_platform(1);
    let mut gap = one(&index);
    let ran = carried(&gap, &["--platform", "linux/arm64"]);
    let there = gap.destination.manifest("team/app", "1").unwrap();
    let value: Value = serde_json::from_slice(&there.bytes).unwrap();
    let children = value["manifests"].as_array().unwrap();
    assert_eq!(children.len(), 1);
    assert_eq!(children[0]["platform"]["architecture"], "arm64");
    assert_whole(&gap.destination, "team/app", &index.children[1].digest.to_string(), &index.children[1]);
    // Pins and signatures no longer fit: that has to be known.
    assert!(ran.stderr.contains(&index.digest.to_string()), "{}", ran.stderr);
    assert!(ran.stderr.contains(&there.digest.to_string()), "{}", ran.stderr);
    // With the platform of the attestation it stays beside its image.
    gap.export(&["-o", "amd64.tar.zst", "--platform", "linux/amd64"]);
    gap.import("amd64.tar.zst", &[]);
    let there = gap.destination.manifest("team/app", "1").unwrap();
    let value: Value = serde_json::from_slice(&there.bytes).unwrap();
    assert_eq!(value["manifests"].as_array().unwrap().len(), 2);
    // Who pins the index pins its platforms.
    gap.line(&format!("{}/team/app:2@{}", gap.source.host(), index.digest));
    let ran = gap.try_export(&["-o", "pinned.tar.zst", "--platform", "linux/amd64"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("--repin"), "{}", ran.stderr);
}

#[test]
fn a_type_that_the_registry_does_not_take_costs_that_image() {
    let (first, second) = (image(1), image(2));
    let mut gap = one(&first);
    gap.image("team/other", "1", &second);
    gap.export(&["-o", "out.tar.zst"]);
    let body = r#"{"errors":[{"code":"UNSUPPORTED","message":"docker types are off"}]}"#;
    let refusal = Effect::Answer(415, Vec::new(), body.to_owned());
    gap.destination.fault(Fault::on("PUT", "/v2/team/app/manifests/", refusal).always());
    let ran = gap.try_import("out.tar.zst", &["--keep-going"]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    assert!(ran.stderr.contains("docker types are off"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("its settings can allow it"), "{}", ran.stderr);
    assert_whole(&gap.destination, "team/other", "1", &second);
    let ran = gap.try_import("out.tar.zst", &["--force"]);
    assert!(ran.stderr.contains("its settings can allow it"), "{}", ran.stderr);
}

#[test]
fn every_upload_states_its_length() {
    let gap = one(&image(1));
    carried(&gap, &[]);
    let log = gap.destination.log();
    let mut bodies =
        log.iter().filter(|one| ["POST", "PUT", "PATCH"].contains(&one.method.as_str())).peekable();
    assert!(bodies.peek().is_some());
    for one in bodies {
        let length = one.header("content-length").and_then(|length| length.parse::<u64>().ok());
        assert_eq!(length, Some(one.received()), "{} {}", one.method, one.path);
        assert_eq!(one.header("transfer-encoding"), None);
        if one.method != "POST" && one.path.contains("/blobs/") {
            assert_eq!(one.header("content-type"), Some("application/octet-stream"));
        }
    }
}

#[test]
fn a_blob_is_sent_once_though_many_want_it_and_though_its_commit_was_not_heard_of() {
    let base = Layer::gzip(100, 60_000);
    let mut gap = Gap::new();
    for (n, image) in sharing(0..6, &base).iter().enumerate() {
        gap.image(&format!("team/app-{n}"), "1", image);
    }
    gap.export(&["-o", "out.tar.zst"]);
    gap.destination.fault(Fault::on("PUT", "/blobs/uploads/", Effect::DropAnswer).times(3));
    gap.import("out.tar.zst", &["--jobs", "6"]);
    assert_eq!(gap.destination.faulted(), 3);
    let uploads = uploads(&gap.destination);
    assert!(uploads.values().all(|count| *count == 1), "{uploads:?}");
}

#[test]
fn a_registry_in_read_only_mode_is_found_before_anything_is_sent() {
    let gap = one(&image(1));
    gap.export(&["-o", "out.tar.zst"]);
    let text = vec![("content-type", "text/plain".to_owned())];
    let refusal = Effect::Answer(405, text, "The registry is in read-only mode.".to_owned());
    gap.destination.fault(Fault::on("POST", "/blobs/uploads/", refusal).always());
    let ran = gap.try_import("out.tar.zst", &[]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("read-only mode"), "{}", ran.stderr);
    assert_eq!(gap.destination.count("PATCH", "") + gap.destination.count("PUT", ""), 0);
    assert!(!gap.path("out.values.yaml").exists());
}

#[test]
fn repositories_that_have_to_be_made_first_are_all_named_before_anything_is_sent() {
    let mut gap = one(&image(1));
    gap.image("team/other", "1", &image(2));
    gap.image("open/third", "1", &image(3));
    gap.export(&["-o", "out.tar.zst"]);
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository does not exist"}]}"#;
    let refusal = Effect::Answer(404, Vec::new(), body.to_owned());
    gap.destination.fault(Fault::on("POST", "/v2/team/", refusal).always());
    let ran = gap.try_import("out.tar.zst", &[]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    for name in ["/team/app", "/team/other", "create these repositories at"] {
        assert!(ran.stderr.contains(name), "{name}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("/open/third"), "{}", ran.stderr);
    assert_eq!(gap.destination.count("PATCH", "") + gap.destination.count("PUT", ""), 0);
}

#[test]
fn what_a_stock_zstd_reads_is_read_and_more_is_told_with_its_size() {
    let gap = one(&image(1));
    gap.export(&["-o", "out.tar.zst"]);
    let tar = zstd::decode_all(&gap.read("out.tar.zst")[..]).unwrap();
    for (log, code) in [(27, 0), (28, 3)] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&tar).unwrap();
        std::fs::write(gap.path("packed.tar.zst"), encoder.finish().unwrap()).unwrap();
        let ran = gap.cli.run(&["inspect", "packed.tar.zst"]);
        assert_eq!(ran.code, code, "{}", ran.shown());
        assert!(code == 0 || ran.stderr.contains("a zstd window of 256 MiB"), "{}", ran.stderr);
    }
}

#[test]
fn no_archive_can_make_memory_of_what_it_claims() {
    let gap = Gap::new();
    let tar = |name: &str, size: u64, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_size(size);
        header.set_cksum();
        [header.as_bytes(), content].concat()
    };
    // An index that says it is a TiB long, one that is 21 MiB long, and a manifest of 5 MiB.
    let large = tar("index.json", 21 << 20, &vec![b' '; 21 << 20]);
    let digest = airgap_bundle::image::Digest::sha256(b"x");
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 5 << 20,
        "annotations": { "org.opencontainers.image.ref.name": "r.io/a/b:1" },
    }] })
    .to_string();
    let mut manifest = tar("index.json", index.len() as u64, index.as_bytes());
    manifest.resize(manifest.len().next_multiple_of(512), 0);
    manifest.extend(tar(&digest.layout_path(), 5 << 20, &vec![b' '; 5 << 20]));
    for (name, bytes) in
        [("claim", tar("index.json", 1 << 40, b"{")), ("large", large), ("manifest", manifest)]
    {
        std::fs::write(gap.path(name), &bytes).unwrap();
        let from_file = gap.cli.run(&["inspect", name]);
        let host = gap.destination.host();
        let from_pipe = gap.fed(&["import", "-", "-d", &host], &bytes);
        for ran in [from_file, from_pipe] {
            assert_eq!(ran.code, 3, "{name}: {}", ran.shown());
        }
    }
}
