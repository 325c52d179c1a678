//! What can run as a container is judged as one, whatever it is called: an attestation, a signature, a manifest of two
//! types.

use airgap_bundle::archive::BundleManifest;
use airgap_bundle::image::media_type as types;
use serde_json::{Value, json};

use crate::support::cli::Ran;
use crate::support::gap::Gap;
use crate::support::images::{ImageSpec, Layer, TestImage, artifact, index, multi_platform_with, signature};

const NOTATION: &str = "application/vnd.cncf.notary.signature";
const BUILD_KIT: &str = "application/vnd.in-toto+json";

/// An image that runs as `user`.
fn app(seed: u64, user: &str) -> TestImage {
    ImageSpec::new(seed).layer(Layer::gzip(seed, 5_000)).config(json!({ "User": user })).build()
}

fn export(gap: &Gap, policy: &str, code: i32) -> Ran {
    std::fs::write(gap.path("policy.yaml"), policy).unwrap();
    let ran =
        gap.cli.run(&["export", "images.txt", "-o", "out.tar.zst", "--policy", "policy.yaml", "--force"]);
    assert_eq!(ran.code, code, "{policy}: {}", ran.shown());
    ran
}

fn review(gap: &Gap) -> Value {
    gap.export(&["-o", "out.tar.zst", "--force"]);
    let ran = gap.cli.run(&["review", "out.tar.zst", "-o", "-", "--format", "json"]);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn an_image_that_is_called_an_attestation_is_judged() {
    for (layer_type, user, is_found) in [
        (BUILD_KIT, "0", true),
        ("application/vnd.in-toto-x.tar+gzip", "", true),
        ("application/vnd.in-toto.x", "", true),
        (BUILD_KIT, "", false),
    ] {
        let (good, other) = (app(1, "1000"), ImageSpec::new(2).platform("unknown", "unknown"));
        let config = if user.is_empty() { json!({}) } else { json!({ "User": user, "Cmd": ["/f"] }) };
        let other = other.layer(Layer::gzip(2, 900)).config(config).build();
        let other = other.altered(|value| value["layers"][0]["mediaType"] = json!(layer_type));
        let both = index(vec![(("linux", "amd64"), good.clone()), (("unknown", "unknown"), other)], false);
        let both = both.altered(|value| {
            value["manifests"][1]["annotations"] = json!({
                "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": good.digest,
            });
        });
        let mut gap = Gap::new();
        gap.image("team/app", "1", &both);
        let ran = export(&gap, "noRoot: true", if is_found { 3 } else { 0 });
        assert_eq!(ran.stderr.contains("[unknown/unknown]"), is_found, "{layer_type}: {}", ran.shown());
        let kind = &review(&gap)["images"][0]["platforms"][1]["kind"];
        assert_eq!(kind, if is_found { "container" } else { "attestation" }, "{layer_type}");
    }
    // The types that are in use, and nothing to run.
    for layer_type in [BUILD_KIT, "application/vnd.in-toto.provenance+dsse"] {
        let mut gap = Gap::new();
        gap.image("team/app", "1", &multi_platform_with(7, layer_type));
        assert_eq!(review(&gap)["images"][0]["platforms"][2]["kind"], "attestation", "{layer_type}");
    }
}

/// `image` as a referrer of `subject` that calls itself a signature.
fn referring(image: TestImage, subject: &TestImage) -> TestImage {
    image.altered(|value| {
        value["subject"] = subject.descriptor();
        value["artifactType"] = json!(NOTATION);
    })
}

#[test]
fn an_image_beside_another_is_no_signature_and_is_judged() {
    let good = app(1, "1000");
    let tag = signature(&good).0;
    let nested = index(vec![(("linux", "amd64"), app(2, "0"))], false);
    let docker = ImageSpec::new(3).docker().config(json!({ "User": "0" })).build();
    for (what, tag, image) in [
        ("a referrer", "r", referring(app(2, "0"), &good)),
        ("an index that is a referrer", "r", referring(nested, &good)),
        ("under the tag of a signature", tag.as_str(), app(2, "0")),
        ("of Docker's type", tag.as_str(), docker),
    ] {
        let mut gap = Gap::new();
        gap.image("team/app", "1", &good);
        gap.source.put_image("team/app", tag, &image);
        let ran = export(&gap, "noRoot: true\nsignature: true", 3);
        for says in ["runs as root (\"0\") [artifact sha256:", "comes without a signature"] {
            assert!(ran.stderr.contains(says), "{what}, {says}: {}", ran.shown());
        }
        let value = review(&gap);
        let image = &value["images"][0];
        let shown = &image["platforms"][1];
        assert_eq!((&shown["kind"], &shown["root"]), (&json!("container"), &json!(true)), "{what}: {image}");
        assert_eq!(image["artifacts"], json!({}), "{what}");
    }
    // One that runs as a user is no signature either.
    let mut gap = Gap::new();
    gap.image("team/app", "1", &good);
    gap.source.put_image("team/app", "r", &referring(app(2, "1000"), &good));
    export(&gap, "noRoot: true", 0);
    export(&gap, "signature: true", 3);
}

#[test]
fn signatures_and_sboms_whose_configs_are_those_of_images_still_count() {
    let good = app(1, "1000");
    let (tag, classic) = signature(&good);
    let as_referrer = |config: &str, layer: &str, own: &str| {
        artifact(&good, own, b"x").with_config(r#"{"rootfs":{"type":"layers"}}"#, config).altered(|value| {
            value["layers"][0]["mediaType"] = json!(layer);
        })
    };
    let simple = "application/vnd.dev.cosign.simplesigning.v1+json";
    let cosign = "application/vnd.dev.cosign.artifact.sig.v1+json";
    for (policy, tag, artifact) in [
        ("signature: true", tag.as_str(), classic),
        ("signature: true", "r", as_referrer(cosign, simple, cosign)),
        ("signature: true", "r", artifact(&good, NOTATION, b"x")),
        ("signature: true", "r", as_referrer(NOTATION, "application/jose+json", NOTATION)),
        ("sbom: true", &tag.replace(".sig", ".sbom"), as_referrer(types::OCI_CONFIG, "text/spdx", "")),
        // A type that nobody here has heard of, and no image.
        ("signature: true", "r", artifact(&good, NOTATION, b"x").with_config("{}", "application/vnd.x.v1")),
    ] {
        let artifact = if tag == "r" {
            artifact
        } else {
            artifact.altered(|value| {
                value.as_object_mut().unwrap().remove("subject");
            })
        };
        // No file system is in what notation signs with, though its type is not one of a layer.
        let mut gap = Gap::new();
        gap.image("team/app", "1", &good);
        gap.source.put_image("team/app", tag, &artifact);
        export(&gap, &format!("noRoot: true\n{policy}"), 0);
        assert_eq!(review(&gap)["images"][0]["platforms"].as_array().unwrap().len(), 1, "{policy}");
    }
}

/// An artifact as a manifest without a type of its own, which is an image where it is called Docker's.
fn two_faced() -> TestImage {
    let chart =
        app(6, "").with_config(r#"{"name":"x","version":"1"}"#, "application/vnd.cncf.helm.config.v1+json");
    chart.altered(|value| {
        value.as_object_mut().unwrap().remove("mediaType");
    })
}

/// An index that lists `child` with these types.
fn listed_as(child: &TestImage, listed: &[&str]) -> TestImage {
    let children = listed.iter().map(|_| (("linux", "amd64"), child.clone())).collect();
    index(children, false).altered(|value| {
        for (at, media_type) in listed.iter().enumerate() {
            value["manifests"][at]["mediaType"] = json!(media_type);
        }
    })
}

#[test]
fn a_manifest_that_is_stated_under_two_types_and_has_none_is_refused() {
    let (oci, docker) = (types::OCI_MANIFEST, types::DOCKER_MANIFEST);
    let child = two_faced();
    let own = app(7, "1000");
    for (what, images, code) in [
        ("in one index", vec![listed_as(&child, &[oci, docker])], 3),
        ("in one index, the other way round", vec![listed_as(&child, &[docker, oci])], 3),
        ("in two", vec![listed_as(&child, &[oci]), listed_as(&child, &[docker])], 3),
        ("twice the same", vec![listed_as(&child, &[oci, oci]), listed_as(&child, &[oci])], 0),
        ("with a type of its own", vec![listed_as(&own, &[oci, docker])], 0),
    ] {
        let gap = Gap::new();
        let folder = gap.path("layout");
        for (at, image) in images.iter().enumerate() {
            image.layout(&format!("r.example.com/team/app:{at}"), &folder);
        }
        if images.len() > 1 {
            let entry = |(at, image): (usize, &TestImage)| {
                let mut entry = image.descriptor();
                entry["annotations"] =
                    json!({ "org.opencontainers.image.ref.name": format!("r.example.com/team/app:{at}") });
                entry
            };
            let entries: Vec<Value> = images.iter().enumerate().map(entry).collect();
            let index = json!({ "schemaVersion": 2, "manifests": entries });
            std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
        }
        let ran = gap.try_import("layout", &[]);
        assert_eq!(ran.code, code, "{what}: {}", ran.shown());
        assert!(code == 0 || ran.stderr.contains("does not say which"), "{what}: {}", ran.shown());
        assert_eq!(gap.destination.manifest("team/app", "0").is_some(), code == 0, "{what}");
    }
}

#[test]
fn an_image_is_for_the_platforms_that_its_manifests_name() {
    let mut gap = Gap::new();
    let both = index(vec![(("linux", "amd64"), app(1, "")), (("linux", "arm64"), app(2, ""))], false);
    gap.image("team/both", "1", &both).image("team/one", "1", &app(3, ""));
    gap.export(&["-o", "out.tar.zst"]);
    let folder = gap.path("unpacked");
    let unpacked = zstd::decode_all(&gap.read("out.tar.zst")[..]).unwrap();
    tar::Archive::new(&unpacked[..]).unpack(&folder).unwrap();
    std::fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    let own = BundleManifest::from_bytes(&std::fs::read(folder.join("bundle.json")).unwrap()).unwrap();
    let import = |at: usize, platforms: &[&str]| {
        let mut bundle = own.clone();
        bundle.images[at].platforms = platforms.iter().map(|&platform| platform.to_owned()).collect();
        std::fs::write(folder.join("bundle.json"), bundle.to_bytes().unwrap()).unwrap();
        gap.try_import("unpacked", &["--force"])
    };
    for (at, platforms, says) in [
        (0, &["linux/amd64", "linux/s390x"][..], "is listed for linux/s390x"),
        (1, &["linux/arm64"], "is listed for linux/arm64"),
        (1, &["linux/amd64\nx"], "a platform is not valid"),
        (0, &["unknown/unknown"], "is listed for unknown/unknown"),
    ] {
        let ran = import(at, platforms);
        assert_eq!(ran.code, 3, "{platforms:?}: {}", ran.shown());
        assert!(ran.stderr.contains(says), "{platforms:?}: {}", ran.shown());
    }
    assert_eq!(import(0, &["linux/amd64", "linux/arm64"]).code, 0);
    assert_eq!(import(1, &["linux/amd64"]).code, 0);
}
