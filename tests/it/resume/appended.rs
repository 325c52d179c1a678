//! Media without sparse files: the file is written in order, and the export still resumes after a kill.

use rustix::process::Signal;

use super::{
    EXPORT, FRAME, Gap, JOBS, MIB, TestImage, all_blobs, downloaded, journal, large_in, stall, until_sent,
};
use crate::support::cli::Cli;
use crate::support::gap::Running;
use crate::support::images::image;
use crate::support::registry::{Effect, Fault};

/// A gap whose disk, as far as the program knows, fills gaps with zeros; and the file as it must become.
fn filling() -> (Gap, Vec<TestImage>, Vec<u8>) {
    let (gap, images) = large_in(Gap::with(Cli::new().env("AIRGAP_BUNDLE_MEDIUM", "filling")));
    let mut command = gap.cli.command(&["export", "images.txt", "-o", "whole.tar.zst"]);
    command.env("AIRGAP_BUNDLE_MEDIUM", "sparse");
    assert_eq!(Running::of(command).wait().code, 0);
    let whole = gap.read("whole.tar.zst");
    gap.source.forget();
    (gap, images, whole)
}

fn assert_right(gap: &Gap, whole: &[u8]) {
    assert!(gap.read("out.tar.zst") == whole);
    let (one, other) = (gap.read("out.tar.zst.sha256"), gap.read("whole.tar.zst.sha256"));
    assert_eq!(one[..64], other[..64]);
    assert_eq!(
        gap.files(),
        ["images.txt", "out.tar.zst", "out.tar.zst.sha256", "whole.tar.zst", "whole.tar.zst.sha256"]
    );
}

#[test]
fn the_same_bytes_are_written_once_and_in_order() {
    let (gap, images, whole) = filling();
    let mut run = gap.spawn(&EXPORT);
    run.until_ended();
    let written = run.written();
    let ran = run.wait();
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("fills gaps with zeros"), "{}", ran.stderr);
    assert_right(&gap, &whole);
    assert!(written * 100 <= whole.len() as u64 * 105, "{written} written for {}", whole.len());
    assert_eq!(downloaded(&gap), all_blobs(&images).values().sum::<u64>());
}

fn killed(seeds: std::ops::Range<u64>) {
    let (gap, images, whole) = filling();
    let blobs = all_blobs(&images);
    let total: u64 = blobs.values().sum();
    let layers: Vec<_> = images.iter().flat_map(TestImage::layers).collect();
    for seed in seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        gap.source.forget();
        let victim = layers[rng.usize(..layers.len())];
        let at = rng.u64(..blobs[&victim]);
        stall(&gap, &victim, at);
        let mut run = gap.spawn(&EXPORT);
        until_sent(&gap, &mut run, &victim, at);
        run.kill();
        gap.source.heal();
        assert!(!gap.path("out.tar.zst").exists());
        // Nothing stands behind the end of what has come in order.
        let length = std::fs::metadata(gap.path("out.tar.zst.partial")).unwrap().len();
        assert!(length <= downloaded(&gap) + MIB as u64, "seed {seed}: {length} bytes");
        let ran = gap.cli.run(&EXPORT);
        assert_eq!(ran.code, 0, "seed {seed}: {}", ran.shown());
        assert_right(&gap, &whole);
        // What waits in the window for its turn is lost with it, the frame that was not whole yet, and what is in
        // sockets.
        let again = downloaded(&gap) - total;
        assert!(again <= JOBS * 2 * FRAME, "seed {seed}: {again} bytes moved again");
        for name in ["out.tar.zst", "out.tar.zst.sha256"] {
            std::fs::remove_file(gap.path(name)).unwrap();
        }
    }
}

#[test]
fn a_growing_file_goes_on_after_kill_9_at_seeds_0_to_24() {
    killed(0..25);
}

#[test]
fn ctrl_c_and_a_power_cut_leave_a_file_that_goes_on() {
    let (gap, images, whole) = filling();
    let largest = images[0].layers()[0];
    stall(&gap, &largest, 17 * MIB as u64);
    let mut run = gap.spawn(&EXPORT);
    until_sent(&gap, &mut run, &largest, 17 * MIB as u64);
    run.until("the second frame", || journal::frames(&gap, &largest) == 2);
    run.signal(Signal::INT);
    assert_eq!(run.wait().code, 130);
    gap.source.heal();
    // The machine went down: bytes after the barrier may be anything, or not be there.
    let mut partial = gap.read("out.tar.zst.partial");
    partial.extend_from_slice(&[7; 1000]);
    std::fs::write(gap.path("out.tar.zst.partial"), &partial).unwrap();
    let text = String::from_utf8(gap.read("out.tar.zst.partial.journal")).unwrap();
    std::fs::write(gap.path("out.tar.zst.partial.journal"), journal::from_another_boot(&text)).unwrap();
    gap.source.forget();
    assert_eq!(gap.cli.run(&EXPORT).code, 0);
    let first = downloaded(&gap);
    assert!(first <= all_blobs(&images).values().sum::<u64>() - 2 * FRAME, "{first}");
    assert_right(&gap, &whole);
}

#[test]
fn a_layer_that_came_wrong_is_taken_back_and_fetched_again() {
    let (gap, images, whole) = filling();
    for layer in [images[0].layers()[0], images[2].layers()[2]] {
        gap.source.fault(Fault::on("GET", format!("/blobs/{layer}"), Effect::Flip(1_500_000)));
    }
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(gap.source.faulted(), 2);
    assert_right(&gap, &whole);
}

#[test]
fn a_layer_that_cannot_be_had_leaves_no_file_and_nothing_wrong_in_the_partial() {
    let (gap, images, whole) = filling();
    let largest = images[0].layers()[0];
    gap.source.fault(Fault::on("GET", format!("/blobs/{largest}"), Effect::Flip(9_000_000)).always());
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(!gap.path("out.tar.zst").exists());
    gap.source.heal();
    assert_eq!(gap.cli.run(&EXPORT).code, 0);
    assert_right(&gap, &whole);
    // With --keep-going the others make a bundle.
    for name in ["out.tar.zst", "out.tar.zst.sha256"] {
        std::fs::remove_file(gap.path(name)).unwrap();
    }
    gap.source.fault(Fault::on("GET", format!("/blobs/{largest}"), Effect::Flip(9_000_000)).always());
    let ran = gap.cli.run(&[&EXPORT[..], &["--keep-going"]].concat());
    assert_eq!(ran.code, 7, "{}", ran.shown());
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst"]).code, 0);
}

#[test]
fn a_changed_request_takes_over_what_the_growing_file_has() {
    let (mut gap, images, _) = filling();
    let last = images[2].layers()[2];
    stall(&gap, &last, 1);
    let mut run = gap.spawn(&EXPORT);
    until_sent(&gap, &mut run, &last, 1);
    run.until("all before it", || journal::done(&gap) >= 5);
    run.kill();
    gap.source.heal();
    gap.source.forget();
    let more = image(50);
    gap.image("team/more", "1", &more);
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("taking over"), "{}", ran.stderr);
    let gets = gap.source.blob_gets();
    for taken in [images[0].layers(), images[1].layers()].concat() {
        assert!(!gets.contains_key(&taken), "{taken}");
    }
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst"]).code, 0);
    assert!(gap.files().iter().all(|name| !name.contains("partial")), "{:?}", gap.files());
}

#[test]
fn a_spool_on_another_disk_brings_downloads_side_by_side_and_survives_a_kill() {
    let (gap, images, whole) = filling();
    let spool = gap.path("spool");
    std::fs::create_dir(&spool).unwrap();
    let arguments = [&EXPORT[..], &["--spool", spool.to_str().unwrap()]].concat();
    // The first layer of the file is late; everything else is fetched beside it.
    let first = images[0].layers()[0];
    stall(&gap, &first, 9 * MIB as u64);
    let mut run = gap.spawn(&arguments);
    let others = all_blobs(&images).len() - images.len() - 1;
    let whole_ones = || {
        let folders = std::fs::read_dir(&spool).unwrap().flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
        let blobs = all_blobs(&images);
        let size = |name: String| blobs.get(&name.replace('-', ":").parse().unwrap()).copied();
        files
            .filter(|f| size(f.file_name().into_string().unwrap()) == Some(f.metadata().unwrap().len()))
            .count()
    };
    run.until("the others", || whole_ones() == others);
    assert!(journal::done(&gap) == 0);
    run.kill();
    gap.source.heal();
    gap.source.forget();
    let ran = gap.cli.run(&arguments);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(gap.source.blob_gets().into_keys().collect::<Vec<_>>(), [first]);
    assert!(downloaded(&gap) < 10 * MIB as u64, "{}", downloaded(&gap));
    assert_right(&gap, &whole);
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
    // A pipe has no name to keep anything under, and the same bytes.
    let mut command = gap.cli.command(&["export", "images.txt", "-o", "-", "--spool", "spool"]);
    let output = command.output().unwrap();
    assert!(output.stdout == whole, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
}
