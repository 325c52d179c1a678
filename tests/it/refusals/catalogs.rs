//! Requests that cannot be understood.

use super::{Gap, image, same};

fn export(name: &str, files: &[(&str, &str)], arguments: &[&str]) {
    let gap = Gap::new();
    for (file, text) in files {
        std::fs::write(gap.path(file), text).unwrap();
    }
    let ran = gap.cli.run(&[&["export"], arguments].concat());
    assert_eq!(ran.code, 2, "{}", ran.shown());
    same(&gap, name, &ran);
    assert_eq!(gap.source.log().len() + gap.destination.log().len(), 0);
}

#[test]
fn an_unknown_catalog() {
    export("unknown_catalog", &[], &["stackstate@9.9"]);
}

#[test]
fn a_variable_without_a_value() {
    let text = "name: app\nvariables:\n  VERSION:\nimages:\n  - r.example/app:$VERSION\n";
    export("unset_variable", &[("app.yaml", text)], &["app.yaml"]);
}

#[test]
fn a_value_for_no_variable() {
    let text = "name: app\nvariables:\n  VERSION: { default: \"1\" }\nimages:\n  - r.example/app:$VERSION\n";
    export("unknown_set", &[("app.yaml", text)], &["app.yaml", "--set", "VERSOIN=2"]);
}

#[test]
fn a_list_with_nothing_in_it() {
    export("empty_list", &[("images.txt", "# nothing\n\n   \r\n")], &["images.txt"]);
}

#[test]
fn several_bad_lines_at_once() {
    let text = "r.example/App:1\nr.example/fine:1\nr.example/x:{{ .Values.tag }}\n\nr.example/y:a+b\nr.example/z@sha256:12\n";
    export("bad_lines", &[("images.txt", text)], &["images.txt"]);
}

#[test]
fn a_list_from_stdin_without_a_file_to_write() {
    let gap = Gap::new();
    let ran = gap.fed(&["export", "-"], b"r.example/x:1\n");
    assert_eq!(ran.code, 2);
    same(&gap, "stdin_without_output", &ran);
}

#[test]
fn two_users_of_stdin() {
    let (gap, _) = super::small();
    let ran = gap.fed(&["export", "-", "-o", "x.tar.zst", "-u", "me", "--password-stdin"], b"x");
    assert_eq!(ran.code, 2);
    same(&gap, "stdin_twice_export", &ran);
    let host = gap.destination.host();
    let ran = gap.fed(&["import", "-", "-d", &host, "-u", "me", "--password-stdin"], b"x");
    assert_eq!(ran.code, 2);
    same(&gap, "stdin_twice_import", &ran);
}

#[test]
fn two_images_with_one_target() {
    let mut gap = Gap::new();
    let other = crate::support::registry::TestRegistry::start();
    gap.image("team/app", "1", &image(1));
    let twin = other.put_image("team/app", "1", &image(2));
    gap.line(&twin);
    let ran = gap.try_export(&["-o", "out.tar.zst"]);
    assert_eq!(ran.code, 1);
    let twin_host = [(other.host().replace('.', r"\."), "OTHER")];
    super::same_with(&gap, &twin_host, "two_images_one_target", &ran);
    // The same content twice is no collision.
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    let twin = other.put_image("team/app", "1", &image(1));
    gap.line(&twin);
    gap.export(&["-o", "out.tar.zst"]);
}

#[test]
fn a_file_never_serves_two_purposes() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    gap.export(&["-o", "out.tar.zst"]);
    let bundle = gap.read("out.tar.zst");
    for arguments in [
        &["export", "images.txt", "-o", "images.txt", "--force"][..],
        &["export", "images.txt", "-o", "new.tar.zst", "--report", "new.tar.zst"],
        &["export", "images.txt", "--dry-run", "--report", "./images.txt"],
        &["verify", "out.tar.zst", "--report", "out.tar.zst"],
        &["import", "out.tar.zst", "-d", "127.0.0.1:1", "--values", "out.tar.zst", "--force"],
        &["import", "out.tar.zst", "-d", "127.0.0.1:1", "--report", "out.values.yaml"],
    ] {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("same file"), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(gap.read("out.tar.zst"), bundle);
}

#[test]
fn a_credentials_file_that_was_named_must_be_there() {
    let gap = Gap::new();
    std::fs::write(gap.path("images.txt"), "r.invalid/x:1\n").unwrap();
    let ran = gap.cli.run(&["export", "images.txt", "--auth-file", "nosuch.json"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("nosuch.json"), "{}", ran.stderr);
}
