//! The checks before the first byte: printed in one table, reported together, skipped on request.

use serde_json::Value;

use crate::support::gap::Gap;
use crate::support::images::Layer;
use crate::support::images::{image, sharing};
use crate::support::registry::{Effect, Fault};

fn gap() -> Gap {
    let mut gap = Gap::new();
    let images = sharing([2, 3], &Layer::gzip(1, 3_000));
    gap.image("a/one", "1", &images[0]).image("b/two", "1", &images[1]);
    gap
}

#[test]
fn a_dry_run_shows_the_table_and_leaves_nothing() {
    let gap = gap();
    let before = gap.files();
    let ran = gap.export(&["--dry-run"]);
    for word in ["ok     names", "ok     space", "ok     clock", "ok     time", "at 100 Mbit/s"] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    assert_eq!(gap.files(), before);
    let ran = gap.export(&["--dry-run", "--format", "json", "--limit-rate", "1M"]);
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    let checks = value["preflight"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["verdict"] == "ok"), "{checks:?}");
    assert!(
        checks.iter().any(|check| check["text"].as_str().unwrap().contains("at 1.00 MB/s")),
        "{checks:?}"
    );
    gap.export(&["-o", "out.tar.zst"]);
    let ran = gap.import("out.tar.zst", &["--dry-run"]);
    assert!(
        ran.stdout.contains("ok     access") && ran.stdout.contains("all 2 repositories"),
        "{}",
        ran.stdout
    );
    assert_eq!(gap.destination.count("POST", ""), 0, "a dry run opened an upload");
}

#[test]
fn a_clock_that_is_off_is_told() {
    let gap = gap();
    let date = Effect::Header("date", Some("Thu, 01 Jan 2015 00:00:00 GMT".to_owned()));
    gap.source.fault(Fault::on("*", "", date).always());
    let ran = gap.export(&["-o", "out.tar.zst"]);
    assert!(
        ran.stderr.contains("warning: clock: this machine's clock is")
            && ran.stderr.contains("days ahead of"),
        "{}",
        ran.shown()
    );
    assert!(gap.export(&["--dry-run"]).stdout.contains("watch  clock"));
}

#[test]
fn everything_that_stands_against_it_is_told_at_once() {
    let gap = gap();
    gap.export(&["-o", "old.tar.zst"]);
    let mut more = gap;
    more.image("c/three", "1", &image(9));
    more.export(&["--base", "old.tar.zst", "-o", "delta.tar.zst"]);
    more.destination.fault(Fault::status("HEAD", "/blobs/sha256:e3b0c442", 403).always());
    let ran = more.try_import("delta.tar.zst", &["--dry-run"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    for word in ["FAILS  base", "FAILS  access"] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.shown());
    }
    assert!(ran.stderr.contains("lacks") && ran.stderr.contains("cannot be written to"), "{}", ran.shown());
    assert_eq!(more.destination.count("POST", ""), 0);
}

#[test]
fn it_is_skipped_by_those_who_must() {
    let gap = gap();
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &["--skip-preflight"]);
    // Cancelled uploads are probes.
    assert_eq!(gap.destination.count("DELETE", "/uploads/"), 0);
    let ran =
        gap.try_export(&["-o", "cut.tar.zst", "--volume-size", "65537", "--dry-run", "--skip-preflight"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
}
