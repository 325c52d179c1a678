//! Compact bundles that hold what is in jars inflated: `--compact=max`.

use airgap_bundle::encoders::Encoder;

use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage};
use crate::zip_entries::{Sizes, entry};

const GO: Encoder = Encoder::Go126 { level: 6 };

/// A jar of a release: classes with much in common, of which some change.
fn jar(release: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(7);
    let common: Vec<u8> = (0..6_000).map(|_| rng.alphanumeric() as u8).collect();
    (0..200)
        .flat_map(|class| {
            // What changes comes first, so that all after it is deflated into other bits.
            let own = format!("{class}, release {}", "x".repeat(if class % 4 == 0 { release } else { 0 }));
            let raw = [own.as_bytes(), &common[class * 7..], &common[..class * 13]].concat();
            entry(6, if class % 2 == 0 { Sizes::Behind } else { Sizes::Before }, &raw)
        })
        .collect()
}

fn image(release: usize) -> TestImage {
    let mut rng = fastrand::Rng::with_seed(8);
    let text: Vec<u8> = (0..60_000).map(|_| rng.alphanumeric() as u8).collect();
    ImageSpec::new(release as u64)
        .layer(Layer::of_file("app/shop.jar", &jar(release), GO))
        .layer(Layer::of_file("app/readme", &text.repeat(2), GO))
        .build()
}

fn gap() -> (Gap, TestImage) {
    let mut gap = Gap::new();
    let image = image(1);
    gap.image("a/shop", "1", &image);
    (gap, image)
}

fn run(gap: &Gap, arguments: &[&str]) -> Ran {
    let ran = gap.cli.run(arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.shown());
    ran
}

#[test]
fn it_is_smaller_and_arrives_whole() {
    let (gap, image) = gap();
    gap.export(&["--compact", "-o", "compact.tar.zst"]);
    gap.export(&["--compact=max", "-o", "max.tar.zst"]);
    let (compact, max) = (gap.read("compact.tar.zst").len(), gap.read("max.tar.zst").len());
    assert!(max * 3 < compact * 2, "{max} {compact}");
    run(&gap, &["verify", "max.tar.zst"]);
    let inspected = run(&gap, &["inspect", "max.tar.zst", "--format", "json"]).stdout;
    assert!(inspected.contains("\"effort\": \"max\""), "{inspected}");
    gap.import("max.tar.zst", &[]);
    assert_whole(&gap.destination, "a/shop", "1", &image);
    // One form is made from the other, and each gives what an export would have written.
    gap.export(&["-o", "plain.tar.zst"]);
    for (profile, same) in [("layout", "plain"), ("compact", "compact"), ("max", "max")] {
        run(&gap, &["repack", "max.tar.zst", "--profile", profile, "--force", "-o", "again.tar.zst"]);
        assert!(gap.read("again.tar.zst") == gap.read(&format!("{same}.tar.zst")), "{profile}");
    }
}

/// The images are the same, but not what the file is made of: what is there is not taken for what is wanted.
#[test]
fn another_form_under_the_same_name_is_no_complete_export() {
    let (gap, _) = gap();
    gap.export(&["-o", "base.tar.zst"]);
    let forms: [&[&str]; 2] = [&["--compact"], &["--compact=max"]];
    for form in forms {
        gap.export(&[form, &["--force", "-o", "out.tar.zst"]].concat());
        for other in forms {
            let ran = gap.try_export(&[other, &["-o", "out.tar.zst"]].concat());
            if form == other {
                assert!(ran.code == 0 && ran.stderr.contains("already complete"), "{}", ran.shown());
            } else {
                assert!(ran.code == 1 && ran.stderr.contains("in another compact form"), "{}", ran.shown());
            }
        }
    }
}

#[test]
fn the_other_value_is_refused() {
    let (gap, _) = gap();
    let ran = gap.try_export(&["--compact=best", "-o", "out.tar.zst"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("max"), "{}", ran.shown());
}

#[test]
fn an_update_is_smaller_too() {
    let (gap, _) = gap();
    gap.export(&["-o", "one.tar.zst"]);
    let second = image(2);
    gap.source.put_image("a/shop", "1", &second);
    let sizes = ["--compact", "--compact=max"].map(|effort| {
        gap.export(&[effort, "--base", "one.tar.zst", "--force", "-o", "delta.tar.zst"]);
        gap.read("delta.tar.zst").len()
    });
    assert!(sizes[1] < sizes[0], "{sizes:?}");
    gap.import("one.tar.zst", &[]);
    run(&gap, &["verify", "delta.tar.zst", "--base", "one.tar.zst"]);
    gap.import("delta.tar.zst", &[]);
    assert_whole(&gap.destination, "a/shop", "1", &second);
}

#[test]
fn every_flip_is_an_error_or_the_right_digest() {
    let (gap, image) = gap();
    gap.export(&["--compact=max", "-o", "max.tar.zst"]);
    let good = gap.read("max.tar.zst");
    for at in (good.len() / 2..good.len()).step_by(good.len() / 24) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        std::fs::write(gap.path("bad.tar.zst"), bad).unwrap();
        let ran = gap.try_import("bad.tar.zst", &["--force"]);
        if ran.code == 0 {
            assert_whole(&gap.destination, "a/shop", "1", &image);
        }
        assert!(!ran.stderr.contains("panicked"), "{at}: {}", ran.shown());
    }
}
