//! `bundle catalog lock` and `bundle export --locked`: the digests of one day, wherever the tags point later.

use crate::support::cli::Ran;
use crate::support::gap::Gap;
use crate::support::images::{ImageSpec, image, multi_platform};

/// Two images at the source, locked.
fn locked() -> Gap {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &multi_platform(1)).image("team/tool", "latest", &image(7));
    lock(&gap, &["images.txt"]);
    gap.source.forget();
    gap
}

fn lock(gap: &Gap, arguments: &[&str]) -> Ran {
    let ran = gap.cli.run(&[&["catalog", "lock"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.shown());
    ran
}

fn text(gap: &Gap) -> String {
    String::from_utf8(gap.read("catalog.lock")).unwrap()
}

fn shown(gap: &Gap, name: &str, ran: &Ran) {
    gap.snapshot("lock", name, &ran.shown());
}

#[test]
fn a_lock_is_small_sorted_and_written_once() {
    let gap = locked();
    gap.snapshot("lock", "lock", &text(&gap));
    let written = std::fs::metadata(gap.path("catalog.lock")).unwrap().modified().unwrap();
    let again = lock(&gap, &[]);
    assert!(again.stdout.contains("nothing changed"), "{}", again.shown());
    assert_eq!(std::fs::metadata(gap.path("catalog.lock")).unwrap().modified().unwrap(), written);
    // A date is written when it is asked for and the image has one.
    let dated = ImageSpec::new(8).created("2020-02-03T04:05:06.5+01:00").build();
    gap.source.put_image("team/tool", "latest", &dated);
    lock(&gap, &["images.txt", "--dates"]);
    assert_eq!(text(&gap).matches("  created: \"2020-02-03T03:05:06.5Z\"\n").count(), 1, "{}", text(&gap));
    assert_eq!(text(&gap).matches("created").count(), 1);
    let printed = lock(&gap, &["images.txt", "-o", "-", "--dates"]);
    assert_eq!(printed.stdout, text(&gap));
}

#[test]
fn an_export_from_a_lock_takes_its_digests_and_asks_for_no_tag() {
    let gap = locked();
    gap.export(&["-o", "open.tar.zst", "--no-sidecar"]);
    gap.source.put_image("team/tool", "latest", &image(8));
    gap.source.forget();
    let ran = gap.cli.run(&["export", "--locked", "-o", "locked.tar.zst", "--no-sidecar"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("team/tool:latest has moved since it was locked"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("team/app"), "{}", ran.stderr);
    assert_eq!(gap.read("locked.tar.zst"), gap.read("open.tar.zst"));
    for tag in ["team/app/manifests/1", "team/tool/manifests/latest"] {
        assert_eq!((gap.source.count("GET", tag), gap.source.count("HEAD", tag)), (0, 1), "{tag}");
    }
    // The catalog may be named too, as long as it is the one that was locked.
    let ran = gap.try_export(&["--locked=catalog.lock", "-o", "again.tar.zst", "--no-sidecar"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(gap.read("again.tar.zst"), gap.read("open.tar.zst"));
}

#[test]
fn platforms_are_chosen_from_what_is_locked() {
    let gap = locked();
    for name in ["one.tar.zst", "two.tar.zst"] {
        let arguments = ["export", "--locked", "--platform", "linux/arm64", "--keep-going", "-o", name];
        // The tool is for amd64 alone.
        assert_eq!(gap.cli.run(&arguments).code, 7);
        gap.source.put_image("team/app", "1", &image(3));
    }
    assert_eq!(gap.read("one.tar.zst"), gap.read("two.tar.zst"));
}

#[test]
fn locking_again_tells_what_moved_came_and_went() {
    let mut gap = locked();
    let before = text(&gap);
    gap.source.put_image("team/tool", "latest", &image(8));
    let check = |arguments: &[&str]| gap.cli.run(&[&["catalog", "lock", "--check"], arguments].concat());
    assert_eq!(check(&[]).code, 0);
    let ran = check(&["--exit-code"]);
    assert_eq!(ran.code, 8);
    shown(&gap, "moved", &ran);
    let json: serde_json::Value = serde_json::from_str(&check(&["--format", "json"]).stdout).unwrap();
    assert_eq!(json["drift"]["moved"][0]["before"], image(7).digest.to_string());
    assert_eq!(json["drift"]["moved"][0]["now"], image(8).digest.to_string());
    assert_eq!(text(&gap), before, "--check writes nothing");

    let reference = gap.source.put_image("team/new", "2", &image(9));
    gap.line(&reference);
    shown(&gap, "kept", &lock(&gap, &["images.txt", "--keep"]));
    assert!(text(&gap).contains(&image(7).digest.to_string()));
    std::fs::write(gap.path("images.txt"), reference).unwrap();
    shown(&gap, "gone", &lock(&gap, &["images.txt"]));
    assert!(!text(&gap).contains("team/tool"));
}

#[test]
fn a_lock_that_does_not_fit_is_refused_with_the_way_out() {
    let mut gap = locked();
    gap.line("registry.invalid/team/other:1");
    let ran = gap.try_export(&["--locked", "-o", "x.tar.zst"]);
    assert_eq!(ran.code, 1);
    shown(&gap, "other_catalog", &ran);
    let ran = gap.cli.run(&["export", "--locked=nosuch.lock"]);
    assert_eq!(ran.code, 2);
    shown(&gap, "no_lock", &ran);
    let ran = gap.cli.run(&["export", "--locked", "--set", "A=1"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("--set needs a catalog"), "{}", ran.stderr);
    std::fs::write(gap.path("catalog.lock"), "not mine\n").unwrap();
    let ran = gap.cli.run(&["catalog", "lock", "images.txt"]);
    assert_eq!((ran.code, gap.read("catalog.lock")), (2, b"not mine\n".to_vec()));
    shown(&gap, "no_lock_in_its_place", &ran);
    // The list itself is never the lock.
    let ran = gap.cli.run(&["catalog", "lock", "images.txt", "-o", "images.txt", "--force"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("same file"), "{}", ran.stderr);
}

#[test]
fn what_is_locked_and_gone_is_named() {
    let gap = locked();
    let digest = image(7).digest.to_string();
    let text = text(&gap).replace(&digest, &image(70).digest.to_string());
    std::fs::write(gap.path("catalog.lock"), text).unwrap();
    let ran = gap.cli.run(&["export", "--locked", "-o", "x.tar.zst"]);
    assert_eq!(ran.code, 1);
    shown(&gap, "digest_gone", &ran);
}

#[test]
fn a_lock_is_not_written_when_an_image_cannot_be_found() {
    let mut gap = Gap::new();
    let missing = format!("{}/team/none:1", gap.source.host());
    gap.image("team/app", "1", &image(1)).line(&missing);
    let ran = gap.cli.run(&["catalog", "lock", "images.txt", "--report", "report.json"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert_eq!(gap.files(), ["images.txt", "report.json"]);
}
