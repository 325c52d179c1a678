//! Destinations that refuse what is pushed.

use super::{Gap, image, one_of_two, same, small};
use crate::support::gap::{assert_whole, nobody};
use crate::support::registry::{Effect, Fault};

#[test]
fn a_web_site_that_is_no_registry() {
    let (gap, _) = small();
    let page = "<html><title>Welcome</title></html>".to_owned();
    let html = vec![("content-type", "text/html".to_owned())];
    gap.destination.fault(Fault::on("*", "", Effect::Answer(200, html, page)).always());
    let ran = gap.try_import("out.tar.zst", &[]);
    assert!(matches!(ran.code, 1 | 5), "{}", ran.shown());
    same(&gap, "no_registry", &ran);
}

#[test]
fn a_destination_that_is_down() {
    let (gap, _) = small();
    let host = nobody();
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &host, "--retries", "1"]);
    assert_eq!(ran.code, 5);
    same(&gap, "destination_down", &ran);
}

#[test]
fn https_before_a_loopback_address_is_meant() {
    let (gap, _) = small();
    let url = format!("https://{}/x", gap.destination.host());
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &url, "--retries", "1"]);
    assert_eq!(ran.code, 5, "{}", ran.shown());
    assert!(ran.stderr.contains("does not speak TLS"), "{}", ran.stderr);
    assert_eq!(gap.destination.log().len(), 0);
    // Without it, loopback is tried both ways.
    gap.import("out.tar.zst", &[]);
}

#[test]
fn a_destination_that_is_no_address() {
    let (gap, _) = small();
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", "registry.local/Upper/Case"]);
    assert_eq!(ran.code, 2);
    same(&gap, "destination_malformed", &ran);
}

/// A bundle of `team/app:1`, where the destination has something else under that tag.
fn taken() -> (Gap, crate::support::images::TestImage, crate::support::images::TestImage) {
    let (gap, ours) = small();
    let theirs = image(77);
    gap.destination.put_image("team/app", "1", &theirs);
    (gap, ours, theirs)
}

#[test]
fn a_tag_with_other_content_fails_when_told_to() {
    let (gap, _, theirs) = taken();
    let ran = gap.try_import("out.tar.zst", &["--on-conflict", "fail"]);
    assert_eq!(ran.code, 1);
    same(&gap, "conflict_fail", &ran);
    assert_whole(&gap.destination, "team/app", "1", &theirs);
    assert_eq!(gap.destination.count("POST", ""), 0);
}

#[test]
fn a_tag_with_other_content_is_left_alone_when_told_to() {
    let (gap, _, theirs) = taken();
    let ran = gap.try_import("out.tar.zst", &["--on-conflict", "skip"]);
    assert_eq!(ran.code, 0);
    same(&gap, "conflict_skip", &ran);
    assert_whole(&gap.destination, "team/app", "1", &theirs);
}

#[test]
fn a_tag_with_other_content_is_moved_and_named() {
    let (gap, ours, theirs) = taken();
    let ran = gap.import("out.tar.zst", &[]);
    same(&gap, "conflict_overwrite", &ran);
    assert_whole(&gap.destination, "team/app", "1", &ours);
    assert!(ran.stderr.contains(&theirs.digest.to_string()), "{}", ran.stderr);
}

#[test]
fn one_repository_that_refuses_does_not_stop_the_others() {
    let (gap, _, good) = one_of_two();
    gap.export(&["-o", "out.tar.zst", "--no-sidecar"]);
    let denied = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"policy says no"}]}"#.to_owned();
    gap.destination
        .fault(Fault::on("PUT", "/team/bad/manifests/", Effect::Answer(400, Vec::new(), denied)).always());
    let ran = gap.try_import("out.tar.zst", &["--retries", "2"]);
    assert_eq!(ran.code, 1);
    same(&gap, "one_image_refused", &ran);
    assert_whole(&gap.destination, "team/good", "1", &good);
    let ran = gap.try_import("out.tar.zst", &["--retries", "2", "--keep-going"]);
    assert_eq!(ran.code, 7);
    same(&gap, "one_image_refused_keep_going", &ran);
}

#[test]
fn a_registry_that_names_another_digest_afterwards_is_not_believed() {
    let (gap, _) = small();
    let other = format!("sha256:{}", "0".repeat(64));
    let lie = Fault::on("GET", "/manifests/", Effect::Header("docker-content-digest", Some(other)));
    gap.destination.fault(lie.nth(2).always());
    let ran = gap.try_import("out.tar.zst", &[]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    same(&gap, "unproven", &ran);
}
