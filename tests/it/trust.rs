//! Signatures: keys, bundles signed at export or later, and what is required before anything in a bundle is trusted.

use std::os::unix::fs::PermissionsExt;

use airgap_bundle::image::Digest;

use crate::support::cli::{Cli, Ran};
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage};
use crate::support::rebuilt::{members, rebuilt, tar};

mod approval;
mod forged;
mod keys;

/// A gap with two images on the list, a pair of keys `site`, and another pair `other`.
fn site() -> (Gap, Vec<TestImage>) {
    site_with(Cli::new())
}

fn site_with(cli: Cli) -> (Gap, Vec<TestImage>) {
    let mut gap = Gap::with(cli);
    let images: Vec<_> =
        (1..3).map(|seed| ImageSpec::new(seed).layer(Layer::gzip(seed, 60_000)).build()).collect();
    for (image, name) in images.iter().zip(["one", "two"]) {
        gap.image(&format!("team/{name}"), "1", image);
    }
    for name in ["site", "other"] {
        keygen(&gap, name);
    }
    (gap, images)
}

fn keygen(gap: &Gap, name: &str) {
    let ran = gap.cli.run(&["keygen", "-o", name, "--no-passphrase"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

fn arrived(gap: &Gap, images: &[TestImage]) {
    for (image, name) in images.iter().zip(["one", "two"]) {
        assert_whole(&gap.destination, &format!("team/{name}"), "1", image);
    }
}

/// Refused with `says`, before the destination heard of it and before anything was written.
fn assert_untouched(gap: &Gap, ran: &Ran, says: &str) {
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains(says), "{says}: {}", ran.shown());
    assert!(gap.destination.log().is_empty(), "{:?}", gap.destination.log());
    assert!(!gap.files().iter().any(|name| name.ends_with(".values.yaml")), "{:?}", gap.files());
}

/// Every way in which `out.tar.zst` can come: what to name, and what to feed.
fn ways(gap: &Gap) -> Vec<(Vec<&'static str>, Vec<u8>)> {
    let bytes = gap.read("out.tar.zst");
    let members = members(&bytes);
    for (path, content) in &members {
        let path = gap.path("unpacked").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let again = tar(&members);
    std::fs::write(gap.path("again.tar"), &again).unwrap();
    vec![
        (vec!["out.tar.zst"], Vec::new()),
        (vec!["-"], bytes),
        (vec!["unpacked"], Vec::new()),
        (vec!["again.tar"], Vec::new()),
        (vec!["-"], again),
        (vec!["cut.tar.zst.volumes.json"], Vec::new()),
        (vec!["cut.tar.zst.001", "--wait-for-volumes"], Vec::new()),
    ]
}

fn import(gap: &Gap, way: &(Vec<&str>, Vec<u8>), arguments: &[&str]) -> Ran {
    let host = gap.destination.host();
    gap.fed(&[&["import", "-d", &host, "--force"], &way.0[..], arguments].concat(), &way.1)
}

#[test]
fn a_signature_made_at_export_counts_however_the_bundle_comes() {
    let (gap, images) = site();
    gap.export(&["-o", "out.tar.zst", "--sign-key", "site.key"]);
    gap.export(&["-o", "cut.tar.zst", "--sign-key", "site.key", "--volume-size", "70000"]);
    for sidecar in ["out.tar.zst.sigstore.json", "cut.tar.zst.sigstore.json"] {
        std::fs::remove_file(gap.path(sidecar)).unwrap();
    }
    for way in ways(&gap) {
        let refused = import(&gap, &way, &["--verify-key", "other.pub"]);
        assert_untouched(&gap, &refused, "no valid signature by other.pub");
    }
    for way in ways(&gap) {
        let ran = import(&gap, &way, &["--verify-key", "other.pub", "--verify-key", "site.pub"]);
        assert_eq!(ran.code, 0, "{way:?}: {}", ran.shown());
        assert!(ran.stderr.contains("signed by site.pub"), "{}", ran.shown());
        arrived(&gap, &images);
    }
}

#[test]
fn a_bundle_without_signature_or_of_another_tool_touches_nothing_where_one_is_demanded() {
    let (gap, _) = site();
    gap.export(&["-o", "out.tar.zst"]);
    gap.export(&["-o", "cut.tar.zst", "--volume-size", "70000"]);
    for way in ways(&gap) {
        assert_untouched(&gap, &import(&gap, &way, &["--verify-key", "site.pub"]), "is not signed");
    }
    let own = ["bundle.json", "SHA256SUMS", "manifest.json"];
    let foreign: Vec<_> = members(&gap.read("out.tar.zst"))
        .into_iter()
        .filter(|(path, _)| !own.contains(&path.as_str()))
        .collect();
    std::fs::write(gap.path("foreign.tar"), tar(&foreign)).unwrap();
    for way in [(vec!["foreign.tar"], Vec::new()), (vec!["-"], tar(&foreign))] {
        let refused = import(&gap, &way, &["--verify-key", "site.pub"]);
        assert_untouched(&gap, &refused, "layout of another tool");
    }
}

#[test]
fn every_command_that_reads_a_bundle_asks_for_the_signature() {
    let (gap, _) = site();
    gap.export(&["-o", "out.tar.zst"]);
    let host = gap.destination.host();
    for command in [
        &["verify", "out.tar.zst"][..],
        &["inspect", "out.tar.zst"],
        &["serve", "out.tar.zst", "--address", "127.0.0.1:0"],
        &["repack", "out.tar.zst", "-o", "again.tar.zst"],
        &["values", "out.tar.zst", "-d", &host],
        &["mirrors", "out.tar.zst", "-d", &host, "--for", "k3s"],
        &["diff", "out.tar.zst", "out.tar.zst"],
        &["review", "out.tar.zst", "-o", "-"],
    ] {
        let ran = gap.cli.run(&[command, &["--verify-key", "site.pub"]].concat());
        assert_untouched(&gap, &ran, "is not signed");
        assert_eq!(ran.stdout, "", "{}", ran.shown());
    }
    assert!(!gap.path("again.tar.zst").exists());
}

#[test]
fn a_site_demands_signatures_through_its_environment() {
    let (gap, images) = site_with(Cli::new().env("AIRGAP_BUNDLE_VERIFY_KEY", "other.pub:site.pub"));
    gap.export(&["-o", "out.tar.zst"]);
    assert_untouched(&gap, &gap.try_import("out.tar.zst", &[]), "by other.pub");
    let ran = gap.cli.run(&["sign", "out.tar.zst", "--key", "site.key"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.import("out.tar.zst", &[]);
    arrived(&gap, &images);
    // An empty value is a mistake, and does not mean that nothing is required.
    let mut command = gap.cli.command(&["verify", "out.tar.zst"]);
    let output = command.env("AIRGAP_BUNDLE_VERIFY_KEY", "").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_later_signature_lies_beside_the_bundle_and_changes_nothing_in_it() {
    let (gap, images) = site();
    gap.export(&["-o", "out.tar.zst"]);
    gap.export(&["-o", "cut.tar.zst", "--volume-size", "70000"]);
    let before = (gap.read("out.tar.zst"), gap.read("cut.tar.zst.001"));
    for bundle in ["out.tar.zst", "cut.tar.zst.002"] {
        let ran = gap.cli.run(&["sign", bundle, "--key", "site.key"]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
    }
    assert_eq!((gap.read("out.tar.zst"), gap.read("cut.tar.zst.001")), before);
    assert_eq!(gap.read("out.tar.zst.sig"), gap.read("cut.tar.zst.sig"));
    let both = gap.cli.run(&["verify", "out.tar.zst", "--verify-key", "site.pub"]);
    assert!(both.stdout.contains("out.tar.zst.sig, out.tar.zst.sigstore.json"), "{}", both.shown());
    for way in [(vec!["out.tar.zst"], Vec::new()), (vec!["cut.tar.zst"], Vec::new())] {
        let ran = import(&gap, &way, &["--verify-key", "site.pub"]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        arrived(&gap, &images);
    }
    // Either file is enough, also for a bundle out of a pipe, which has nothing beside it.
    let piped = (vec!["-"], before.0.clone());
    for (signature, other) in [("out.tar.zst.sig", "out.tar.zst.sigstore.json"), ("elsewhere", "elsewhere")] {
        if signature == "elsewhere" {
            std::fs::rename(gap.path("out.tar.zst.sigstore.json"), gap.path("elsewhere")).unwrap();
            std::fs::remove_file(gap.path("out.tar.zst.sig")).unwrap();
        }
        let ran = import(&gap, &piped, &["--verify-key", "site.pub", "--signature", signature]);
        assert_eq!(ran.code, 0, "{other}: {}", ran.shown());
    }
    gap.destination.forget();
    for name in gap.files().iter().filter(|name| name.ends_with(".values.yaml")) {
        std::fs::remove_file(gap.path(name)).unwrap();
    }
    assert_untouched(&gap, &import(&gap, &piped, &["--verify-key", "site.pub"]), "is not signed");
}

#[test]
fn signatures_of_others_are_kept_unless_told_and_stand_in_nobodys_way() {
    let (gap, _) = site();
    gap.export(&["-o", "out.tar.zst", "--sign-key", "site.key"]);
    let refused = gap.cli.run(&["sign", "out.tar.zst", "--key", "other.key"]);
    assert_eq!(refused.code, 1, "{}", refused.shown());
    assert!(!gap.path("out.tar.zst.sig").exists());
    let ran = gap.cli.run(&["sign", "out.tar.zst", "--key", "other.key", "--force"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    // A signature of GnuPG has the same name.
    std::fs::write(gap.path("out.tar.zst.sig"), [0x89, 0x01, 0x33, 0x04]).unwrap();
    let ran = gap.cli.run(&["verify", "out.tar.zst", "--verify-key", "site.pub"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    for says in [
        "signed by site.pub",
        "out.tar.zst.sig is an OpenPGP signature, which is not checked here",
        "out.tar.zst.sigstore.json is by another key",
    ] {
        assert!(ran.stdout.contains(says), "{says}: {}", ran.shown());
    }
}

#[test]
fn a_signed_export_has_the_same_id_and_the_same_bytes_every_time() {
    let (gap, _) = site();
    gap.export(&["-o", "plain.tar.zst"]);
    gap.export(&["-o", "one.tar.zst", "--sign-key", "site.key"]);
    gap.export(&["-o", "two.tar.zst", "--sign-key", "site.key", "-j", "1"]);
    assert_eq!(gap.read("one.tar.zst"), gap.read("two.tar.zst"));
    assert_eq!(gap.read("one.tar.zst.sigstore.json"), gap.read("two.tar.zst.sigstore.json"));
    let id = |name: &str| {
        let members = members(&gap.read(name));
        Digest::sha256(&members.iter().find(|(path, _)| path == "bundle.json").unwrap().1)
    };
    assert_eq!(id("plain.tar.zst"), id("one.tar.zst"));
    let piped =
        gap.cli.command(&["export", "images.txt", "-o", "-", "--sign-key", "site.key"]).output().unwrap();
    assert_eq!(piped.stdout, gap.read("one.tar.zst"));
    // What is there already is not taken for what was asked for.
    let again = gap.export(&["-o", "one.tar.zst", "--sign-key", "site.key"]);
    assert!(again.stderr.contains("is already complete"), "{}", again.shown());
    for (arguments, says) in [
        (&["-o", "one.tar.zst"][..], "with a signature in it"),
        (&["-o", "plain.tar.zst", "--sign-key", "site.key"], "without this signature"),
        (&["-o", "one.tar.zst", "--sign-key", "other.key"], "without this signature"),
    ] {
        let ran = gap.try_export(arguments);
        assert!(ran.code == 1 && ran.stderr.contains(says), "{}", ran.shown());
    }
    let ran = gap.cli.run(&["repack", "plain.tar.zst", "-o", "again.tar.zst", "--sign-key", "site.key"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(gap.read("again.tar.zst"), gap.read("one.tar.zst"));
}

#[test]
fn what_is_signed_and_what_is_checked_is_told() {
    let (gap, _) = site();
    let exported = gap.export(&["-o", "out.tar.zst", "--sign-key", "site.key"]);
    assert!(exported.stdout.contains("  out.tar.zst.sigstore.json\n"), "{}", exported.shown());
    let plain = gap.cli.run(&["verify", "out.tar.zst"]);
    assert!(plain.stdout.contains("signed, but not checked"), "{}", plain.shown());
    let inspected = gap.cli.run(&["inspect", "out.tar.zst", "--format", "json", "--verify-key", "site.pub"]);
    let value: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(value["signed"], true);
    assert_eq!(value["signedBy"][0]["name"], "site.pub");
    let places = ["bundle.json.sig in the bundle", "out.tar.zst.sigstore.json"];
    assert_eq!(value["signedBy"][0]["places"], serde_json::json!(places));
    gap.import("out.tar.zst", &["--verify-key", "site.pub", "--report", "report.json"]);
    let report: serde_json::Value = serde_json::from_slice(&gap.read("report.json")).unwrap();
    assert_eq!(report["bundle"]["signedBy"], value["signedBy"]);
}

#[test]
fn of_a_damaged_bundle_nothing_is_salvaged_without_its_signature() {
    let (gap, images) = site();
    gap.export(&["-o", "out.tar.zst", "--sign-key", "site.key"]);
    std::fs::remove_file(gap.path("out.tar.zst.sigstore.json")).unwrap();
    let bytes = gap.read("out.tar.zst");
    std::fs::write(gap.path("out.tar.zst"), &bytes[..bytes.len() - 50_000]).unwrap();
    let salvage = |key| gap.try_import("out.tar.zst", &["--salvage", "--verify-key", key]);
    assert_untouched(&gap, &salvage("other.pub"), "no valid signature by other.pub");
    let verified = gap.cli.run(&["verify", "out.tar.zst", "--verify-key", "other.pub"]);
    assert_untouched(&gap, &verified, "no valid signature by other.pub");
    let ran = salvage("site.pub");
    assert_eq!(ran.code, 7, "{}", ran.shown());
    assert_whole(&gap.destination, "team/one", "1", &images[0]);
}
