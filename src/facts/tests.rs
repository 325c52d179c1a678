use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::archive::FormatError;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Manifests and configs by digest.
#[derive(Default)]
struct Store(HashMap<Digest, Bytes>);

impl Store {
    fn put(&mut self, value: &Value) -> (Digest, usize) {
        let bytes = Bytes::from(value.to_string());
        let digest = Digest::sha256(&bytes);
        self.0.insert(digest, bytes.clone());
        (digest, bytes.len())
    }

    fn image(&mut self, user: &str, layers: &[&str]) -> Value {
        let (config, size) = self.put(&json!({ "config": { "User": user }, "rootfs": {} }));
        let layer =
            |layer: &&str| json!({ "mediaType": layer, "digest": Digest::sha256(b"layer"), "size": 5 });
        let (digest, len) = self.put(&json!({
            "schemaVersion": 2, "mediaType": IMAGE, "config": { "mediaType": CONFIG, "digest": config, "size": size },
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        }));
        json!({ "mediaType": IMAGE, "digest": digest, "size": len })
    }

    /// What is found below an index of `entries`: platform, and what becomes of it.
    fn found(&mut self, entries: &[Value]) -> Vec<String> {
        let (root, _) = self.put(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }));
        let configs = |config: &Descriptor| self.0.get(&config.digest).map(|bytes| bytes.to_vec());
        let found = variants(&root, INDEX, &*self, &Configs::new(&configs), &|_| ()).unwrap();
        let shown = found.iter().map(|variant| {
            let what = match &variant.runs {
                Runs::Container(config) => format!("runs as {:?}", config.user),
                Runs::Artifact => "artifact".to_owned(),
                Runs::Attests(_) => "attestation".to_owned(),
                Runs::Unknown(why) => why.clone(),
            };
            format!("{}: {what}", variant.platform)
        });
        shown.collect()
    }
}

impl Manifests for Store {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.0.get(digest).cloned().ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))
    }
}

fn entry(of: &Value, changes: &Value) -> Value {
    let mut entry = of.clone();
    entry.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    entry
}

fn platform(os: &str, architecture: &str) -> Value {
    json!({ "platform": { "os": os, "architecture": architecture } })
}

fn attestation(about: &Value) -> Value {
    let annotations = json!({ "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about["digest"] });
    json!({ "platform": { "os": "unknown", "architecture": "unknown" }, "annotations": annotations })
}

#[test]
fn an_attestation_is_passed_over_by_its_content_and_not_by_what_it_is_called() {
    let mut store = Store::default();
    let (app, root) = (store.image("1000", &["x"]), store.image("0", &["x"]));
    let in_toto = store.image("", &["application/vnd.in-toto+json"]);
    let linux = platform("linux", "amd64");
    // A real one.
    let found = store.found(&[entry(&app, &linux), entry(&in_toto, &attestation(&app))]);
    assert_eq!(found, ["linux/amd64: runs as \"1000\"", "unknown/unknown: attestation"]);
    // An image that is called one.
    let found = store.found(&[entry(&app, &linux), entry(&root, &attestation(&app))]);
    assert_eq!(found, ["linux/amd64: runs as \"1000\"", "unknown/unknown: runs as \"0\""]);
    // The digest of one under another entry is judged, whichever comes first.
    for swap in [false, true] {
        let mut entries = [entry(&in_toto, &attestation(&app)), entry(&in_toto, &platform("linux", "arm64"))];
        if swap {
            entries.reverse();
        }
        assert_eq!(store.found(&entries), ["linux/arm64: runs as \"\""]);
    }
    // Without the annotation, or for a platform, it is none.
    let unmarked = store.found(&[entry(&in_toto, &platform("unknown", "unknown"))]);
    assert_eq!(unmarked, ["unknown/unknown: runs as \"\""]);
    let half = json!({ "platform": { "os": "unknown", "architecture": "amd64" } });
    let marked = entry(&entry(&in_toto, &attestation(&app)), &half);
    assert_eq!(store.found(&[marked]), ["unknown/amd64: runs as \"\""]);
}

#[test]
fn every_entry_is_listed_whatever_its_type_says() {
    let mut store = Store::default();
    let app = store.image("1000", &[]);
    let other = entry(&app, &json!({ "mediaType": "application/octet-stream" }));
    let found = store.found(&[entry(&other, &platform("linux", "amd64"))]);
    assert!(found[0].starts_with("linux/amd64: its index lists it with the type"), "{found:?}");
    assert_eq!(found.len(), 1);
    // Without a platform, too: tools that find no better entry take it.
    assert!(store.found(&[other])[0].contains("octet-stream"));
    let (nested, len) = store.put(&json!({ "manifests": [entry(&app, &platform("linux", "s390x"))] }));
    let nested = json!({ "mediaType": INDEX, "digest": nested, "size": len });
    assert_eq!(store.found(&[nested]), ["linux/s390x: runs as \"1000\""]);
    let unreadable = json!({ "layers": [], "Layers": [] });
    let (broken, len) = store.put(&unreadable);
    let broken = json!({ "mediaType": IMAGE, "digest": broken, "size": len });
    assert!(store.found(&[broken])[0].contains("cannot be read: the key \"Layers\""));
}

#[test]
fn an_index_without_end_comes_to_one() {
    let mut store = Store::default();
    let app = store.image("1000", &[]);
    let mut entries = Vec::new();
    for n in 0..MAX_MANIFESTS + 5 {
        let (digest, len) = store.put(&json!({ "layers": [], "n": n }));
        entries.push(entry(&app, &json!({ "digest": digest, "size": len })));
    }
    assert!(store.found(&entries).last().unwrap().contains("too large"));
}

#[test]
fn a_manifest_is_judged_under_every_type_that_it_is_listed_with() {
    const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
    let mut store = Store::default();
    let (config, size) = store.put(&json!({ "name": "x", "version": "1" }));
    let chart = json!({
        "schemaVersion": 2, "layers": [],
        "config": { "mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": config, "size": size },
    });
    let (digest, len) = store.put(&chart);
    let listed = |media_type| json!({ "mediaType": media_type, "digest": digest, "size": len });
    let (oci, docker) = (listed(IMAGE), listed(DOCKER));
    assert_eq!(store.found(&[oci.clone(), oci.clone()]), [": artifact"]);
    assert_eq!(store.found(&[oci.clone(), docker.clone()]), [": artifact", ": runs as \"\""]);
    assert_eq!(store.found(&[docker, oci]), [": runs as \"\"", ": artifact"]);
    // One that states its type has that one.
    let app = store.image("1000", &[]);
    let called = entry(&app, &json!({ "mediaType": DOCKER }));
    assert_eq!(store.found(&[app, called]), [": runs as \"1000\""]);
}
