//! Flags that would have no effect in a command are refused.

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
        (&export[..], &["--passphrase-file", "phrase"][..], "needs `--sign-key`"),
        (&export[..], &["--verify-key", "site.pub"][..], "site.pub is for verifying a bundle"),
        (&export[..], &["--signature", "a.sig"][..], "a.sig is for verifying a bundle"),
        (
            &["repack", "out.tar.zst", "-o", "new.tar.zst"][..],
            &["--passphrase-file", "phrase"][..],
            "needs `--sign-key`",
        ),
        (&import[..], &["--passphrase-file", "phrase"][..], "needs `--sign-key`"),
        (&import[..], &["--sign-key", "site.key"][..], "site.key is for signing a receipt"),
        (
            &import[..],
            &["--name", "registry.example/other:1"][..],
            "--name registry.example/other:1 is for layouts",
        ),
        (&mirrors[..], &["podman", "--pin"][..], "`--pin` needs `--for kustomize`"),
        (&mirrors[..], &["kustomize", "--node-ca-file", "/ca.pem"][..], "which only renames images"),
    ] {
        let ran = gap.cli.run(&[command, flags].concat());
        assert!(ran.code == 2 && ran.stderr.contains(says), "{command:?} {flags:?}\n{}", ran.shown());
        assert!(ran.stdout.is_empty(), "{}", ran.shown());
        assert_eq!(gap.files(), before, "{command:?} {flags:?}");
    }
    assert_eq!(gap.destination.log().len(), 0);
}

/// Volumes are rebuilt as their list has them, so nothing chooses, signs or judges there.
#[test]
fn a_rebuild_refuses_what_it_would_ignore() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &ImageSpec::new(1).layer(Layer::gzip(1, 200_000)).build());
    gap.export(&["-o", "out.tar.zst", "--volume-size", "65536", "--parity", "1"]);
    let keygen = gap.cli.run(&["keygen", "-o", "site", "--no-passphrase"]);
    assert_eq!(keygen.code, 0, "{}", keygen.shown());
    std::fs::write(gap.path("policy.yaml"), "version: 1\n").unwrap();
    std::fs::remove_file(gap.path("out.tar.zst.001")).unwrap();
    let before = gap.files();
    for flags in [
        &["--verify-key", "site.pub"][..],
        &["--signature", "a.sig"],
        &["--policy", "policy.yaml"],
        &["--sign-key", "site.key"],
        &["--passphrase-file", "x"],
        &["--only", "*"],
        &["--skip", "*"],
        &["--only-chart", "*"],
        &["--only-component", "*"],
        &["--with", "none"],
        &["--foreign-layers", "keep-urls"],
        &["--base", "out.tar.zst"],
        &["--fill-from", "out.tar.zst"],
        &["--platform", "linux/amd64"],
        &["--statement"],
        &["--statement", "--by", "me"],
        &["--with-self"],
        &["--no-sidecar"],
        &["--force"],
        &["--fresh"],
        &["--skip-preflight"],
        &["--spool", "."],
        &["--dry-run"],
    ] {
        let ran = gap.cli.run(&[&["repack", "--rebuild", "out.tar.zst"], flags].concat());
        assert!(
            ran.code == 2 && flags.iter().any(|flag| ran.stderr.contains(flag)),
            "{flags:?}\n{}",
            ran.shown()
        );
        assert_eq!(gap.files(), before, "{flags:?}");
    }
    let ran = gap
        .cli
        .command(&["repack", "--rebuild", "out.tar.zst"])
        .env("AIRGAP_BUNDLE_VERIFY_KEY", "site.pub")
        .output();
    assert!(ran.unwrap().status.success(), "the rule of the site is for what reads a bundle");
    assert!(gap.path("out.tar.zst.001").exists());
}

#[test]
fn commands_that_are_shown_can_be_typed() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    for (name, typed) in [
        ("-shop.tar.zst", "./-shop.tar.zst"),
        ("-d.tar.zst", "./-d.tar.zst"),
        ("a b.tar.zst", "'a b.tar.zst'"),
        ("a\nb\u{1b}[2J.tar.zst", "$'a\\nb\\033[2J.tar.zst'"),
    ] {
        let path = gap.path(name).display().to_string();
        let ran = gap.export(&["-o", &path, "--with-self"]);
        let shown = ran.stdout.lines().find_map(|line| line.trim().strip_prefix("bundle import ")).unwrap();
        assert_eq!(shown, format!("{typed} -d REGISTRY"), "{}", ran.shown());
        // As a shell reads it.
        let output =
            std::process::Command::new("bash").args(["-c", &format!("printf %s {typed}")]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_start_matches("./"), name);
        let import = format!("{} import {typed} -d {}", env!("CARGO_BIN_EXE_bundle"), gap.destination.host());
        let mut shell = gap.cli.command(&[]);
        let environment: Vec<_> =
            shell.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
        shell = std::process::Command::new("bash");
        shell.args(["-c", &import]).current_dir(gap.cli.folder());
        for (key, value) in environment {
            value.map(|value| shell.env(key, value));
        }
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{import}\n{}", String::from_utf8_lossy(&output.stderr));
        for file in gap.files().iter().filter(|file| file.contains("tar.zst") || *file != "images.txt") {
            let _ = std::fs::remove_file(gap.path(file));
        }
    }
}

#[test]
fn the_key_of_a_site_in_the_environment_stands_in_the_way_of_no_export() {
    let mut gap = Gap::with(Cli::new().env("AIRGAP_BUNDLE_VERIFY_KEY", "site.pub"));
    gap.image("team/app", "1", &image(1));
    gap.export(&["-o", "out.tar.zst"]);
}

/// Likely mistakes in arguments: each error says what the argument is, and what would be right.
#[test]
fn what_stands_in_the_wrong_place_is_recognised() {
    let (gap, _) = small();
    let before = gap.files();
    for (command, says) in [
        (&["export", "out.tar.zst"][..], "catalog out.tar.zst: it is a bundle, not a text"),
        (&["export", "quay.io/team/app:1"][..], "echo quay.io/team/app:1 | bundle export - -o FILE"),
        (&["export", "images.txt", "-o", "new", "--volume-size", "10"][..], "volumes of 10 bytes"),
        (&["repack", "out.tar.zst"][..], "repack has no default file name"),
        (&["login", "https://quay.io", "-u", "me"][..], "without http:// or https://"),
    ] {
        let ran = gap.cli.run(command);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{command:?}\n{}", ran.shown());
        assert_eq!(gap.files(), before, "{command:?}");
    }
}

#[test]
fn a_bundle_is_not_written_under_the_ending_of_another_format() {
    let (gap, _) = small();
    let before = gap.files();
    for (name, better) in [
        ("x.tar", "x.tar.zst"),
        ("x.tar.gz", "x.tar.zst"),
        ("x.TGZ", "x.tar.zst"),
        ("./a b.zip", "'./a b.tar.zst'"),
        ("x.tar.zst.gz", "x.tar.zst"),
        (".tar", "bundle.tar.zst"),
    ] {
        for command in [&["export", "images.txt"][..], &["repack", "out.tar.zst"]] {
            gap.source.forget();
            let ran = gap.cli.run(&[command, &["-o", name]].concat());
            assert_eq!(ran.code, 2, "{name}: {}", ran.shown());
            assert!(ran.stderr.contains(&format!("name it {better};")), "{name}: {}", ran.shown());
            assert_eq!(gap.source.log().len(), 0, "{name}");
        }
    }
    assert_eq!(gap.files(), before);
    gap.export(&["-o", "x.bundle"]);
    gap.import("x.bundle", &[]);
}
