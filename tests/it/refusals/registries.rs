//! Sources that do not return what is requested.

use airgap_bundle::serve::{Limits, Notices, ServeOptions, bind};

use super::{Gap, image, one_of_two, same};
use crate::support::gap::{assert_whole, htpasswd, nobody};
use crate::support::registry::{Effect, Fault, TestRegistry};

const EXPORT: [&str; 4] = ["-o", "out.tar.zst", "--retries", "2"];

#[test]
fn an_image_that_is_not_there() {
    let (mut gap, ..) = one_of_two();
    gap.line(&format!("{}/team/none:1", gap.source.host()));
    gap.line(&format!("{}/team/good:2", gap.source.host()));
    let ran = gap.try_export(&EXPORT);
    assert_eq!(ran.code, 1);
    same(&gap, "image_not_found", &ran);
}

/// A source with one user, and an image on it.
fn guarded() -> Gap {
    let mut gap = Gap::new();
    let folder = tempfile::tempdir().unwrap();
    gap.source = TestRegistry::start_with_users(&htpasswd(folder.path(), "me", "right"));
    gap.image("team/app", "1", &image(1));
    gap
}

#[test]
fn a_private_image_without_credentials() {
    let gap = guarded();
    let ran = gap.try_export(&EXPORT);
    assert_eq!(ran.code, 4);
    same(&gap, "no_credentials", &ran);
}

#[test]
fn a_wrong_password() {
    let gap = guarded();
    let arguments = [&["export", "images.txt"], &EXPORT[..], &["-u", "me", "--password-stdin"]].concat();
    let ran = gap.fed(&arguments, b"wrong\n");
    assert_eq!(ran.code, 4);
    same(&gap, "wrong_password_export", &ran);
    let ran = gap.fed(&arguments, b"right\n");
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

#[test]
fn a_wrong_password_at_the_destination() {
    let (mut gap, image) = super::small();
    let folder = tempfile::tempdir().unwrap();
    gap.destination = TestRegistry::start_with_users(&htpasswd(folder.path(), "me", "right"));
    let host = gap.destination.host();
    let arguments = ["import", "out.tar.zst", "-d", &host, "-u", "me", "--password-stdin"];
    let ran = gap.fed(&arguments, b"wrong");
    assert_eq!(ran.code, 4);
    same(&gap, "wrong_password_import", &ran);
    let ran = gap.try_import("out.tar.zst", &[]);
    assert_eq!(ran.code, 4);
    same(&gap, "no_credentials_import", &ran);
    let ran = gap.fed(&arguments, b"right");
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_whole(&gap.destination, "team/app", "1", &image);
}

#[test]
fn a_registry_that_is_down() {
    let (mut gap, ..) = one_of_two();
    gap.line(&format!("{}/team/app:1", nobody()));
    let ran = gap.try_export(&["-o", "out.tar.zst", "--retries", "1"]);
    assert_eq!(ran.code, 5);
    same(&gap, "registry_down", &ran);
    let ran = gap.cli.run(&["export", "images.txt", "-o", "out.tar.zst", "--keep-going", "--retries", "1"]);
    assert_eq!(ran.code, 7);
    same(&gap, "registry_down_keep_going", &ran);
    let streamed = ["export", "images.txt", "-o", "-", "--keep-going", "--retries", "1"];
    let ran = gap.cli.command(&streamed).output().unwrap();
    assert_eq!(ran.status.code(), Some(7));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("1 image of 3 failed"), "{said}");
    assert!(ran.stdout == gap.read("out.tar.zst"));
}

#[test]
fn a_certificate_nobody_vouches_for() {
    let mut gap = Gap::new();
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    gap.source.put_image("team/app", "1", &image(1));
    let options = ServeOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        tls: Some((cert.clone(), key)),
        htpasswd: None,
        read_only: true,
        notices: Notices::default(),
        limits: Limits::default(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(bind(options, gap.source.shared_store())).unwrap();
    let host = server.local_addr().to_string();
    runtime.spawn(server.run(std::future::pending()));
    gap.line(&format!("{host}/team/app:1"));
    let ran = gap.try_export(&EXPORT);
    assert_eq!(ran.code, 5, "{}", ran.shown());
    same(&gap, "wrong_certificate", &ran);
    // The three cures: the authority named, in the flag or in the environment, or checking left out.
    gap.export(&["-o", "ca.tar.zst", "--ca-file", cert.to_str().unwrap()]);
    gap.export(&["-o", "no.tar.zst", "--tls-no-verify", &host]);
    assert!(gap.read("ca.tar.zst") == gap.read("no.tar.zst"));
    runtime.shutdown_background();
}

#[test]
fn a_layer_that_is_damaged_at_the_source() {
    let (gap, bad, good) = one_of_two();
    let layer = bad.layers()[0];
    let flip = Fault::on("GET", format!("/blobs/{layer}"), Effect::Flip(5)).always();
    gap.source.fault(flip);
    let ran = gap.try_export(&EXPORT);
    assert_eq!(ran.code, 3);
    same(&gap, "damaged_source", &ran);
    let ran = gap.try_export(&[&EXPORT[..], &["--keep-going"]].concat());
    assert_eq!(ran.code, 7);
    same(&gap, "damaged_source_keep_going", &ran);
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "team/good", "1", &good);
    assert!(gap.destination.manifest("team/bad", "1").is_none());
}

#[test]
fn nothing_is_kept_of_an_export_that_lost_every_image() {
    let gap = guarded();
    let ran = gap.try_export(&[&EXPORT[..], &["--keep-going"]].concat());
    assert_eq!(ran.code, 4);
    same(&gap, "keep_going_without_any", &ran);
}
