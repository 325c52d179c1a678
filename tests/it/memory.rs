//! Memory is bounded by the number of concurrent transfers, whatever the size of the blobs.

use crate::support::gap::{Gap, Running};
use crate::support::images::{ImageSpec, Layer};

const MIB: u64 = 1 << 20;
const JOBS: u64 = 3;
const LIMIT: u64 = 64 * MIB + JOBS * 12 * MIB;

/// The most memory that a run had at once, in bytes.
fn peak(mut run: Running) -> u64 {
    let status = format!("/proc/{}/status", run.id());
    let mut peak = 0;
    while run.ended().is_none() {
        // A process that has just ended has no memory to tell of. Before it became the program it had this one's:
        // only the last figure counts.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.starts_with("VmHWM:")) {
            let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            peak = kib * 1024;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let ran = run.wait();
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(peak > MIB, "nothing was measured");
    peak
}

#[test]
fn manifests_are_searched_in_the_memory_of_one_object() {
    let gap = Gap::new();
    let item = "- { apiVersion: v1, kind: Pod, spec: { containers: [{ name: a, image: 'r.io/a:1' }] } }\n";
    let text = format!("apiVersion: v1\nkind: List\nitems:\n{}", item.repeat((6 << 20) / item.len()));
    std::fs::write(gap.path("list.yaml"), text).unwrap();
    let peak = peak(gap.spawn(&["catalog", "discover", "list.yaml"]));
    assert!(peak <= 40 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn large_blobs_need_no_more_memory_than_transfers_at_once() {
    let mut gap = Gap::new();
    for seed in 0..3 {
        let layer = Layer::gzip(seed, 64 << 20);
        gap.image(&format!("team/large-{seed}"), "1", &ImageSpec::new(seed).layer(layer).build());
    }
    // A compressed blob has frames of its own in memory.
    gap.image("team/tar", "1", &ImageSpec::new(9).layer(Layer::tar(9, 24 << 20)).build());
    let jobs = JOBS.to_string();
    let host = gap.destination.host();
    let bundle = ["export", "images.txt", "-o", "out.tar.zst", "--jobs", &jobs];
    let export = peak(gap.spawn(&bundle));
    assert!(export <= LIMIT, "export: {} MiB", export / MIB);
    let import = peak(gap.spawn(&["import", "out.tar.zst", "-d", &host, "--jobs", &jobs]));
    assert!(import <= LIMIT, "import: {} MiB", import / MIB);
    let verify = peak(gap.spawn(&["verify", "out.tar.zst"]));
    assert!(verify <= LIMIT, "verify: {} MiB", verify / MIB);
    eprintln!("export {export}, import {import}, verify {verify}");
}
