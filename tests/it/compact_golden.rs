//! A compact bundle and a compact delta of the first version, which every later version reads.

use std::path::Path;

use airgap_bundle::encoders::{Encoder, PGZIP_BLOCK, Variant};

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage};
use crate::zip_entries::{Sizes, entry};

const WHOLE: &str = "compact-1.tar.zst";
const DELTA: &str = "compact-1.delta.tar.zst";

/// Text of a release, of which the last part is new in each.
fn text(seed: u64, release: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut text: Vec<u8> = (0..12_000).map(|_| rng.alphanumeric() as u8).collect();
    rng.seed(seed + release);
    text.extend((0..200).map(|_| rng.alphanumeric() as u8));
    text.repeat(6)
}

/// A jar of a release, with a jar in it.
fn jar(release: u64) -> Vec<u8> {
    let class = |at: usize, release| text(3, release)[at * 31..at * 31 + 900].repeat(3);
    let of =
        |release, sizes| (0..40).flat_map(|at| entry(6, sizes, &class(at, release))).collect::<Vec<u8>>();
    let inner = entry(9, Sizes::Before, &of(release, Sizes::Behind));
    let own = entry(1, Sizes::Behind, &text(4, release));
    [of(1, Sizes::Before), inner, own, text(5, release)].concat()
}

/// One layer for each family of encoders.
fn image(release: u64) -> TestImage {
    let pgzip = Encoder::Pgzip { variant: Variant::V1_18_0, level: 5, block_size: PGZIP_BLOCK };
    ImageSpec::new(release)
        .layer(Layer::of_file("shop.jar", &jar(release), Encoder::Go126 { level: 6 }))
        .layer(Layer::of_file("a", &[text(6, release), text(7, 0)].concat(), pgzip))
        .layer(Layer::of_file("b", &[text(8, 0), text(9, release)].concat(), Encoder::Zlib { level: 6 }))
        .build()
}

fn with_golden() -> Gap {
    let gap = Gap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    for name in [WHOLE, DELTA] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        assert!(bytes.len() < 100_000, "{name}");
        std::fs::write(gap.path(name), bytes).unwrap();
    }
    gap
}

#[test]
fn the_golden_bundle_and_its_update_are_read() {
    let gap = with_golden();
    for arguments in [&["verify", WHOLE][..], &["verify", DELTA, "--base", WHOLE]] {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        assert!(!ran.stdout.contains("need bundle"), "{}", ran.shown());
    }
    gap.import(WHOLE, &[]);
    assert_whole(&gap.destination, "a/shop", "1", &image(1));
    gap.import(DELTA, &[]);
    assert_whole(&gap.destination, "a/shop", "1", &image(2));
}

#[test]
fn the_golden_bundle_and_its_update_become_layouts() {
    let gap = with_golden();
    for arguments in [
        &["unpack", WHOLE, "-o", "one"][..],
        &["unpack", DELTA, "--fill-from", WHOLE, "-o", "two"],
        &["repack", DELTA, "--fill-from", WHOLE, "-o", "two.tar.zst"],
    ] {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.shown());
    }
    gap.import("one", &[]);
    assert_whole(&gap.destination, "a/shop", "1", &image(1));
    gap.import("two.tar.zst", &[]);
    assert_whole(&gap.destination, "a/shop", "1", &image(2));
}
