//! A signal interrupts a long read, in every command.

use airgap_bundle::image::Digest;
use rustix::process::Signal;
use serde_json::json;

use crate::support::gap::Gap;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Runs the program, and stops it after it has read `bytes`.
fn stopped(gap: &Gap, arguments: &[&str], bytes: u64) {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut run = gap.spawn(arguments);
        let id = run.id();
        let read = || {
            let io = std::fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
            let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
            line.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
        };
        run.until("it reads", || read() > bytes);
        run.signal(signal);
        let ran = run.wait();
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.shown());
        assert!(ran.stderr.contains("stopped"), "{arguments:?}: {}", ran.shown());
    }
}

#[test]
fn an_archive_of_many_members_is_left() {
    let gap = Gap::new();
    let mut tar = tar::Builder::new(Vec::new());
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    let mut header = tar::Header::new_ustar();
    header.set_size(layout.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "oci-layout", &layout[..]).unwrap();
    for n in 0..1000 {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o755);
        tar.append_data(&mut header, format!("folder-{n}/"), std::io::empty()).unwrap();
    }
    let folders = tar.into_inner().unwrap();
    let (layout, folders) = folders[..1002 * 512].split_at(1024);
    std::fs::write(gap.path("x.tar"), [layout, &folders.repeat(999)].concat()).unwrap();
    for verb in ["verify", "inspect"] {
        stopped(&gap, &[verb, "x.tar"], 2 << 20);
    }
    let host = gap.destination.host();
    stopped(&gap, &["import", "x.tar", "-d", &host], 2 << 20);
}

#[test]
fn a_walk_of_many_manifests_is_left() {
    let gap = Gap::new();
    let layer = b"layer";
    let digest = Digest::sha256(layer);
    let row = format!(r#"{{"digest":"{digest}","size":5}}"#);
    let layers = vec![row; 40_000].join(",");
    let config = b"{}";
    let of_config = format!(
        r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":2}}"#,
        Digest::sha256(config)
    );
    let manifest = format!(r#"{{"schemaVersion":2,"config":{of_config},"layers":[{layers}]}}"#);
    let entries: Vec<_> = (0..400)
        .map(|n| {
            json!({
                "mediaType": MANIFEST, "digest": Digest::sha256(manifest.as_bytes()), "size": manifest.len(),
                "annotations": { "org.opencontainers.image.ref.name": format!("r.example.com/a/app:{n}") },
            })
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
    let mut tar = tar::Builder::new(Vec::new());
    let blob = |bytes: &[u8]| (Digest::sha256(bytes).layout_path(), bytes.to_vec());
    for (name, bytes) in [
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.into_bytes()),
        blob(layer),
        blob(config),
        blob(manifest.as_bytes()),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    std::fs::write(gap.path("x.tar"), tar.into_inner().unwrap()).unwrap();
    for arguments in [&["review", "x.tar"][..], &["verify", "x.tar"]] {
        stopped(&gap, arguments, manifest.len() as u64);
    }
}
