//! Flags that would do nothing where they stand: whoever gave them counts on what they do, so they are refused.

use super::*;
use crate::support::cli::Cli;

#[test]
fn a_flag_that_would_do_nothing_is_refused_before_anything_is_done() {
    let (gap, _) = small();
    let host = gap.destination.host();
    std::fs::write(gap.path("phrase"), "secret\n").unwrap();
    let keygen = gap.cli.run(&["keygen", "-o", "site", "--passphrase-file", "phrase"]);
    assert_eq!(keygen.code, 0, "{}", keygen.shown());
    let before = gap.files();
    let export = ["export", "images.txt", "-o", "new.tar.zst"];
    let import = ["import", "out.tar.zst", "-d", &host];
    let mirrors = ["mirrors", "out.tar.zst", "-d", &host, "--for"];
    for (command, flags, says) in [
        (&export[..], &["--passphrase-file", "phrase"][..], "nothing is signed"),
        (&export[..], &["--verify-key", "site.pub"][..], "nothing is read whose signature site.pub"),
        (&export[..], &["--signature", "a.sig"][..], "nothing is read whose signature a.sig"),
        (
            &["repack", "out.tar.zst", "-o", "new.tar.zst"][..],
            &["--passphrase-file", "phrase"][..],
            "nothing is signed",
        ),
        (&import[..], &["--passphrase-file", "phrase"][..], "nothing is signed"),
        (&import[..], &["--sign-key", "site.key"][..], "site.key is to sign a receipt"),
        (
            &import[..],
            &["--name", "registry.example/other:1"][..],
            "--name registry.example/other:1 is for layouts",
        ),
        (&mirrors[..], &["podman", "--pin"][..], "--pin is for kustomize"),
        (&mirrors[..], &["kustomize", "--node-ca-file", "/ca.pem"][..], "kustomize renames images"),
    ] {
        let ran = gap.cli.run(&[command, flags].concat());
        assert!(ran.code == 2 && ran.stderr.contains(says), "{command:?} {flags:?}\n{}", ran.shown());
        assert!(ran.stdout.is_empty(), "{}", ran.shown());
        assert_eq!(gap.files(), before, "{command:?} {flags:?}");
    }
    assert_eq!(gap.destination.log().len(), 0);
}

#[test]
fn the_key_of_a_site_in_the_environment_stands_in_the_way_of_no_export() {
    let mut gap = Gap::with(Cli::new().env("AIRGAP_BUNDLE_VERIFY_KEY", "site.pub"));
    gap.image("team/app", "1", &image(1));
    gap.export(&["-o", "out.tar.zst"]);
}

/// What a tired person types: each is told what it is that stands there, and what would have been right.
#[test]
fn what_stands_in_the_wrong_place_is_recognised() {
    let (gap, _) = small();
    let before = gap.files();
    for (command, says) in [
        (&["export", "out.tar.zst"][..], "catalog out.tar.zst: it is a bundle, not a text"),
        (&["export", "quay.io/team/app:1"][..], "echo quay.io/team/app:1 | bundle export - -o FILE"),
        (&["export", "images.txt", "-o", "new", "--volume-size", "10"][..], "volumes of 10 bytes"),
        (&["repack", "out.tar.zst"][..], "what is made of bundles has no file name"),
        (&["login", "https://quay.io", "-u", "me"][..], "without http:// or https://"),
    ] {
        let ran = gap.cli.run(command);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{command:?}\n{}", ran.shown());
        assert_eq!(gap.files(), before, "{command:?}");
    }
}
