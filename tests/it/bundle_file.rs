//! The bundle file: this program and other tools read it, and all damage is found.

use std::collections::BTreeMap;
use std::io::Read;

use airgap_bundle::image::{Algorithm, Digest};
use proptest::prelude::*;

use crate::support::bundles::{contents, open, piped, problems, written};
use crate::support::images::{ImageSpec, Layer, TestImage, image, index, multi_platform};

mod ends;
mod golden;
mod huge;
mod imported;
mod swapped;

/// Images of every kind, a few kB of them.
fn tiny() -> Vec<(&'static str, TestImage)> {
    let shared = Layer::gzip(1, 300);
    let one = ImageSpec::new(1).layer(shared.clone()).layer(Layer::tar(2, 400)).build();
    let two = ImageSpec::new(2).docker().layer(shared).layer(Layer::empty()).build();
    let long = ImageSpec::new(3).sha512().layer(Layer::gzip(3, 100)).build();
    vec![("registry.example/one:1", one), ("registry.example/two:1", two), ("registry.example/long:1", long)]
}

/// The members of the tar inside, in order.
fn members(bundle: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(zstd::Decoder::new(bundle).unwrap());
    let members = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let header = entry.header();
        assert_eq!((header.mode().unwrap(), header.mtime().unwrap()), (0o644, 0), "{path}");
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0), "{path}");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert_eq!(content.len() as u64, entry.size(), "{path}");
        (path, content)
    });
    members.collect()
}

fn arbitrary_layer() -> impl Strategy<Value = Layer> {
    let size = prop_oneof![Just(0_usize), 1..200_usize, 400..700_usize, 100_000..300_000_usize];
    (0..6_u64, size, any::<bool>()).prop_map(|(seed, size, compressed)| match (size, compressed) {
        (0, _) => Layer::empty(),
        (size, true) => Layer::gzip(seed, size),
        (size, false) => Layer::tar(seed, size),
    })
}

fn arbitrary_image() -> impl Strategy<Value = TestImage> {
    let kind = (0..1000_u64, proptest::collection::vec(arbitrary_layer(), 0..4), 0..5_u8);
    kind.prop_map(|(seed, layers, kind)| {
        let spec = ImageSpec::new(seed).layers(layers);
        match kind {
            0 => spec.docker().build(),
            1 => spec.sha512().build(),
            2 => index(
                vec![(("linux", "amd64"), spec.build()), (("linux", "arm64"), image(seed))],
                seed % 2 == 0,
            ),
            3 => multi_platform(seed),
            _ => spec.build(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(images in proptest::collection::vec(arbitrary_image(), 1..5)) {
        let names: Vec<String> = (0..images.len()).map(|n| format!("registry.example/team/app-{n}:1")).collect();
        let named: Vec<(&str, TestImage)> = names.iter().map(String::as_str).zip(images).collect();
        let bytes = written(&named);
        prop_assert_eq!(problems(bytes.clone()), Vec::<String>::new());
        let reader = open(bytes.clone()).unwrap();
        let found = contents(&reader);
        for (name, image) in &named {
            let row = reader.manifest().images.iter().find(|row| row.name.to_string() == *name).unwrap();
            prop_assert_eq!(row.digest, image.digest);
            prop_assert_eq!(&found[&image.digest], &image.manifest);
            for (digest, content) in image.all_blobs() {
                prop_assert_eq!(&found[&digest], &content);
            }
        }
        // The same through a pipe, and as the tar it is to everyone else.
        for (digest, piped) in piped(&bytes).unwrap() {
            prop_assert_eq!(&found[&digest], &piped);
        }
        let in_tar = members(&bytes);
        for (digest, content) in &found {
            let held = in_tar.iter().find(|(path, _)| *path == digest.layout_path());
            prop_assert_eq!(&held.unwrap().1, content);
        }
    }
}

#[test]
fn other_tools_find_a_layout_with_checksums_and_names() {
    let images = tiny();
    let members = members(&written(&images));
    let order: Vec<_> = members.iter().map(|(path, _)| path.as_str()).take(6).collect();
    let head = ["oci-layout", "index.json", "bundle.json", "SHA256SUMS", "SHA512SUMS", "manifest.json"];
    assert_eq!(order, head);
    let by_path: BTreeMap<_, _> = members.iter().map(|(path, content)| (path.as_str(), content)).collect();
    assert_eq!(by_path.len(), members.len(), "no member twice");
    assert_eq!(by_path["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);

    // Every member but the lists themselves is in one of them, as sha256sum -c and sha512sum -c read them.
    let mut summed = Vec::new();
    for (list, algorithm) in [("SHA256SUMS", Algorithm::Sha256), ("SHA512SUMS", Algorithm::Sha512)] {
        for line in String::from_utf8(by_path[list].clone()).unwrap().lines() {
            let (sum, path) = line.split_once("  ").unwrap();
            assert_eq!(Digest::of(algorithm, by_path[path]).hex(), sum, "{path}");
            summed.push(path.to_owned());
        }
    }
    let mut missing: Vec<_> = by_path.keys().filter(|path| !summed.contains(&(**path).to_owned())).collect();
    missing.sort();
    assert_eq!(missing, [&"SHA256SUMS"], "{summed:?}");
    for (path, content) in by_path.iter().filter(|(path, _)| path.starts_with("blobs/")) {
        let digest = Digest::from_layout_path(path).unwrap();
        assert_eq!(Digest::of(digest.algorithm(), content), digest);
    }

    let index: serde_json::Value = serde_json::from_slice(by_path["index.json"]).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    for (entry, (name, image)) in entries.iter().zip(&images) {
        assert_eq!(entry["digest"], image.digest.to_string());
        assert_eq!(entry["size"], image.manifest.len());
        for key in ["org.opencontainers.image.ref.name", "io.containerd.image.name"] {
            assert_eq!(entry["annotations"][key], *name);
        }
    }
    assert_eq!(entries.len(), images.len());
}

#[test]
fn a_tag_with_a_digest_has_two_names_and_no_name_comes_twice() {
    let one = image(1);
    let both = format!("registry.example/app:1@{}", one.digest);
    let members = members(&written(&[(&both, one.clone())]));
    let (_, index) = members.iter().find(|(path, _)| path == "index.json").unwrap();
    let index: serde_json::Value = serde_json::from_slice(index).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let name = |entry: &serde_json::Value| entry["annotations"]["io.containerd.image.name"].clone();
    let names: Vec<_> = entries.iter().map(name).collect();
    assert_eq!(names, ["registry.example/app:1".to_owned(), format!("registry.example/app@{}", one.digest)]);
    assert!(entries.iter().all(|entry| entry["digest"] == one.digest.to_string()));
}

#[test]
fn every_flipped_byte_is_found() {
    let bytes = written(&tiny());
    assert!(bytes.len() < 8_000, "{}", bytes.len());
    assert_eq!(problems(bytes.clone()), Vec::<String>::new());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(!problems(damaged).is_empty(), "byte {at} of {}", bytes.len());
    }
}

#[test]
fn no_length_but_the_right_one_is_whole() {
    let bytes = written(&tiny());
    for len in 0..bytes.len() {
        assert!(open(bytes[..len].to_vec()).is_err(), "{len} of {}", bytes.len());
        assert!(piped(&bytes[..len]).is_err(), "{len} of {} through a pipe", bytes.len());
    }
    // A medium may pad with zeros; anything else behind the end is not ours.
    let padded = [&bytes[..], &[0; 5000]].concat();
    assert_eq!(problems(padded), Vec::<String>::new());
    assert!(!problems([&bytes[..], b"more"].concat()).is_empty());
}

#[test]
fn what_is_cut_out_put_in_or_swapped_is_found() {
    let bytes = written(&tiny());
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let (from, len) = (rng.usize(..bytes.len() - 40), rng.usize(1..40));
        let mut damaged = bytes.clone();
        match rng.u8(..3) {
            0 => drop(damaged.drain(from..from + len)),
            1 => drop(damaged.splice(from..from, vec![rng.u8(..); len])),
            _ => damaged[from..from + len].reverse(),
        }
        assert!(damaged == bytes || !problems(damaged).is_empty(), "{len} bytes at {from}");
    }
}
