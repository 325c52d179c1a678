//! `export --with-self`: the program and its instructions, as sidecar files of the bundle.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use airgap_bundle::image::Digest;

use crate::support::gap::Gap;
use crate::support::images::{ImageSpec, Layer, image};

#[test]
fn the_program_its_checksum_and_a_text_lie_beside_the_bundle() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    std::fs::create_dir(gap.path("stick")).unwrap();
    let ran = gap.export(&["-o", "stick/out.tar.zst", "--with-self"]);
    assert!(
        ran.stdout.contains("  stick/bundle\n  stick/bundle.sha256\n  stick/out.README.txt\n"),
        "{}",
        ran.shown()
    );
    let program = gap.path("stick/bundle");
    assert_eq!(std::fs::metadata(&program).unwrap().permissions().mode() & 0o111, 0o111);
    let digest = Digest::sha256(&std::fs::read(&program).unwrap()).hex();
    assert_eq!(gap.read("stick/bundle.sha256"), format!("{digest}  bundle\n").as_bytes());
    // What was carried is enough.
    let output = Command::new(&program)
        .args(["verify", "out.tar.zst"])
        .current_dir(gap.path("stick"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!(
        String::from_utf8(gap.read("stick/out.README.txt")).unwrap().replace(std::env::consts::ARCH, "ARCH")
    );
    let again = gap.export(&["-o", "stick/out.tar.zst", "--with-self"]);
    assert!(again.stderr.contains("is already complete"), "{}", again.shown());
}

#[test]
fn volumes_are_joined_in_the_text_and_nothing_else_is_replaced() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &ImageSpec::new(1).layer(Layer::gzip(1, 300_000)).build());
    std::fs::write(gap.path("bundle"), "mine").unwrap();
    let cut = ["-o", "out.tar.zst", "--volume-size", "100000", "--with-self"];
    let ran = gap.cli.run(&[&["export", "images.txt"], &cut[..]].concat());
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("bundle exists and is a different file"), "{}", ran.shown());
    assert_eq!(gap.read("bundle"), b"mine");
    assert_eq!(gap.source.count("GET", "/manifests/"), 0);
    std::fs::remove_file(gap.path("bundle")).unwrap();
    gap.export(&cut);
    let text = String::from_utf8(gap.read("out.README.txt")).unwrap();
    assert!(text.contains("./bundle import out.tar.zst.001 -d REGISTRY"), "{text}");
    assert!(text.contains("cat out.tar.zst.[0-9]* > out.tar.zst"), "{text}");
    let stream = gap.cli.run(&["export", "images.txt", "-o", "-", "--with-self"]);
    assert_eq!(stream.code, 2, "{}", stream.shown());
}
