//! Bad input of every kind: one clear message, the right exit code, nothing left that looks finished.

use crate::support::cli::Ran;
use crate::support::gap::Gap;
use crate::support::images::{ImageSpec, Layer, TestImage, image};

mod catalogs;
mod damage;
mod destinations;
mod disks;
mod misplaced;
mod registries;

/// Compares exit code, output and what is left with the snapshot `name`.
fn same(gap: &Gap, name: &str, ran: &Ran) {
    gap.snapshot("refusals", name, &gap.shown(ran));
}

/// The same with further things that differ from run to run.
fn same_with(gap: &Gap, filters: &[(String, &str)], name: &str, ran: &Ran) {
    let mut settings = insta::Settings::clone_current();
    for (pattern, shown) in filters {
        settings.add_filter(pattern, *shown);
    }
    settings.bind(|| same(gap, name, ran));
}

/// A gap with one small image at the source, and a bundle of it.
fn small() -> (Gap, TestImage) {
    let mut gap = Gap::new();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 700)).layer(Layer::tar(2, 3_000)).build();
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst", "--no-sidecar"]);
    (gap, image)
}

/// Two images, of which the first cannot be read from the source whole.
fn one_of_two() -> (Gap, TestImage, TestImage) {
    let mut gap = Gap::new();
    let (bad, good) = (image(1), image(2));
    gap.image("team/bad", "1", &bad).image("team/good", "1", &good);
    (gap, bad, good)
}
