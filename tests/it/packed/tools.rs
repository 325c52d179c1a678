//! Archives of other tools: each is recognised and named, with the command that converts it; a store of hauler is read.

use serde_json::json;

use super::*;
use crate::support::images::signature;

#[test]
fn archives_that_are_no_layouts_are_named_with_the_way_on() {
    let gap = Gap::new();
    let docker = r#"[{"Config":"a.json","RepoTags":["team/app:1"],"Layers":["b/layer.tar"]}]"#;
    let layer = format!("sha256-{}.tar.gz", "0a".repeat(32));
    let archives = [
        (
            "docker save",
            vec![("manifest.json", docker), ("repositories", "{}"), ("a.json", "{}"), ("b/layer.tar", "x")],
            "is an archive of `docker save` without an OCI layout",
            "skopeo copy docker-archive:",
        ),
        (
            "Zarf",
            vec![("zarf.yaml", "kind: x"), ("images/oci-layout", "{}")],
            "is a Zarf package",
            "bundle import images",
        ),
        ("imgpkg", vec![("manifest.json", "[]"), (&layer, "x")], "is an imgpkg tar", "imgpkg copy --tar"),
        (
            "oc-mirror",
            vec![("docker/registry/v2/repositories/x", "x"), ("working-dir/x", "x"), ("isc_2026", "x")],
            "is an archive of oc-mirror",
            "oc-mirror -c",
        ),
        ("a chart", vec![("shop/Chart.yaml", "name: shop")], "is a packed Helm chart", "bundle export --add"),
        (
            "packed with its folder",
            vec![("x/oci-layout", "{}"), ("x/index.json", "{}")],
            "has its OCI layout in the folder \"x\"",
            "tar -C FOLDER",
        ),
    ];
    for (what, files, is, way) in archives {
        let entries: Vec<Entry> =
            files.iter().map(|(name, content)| Entry::file(name, content.as_bytes())).collect();
        for (form, ran) in in_each_container(&gap, &tar(&entries), &[]) {
            assert_refused(&gap, &format!("{what}, {form}"), &ran, 3, &[is, "hint: ", way]);
        }
        let ran = gap.cli.run(&["verify", "x.tar.gz"]);
        assert_refused(&gap, what, &ran, 3, &[is, way]);
    }
    for (folder, files, is, way) in [
        ("dir", vec!["version", "manifest.json"], "is a folder of skopeo's `dir:` transport", "skopeo copy"),
        ("store", vec!["docker/registry/v2/repositories/x"], "is the storage of a registry", "bundle export"),
        ("parent", vec!["layout/oci-layout"], "in the folder \"layout\"", "name that folder"),
    ] {
        let entries: Vec<Entry> = files.iter().map(|name| Entry::file(name, b"{}")).collect();
        unpacked(&entries, &gap.path(folder));
        assert_refused(&gap, folder, &gap.try_import(folder, &[]), 3, &[is, way]);
    }
    for (start, is, way) in [
        (&b"\xfd7zXZ\0"[..], "is compressed with xz", "xz -dk"),
        (b"BZh91AY", "is compressed with bzip2", "bzip2 -dk"),
        (b"PK\x03\x04", "is compressed with zip", "unzip"),
    ] {
        let bytes = [start, &[7; 2000]].concat();
        std::fs::write(gap.path("x"), &bytes).unwrap();
        for ran in [gap.try_import("x", &[]), piped(&gap, &bytes, &[])] {
            assert_refused(&gap, is, &ran, 3, &[is, way]);
        }
    }
}

#[test]
fn what_new_docker_saves_is_read_as_the_layout_it_also_is() {
    let (gap, image, entries) = exported();
    let mut entries = foreign(&entries);
    entries.push(Entry::file("manifest.json", b"[{}]"));
    entries.push(Entry::file("repositories", b"{}"));
    for (form, ran) in in_each_container(&gap, &tar(&entries), &[]) {
        assert_arrived(&gap, form, &ran, &image);
    }
}

#[test]
fn a_store_of_hauler_is_a_layout_whose_signatures_have_the_name_of_their_image() {
    for prefix in ["dev.hauler", "dev.cosignproject.cosign"] {
        let image = ImageSpec::new(1).layer(Layer::gzip(1, 9_000)).build();
        let (tag, signed) = signature(&image);
        let entry = |one: &TestImage, kind: &str| {
            let mut entry = one.descriptor();
            entry["annotations"] = json!({
                "kind": format!("{prefix}/{kind}"), "org.opencontainers.image.ref.name": "team/app:1",
                "io.containerd.image.name": "registry.example.com/team/app:1",
            });
            entry
        };
        let index =
            json!({ "schemaVersion": 2, "manifests": [entry(&image, "image"), entry(&signed, "sigs")] });
        let mut entries = vec![
            Entry::file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
            Entry::file("index.json", index.to_string().as_bytes()),
        ];
        for one in [&image, &signed] {
            entries.push(Entry::file(&one.digest.layout_path(), &one.manifest));
            let blobs = one.all_blobs();
            entries.extend(blobs.iter().map(|(digest, bytes)| Entry::file(&digest.layout_path(), bytes)));
        }
        let gap = Gap::new();
        for (form, ran) in in_each_container(&gap, &tar(&entries), &[]) {
            assert_arrived(&gap, form, &ran, &image);
            assert_whole(&gap.destination, "team/app", &tag, &signed);
        }
    }
}
