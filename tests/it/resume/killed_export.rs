//! kill -9 at seeded points of an export.

use std::collections::BTreeMap;

use airgap_bundle::image::Digest;

use super::{EXPORT, FRAME, Gap, JOBS, MIB, all_blobs, downloaded, journal, large, stall, until_sent};

/// Every download that began has ended and is recorded, or has got where it stalls.
fn is_silent(gap: &Gap, blobs: &BTreeMap<Digest, u64>, points: &[(Digest, u64)]) -> bool {
    let log = gap.source.log();
    let gets = log.iter().filter(|one| one.method == "GET");
    let mut complete = 0;
    for one in gets {
        let Some(digest) = one.path.rsplit_once("/blobs/").and_then(|(_, digest)| digest.parse().ok()) else {
            continue;
        };
        match points.iter().find(|(victim, _)| *victim == digest) {
            Some((_, at)) if one.sent() < *at => return false,
            Some((_, at)) if journal::is_stored(gap, &digest) => {
                // Less than a piece may wait in memory for more of it.
                let written = at.saturating_sub(MIB as u64) / FRAME;
                if journal::frames(gap, &digest) < written {
                    return false;
                }
            }
            Some(_) => {}
            None if one.sent() < blobs[&digest] => return false,
            None => complete += 1,
        }
    }
    // Three configs are in the head, and have no record.
    complete >= 3 && journal::done(gap) >= complete - 3
}

/// Kills an export once a seeded blob has got seeded bytes far, and goes on.
fn killed(seeds: std::ops::Range<u64>) {
    let (gap, images) = large();
    gap.export(&["-o", "whole.tar.zst"]);
    let whole = gap.read("whole.tar.zst");
    let blobs = all_blobs(&images);
    let total: u64 = blobs.values().sum();
    let stored = [&images[0].layers()[..1], &images[1].layers(), &images[2].layers()[1..2]].concat();
    let compressed = [images[0].layers()[1], images[2].layers()[2]];
    for seed in seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        gap.source.forget();
        let mut victims = vec![stored[rng.usize(..stored.len())]];
        let beside = if rng.bool() { &stored[..] } else { &compressed[..] };
        let second = beside[rng.usize(..beside.len())];
        if !victims.contains(&second) {
            victims.push(second);
        }
        let points: Vec<_> = victims.iter().map(|digest| (*digest, rng.u64(..blobs[digest]))).collect();
        for (digest, at) in &points {
            stall(&gap, digest, *at);
        }
        let mut run = gap.spawn(&EXPORT);
        let (first, at) = points[0];
        until_sent(&gap, &mut run, &first, at);
        // Every other time, what was sent gets its time to be written.
        let settled = seed % 2 == 0;
        if settled {
            run.until("silence", || is_silent(&gap, &blobs, &points));
        }
        run.kill();
        gap.source.heal();
        assert!(!gap.path("out.tar.zst").exists());

        let ran = gap.cli.run(&EXPORT);
        assert_eq!(ran.code, 0, "seed {seed}: {}", ran.shown());
        assert!(gap.read("out.tar.zst") == whole, "seed {seed}");
        // A piece of half a MiB may wait in memory for a frame to end. Killed at once, what was under way in sockets
        // is lost too, and compressed blobs have a lane of their own.
        let limit =
            if settled { JOBS * (FRAME + MIB as u64 / 2) } else { (JOBS + 1) * (FRAME + 2 * MIB as u64) };
        let again = downloaded(&gap) - total;
        assert!(again <= limit, "seed {seed}: {again} bytes moved again");
        for name in ["out.tar.zst", "out.tar.zst.sha256"] {
            std::fs::remove_file(gap.path(name)).unwrap();
        }
        assert_eq!(gap.files(), ["images.txt", "whole.tar.zst", "whole.tar.zst.sha256"]);
    }
}

#[test]
fn a_killed_export_goes_on_at_seeds_0_to_24() {
    killed(0..25);
}

#[test]
fn a_killed_export_goes_on_at_seeds_25_to_49() {
    killed(25..50);
}

#[test]
fn an_export_killed_again_and_again_gets_there() {
    let (gap, images) = large();
    let largest = images[0].layers()[0];
    let second = images[1].layers()[1];
    for at in [5, 11, 17].map(|mib| mib * MIB as u64) {
        gap.source.heal();
        // What is there already is not sent again, so the stall comes so much earlier.
        let held = journal::frames(&gap, &largest) * FRAME;
        stall(&gap, &largest, at - held);
        stall(&gap, &second, 100);
        let mut run = gap.spawn(&EXPORT);
        let wanted = at / FRAME;
        until_sent(&gap, &mut run, &largest, at - held);
        run.until("whole frames", || journal::frames(&gap, &largest) == wanted);
        run.kill();
        gap.source.forget();
    }
    gap.source.heal();
    assert_eq!(gap.cli.run(&EXPORT).code, 0);
    gap.export(&["-o", "whole.tar.zst"]);
    assert!(gap.read("out.tar.zst") == gap.read("whole.tar.zst"));
}
