//! kill -9 at seeded points of an import: a tag is there with everything, or not at all.

use std::time::Duration;

use super::{FRAME, Gap, JOBS, MIB, TestImage, all_blobs, assert_whole};
use crate::support::images::{ImageSpec, Layer, multi_platform};
use crate::support::registry::{Effect, Fault, TestRegistry};

/// About 20 MiB in five images; no blob is larger than a frame, for an upload session does not outlive its client.
fn several() -> (Gap, Vec<TestImage>) {
    let mut gap = Gap::new();
    let base = Layer::gzip(9, 3 * MIB);
    let mut images: Vec<_> = (0..4_usize)
        .map(|n| {
            ImageSpec::new(n as u64)
                .layer(base.clone())
                .layer(Layer::gzip(20 + n as u64, (n + 1) * MIB))
                .layer(Layer::tar(30 + n as u64, MIB))
                .build()
        })
        .collect();
    images.push(multi_platform(40));
    for (n, image) in images.iter().enumerate() {
        gap.image(&format!("team/app-{n}"), "1", image);
    }
    gap.export(&["-o", "out.tar.zst"]);
    (gap, images)
}

/// No tag without all it needs.
fn assert_nothing_half(gap: &Gap, images: &[TestImage]) -> usize {
    let mut there = 0;
    for (n, image) in images.iter().enumerate() {
        let repository = format!("team/app-{n}");
        if gap.destination.manifest(&repository, "1").is_some() {
            assert_whole(&gap.destination, &repository, "1", image);
            there += 1;
        }
    }
    there
}

fn received(gap: &Gap) -> u64 {
    let log = gap.destination.log();
    let uploads = log.iter().filter(|one| one.path.contains("/blobs/uploads/"));
    uploads.map(super::super::support::registry::Logged::received).sum()
}

fn killed(seeds: std::ops::Range<u64>) {
    let (mut gap, images) = several();
    let total: u64 = all_blobs(&images).values().sum();
    let requests = {
        gap.import("out.tar.zst", &["--jobs", "2"]);
        gap.destination.log().len()
    };
    let mut halfway = 0;
    for seed in seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        gap.destination = TestRegistry::start();
        std::fs::remove_file(gap.path("out.values.yaml")).unwrap();
        let host = gap.destination.host();
        // Either a request that is never answered, or a body that is never read to its end.
        let patient = if rng.bool() {
            Fault::on("*", "", Effect::Delay(Duration::from_secs(3600))).nth(rng.usize(1..requests))
        } else {
            Fault::on("PATCH", "", Effect::StallRequest(rng.u64(..MIB as u64))).nth(rng.usize(1..10))
        };
        gap.destination.fault(patient.clone());
        let mut run = gap.spawn(&["import", "out.tar.zst", "-d", &host, "--jobs", "2"]);
        run.until("the silence", || gap.destination.faulted() > 0);
        run.kill();
        gap.destination.heal();
        let there = assert_nothing_half(&gap, &images);
        halfway += usize::from(there > 0 && there < images.len());

        let ran = gap.try_import("out.tar.zst", &["--jobs", "2"]);
        assert_eq!(ran.code, 0, "seed {seed}: {}", ran.shown());
        assert_eq!(assert_nothing_half(&gap, &images), images.len());
        let again = received(&gap) - total;
        assert!(again <= JOBS * FRAME, "seed {seed}: {again} bytes moved again");
    }
    assert!(halfway > 0, "no kill came between two images");
}

#[test]
fn a_killed_import_goes_on_at_seeds_0_to_24() {
    killed(0..25);
}

#[test]
fn a_killed_import_goes_on_at_seeds_25_to_49() {
    killed(25..50);
}
