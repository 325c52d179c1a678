//! Layouts that hold one platform of an image, as `ctr images export` and `nerdctl save` write them after a pull.

use serde_json::{Value, json};

use super::*;
use crate::support::images::{index, multi_platform, signature};

const NAME: &str = "registry.example.com/team/app:1";

/// A layout of `image` under `name`, without what is not in `held`.
fn layout(image: &TestImage, name: &str, held: &[&TestImage]) -> Vec<Entry> {
    let mut root = image.descriptor();
    root["annotations"] =
        json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1" });
    let listed = json!({ "schemaVersion": 2, "manifests": [root] }).to_string();
    let mut entries = vec![
        Entry::file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        Entry::file("index.json", listed.as_bytes()),
        Entry::file(&image.digest.layout_path(), &image.manifest),
    ];
    let mut blobs = std::collections::BTreeMap::new();
    for one in held {
        entries.push(Entry::file(&one.digest.layout_path(), &one.manifest));
        blobs.extend(one.all_blobs());
    }
    entries.extend(blobs.iter().map(|(digest, bytes)| Entry::file(&digest.layout_path(), bytes)));
    entries
}

fn forms(gap: &Gap, entries: &[Entry], arguments: &[&str]) -> Vec<(&'static str, Ran)> {
    unpacked(entries, &gap.path("folder"));
    let mut all = vec![("folder", gap.try_import("folder", &[&["--force"], arguments].concat()))];
    all.extend(in_each_container(gap, &tar(entries), arguments));
    all
}

#[test]
fn one_platform_of_an_index_arrives_as_what_it_is() {
    let image = multi_platform(1);
    let (amd64, name) = (&image.children[0], NAME);
    let entries = layout(&image, name, &[amd64]);
    let gap = Gap::new();
    for (form, ran) in forms(&gap, &entries, &[]) {
        let says = [
            "the archive does not contain every platform",
            "registry.example.com/team/app:1: linux/amd64 is there; linux/arm64/v8 is not",
            "--platform linux/amd64",
        ];
        assert_refused(&gap, form, &ran, 3, &says);
    }
    for (form, ran) in forms(&gap, &entries, &["--platform", "linux/amd64", "--report", "report.json"]) {
        assert_eq!(ran.code, 0, "{form}: {}", ran.shown());
        assert_whole(&gap.destination, "team/app", "1", amd64);
        assert!(gap.destination.manifest("team/app", &image.digest.to_string()).is_none(), "{form}");
        let says = format!(
            "{name}: only linux/amd64 ({}); its index {} is not imported",
            amd64.digest, image.digest
        );
        assert!(ran.stdout.contains(&says), "{form}: {}", ran.shown());
        let report: Value = serde_json::from_slice(&gap.read("report.json")).unwrap();
        let row = &report["images"][0];
        assert_eq!(row["digest"], amd64.digest.to_string(), "{form}");
        assert_eq!(row["platform"], "linux/amd64", "{form}");
        assert_eq!(row["index"], image.digest.to_string(), "{form}");
    }
    for form in ["folder", "x.tar", "x.tar.gz", "x.tar.zst"] {
        let ran = gap.cli.run(&["verify", form]);
        assert!(ran.code == 3 && ran.stderr.contains("--platform linux/amd64"), "{form}: {}", ran.shown());
        let ran = gap.cli.run(&["verify", form, "--platform", "linux/amd64"]);
        assert_eq!(ran.code, 0, "{form}: {}", ran.shown());
        let plan = gap.import(form, &["--platform", "linux/amd64", "--dry-run"]);
        assert!(plan.stdout.contains("its index"), "{form}: {}", plan.shown());
    }
}

#[test]
fn a_platform_that_is_not_there_is_told_with_what_is() {
    let image = multi_platform(1);
    let gap = Gap::new();
    let entries = layout(&image, NAME, &[&image.children[0]]);
    for platform in ["linux/arm64", "linux/s390x", "windows/amd64"] {
        for (form, ran) in forms(&gap, &entries, &["--platform", platform]) {
            let says = format!("{NAME}: {platform} is not there");
            assert_refused(&gap, form, &ran, 2, &[&says]);
            // Out of a pipe the others have not come yet.
            assert!(form == "pipe" || ran.stderr.contains("; linux/amd64 is there"), "{}", ran.shown());
        }
    }
    let ran = gap.try_import("folder", &["--platform", "amd64"]);
    assert_refused(&gap, "no platform", &ran, 2, &["write os/architecture"]);
}

#[test]
fn where_several_platforms_are_there_one_has_to_be_chosen() {
    let (v6, v7, s390x) = (app(1), app(2), app(3));
    let mut image = index(
        vec![(("linux", "arm"), v6.clone()), (("linux", "arm"), v7.clone()), (("linux", "s390x"), s390x)],
        false,
    );
    image = image.altered(|value| {
        value["manifests"][0]["platform"]["variant"] = "v6".into();
        value["manifests"][1]["platform"]["variant"] = "v7".into();
    });
    let gap = Gap::new();
    let entries = layout(&image, NAME, &[&v6, &v7]);
    for (form, ran) in forms(&gap, &entries, &[]) {
        let says = "linux/arm/v6 and linux/arm/v7 are there; linux/s390x is not";
        assert_refused(&gap, form, &ran, 3, &[says, "--platform OS/ARCH"]);
    }
    for (form, ran) in forms(&gap, &entries, &["--platform", "linux/arm"]) {
        assert_refused(&gap, form, &ran, 2, &["several manifests are for linux/arm", "name the variant"]);
    }
    for (form, ran) in forms(&gap, &entries, &["--platform", "linux/arm/v7"]) {
        assert_eq!(ran.code, 0, "{form}: {}", ran.shown());
        assert_whole(&gap.destination, "team/app", "1", &v7);
    }
}

fn app(seed: u64) -> TestImage {
    ImageSpec::new(seed).layer(Layer::gzip(seed, 3_000)).build()
}

#[test]
fn an_index_that_is_whole_stays_whole_unless_one_platform_is_asked_for() {
    let image = multi_platform(1);
    let held: Vec<&TestImage> = image.children.iter().collect();
    let gap = Gap::new();
    let entries = layout(&image, NAME, &held);
    for (form, ran) in forms(&gap, &entries, &[]) {
        assert_arrived(&gap, form, &ran, &image);
    }
    for (form, ran) in forms(&gap, &entries, &["--platform", "linux/arm64"]) {
        assert_arrived(&gap, form, &ran, &image.children[1]);
    }
}

#[test]
fn an_attestation_that_is_absent_is_a_part_of_its_index() {
    let image = multi_platform(1);
    let held: Vec<&TestImage> = image.children[..2].iter().collect();
    let gap = Gap::new();
    let entries = layout(&image, NAME, &held);
    for (form, ran) in forms(&gap, &entries, &[]) {
        let says = "linux/amd64 and linux/arm64/v8 are there; a part of its index is not";
        assert_refused(&gap, form, &ran, 3, &[says, "--platform OS/ARCH"]);
    }
    for (form, ran) in forms(&gap, &entries, &["--platform", "linux/amd64"]) {
        assert_arrived(&gap, form, &ran, &image.children[0]);
    }
}

#[test]
fn of_many_images_a_message_names_the_first() {
    let image = multi_platform(1);
    let mut entries = layout(&image, NAME, &[&image.children[0]]);
    let mut listed: Value = serde_json::from_slice(&entries[1].content).unwrap();
    let row = listed["manifests"][0].clone();
    for number in 2..=40 {
        let mut row = row.clone();
        let name = NAME.replace(":1", &format!(":{number}"));
        row["annotations"]["io.containerd.image.name"] = name.into();
        listed["manifests"].as_array_mut().unwrap().push(row);
    }
    entries[1].content = listed.to_string().into_bytes();
    let gap = Gap::new();
    std::fs::write(gap.path("x.tar"), tar(&entries)).unwrap();
    let ran = gap.try_import("x.tar", &[]);
    assert_refused(&gap, "many", &ran, 3, &["team/app:10: linux/amd64 is there", "… and 30 more"]);
    assert!(!ran.stderr.contains("team/app:11"), "{}", ran.shown());
    let ran = gap.try_import("x.tar", &["--platform", "linux/s390x"]);
    assert_refused(&gap, "many", &ran, 2, &["linux/s390x is not there", "… and 30 more"]);
    let ran = gap.import("x.tar", &["--platform", "linux/amd64"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

#[test]
fn who_has_the_manifests_of_all_platforms_need_not_have_their_content() {
    let image = multi_platform(1);
    let mut entries = layout(&image, NAME, &[&image.children[0]]);
    for child in &image.children[1..] {
        entries.insert(3, Entry::file(&child.digest.layout_path(), &child.manifest));
    }
    for form in ["folder", "x.tar"] {
        let gap = Gap::new();
        unpacked(&entries, &gap.path("folder"));
        std::fs::write(gap.path("x.tar"), tar(&entries)).unwrap();
        let ran = gap.try_import(form, &[]);
        assert_refused(&gap, form, &ran, 3, &["linux/amd64 is there; linux/arm64/v8 is not"]);
        let ran = gap.try_import(form, &["--platform", "linux/amd64", "--force"]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
    }
}

#[test]
fn what_is_about_an_index_stays_behind_with_it() {
    let image = multi_platform(1);
    let mut entries = layout(&image, NAME, &[&image.children[0]]);
    let mut signed = Vec::new();
    for subject in [&image, &image.children[0]] {
        let (tag, signature) = signature(subject);
        let mut entry = signature.descriptor();
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        entries.push(Entry::file(&signature.digest.layout_path(), &signature.manifest));
        for (digest, bytes) in signature.all_blobs() {
            if !entries.iter().any(|entry| entry.name == digest.layout_path()) {
                entries.push(Entry::file(&digest.layout_path(), &bytes));
            }
        }
        signed.push((tag, entry));
    }
    let mut listed: Value = serde_json::from_slice(&entries[1].content).unwrap();
    listed["manifests"].as_array_mut().unwrap().extend(signed.iter().map(|(_, entry)| entry.clone()));
    entries[1].content = listed.to_string().into_bytes();
    let gap = Gap::new();
    for (form, ran) in forms(&gap, &entries, &["--platform", "linux/amd64"]) {
        assert_eq!(ran.code, 0, "{form}: {}", ran.shown());
        assert!(
            ran.stderr.contains("artifacts that refer to an index that is not imported are left out (1)"),
            "{form}: {}",
            ran.shown()
        );
        assert!(gap.destination.manifest("team/app", &signed[0].0).is_none(), "{form}");
        assert!(gap.destination.manifest("team/app", &signed[1].0).is_some(), "{form}");
    }
}

#[test]
fn a_name_that_is_pinned_to_an_index_needs_another_for_one_platform() {
    let image = multi_platform(1);
    let name = format!("{}@{}", NAME.trim_end_matches(":1"), image.digest);
    let entries = layout(&image, &name, &[&image.children[0]]);
    let gap = Gap::new();
    for (form, ran) in forms(&gap, &entries, &["--platform", "linux/amd64"]) {
        assert_refused(&gap, form, &ran, 2, &["is pinned to the digest of its index", "--name"]);
    }
    for (form, ran) in forms(&gap, &entries, &["--platform", "linux/amd64", "--name", NAME]) {
        assert_arrived(&gap, form, &ran, &image.children[0]);
    }
}
