//! Exports and imports that are stopped at any moment resume, lose little, and give the same result.

use std::collections::BTreeMap;

use airgap_bundle::image::Digest;
use rustix::process::Signal;

use crate::support::gap::{Gap, Running, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, image};
use crate::support::registry::{Effect, Fault};

mod appended;
mod caches;
mod journal;
mod killed_export;
mod killed_import;

const MIB: usize = 1 << 20;
const FRAME: u64 = 8 << 20;
const JOBS: u64 = 2;
const EXPORT: [&str; 6] = ["export", "images.txt", "-o", "out.tar.zst", "--jobs", "2"];

/// About 40 MiB in three images: layers of more than a frame, a shared one, and two that get compressed.
fn large() -> (Gap, Vec<TestImage>) {
    large_in(Gap::new())
}

fn large_in(mut gap: Gap) -> (Gap, Vec<TestImage>) {
    let base = Layer::gzip(9, MIB);
    let images = vec![
        ImageSpec::new(1).layer(Layer::gzip(1, 18 * MIB)).layer(Layer::tar(2, 3 * MIB)).build(),
        ImageSpec::new(2).layer(base.clone()).layer(Layer::gzip(3, 10 * MIB)).build(),
        ImageSpec::new(3).layer(base).layer(Layer::gzip(4, 100_000)).layer(Layer::tar(5, 9 * MIB)).build(),
    ];
    for (n, image) in images.iter().enumerate() {
        gap.image(&format!("team/app-{n}"), "1", image);
    }
    (gap, images)
}

fn all_blobs(images: &[TestImage]) -> BTreeMap<Digest, u64> {
    let blobs = images.iter().flat_map(TestImage::all_blobs);
    blobs.map(|(digest, bytes)| (digest, bytes.len() as u64)).collect()
}

/// Blob bytes that went out of the source since its log was emptied.
fn downloaded(gap: &Gap) -> u64 {
    let log = gap.source.log();
    let blobs = log.iter().filter(|one| one.method == "GET" && one.path.contains("/blobs/"));
    blobs.map(super::support::registry::Logged::sent).sum()
}

/// Stalls the first download of `digest` after `bytes`.
fn stall(gap: &Gap, digest: &Digest, bytes: u64) {
    gap.source.fault(Fault::on("GET", format!("/blobs/{digest}"), Effect::Stall(bytes)));
}

/// Waits until `bytes` of `digest` have left the source.
fn until_sent(gap: &Gap, run: &mut Running, digest: &Digest, bytes: u64) {
    let path = format!("/blobs/{digest}");
    run.until("the stalled blob", || {
        let log = gap.source.log();
        log.iter().any(|one| one.status.is_some() && one.path.ends_with(&path) && one.sent() >= bytes)
    });
}

/// An export that is stopped with everything done but the end of the largest layer, of which two frames are there.
fn stopped(gap: &Gap, images: &[TestImage], signal: Signal) -> crate::support::cli::Ran {
    let largest = images[0].layers()[0];
    stall(gap, &largest, 17 * MIB as u64);
    let mut run = gap.spawn(&[&EXPORT[..], &["--report", "report.json"]].concat());
    until_sent(gap, &mut run, &largest, 17 * MIB as u64);
    let others = all_blobs(images).len() - 1 - images.len();
    run.until("the other blobs", || journal::done(gap) == others);
    run.until("the second frame", || journal::frames(gap, &largest) == 2);
    run.signal(signal);
    let ran = run.wait();
    gap.source.heal();
    // Whoever reads the report sees the same code.
    let report: serde_json::Value = serde_json::from_slice(&gap.read("report.json")).unwrap();
    assert_eq!(report["exitCode"], ran.code, "{report}");
    std::fs::remove_file(gap.path("report.json")).unwrap();
    ran
}

#[test]
fn ctrl_c_keeps_what_is_done_and_says_how_to_go_on() {
    let (gap, images) = large();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let ran = stopped(&gap, &images, signal);
        assert_eq!(ran.code, code, "{}", ran.shown());
        assert!(ran.stderr.contains("run the same command again"), "{}", ran.stderr);

        assert_eq!(
            gap.files(),
            [
                "images.txt",
                "out.tar.zst.partial",
                "out.tar.zst.partial.journal",
                "out.tar.zst.partial.manifests"
            ]
        );
        // The second time round the stopped run has to be forgotten, or there is nothing left to stop.
        for name in &gap.files()[1..] {
            std::fs::remove_file(gap.path(name)).unwrap();
        }
    }
}

#[test]
fn going_on_fetches_the_rest_of_one_blob_and_nothing_else() {
    let (gap, images) = large();
    stopped(&gap, &images, Signal::INT);
    gap.source.forget();
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("resuming the run"), "{}", ran.stderr);
    // Tags resolved once stay resolved, and of 18 MiB two frames are there.
    assert_eq!(gap.source.count("GET", "/manifests/"), 0);
    assert_eq!(downloaded(&gap), 2 * MIB as u64);
    gap.export(&["-o", "whole.tar.zst"]);
    assert!(gap.read("out.tar.zst") == gap.read("whole.tar.zst"));
    let (one, other) = (gap.read("out.tar.zst.sha256"), gap.read("whole.tar.zst.sha256"));
    assert_eq!(one[..64], other[..64]);
}

#[test]
fn a_source_without_ranges_sends_the_blob_again_from_its_start() {
    let (gap, images) = large();
    stopped(&gap, &images, Signal::INT);
    gap.source.forget();
    gap.source.fault(Fault::on("GET", "/blobs/", Effect::IgnoreRange).always());
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(gap.source.blob_gets().len(), 1);
    gap.source.heal();
    gap.export(&["-o", "whole.tar.zst"]);
    assert!(gap.read("out.tar.zst") == gap.read("whole.tar.zst"));
}

#[test]
fn fresh_forgets_the_stopped_run() {
    let (gap, images) = large();
    stopped(&gap, &images, Signal::INT);
    gap.source.forget();
    let ran = gap.cli.run(&[&EXPORT[..], &["--fresh"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(downloaded(&gap), all_blobs(&images).values().sum::<u64>());
    assert_eq!(gap.source.blob_gets().len(), all_blobs(&images).len());
    assert_eq!(gap.files(), ["images.txt", "out.tar.zst", "out.tar.zst.sha256"]);
}

#[test]
fn a_changed_request_takes_over_what_is_verified() {
    let (mut gap, images) = large();
    stopped(&gap, &images, Signal::INT);
    gap.source.forget();
    let more = image(50);
    gap.image("team/more", "1", &more);
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("taking over"), "{}", ran.stderr);
    let gets = gap.source.blob_gets();
    for taken in [images[1].layers(), images[2].layers()[..2].to_vec()].concat() {
        assert!(!gets.contains_key(&taken), "{taken}");
    }
    assert!(gets.contains_key(&more.layers()[0]));
    assert_eq!(gap.files(), ["images.txt", "out.tar.zst", "out.tar.zst.sha256"]);
    gap.export(&["-o", "whole.tar.zst"]);
    assert!(gap.read("out.tar.zst") == gap.read("whole.tar.zst"));
}

#[test]
fn two_exports_to_one_output_never_meet() {
    let (gap, images) = large();
    let largest = images[0].layers()[0];
    stall(&gap, &largest, 1);
    let mut first = gap.spawn(&EXPORT);
    until_sent(&gap, &mut first, &largest, 1);
    let second = gap.cli.run(&EXPORT);
    assert_eq!(second.code, 1, "{}", second.shown());
    assert!(second.stderr.contains("another run is writing this file"), "{}", second.stderr);
    assert!(first.ended().is_none());
    assert!(gap.path("out.tar.zst.partial").exists());
    first.kill();
    gap.source.heal();
    // The right goes with its holder.
    assert_eq!(gap.cli.run(&EXPORT).code, 0);
}

#[test]
fn an_export_that_is_complete_already_moves_nothing() {
    let (gap, _) = large();
    gap.export(&["-o", "out.tar.zst"]);
    let whole = gap.read("out.tar.zst");
    gap.source.forget();
    let ran = gap.export(&["-o", "out.tar.zst"]);
    assert!(ran.stderr.contains("already complete"), "{}", ran.stderr);
    assert!(!gap.source.blob_gets().values().any(|count| *count > 0) || downloaded(&gap) < 10_000);
    assert!(whole == gap.read("out.tar.zst"));
    assert_eq!(gap.files(), ["images.txt", "out.tar.zst", "out.tar.zst.sha256"]);
}

#[test]
fn an_interrupted_import_says_how_to_go_on() {
    let (gap, images) = large();
    gap.export(&["-o", "out.tar.zst"]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        gap.destination.fault(Fault::on("PATCH", "/blobs/uploads/", Effect::StallRequest(1000)));
        gap.destination.forget();
        let host = gap.destination.host();
        let mut run = gap.spawn(&["import", "out.tar.zst", "-d", &host]);
        run.until("the stalled upload", || gap.destination.count("PATCH", "") > 0);
        run.signal(signal);
        let ran = run.wait();
        assert_eq!(ran.code, code, "{}", ran.shown());
        assert!(ran.stderr.contains("run the same command again"), "{}", ran.stderr);
        gap.destination.heal();
    }
    gap.import("out.tar.zst", &[]);
    for (n, image) in images.iter().enumerate() {
        assert_whole(&gap.destination, &format!("team/app-{n}"), "1", image);
    }
}

/// Two requests that have nothing in common are stopped one after the other: of their partials one is kept.
#[test]
fn of_two_old_partials_the_fuller_one_is_kept() {
    let (gap, images) = large();
    stopped(&gap, &images, Signal::INT);
    let first = std::fs::read_to_string(gap.path("images.txt")).unwrap();
    let few = ImageSpec::new(60).layer(Layer::gzip(60, MIB)).layer(Layer::gzip(61, 2 * MIB)).build();
    let name = gap.source.put_image("team/few", "1", &few);
    std::fs::write(gap.path("images.txt"), format!("{name}\n")).unwrap();
    stall(&gap, &few.layers()[1], 1);
    let mut run = gap.spawn(&EXPORT);
    until_sent(&gap, &mut run, &few.layers()[1], 1);
    run.until("the other blobs", || journal::done(&gap) == all_blobs(std::slice::from_ref(&few)).len() - 2);
    run.signal(Signal::INT);
    assert_eq!(run.wait().code, 130);
    gap.source.heal();
    gap.source.forget();
    std::fs::write(gap.path("images.txt"), format!("{first}{name}\n")).unwrap();
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let gets = gap.source.blob_gets();
    for layer in [images[1].layers(), images[2].layers()].concat() {
        assert!(!gets.contains_key(&layer), "{layer}");
    }
    assert!(few.layers().iter().all(|layer| gets.contains_key(layer)), "{gets:?}");
    assert_eq!(gap.files(), ["images.txt", "out.tar.zst", "out.tar.zst.sha256"]);
}

/// A changed request that is killed in the middle of taking over, changed once more, killed again: what the first run
/// had is not fetched again.
#[test]
fn a_take_over_that_is_killed_loses_nothing() {
    let (gap, images) = large();
    stopped(&gap, &images, Signal::INT);
    let had = [images[1].layers(), images[2].layers()].concat();
    for seed in [50, 51] {
        let more = ImageSpec::new(seed).layer(Layer::gzip(seed, MIB)).build();
        // First on the list, so that every place changes; its layer never comes.
        let name = gap.source.put_image(&format!("team/more-{seed}"), "1", &more);
        let list = std::fs::read_to_string(gap.path("images.txt")).unwrap();
        std::fs::write(gap.path("images.txt"), format!("{name}\n{list}")).unwrap();
        stall(&gap, &more.layers()[0], 1);
        for layer in &had {
            stall(&gap, layer, 1);
        }
        gap.source.forget();
        let mut run = gap.spawn(&EXPORT);
        // As soon as the old partial is set aside, and when the downloads have begun.
        if seed == 50 {
            run.until("an old partial", || gap.path("out.tar.zst.partial.old").exists());
        } else {
            until_sent(&gap, &mut run, &more.layers()[0], 1);
        }
        run.kill();
        gap.source.heal();
        assert!(gap.files().iter().any(|name| name.contains(".partial.old")), "{:?}", gap.files());
        let gets = gap.source.blob_gets();
        for layer in &had {
            assert!(!gets.contains_key(layer), "{seed}: {layer}");
        }
    }
    gap.source.forget();
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let gets = gap.source.blob_gets();
    for layer in &had {
        assert!(!gets.contains_key(layer), "{layer}");
    }
    assert_eq!(gap.files(), ["images.txt", "out.tar.zst", "out.tar.zst.sha256"]);
    gap.export(&["-o", "whole.tar.zst"]);
    assert!(gap.read("out.tar.zst") == gap.read("whole.tar.zst"));
}
