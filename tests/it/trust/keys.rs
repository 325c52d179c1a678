//! Keys: created, never replaced, with pass phrases from every source, and refused with the reason.

use super::*;

fn mode(gap: &Gap, name: &str) -> u32 {
    std::fs::metadata(gap.path(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_private_key_is_for_its_owner_alone_and_is_never_replaced() {
    let gap = Gap::with(Cli::new().env("AIRGAP_BUNDLE_PASSPHRASE", "geheim"));
    let ran = gap.cli.run(&["keygen"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(mode(&gap, "bundle.key"), 0o600);
    let (private, public) = (gap.read("bundle.key"), gap.read("bundle.pub"));
    assert!(private.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert!(public.starts_with(b"-----BEGIN PUBLIC KEY-----\n"));
    for there in ["bundle.key", "bundle.pub"] {
        std::fs::rename(gap.path(there), gap.path("kept")).unwrap();
        let ran = gap.cli.run(&["keygen"]);
        assert!(ran.code == 1 && ran.stderr.contains("never replaced"), "{}", ran.shown());
        std::fs::rename(gap.path("kept"), gap.path(there)).unwrap();
    }
    assert_eq!((gap.read("bundle.key"), gap.read("bundle.pub")), (private, public));
}

#[test]
fn pass_phrases_come_from_file_or_environment_and_are_never_shown() {
    let (gap, _) = site_with(Cli::new().env("AIRGAP_BUNDLE_PASSPHRASE", "from the environment"));
    std::fs::write(gap.path("phrase"), "from the file\r\nand more\n").unwrap();
    let shown = |arguments: &[&str], code: i32| {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, code, "{}", ran.shown());
        assert!(!ran.shown().contains("from the"), "{}", ran.shown());
        ran
    };
    shown(&["keygen", "-o", "a", "--passphrase-file", "phrase"], 0);
    shown(&["keygen", "-o", "b"], 0);
    gap.export(&["-o", "out.tar.zst", "--sign-key", "b.key"]);
    shown(&["sign", "out.tar.zst", "--key", "a.key", "--passphrase-file", "phrase", "--force"], 0);
    shown(&["verify", "out.tar.zst", "--verify-key", "a.pub"], 0);
    shown(&["verify", "out.tar.zst", "--verify-key", "b.pub"], 0);
    let wrong = shown(&["sign", "out.tar.zst", "--key", "a.key", "--force"], 2);
    assert!(wrong.stderr.contains("a.key: the pass phrase is wrong"), "{}", wrong.shown());
    std::fs::write(gap.path("empty"), "\n").unwrap();
    let empty = shown(&["keygen", "-o", "c", "--passphrase-file", "empty"], 2);
    assert!(empty.stderr.contains("--no-passphrase"), "{}", empty.shown());
}

#[test]
fn where_nobody_can_be_asked_for_a_pass_phrase_it_is_said_how_to_give_it() {
    let (gap, _) = site();
    std::fs::write(gap.path("phrase"), "x").unwrap();
    assert_eq!(gap.cli.run(&["keygen", "-o", "a", "--passphrase-file", "phrase"]).code, 0);
    let ran = gap.try_export(&["-o", "out.tar.zst", "--sign-key", "a.key"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("--passphrase-file FILE or in AIRGAP_BUNDLE_PASSPHRASE"), "{}", ran.shown());
    assert!(
        gap.source.log().iter().all(|one| one.method == "PUT" || one.method == "POST"),
        "nothing was fetched"
    );
}

#[test]
fn files_that_are_no_keys_are_refused_by_what_they_are() {
    let (gap, _) = site();
    gap.export(&["-o", "out.tar.zst"]);
    std::fs::write(gap.path("text"), "no key\n").unwrap();
    std::fs::write(gap.path("binary"), [0xff, 0xfe]).unwrap();
    std::fs::write(gap.path("large"), vec![b'x'; 100 << 10]).unwrap();
    let mut shown = String::new();
    for (flag, file) in [
        ("--verify-key", "nowhere"),
        ("--verify-key", "text"),
        ("--verify-key", "binary"),
        ("--verify-key", "large"),
        ("--verify-key", "/dev/zero"),
        ("--verify-key", "site.key"),
        ("--key", "site.pub"),
        ("--key", "text"),
        ("--signature", "text"),
    ] {
        let command = if flag == "--key" { "sign" } else { "verify" };
        let ran = gap.cli.run(&[command, "out.tar.zst", flag, file]);
        assert_eq!(ran.code, 2, "{file}: {}", ran.shown());
        shown.extend([command, " ", flag, " ", file, "\n", &ran.stderr, "\n"]);
    }
    gap.snapshot("trust", "files_that_are_no_keys", &shown);
}
