//! Paths that are not the bundle that the user means: the error says what they are instead.

use crate::support::gap::Gap;
use crate::support::images::{ImageSpec, Layer, image};

fn refused(gap: &Gap, arguments: &[&str], text: &str) {
    let ran = gap.cli.run(arguments);
    assert_eq!(ran.code, 3, "{arguments:?}: {}", ran.shown());
    assert!(ran.stderr.contains(text), "{arguments:?}: {}", ran.shown());
}

#[test]
fn an_export_that_has_not_finished_is_called_that() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1)).export(&["-o", "out.tar.zst"]);
    let whole = gap.read("out.tar.zst");
    std::fs::remove_file(gap.path("out.tar.zst")).unwrap();
    std::fs::write(gap.path("out.tar.zst.partial"), &whole[..whole.len() / 2]).unwrap();
    let host = gap.destination.host();
    let says = "out.tar.zst is not there yet: out.tar.zst.partial is an export that has not finished";
    for name in ["out.tar.zst", "out.tar.zst.partial"] {
        refused(&gap, &["verify", name], says);
        refused(&gap, &["inspect", name], says);
        refused(&gap, &["import", name, "-d", &host], says);
    }
    // What is whole is read, whatever its name.
    std::fs::write(gap.path("out.tar.zst.partial"), &whole).unwrap();
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst.partial"]).code, 0);
    // Without it, the file is missing and nothing more is known.
    std::fs::remove_file(gap.path("out.tar.zst.partial")).unwrap();
    let ran = gap.cli.run(&["verify", "out.tar.zst"]);
    assert!(ran.code == 1 && ran.stderr.contains("No such file"), "{}", ran.shown());
}

#[test]
fn the_folder_of_a_registry_is_called_that() {
    let gap = Gap::new();
    std::fs::create_dir_all(gap.path("served/repositories/team/app")).unwrap();
    std::fs::create_dir_all(gap.path("served/blobs/sha256")).unwrap();
    std::fs::write(gap.path("served/bundle-registry"), "airgap-bundle registry 1\n").unwrap();
    std::fs::write(gap.path("served/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    refused(&gap, &["verify", "served"], "served is the folder of a registry of `bundle serve --dir`");
}

/// One line for each of twenty images, but the reason once.
#[test]
fn a_reason_that_images_share_is_given_once() {
    let gap = Gap::new();
    // A port that was free a moment ago: nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let list: Vec<String> = (0..20).map(|n| format!("{free}/team/app-{n}:1\n")).collect();
    std::fs::write(gap.path("list.txt"), list.concat()).unwrap();
    let ran = gap.cli.run(&["export", "list.txt", "--retries", "1", "-o", "out.tar.zst"]);
    let reason = format!("registry {free}: cannot connect");
    assert_eq!(ran.stderr.matches(&reason).count(), 1, "{}", ran.shown());
    assert_eq!(ran.stderr.matches("/team/app-").count(), 20, "{}", ran.shown());
}

/// Four volumes, and a parity volume where that is wanted.
fn volumes(parity: &[&str]) -> Gap {
    let mut gap = Gap::new();
    let layers: Vec<_> = (1..=4).map(|seed| Layer::gzip(seed, 250_000)).collect();
    gap.image("team/app", "1", &ImageSpec::new(1).layers(layers).build());
    gap.export(&[&["-o", "out.tar.zst", "--volume-size", "300000"], parity].concat());
    gap
}

#[test]
fn volumes_beyond_the_last_are_named_without_a_list() {
    let gap = volumes(&[]);
    std::fs::remove_file(gap.path("out.tar.zst.volumes.json")).unwrap();
    std::fs::remove_file(gap.path("out.tar.zst.004")).unwrap();
    let host = gap.destination.host();
    refused(&gap, &["verify", "out.tar.zst.001"], "out.tar.zst (3 volumes): it is cut short");
    refused(&gap, &["verify", "out.tar.zst.001"], "up to out.tar.zst.004");
    refused(&gap, &["import", "out.tar.zst.001", "-d", &host], "out.tar.zst (3 volumes) is cut short");
    let ran = gap.cli.run(&["verify", "out.tar.zst.001"]);
    // Without a list nobody has hashed the others.
    assert!(!ran.stderr.contains("intact; ") && !ran.stderr.contains("others are intact"), "{}", ran.shown());
}

#[test]
fn an_import_of_damaged_volumes_names_them_and_the_way_to_rebuild() {
    let gap = volumes(&["--parity", "1"]);
    let mut bytes = gap.read("out.tar.zst.002");
    bytes[150_000] ^= 1;
    std::fs::write(gap.path("out.tar.zst.002"), bytes).unwrap();
    let host = gap.destination.host();
    refused(&gap, &["import", "out.tar.zst", "-d", &host], "out.tar.zst.002");
    refused(&gap, &["import", "out.tar.zst", "-d", &host], "bundle repack --rebuild out.tar.zst");
    std::fs::remove_file(gap.path("out.tar.zst.002")).unwrap();
    refused(&gap, &["import", "out.tar.zst", "-d", &host], "bundle repack --rebuild out.tar.zst");
}

#[test]
fn damage_in_the_head_names_the_file_and_the_way_out() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1)).export(&["-o", "out.tar.zst"]);
    let mut bytes = gap.read("out.tar.zst");
    bytes[200..230].fill(0x55);
    std::fs::write(gap.path("out.tar.zst"), bytes).unwrap();
    let host = gap.destination.host();
    for arguments in [&["verify", "out.tar.zst"][..], &["import", "out.tar.zst", "-d", &host]] {
        refused(&gap, arguments, "the archive is damaged: out.tar.zst: head frame 0");
        refused(&gap, arguments, "hint: copy it again");
    }
}
