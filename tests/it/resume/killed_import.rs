//! kill -9 at seeded points of an import: a tag is there with everything, or not at all; and little is sent again,
//! also of layers that were half sent.

use std::time::Duration;

use airgap_bundle::serve::WritableStore;

use super::{FRAME, Gap, JOBS, MIB, TestImage, all_blobs, assert_whole};
use crate::support::images::{ImageSpec, Layer, multi_platform};
use crate::support::registry::{Effect, Fault, Logged, TestRegistry};

/// About 75 MiB in five images, with layers well above what may be sent again.
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
    images[1] = ImageSpec::new(51).layer(base.clone()).layer(Layer::gzip(61, 30 * MIB)).build();
    images[3] = ImageSpec::new(53).layer(Layer::gzip(63, 25 * MIB)).layer(Layer::tar(33, MIB)).build();
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
    uploads.map(Logged::received).sum()
}

/// Files that would tell the next run what to go on with.
fn states(gap: &Gap) -> usize {
    std::fs::read_dir(gap.path(".local/state/airgap-bundle/imports")).map_or(0, Iterator::count)
}

fn killed(seeds: std::ops::Range<u64>) {
    let (mut gap, images) = several();
    let total: u64 = all_blobs(&images).values().sum();
    let requests = {
        gap.import("out.tar.zst", &["--jobs", "2"]);
        gap.destination.log().len()
    };
    let (mut halfway, mut half_sent, mut in_vain) = (0, 0, 0);
    for seed in seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        gap.destination = TestRegistry::start();
        std::fs::remove_file(gap.path("out.values.yaml")).unwrap();
        let host = gap.destination.host();
        // A request that is never answered, a body that is not read to its end, or a large layer that stops anywhere.
        let (mut layer, mut point) = (String::new(), 0);
        let kind = rng.u8(..3);
        let is_any_request = kind == 0;
        let patient = match kind {
            0 => Fault::on("*", "", Effect::Delay(Duration::from_hours(1))).nth(rng.usize(1..requests)),
            1 => Fault::on("PATCH", "", Effect::StallRequest(rng.u64(..MIB as u64))).nth(rng.usize(1..10)),
            _ => {
                layer = format!("/team/app-{}/blobs/uploads/", if rng.bool() { 1 } else { 3 });
                point = rng.u64(..25 * MIB as u64);
                // The first is that of the config.
                Fault::on("PATCH", layer.clone(), Effect::StallRequest(point)).nth(2)
            }
        };
        gap.destination.fault(patient.clone());
        let mut run = gap.spawn(&["import", "out.tar.zst", "-d", &host, "--jobs", "2"]);
        let is_silent = run.comes_to("the silence", || {
            let reached = || gap.destination.log().iter().any(|one| one.is_at(&layer, point));
            gap.destination.faulted() > 0 && (layer.is_empty() || reached())
        });
        if !is_silent {
            // One request more or less than the first time: who waits for the last of them may wait in vain.
            let ran = run.wait();
            assert!(ran.code == 0 && is_any_request, "seed {seed}: {}", ran.shown());
            assert_eq!(assert_nothing_half(&gap, &images), images.len());
            in_vain += 1;
            continue;
        }
        half_sent += usize::from(point > FRAME);
        run.kill();
        gap.destination.heal();
        let there = assert_nothing_half(&gap, &images);
        halfway += usize::from(there > 0 && there < images.len());

        let ran = gap.try_import("out.tar.zst", &["--jobs", "2"]);
        assert_eq!(ran.code, 0, "seed {seed}: {}", ran.shown());
        assert_eq!(assert_nothing_half(&gap, &images), images.len());
        let again = received(&gap) - total;
        assert!(again <= JOBS * FRAME, "seed {seed}: {again} bytes moved again");
        assert_eq!(states(&gap), 0, "seed {seed}");
    }
    assert!(halfway > 0, "no kill came between two images");
    assert!(in_vain < 3, "most runs are killed");
    assert!(half_sent > 3, "too few kills came in the middle of a layer");
}

#[test]
fn a_killed_import_goes_on_at_seeds_0_to_24() {
    killed(0..25);
}

#[test]
fn a_killed_import_goes_on_at_seeds_25_to_49() {
    killed(25..50);
}

#[test]
fn a_half_sent_layer_goes_on_where_it_stopped_and_its_location_is_a_secret() {
    let (gap, images) = several();
    let host = gap.destination.host();
    let import = ["import", "out.tar.zst", "-d", &host, "--jobs", "2", "-v", "--report", "report.json"];
    let point = 20 * MIB as u64;
    gap.destination.fault(Fault::on("PATCH", "/team/app-1/", Effect::StallRequest(point)).nth(2));
    let mut run = gap.spawn(&import);
    run.until("most of the layer", || {
        gap.destination.log().iter().any(|one| one.is_at("/team/app-1/", point))
    });
    run.kill();
    gap.destination.heal();
    gap.destination.forget();
    let folder = gap.path(".local/state/airgap-bundle/imports");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let location = text.split("uploads/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let ran = gap.cli.run(&import);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(assert_nothing_half(&gap, &images), images.len());
    let log = gap.destination.log();
    let rest = log.iter().find(|one| one.method == "PATCH" && one.path.contains("/team/app-1/")).unwrap();
    assert!(rest.received() <= 11 * MIB as u64, "{}", rest.received());
    let shown = ran.shown() + &String::from_utf8(gap.read("report.json")).unwrap();
    assert!(!shown.contains(&location));
    assert_eq!(states(&gap), 0);
}

#[test]
fn what_the_registry_finished_after_the_kill_is_not_sent_again() {
    let (gap, images) = several();
    let large = images[1].all_blobs().into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0;
    gap.destination.fault(Fault::on("PUT", large.hex(), Effect::Delay(Duration::from_hours(1))));
    let host = gap.destination.host();
    let mut run = gap.spawn(&["import", "out.tar.zst", "-d", &host, "--jobs", "2"]);
    run.until("the end of the layer", || gap.destination.faulted() > 0);
    run.kill();
    gap.destination.heal();
    let log = gap.destination.log();
    let ends = |one: &&Logged| one.method == "PUT" && one.query.contains(&large.hex()[..]);
    let upload = log.iter().find(ends).unwrap().path.rsplit_once('/').unwrap().1.to_owned();
    let store = gap.destination.store();
    store.finish_upload(&"team/app-1".parse().unwrap(), &upload, &large).unwrap();
    gap.destination.forget();
    // It is still at it when it is asked for the blob, and done when it is asked for the upload.
    gap.destination.fault(Fault::status("HEAD", format!("/team/app-1/blobs/{large}"), 404));
    gap.import("out.tar.zst", &["--jobs", "2"]);
    assert_eq!(gap.destination.faulted(), 2);
    assert_eq!(assert_nothing_half(&gap, &images), images.len());
    assert!(received(&gap) < 30 * MIB as u64, "{}", received(&gap));
    assert_eq!(states(&gap), 0);
}

#[test]
fn without_a_home_an_import_keeps_nothing_and_says_nothing() {
    let (gap, _) = several();
    let mut command = gap.cli.command(&["import", "out.tar.zst", "-d", &gap.destination.host()]);
    command.env_remove("HOME");
    let ran = super::Running::of(command).wait();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.shown());
    assert_eq!(states(&gap), 0);
}
