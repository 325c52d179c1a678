//! One reading for all tools: what podman, containerd and this program would read in different ways does not cross, in
//! either direction; a digest in a name binds what travels under it.

use airgap_bundle::archive::BundleManifest;
use serde_json::{Value, json};

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, image, index};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn app(seed: u64) -> TestImage {
    ImageSpec::new(seed).layer(Layer::gzip(seed, 3_000)).build()
}

/// The manifest of `image` as a text, with `more` keys at its end.
fn with_keys(image: TestImage, more: &str) -> TestImage {
    let text = String::from_utf8(image.manifest.to_vec()).unwrap();
    let text = format!("{},{more}}}", text.trim_end().strip_suffix('}').unwrap());
    image.with_manifest(&text)
}

/// An index of one entry with these fields, besides what describes `child`.
fn listing(child: &TestImage, fields: &str) -> TestImage {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"{IMAGE}","digest":"{}","size":{},{fields}}}]}}"#,
        child.digest,
        child.manifest.len()
    );
    index(vec![(("linux", "amd64"), child.clone())], false).with_manifest(&text)
}

/// Images that tools read in different ways, and what has to be said of each.
fn ambiguous() -> Vec<(TestImage, &'static str)> {
    let other = app(9);
    let config = |text: &str| app(1).with_config(text, CONFIG);
    let octets = "application/octet-stream";
    vec![
        (with_keys(app(1), r#""Config":{}"#), "the key \"Config\" means \"config\""),
        (with_keys(app(1), r#""layers":[]"#), "the key \"layers\" appears more than once"),
        (with_keys(app(1), r#""LAYERS":null"#), "the key \"LAYERS\""),
        (with_keys(app(1), r#""\u017fubject":{}"#), "means \"subject\""),
        (listing(&other, r#""digest":"x""#), "manifests[0]: the key \"digest\" appears more than once"),
        (listing(&other, r#""Digest":"x""#), "manifests[0]: the key \"Digest\""),
        (
            listing(&other, r#""platform":{"os":"unknown","architecture":"amd64","OS":"linux"}"#),
            "manifests[0].platform: the key \"OS\"",
        ),
        (
            config(r#"{"config":{"User":"1000"},"config":{"Entrypoint":["/x"]},"rootfs":{}}"#),
            "the config: the key",
        ),
        (
            config(r#"{"config":{"Entrypoint":["/a"],"entrypoint":["/b"]},"rootfs":{}}"#),
            "the config: config: the key",
        ),
        (config(r#"{"rootfs":{},"rootFS":{}}"#), "the config: the key \"rootFS\""),
        (
            app(1).with_config(r#"{"config":{"User":"1"},"Config":{}}"#, octets),
            "the config: the key \"Config\"",
        ),
    ]
}

#[test]
fn what_tools_read_in_different_ways_is_not_exported() {
    for (at, (image, says)) in ambiguous().iter().enumerate() {
        let (mut gap, fine) = (Gap::new(), app(7));
        gap.image("team/app", "1", image).image("team/fine", "1", &fine);
        let ran = gap.try_export(&["-o", "out.tar.zst"]);
        assert_eq!(ran.code, 3, "{at}: {}", ran.shown());
        assert!(
            ran.stderr.contains(says) && ran.stderr.contains("team/app:1"),
            "{at} {says}: {}",
            ran.shown()
        );
        assert!(!gap.path("out.tar.zst").exists(), "{at}");
        // It is that image's fault alone.
        let ran = gap.try_export(&["-o", "out.tar.zst", "--keep-going"]);
        assert_eq!(ran.code, 7, "{at}: {}", ran.shown());
        gap.import("out.tar.zst", &[]);
        assert_whole(&gap.destination, "team/fine", "1", &fine);
        assert!(gap.destination.manifest("team/app", "1").is_none(), "{at}");
    }
}

#[test]
fn what_tools_read_in_different_ways_is_not_imported_in_any_form() {
    for (at, (image, says)) in ambiguous().iter().enumerate() {
        let gap = Gap::new();
        let folder = gap.path("layout");
        image.layout("r.example.com/team/app:1", &folder);
        let mut tar = tar::Builder::new(Vec::new());
        // Small things first, as a pipe needs it.
        for name in ["oci-layout", "index.json", "blobs"] {
            if folder.join(name).is_dir() {
                tar.append_dir_all(name, folder.join(name)).unwrap();
            } else {
                tar.append_path_with_name(folder.join(name), name).unwrap();
            }
        }
        let tar = tar.into_inner().unwrap();
        std::fs::write(gap.path("layout.tar"), &tar).unwrap();
        std::fs::write(gap.path("layout.tar.zst"), zstd::encode_all(&tar[..], 1).unwrap()).unwrap();
        for form in ["layout", "layout.tar", "layout.tar.zst"] {
            let ran = gap.try_import(form, &[]);
            assert_eq!(ran.code, 3, "{at} {form}: {}", ran.shown());
            assert!(ran.stderr.contains(says), "{at} {form} {says}: {}", ran.shown());
        }
        let host = gap.destination.host();
        let ran = gap.fed(&["import", "-", "-d", &host], &tar);
        assert_eq!(ran.code, 3, "{at}: {}", ran.shown());
        assert!(ran.stderr.contains(says), "{at} {says}: {}", ran.shown());
        assert!(gap.destination.manifest("team/app", "1").is_none(), "{at}: it has its tag");
    }
}

#[test]
fn keys_that_decide_nothing_may_be_repeated_and_travel_byte_for_byte() {
    let mut gap = Gap::new();
    let odd = with_keys(app(1), r#""annotations":{"a":"1"},"annotations":{"a":"2"},"x":1,"X":2,"x":3"#);
    let config = app(2).with_config(
        r#"{"os":"linux","architecture":"amd64","config":{"Labels":{"a":"1","A":"2","a":"3"}},"author":"x","Author":"y","rootfs":{}}"#,
        CONFIG,
    );
    gap.image("team/odd", "1", &odd).image("team/config", "1", &config);
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "team/odd", "1", &odd);
    assert_whole(&gap.destination, "team/config", "1", &config);
}

#[test]
fn an_entry_of_another_type_that_could_run_is_refused() {
    let (app, other) = (app(1), app(2));
    let octets = |child: &TestImage, platform: Option<Value>| {
        let mut entry = child.descriptor();
        entry["mediaType"] = json!("application/octet-stream");
        if let Some(platform) = platform {
            entry["platform"] = platform;
        }
        entry
    };
    let linux = json!({ "os": "linux", "architecture": "amd64" });
    let unknown = json!({ "os": "unknown", "architecture": "unknown" });
    let both = |entries: &dyn Fn(&mut Vec<Value>)| {
        let children = vec![(("linux", "arm64"), app.clone()), (("linux", "s390x"), other.clone())];
        index(children, false).altered(|value| entries(value["manifests"].as_array_mut().unwrap()))
    };
    for (what, image, says) in [
        (
            "alone, for a platform",
            both(&|entries| *entries = vec![octets(&other, Some(linux.clone()))]),
            "for the platform linux/amd64 with the type \"application/octet-stream\"",
        ),
        (
            "for a platform that nothing runs on",
            both(&|entries| entries.push(octets(&other, Some(unknown.clone())))),
            "for the platform unknown/unknown",
        ),
        (
            "a manifest that is listed as one too",
            both(&|entries| entries.push(octets(&other, None))),
            "but it is a manifest",
        ),
        (
            "a manifest that is listed nowhere else",
            both(&|entries| *entries = vec![entries[0].clone(), octets(&other, None)]),
            "but it is a manifest",
        ),
    ] {
        let mut gap = Gap::new();
        gap.image("team/app", "1", &image);
        // Registries keep manifests among their blobs.
        gap.source.put_blob("team/app", &other.manifest);
        let ran = gap.try_export(&["-o", "out.tar.zst"]);
        assert_eq!(ran.code, 3, "{what}: {}", ran.shown());
        assert!(ran.stderr.contains(says), "{what}: {}", ran.shown());
        image.layout("r.example.com/team/app:1", &gap.path("layout"));
        if !what.ends_with("nowhere else") {
            let ran = gap.try_import("layout", &[]);
            assert_eq!(ran.code, 3, "{what}: {}", ran.shown());
            assert!(gap.destination.manifest("team/app", "1").is_none(), "{what}");
        }
    }
    // What is really a blob, such as a layer of a build cache, travels on.
    let mut gap = Gap::new();
    let layer = Layer::gzip(5, 900).bytes;
    let digest = airgap_bundle::image::Digest::sha256(&layer);
    let cache = both(&|entries| {
        *entries = vec![
            json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": layer.len() }),
        ];
    });
    let cache = TestImage { children: Vec::new(), blobs: vec![(digest, layer)], ..cache };
    gap.image("team/cache", "1", &cache);
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "team/cache", "1", &cache);
}

#[test]
fn an_image_of_too_many_manifests_is_refused() {
    let mut gap = Gap::new();
    let children: Vec<_> =
        (0..1_100).map(|seed| (("linux", "amd64"), ImageSpec::new(seed).build())).collect();
    let wide = index(children, false);
    gap.image("team/wide", "1", &wide);
    let ran = gap.try_export(&["-o", "out.tar.zst"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("more than 1024 manifests"), "{}", ran.shown());
    wide.layout("r.example.com/team/app:1", &gap.path("layout"));
    let ran = gap.try_import("layout", &[]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("more than 1024 manifests"), "{}", ran.shown());
}

/// Two images at two places of the source, and a catalog with this row.
fn pinned(gap: &mut Gap, row: &str) -> (TestImage, TestImage) {
    let (a, b) = (image(1), image(2));
    let host = gap.source.host();
    gap.source.put_image("team/a", "1", &a);
    gap.source.put_image("team/b", "1", &b);
    let row =
        row.replace("HOST", &host).replace("$A", &a.digest.to_string()).replace("$B", &b.digest.to_string());
    let catalog = format!("name: shop\nimages:\n- {row}\n");
    std::fs::write(gap.path("catalog.yaml"), catalog).unwrap();
    (a, b)
}

#[test]
fn a_digest_in_a_name_binds_what_is_pulled_for_it() {
    // The source has something else under the tag, and not what is pinned.
    let mut gap = Gap::new();
    pinned(&mut gap, "{image: 'HOST/team/a:1@$A', source: 'HOST/team/b:1'}");
    let ran = gap.cli.run(&["export", "catalog.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("team/b@sha256:"), "{}", ran.shown());
    // It has what is pinned, whatever the tag names.
    let (a, _) = pinned(&mut gap, "{image: 'HOST/team/a:1@$A', source: 'HOST/team/b:1'}");
    gap.source.put_untagged("team/b", &a);
    let ran = gap.cli.run(&["export", "catalog.yaml", "-o", "out.tar.zst"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "team/a", "1", &a);
    // A source that is pinned to another digest cannot be right, and nothing is asked.
    let mut gap = Gap::new();
    pinned(&mut gap, "{image: 'HOST/team/a:1@$A', source: 'HOST/team/b@$B'}");
    gap.source.forget();
    let ran = gap.cli.run(&["export", "catalog.yaml"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(
        ran.stderr.contains("line 3: ") && ran.stderr.contains("the digests must be equal"),
        "{}",
        ran.shown()
    );
    assert!(gap.source.log().is_empty());
}

#[test]
fn a_lock_cannot_give_a_pinned_name_another_digest() {
    let mut gap = Gap::new();
    let (a, b) = pinned(&mut gap, "{image: 'HOST/team/a:1@$A'}");
    assert_eq!(gap.cli.run(&["catalog", "lock", "catalog.yaml"]).code, 0);
    let lock = String::from_utf8(gap.read("catalog.lock")).unwrap();
    let digest = format!("digest: {}", a.digest);
    assert!(lock.contains(&digest), "{lock}");
    std::fs::write(gap.path("catalog.lock"), lock.replace(&digest, &format!("digest: {}", b.digest)))
        .unwrap();
    gap.source.put_untagged("team/a", &b);
    gap.source.forget();
    let ran = gap.cli.run(&["export", "--locked"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("is pinned to") && ran.stderr.contains("and locked to"), "{}", ran.shown());
    assert!(gap.source.log().is_empty());
}

#[test]
fn a_layout_cannot_give_a_pinned_name_another_digest() {
    let gap = Gap::new();
    let (a, b) = (image(1), image(2));
    for (name, code) in [
        (format!("r.example.com/team/a:1@{}", b.digest), 3),
        (format!("r.example.com/team/a@{}", b.digest), 3),
        (format!("r.example.com/team/a:1@{}", a.digest), 0),
    ] {
        let folder = gap.path("layout");
        let _ = std::fs::remove_dir_all(&folder);
        a.layout(&name, &folder);
        let ran = gap.try_import("layout", &[]);
        assert_eq!(ran.code, code, "{name}: {}", ran.shown());
        assert!(code == 0 || ran.stderr.contains("is pinned to"), "{}", ran.shown());
    }
}

#[test]
fn an_index_without_some_of_its_platforms_proves_what_it_was_made_of() {
    let mut gap = Gap::new();
    let both = index(
        vec![(("linux", "amd64"), app(1)), (("linux", "arm64"), app(2)), (("linux", "s390x"), app(3))],
        false,
    );
    let reference = gap.source.put_image("team/app", "1", &both);
    gap.line(&format!("{reference}@{}", both.digest));
    let two = ["--platform", "linux/amd64", "--platform", "linux/arm64", "--repin"];
    gap.export(&[&["-o", "two.tar.zst"], &two[..]].concat());
    std::fs::write(gap.path("policy.yaml"), "pinned: true\n").unwrap();
    let policy = ["--policy", "policy.yaml"];
    let run = |arguments: &[&str]| {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        ran
    };
    run(&[&["verify", "two.tar.zst"], &policy[..]].concat());
    // Packed again it still does, and with one platform less too.
    run(&["repack", "two.tar.zst", "-o", "again.tar.zst", "--policy", "policy.yaml"]);
    run(&[
        "repack",
        "two.tar.zst",
        "-o",
        "one.tar.zst",
        "--platform",
        "linux/arm64",
        "--policy",
        "policy.yaml",
    ]);
    for bundle in ["two.tar.zst", "again.tar.zst", "one.tar.zst"] {
        gap.import(bundle, &[&policy[..], &["--force"]].concat());
    }
    // The original is what the name pins, and gives the narrowed index; anything else is refused.
    let unpacked = zstd::decode_all(&gap.read("two.tar.zst")[..]).unwrap();
    let folder = gap.path("unpacked");
    tar::Archive::new(&unpacked[..]).unpack(&folder).unwrap();
    // These are the sums of one bundle.json, and need not be there.
    std::fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    let own = BundleManifest::from_bytes(&std::fs::read(folder.join("bundle.json")).unwrap()).unwrap();
    let import = |bundle: &BundleManifest, more: &[&str]| {
        std::fs::write(folder.join("bundle.json"), bundle.to_bytes().unwrap()).unwrap();
        gap.try_import("unpacked", &[&["--force"], more].concat())
    };
    let refused = |bundle: &BundleManifest, more: &[&str], says: &str| {
        let ran = import(bundle, more);
        assert_eq!(ran.code, 3, "{}", ran.shown());
        assert!(ran.stderr.contains(says), "{says}: {}", ran.shown());
    };
    assert_eq!(own.extensions["repinned"].as_object().unwrap().len(), 1);
    assert_eq!(import(&own, &policy).code, 0);
    let mut other = own.clone();
    let repinned = other.extensions.get_mut("repinned").unwrap().as_object_mut().unwrap();
    repinned.values_mut().for_each(|repinned| repinned["platforms"] = json!(["linux/amd64"]));
    refused(&other, &[], "which is not made from it");
    // A bundle of an earlier version has no proof: it is taken as it was, and no policy is content with it.
    other.extensions.clear();
    refused(&other, &policy, "nothing proves that");
    assert_eq!(import(&other, &[]).code, 0);
    // One that leaves no platform out cannot have another digest.
    other.platforms.clear();
    refused(&other, &[], "is pinned to");
}
