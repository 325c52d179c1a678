//! Every configuration as it is written, and against what its reader documents.

use serde_json::{Value, json};

use super::*;
use crate::archive::ImageRow;
use crate::destination::Mapping;
use crate::image::{Digest, media_type};

fn row(name: &str) -> ImageRow {
    ImageRow {
        artifact_type: None,
        digest: Digest::sha256(name.as_bytes()),
        entries: Vec::new(),
        media_type: media_type::OCI_INDEX.into(),
        name: name.parse().unwrap(),
        platforms: Vec::new(),
        size: 0,
        source: name.parse().unwrap(),
    }
}

fn shop() -> Vec<ImageRow> {
    let mut images: Vec<ImageRow> = [
        "busybox:1",
        "bitnami/kafka:3",
        "bitnami/kafka:4",
        "quay.io/shop/server:1",
        "localhost:5000/x:1",
        "reg.local/own/x:1",
    ]
    .map(row)
    .into();
    images.push(ImageRow { artifact_type: Some("chart".to_owned()), ..row("localhost/charts/shop:1") });
    images
}

const DROPPED: Mapping = Mapping { keep_host: false, no_synthetic_tags: false };
const KEPT: Mapping = Mapping { keep_host: true, no_synthetic_tags: false };

fn files(kind: MirrorKind, to: &str, mapping: Mapping, reach: &Reach) -> Vec<MirrorFile> {
    let images = shop();
    let images: Vec<&ImageRow> = images.iter().collect();
    mirror_files(kind, &images, &to.parse().unwrap(), mapping, reach, true).unwrap()
}

/// A plain one, and one with everything.
fn both(kind: MirrorKind) -> Vec<MirrorFile> {
    let reach =
        Reach { plain_http: false, tls_no_verify: true, ca_file: Some("/etc/ssl/reg \"ca\".pem".to_owned()) };
    let mut all = files(kind, "reg.local", DROPPED, &Reach { plain_http: true, ..Reach::default() });
    all.extend(files(kind, "reg.local:5000/mirror/a", KEPT, &reach));
    all
}

fn shown(files: &[MirrorFile]) -> String {
    files.iter().map(|file| format!("=== {}\n{}", file.path, file.text)).collect::<Vec<_>>().join("\n")
}

/// What the reader of a configuration documents, as a schema.
fn check(schema: &Value, file: &Value) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(file).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{file:#}");
}

fn toml_of(file: &MirrorFile) -> Value {
    let table: toml::Table = file.text.parse().unwrap();
    serde_json::to_value(table).unwrap()
}

#[test]
fn containerd_reads_one_file_per_source_host() {
    let files = both(MirrorKind::Containerd);
    insta::assert_snapshot!("containerd", shown(&files));
    // containerd, docs/hosts.md, "hosts.toml Content Description".
    let address = "^https?://[^/]+(/v2/[^?#]+)?$";
    let mut host = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "capabilities": { "type": "array", "items": { "enum": ["pull", "resolve", "push"] } },
            "override_path": { "type": "boolean" },
            "skip_verify": { "type": "boolean" },
            "ca": { "type": "string" },
        },
    });
    let of_hosts = json!({ "type": "object", "minProperties": 1, "propertyNames": { "pattern": address }, "additionalProperties": host });
    host["required"] = json!(["server", "host"]);
    host["properties"]["server"] = json!({ "type": "string", "pattern": address });
    host["properties"]["host"] = of_hosts;
    for file in &files {
        check(&host, &toml_of(file));
    }
}

#[test]
fn k3s_and_rke2_read_one_file_for_all() {
    let files = both(MirrorKind::K3s);
    insta::assert_snapshot!("k3s", shown(&files));
    assert!(both(MirrorKind::Rke2)[0].text.contains("/etc/rancher/rke2/registries.yaml"));
    // docs.k3s.io, "Private Registry Configuration", "Registries Configuration File".
    let registries = json!({
        "type": "object", "additionalProperties": false, "required": ["mirrors"],
        "properties": {
            "mirrors": { "type": "object", "minProperties": 1, "additionalProperties": {
                "type": "object", "additionalProperties": false, "required": ["endpoint"],
                "properties": {
                    "endpoint": { "type": "array", "minItems": 1, "items": { "type": "string", "pattern": "^https?://[^/]+$" } },
                    "rewrite": { "type": "object", "propertyNames": { "format": "regex" }, "additionalProperties": { "type": "string" } },
                },
            } },
            "configs": { "type": "object", "additionalProperties": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "auth": { "type": "object" },
                    "tls": { "type": "object", "additionalProperties": false, "properties": {
                        "ca_file": { "type": "string" }, "cert_file": { "type": "string" }, "key_file": { "type": "string" },
                        "insecure_skip_verify": { "type": "boolean" },
                    } },
                },
            } },
        },
    });
    for file in files.iter().chain(&both(MirrorKind::Rke2)) {
        check(&registries, &serde_saphyr::from_str(&file.text).unwrap());
    }
}

#[test]
fn registries_conf_leads_to_the_destination_alone() {
    let files = both(MirrorKind::Podman);
    insta::assert_snapshot!("podman", shown(&files));
    // containers-registries.conf(5), version 2.
    let conf = json!({
        "type": "object", "additionalProperties": false, "required": ["registry"],
        "properties": { "registry": { "type": "array", "minItems": 1, "items": {
            "type": "object", "additionalProperties": false, "required": ["prefix", "location"],
            "properties": {
                "prefix": { "type": "string", "pattern": "^[^/]+(:[0-9]+)?$" },
                "location": { "type": "string", "pattern": "^[^/]+(/[a-z0-9._/-]+)?$" },
                "insecure": { "type": "boolean" },
            },
        } } },
    });
    for file in files.iter().chain(&both(MirrorKind::Crio)) {
        check(&conf, &toml_of(file));
    }
}

#[test]
fn openshift_has_a_set_for_digests_and_one_for_tags() {
    let files = both(MirrorKind::Openshift);
    insta::assert_snapshot!("openshift", shown(&files));
    // openshift/api config/v1, the CRDs of both: fields, policies, and what a source and a mirror look like.
    let place = "^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$";
    let set = |kind: &str, field: &str| {
        json!({
            "type": "object", "additionalProperties": false, "required": ["apiVersion", "kind", "metadata", "spec"],
            "properties": {
                "apiVersion": { "const": "config.openshift.io/v1" }, "kind": { "const": kind },
                "metadata": { "type": "object", "required": ["name"] },
                "spec": { "type": "object", "additionalProperties": false, "required": [field], "properties": { field: {
                    "type": "array", "items": {
                        "type": "object", "additionalProperties": false, "required": ["source", "mirrors"],
                        "properties": {
                            "source": { "type": "string", "pattern": place },
                            "mirrors": { "type": "array", "uniqueItems": true, "items": { "type": "string", "pattern": place } },
                            "mirrorSourcePolicy": { "enum": ["NeverContactSource", "AllowContactingSource"] },
                        },
                    },
                } } },
            },
        })
    };
    for file in &files {
        let sets: Vec<Value> = serde_saphyr::from_multiple(&file.text).unwrap();
        assert_eq!(sets.len(), 2);
        check(&set("ImageDigestMirrorSet", "imageDigestMirrors"), &sets[0]);
        check(&set("ImageTagMirrorSet", "imageTagMirrors"), &sets[1]);
    }
    let image = row("quay.io/a:1");
    let result = mirror_files(
        MirrorKind::Openshift,
        &[&image],
        &"[::1]:5000".parse().unwrap(),
        DROPPED,
        &Reach::default(),
        false,
    );
    assert!(matches!(result, Err(MirrorError::Host(..))));
}

#[test]
fn kustomize_renames_every_spelling_and_pins_what_has_one_tag() {
    let files = files(MirrorKind::Kustomize, "reg.local/mirror", DROPPED, &Reach::default());
    insta::assert_snapshot!("kustomize", shown(&files));
    // kustomize, "images" of a Component.
    let component = json!({
        "type": "object", "additionalProperties": false, "required": ["apiVersion", "kind", "images"],
        "properties": {
            "apiVersion": { "const": "kustomize.config.k8s.io/v1alpha1" }, "kind": { "const": "Component" },
            "images": { "type": "array", "minItems": 1, "items": {
                "type": "object", "additionalProperties": false, "required": ["name", "newName"],
                "properties": {
                    "name": { "type": "string", "pattern": "^[^@]+$" }, "newName": { "type": "string", "pattern": "^[^@]+$" },
                    "newTag": { "type": "string" }, "digest": { "type": "string", "pattern": "^sha(256|512):[0-9a-f]+$" },
                },
            } },
        },
    });
    check(&component, &serde_saphyr::from_str(&files[0].text).unwrap());
}

#[test]
fn without_a_source_host_there_is_nothing_to_mirror() {
    let own = row("reg.local/x:1");
    let result = mirror_files(
        MirrorKind::K3s,
        &[&own],
        &"reg.local".parse().unwrap(),
        DROPPED,
        &Reach::default(),
        false,
    );
    assert_eq!(result, Err(MirrorError::Nothing));
}
