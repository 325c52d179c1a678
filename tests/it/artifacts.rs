//! Signatures, attestations, SBOMs and other referrers: found beside images and their children, carried, and found again
//! behind the gap, with and without the referrers API.

use airgap_bundle::destination::Mapping;
use airgap_bundle::image::{ArtifactKind, Digest, RawManifest};
use airgap_bundle::serve::{BundleStore, Needed, Page, Store};
use serde_json::{Value, json};

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, artifact, image, multi_platform, signature};
use crate::support::registry::{Effect, Fault, TestRegistry};

const SBOM: &str = "application/spdx+json";

fn tag(kind: ArtifactKind, subject: &TestImage) -> String {
    kind.tag(&subject.digest).unwrap().to_string()
}

/// A multi-platform image with something of every kind about it: by tag, by subject, about children, about artifacts.
struct Signed {
    gap: Gap,
    index: TestImage,
    /// Repository path, tag, artifact.
    tagged: Vec<(String, TestImage)>,
    /// Subject and artifact.
    referrers: Vec<(Digest, TestImage)>,
}

fn signed() -> Signed {
    let mut gap = Gap::new();
    let index = multi_platform(10);
    gap.image("team/app", "1.0", &index);
    let (amd64, arm64) = (&index.children[0], &index.children[1]);
    let plain = |seed| ImageSpec::new(seed).layer(Layer::gzip(seed, 700)).build();
    let mut tagged = vec![
        (tag(ArtifactKind::Attestation, &index), plain(50)),
        (tag(ArtifactKind::Sbom, arm64), plain(51)),
        signature(amd64),
        signature(&index),
    ];
    let sbom = artifact(&index, SBOM, b"an SBOM of the index");
    let (tag_of_signature, signature_of_sbom) = signature(&sbom);
    tagged.push((tag_of_signature, signature_of_sbom));
    let about_child = artifact(arm64, "application/vnd.test", b"about one platform");
    let about_sbom = artifact(&sbom, "application/vnd.test", b"about the SBOM");
    let referrers =
        vec![(index.digest, sbom.clone()), (arm64.digest, about_child), (sbom.digest, about_sbom)];
    for (tag, artifact) in &tagged {
        gap.source.put_image("team/app", tag, artifact);
    }
    for (_, artifact) in &referrers {
        gap.source.put_untagged("team/app", artifact);
    }
    Signed { gap, index, tagged, referrers }
}

/// The registry answers as one without the referrers API (docker-registry 2.8).
fn without_api(registry: &TestRegistry) {
    registry.fault(
        Fault::on("GET", "/referrers/", Effect::Answer(404, Vec::new(), "404 page not found".to_owned()))
            .always(),
    );
    registry.fault(Fault::on("PUT", "/manifests/", Effect::Header("oci-subject", None)).always());
}

/// What the list under the fallback tag says.
fn fallback(registry: &TestRegistry, repository: &str, subject: &Digest) -> Vec<Value> {
    let Some(list) = registry.manifest(repository, &format!("sha256-{}", subject.hex())) else {
        return Vec::new();
    };
    let list: Value = serde_json::from_slice(&list.bytes).unwrap();
    list["manifests"].as_array().unwrap().clone()
}

/// Writes a list under the fallback tag.
fn put_fallback(registry: &TestRegistry, repository: &str, subject: &Digest, entries: &[&TestImage]) {
    let entries: Vec<Value> = entries.iter().map(|entry| entry.descriptor()).collect();
    let media_type = airgap_bundle::image::media_type::OCI_INDEX;
    let list = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries }).to_string();
    let digest = Digest::sha256(list.as_bytes());
    let list = RawManifest { bytes: list.into(), digest, media_type: media_type.into() };
    let tag = format!("sha256-{}", subject.hex()).parse().unwrap();
    let store = registry.store().writable().unwrap();
    store.put_manifest(&repository.parse().unwrap(), &list, &Needed::default(), Some(&tag)).unwrap();
}

impl Signed {
    fn assert_arrived(&self) {
        let destination = &self.gap.destination;
        assert_whole(destination, "team/app", "1.0", &self.index);
        for (tag, artifact) in &self.tagged {
            assert_whole(destination, "team/app", tag, artifact);
        }
        for (_, artifact) in &self.referrers {
            assert_whole(destination, "team/app", &artifact.digest.to_string(), artifact);
        }
    }
}

#[test]
fn everything_about_an_image_comes_along_and_is_found_again() {
    let signed = signed();
    let gap = &signed.gap;
    let dry = gap.export(&["--dry-run"]);
    let counts = "1 image with 3 signatures and 1 attestation and 1 SBOM and 3 referrers";
    assert!(dry.stdout.contains(counts), "{}", dry.shown());
    assert!(gap.export(&["-o", "out.tar.zst"]).stdout.contains(counts));
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst"]).code, 0);
    assert!(gap.cli.run(&["inspect", "out.tar.zst"]).stdout.contains(counts));

    let ran = gap.import("out.tar.zst", &[]);
    assert!(ran.stdout.contains("1 image sent, with 3 signatures"), "{}", ran.shown());
    signed.assert_arrived();
    for (subject, artifact) in &signed.referrers {
        let listed = gap.destination.store().referrers(&"team/app".parse().unwrap(), subject, None).unwrap();
        assert!(listed.descriptors.iter().any(|d| d.digest == artifact.digest), "{subject}");
        assert!(
            fallback(&gap.destination, "team/app", subject).is_empty(),
            "the registry keeps the list itself"
        );
    }
    // Nobody sees the image before what is about it.
    let puts: Vec<String> =
        gap.destination.log().iter().filter(|one| one.method == "PUT").map(|one| one.path.clone()).collect();
    assert!(puts.last().unwrap().ends_with("/manifests/1.0"), "{puts:#?}");
}

#[test]
fn a_second_import_asks_for_signatures_and_sends_none() {
    let signed = signed();
    let gap = &signed.gap;
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &[]);
    gap.destination.forget();
    gap.import("out.tar.zst", &[]);
    let log = gap.destination.log();
    assert!(log.iter().all(|one| matches!(one.method.as_str(), "HEAD" | "GET")), "{log:#?}");
    // The image and each tag with a HEAD, each subject with one question for its referrers, and the ping.
    let asked = 1 + signed.tagged.len() + signed.referrers.len();
    assert!(log.len() <= asked + 2, "{log:#?}");
}

#[test]
fn what_is_missing_beside_an_image_that_is_there_is_sent_alone() {
    let signed = signed();
    let gap = &signed.gap;
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &["--with", "none"]);
    assert_eq!(gap.destination.manifest("team/app", &signed.tagged[0].0), None);
    gap.destination.forget();
    let ran = gap.import("out.tar.zst", &["--with", "signatures,sboms"]);
    assert!(ran.stdout.contains("with 3 signatures and 1 SBOM"), "{}", ran.shown());
    assert_eq!(gap.destination.count("PUT", "/manifests/1.0"), 0);
    assert_eq!(
        gap.destination.manifest("team/app", &signed.tagged[0].0),
        None,
        "no attestation was asked for"
    );
    gap.import("out.tar.zst", &[]);
    signed.assert_arrived();
}

#[test]
fn without_the_referrers_api_the_fallback_tag_is_read_and_kept() {
    let signed = signed();
    let gap = &signed.gap;
    for (subject, artifact) in &signed.referrers {
        put_fallback(&gap.source, "team/app", subject, &[artifact]);
    }
    without_api(&gap.source);
    without_api(&gap.destination);
    // Somebody behind the gap has a scan result about the same image.
    let scan = artifact(&signed.index, "application/vnd.scan", b"a scan made inside");
    gap.destination.put_untagged("team/app", &scan);
    put_fallback(&gap.destination, "team/app", &signed.index.digest, &[&scan]);

    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &[]);
    signed.assert_arrived();
    for (subject, artifact) in &signed.referrers {
        let listed = fallback(&gap.destination, "team/app", subject);
        let entry = listed.iter().find(|entry| entry["digest"] == json!(artifact.digest)).unwrap();
        let manifest: Value = serde_json::from_slice(&artifact.manifest).unwrap();
        assert_eq!(entry["artifactType"], manifest["artifactType"]);
        assert_eq!(entry["annotations"], manifest["annotations"]);
        assert_eq!(entry["size"], json!(artifact.manifest.len()));
    }
    let listed = fallback(&gap.destination, "team/app", &signed.index.digest);
    assert!(
        listed.iter().any(|entry| entry["digest"] == json!(scan.digest)),
        "what was there stays: {listed:?}"
    );

    // Again: nothing is written, and the lists do not grow.
    gap.destination.forget();
    gap.import("out.tar.zst", &[]);
    assert_eq!(gap.destination.count("PUT", ""), 0);
}

#[test]
fn a_list_others_write_to_at_the_same_time_loses_nothing() {
    let signed = signed();
    let gap = &signed.gap;
    without_api(&gap.destination);
    gap.export(&["-o", "out.tar.zst"]);
    // The registry says yes to a list and keeps the one before, as when two clients write at once. Two tags of the same
    // beginning come before it.
    let path = format!("/manifests/sha256-{}", signed.index.digest.hex());
    let said_yes = Effect::Answer(201, Vec::new(), String::new());
    gap.destination.fault(Fault::on("PUT", path, said_yes).nth(3));
    gap.import("out.tar.zst", &[]);
    signed.assert_arrived();
    assert_eq!(fallback(&gap.destination, "team/app", &signed.index.digest).len(), 1);
}

#[test]
fn none_of_it_is_asked_for_when_not_wanted() {
    let signed = signed();
    let gap = &signed.gap;
    gap.export(&["-o", "out.tar.zst", "--with", "none"]);
    assert_eq!(gap.source.count("GET", "/referrers/") + gap.source.count("HEAD", ".sig"), 0);
    let inspected = gap.cli.run(&["inspect", "out.tar.zst", "--format", "json"]);
    let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(inspected["bundle"].get("artifacts"), None);
    assert_eq!(gap.cli.run(&["export", "images.txt", "--with", "everything"]).code, 2);
}

#[test]
fn a_signature_added_behind_the_gap_is_not_lost() {
    let mut gap = Gap::new();
    let app = image(1);
    gap.image("team/app", "1", &app);
    let (tag, own) = signature(&app);
    gap.source.put_image("team/app", &tag, &own);
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &[]);

    // cosign adds its layer to the manifest that is there.
    let mut manifest: Value = serde_json::from_slice(&own.manifest).unwrap();
    let payload = bytes::Bytes::from_static(b"{\"signed\":\"inside\"}");
    manifest["layers"].as_array_mut().unwrap().push(json!({
        "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
        "digest": Digest::sha256(&payload), "size": payload.len(),
    }));
    let mut both = own.clone();
    both.manifest = manifest.to_string().into();
    both.digest = Digest::sha256(&both.manifest);
    both.blobs.push((Digest::sha256(&payload), payload));
    gap.destination.put_image("team/app", &tag, &both);
    gap.import("out.tar.zst", &[]);
    assert_eq!(gap.destination.manifest_digest("team/app", &tag), Some(both.digest));

    // Something else under that tag is subject to the policy for tags.
    let other = image(7);
    gap.destination.put_image("team/app", &tag, &other);
    let ran = gap.try_import("out.tar.zst", &["--on-conflict", "fail"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    let ran = gap.import("out.tar.zst", &["--on-conflict", "skip"]);
    assert!(
        ran.stderr.contains(&format!("{tag} has other content (")) && ran.stderr.contains("is kept"),
        "{}",
        ran.shown()
    );
    assert_eq!(gap.destination.manifest_digest("team/app", &tag), Some(other.digest));
    gap.import("out.tar.zst", &[]);
    assert_eq!(gap.destination.manifest_digest("team/app", &tag), Some(own.digest));
}

#[test]
fn what_a_list_wrongly_calls_a_referrer_is_left_out_and_named() {
    let mut gap = Gap::new();
    let (app, other) = (image(1), image(2));
    gap.image("team/app", "1", &app);
    without_api(&gap.source);
    let right = artifact(&app, SBOM, b"right");
    let wrong = artifact(&other, SBOM, b"about something else");
    for entry in [&right, &wrong] {
        gap.source.put_untagged("team/app", entry);
    }
    put_fallback(&gap.source, "team/app", &app.digest, &[&right, &wrong]);
    let ran = gap.export(&["-o", "out.tar.zst"]);
    assert!(ran.stderr.contains(&format!("lists {} as a referrer", wrong.digest)), "{}", ran.shown());
    assert!(ran.stdout.contains("1 image with 1 referrer"), "{}", ran.shown());
}

#[test]
fn a_registry_that_denies_what_is_beside_an_image_still_gives_the_image() {
    let signed = signed();
    let gap = &signed.gap;
    for part in [".sig", "/referrers/", "/manifests/sha256-"] {
        gap.source.fault(Fault::status("*", part, 403).always());
    }
    let ran = gap.export(&["-o", "out.tar.zst"]);
    assert!(ran.stderr.contains("cannot be listed"), "{}", ran.shown());
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "team/app", "1.0", &signed.index);
}

#[test]
fn a_lost_artifact_costs_its_image_by_name() {
    let signed = signed();
    let mut gap = signed.gap;
    let plain = image(80);
    gap.image("team/plain", "1", &plain);
    let lost = signed.referrers[0].1.blobs[1].0;
    gap.source.fault(Fault::status("GET", lost.to_string(), 404).always());
    let ran = gap.try_export(&["-o", "out.tar.zst"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("team/app:1.0") && ran.stderr.contains(&lost.to_string()), "{}", ran.shown());
    let ran = gap.try_export(&["-o", "out.tar.zst", "--keep-going"]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "team/plain", "1", &plain);
    assert_eq!(gap.destination.manifest("team/app", "1.0"), None);
}

#[test]
fn a_narrowed_index_brings_what_is_about_the_children_it_keeps() {
    let signed = signed();
    let gap = &signed.gap;
    let ran = gap.export(&["-o", "out.tar.zst", "--platform", "linux/amd64"]);
    assert!(
        ran.stdout.contains("1 image with 1 signature\n") || ran.stdout.contains("1 image with 1 signature,"),
        "{}",
        ran.shown()
    );
    gap.import("out.tar.zst", &[]);
    let (tag, artifact) = &signed.tagged[2];
    assert_whole(&gap.destination, "team/app", tag, artifact);
}

#[test]
fn a_served_bundle_shows_what_is_about_its_images() {
    let signed = signed();
    let gap = &signed.gap;
    gap.export(&["-o", "out.tar.zst"]);
    let reader = crate::support::bundles::open_file(&gap.path("out.tar.zst"));
    let store = BundleStore::new(std::sync::Arc::new(reader), Mapping::default()).unwrap();
    let name = "team/app".parse().unwrap();
    for (subject, artifact) in &signed.referrers {
        let listed = store.referrers(&name, subject, None).unwrap();
        assert!(listed.descriptors.iter().any(|d| d.digest == artifact.digest), "{subject}");
    }
    let tags = store.tags(&name, &Page::default()).unwrap().items;
    assert!(signed.tagged.iter().all(|(tag, _)| tags.contains(tag)), "{tags:?}");
}

#[test]
fn a_lock_pins_what_is_about_its_images_too() {
    let signed = signed();
    let gap = &signed.gap;
    let ran = gap.cli.run(&["catalog", "lock", "images.txt"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let lock = String::from_utf8(gap.read("catalog.lock")).unwrap();
    let all = signed.tagged.iter().map(|(_, a)| a).chain(signed.referrers.iter().map(|(_, a)| a));
    for artifact in all {
        assert!(lock.contains(&artifact.digest.to_string()), "{lock}");
    }
    // One signature is made anew, another thing is attached: neither is what was locked.
    let (tag, _) = signed.tagged.last().unwrap();
    gap.source.put_image("team/app", tag, &image(90));
    gap.source.put_untagged("team/app", &artifact(&signed.index, SBOM, b"a later one"));
    gap.source.forget();
    gap.export(&["-o", "one.tar.zst", "--locked"]);
    assert_eq!(gap.source.count("GET", "/referrers/") + gap.source.count("HEAD", ".att"), 0);
    gap.import("one.tar.zst", &[]);
    signed.assert_arrived();

    let ran = gap.cli.run(&["catalog", "lock", "images.txt", "--check", "--exit-code"]);
    assert_eq!(ran.code, 8, "{}", ran.shown());
    let ran = gap.cli.run(&["export", "--locked", "-o", "two.tar.zst", "--with", "signatures"]);
    assert!(
        ran.stdout.contains("1 image with 2 signatures,"),
        "a signature of what stays away stays away: {}",
        ran.shown()
    );
}

/// A layout as another tool would write it: full names for images, tags or nothing for what is about them.
fn layout_of(folder: &std::path::Path, named: &[(&str, &TestImage)], others: &[(Option<&str>, &TestImage)]) {
    let mut entries = Vec::new();
    let mut write = |image: &TestImage, name: Option<&str>| {
        let mut entry = image.descriptor();
        if let Some(name) = name {
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        }
        entries.push(entry);
        let mut left = vec![image];
        while let Some(image) = left.pop() {
            let blobs = image.blobs.iter().cloned().chain([(image.digest, image.manifest.clone())]);
            for (digest, bytes) in blobs {
                let path = folder.join(digest.layout_path());
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            left.extend(&image.children);
        }
    };
    for (name, image) in named {
        write(image, Some(name));
    }
    for (name, image) in others {
        write(image, *name);
    }
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
    std::fs::write(folder.join("index.json"), index).unwrap();
}

#[test]
fn what_stands_beside_images_in_layouts_of_other_tools_comes_along() {
    let signed = signed();
    let gap = &signed.gap;
    let folder = gap.path("layout");
    let others: Vec<(Option<&str>, &TestImage)> = signed
        .tagged
        .iter()
        .map(|(tag, artifact)| (Some(tag.as_str()), artifact))
        .chain(signed.referrers.iter().rev().map(|(_, artifact)| (None, artifact)))
        .collect();
    layout_of(&folder, &[("r.example.com/team/app:1.0", &signed.index)], &others);
    gap.import("layout", &[]);
    signed.assert_arrived();

    // What is about nothing in the layout, and says that it is no image, stays behind; an image without a name does not.
    let lone = artifact(&image(99), SBOM, b"about something else");
    let folder = gap.path("other");
    layout_of(&folder, &[("r.example.com/other/app:1.0", &signed.index)], &[(None, &lone)]);
    let ran = gap.try_import("other", &[]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    let mut index: Value =
        serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    index["manifests"][1]["artifactType"] = json!(SBOM);
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    gap.import("other", &[]);
}
