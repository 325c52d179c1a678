//! The records of the journal, and what remains of them after a power cut.

use airgap_bundle::image::Digest;
use rustix::process::Signal;
use serde_json::Value;
use xxhash_rust::xxh64::xxh64;

use super::{EXPORT, Gap, MIB, all_blobs, downloaded, large, stall, stopped, until_sent};
use crate::support::images::{ImageSpec, Layer, image};

const JOURNAL: &str = "out.tar.zst.partial.journal";

/// The whole records of the journal: a tag and what it holds.
fn records(gap: &Gap) -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(gap.path(JOURNAL)).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole
        .map(|line| {
            let value: Value = serde_json::from_str(&line[17..]).unwrap();
            let (tag, held) = value.as_object().unwrap().iter().next().unwrap();
            (tag.clone(), held.clone())
        })
        .collect()
}

/// Blobs that are complete.
pub(super) fn done(gap: &Gap) -> usize {
    let records = records(gap);
    let done: std::collections::BTreeSet<u64> =
        records.iter().filter(|(tag, _)| tag == "d").filter_map(|(_, held)| held.as_u64()).collect();
    done.len()
}

/// The number of a stored blob in the journal.
fn index(records: &[(String, Value)], digest: &Digest) -> Option<Value> {
    let (_, header) = records.first()?;
    let mut rows = header["blobs"].as_array().unwrap().iter();
    rows.find(|row| row[1] == digest.to_string()).map(|row| row[0].clone())
}

/// Whether the blob is one whose place is known from sizes alone.
pub(super) fn is_stored(gap: &Gap, digest: &Digest) -> bool {
    index(&records(gap), digest).is_some()
}

/// Whole frames of the stored blob `digest`.
pub(super) fn frames(gap: &Gap, digest: &Digest) -> u64 {
    let records = records(gap);
    let Some(index) = index(&records, digest) else {
        return 0;
    };
    let progress = records.iter().filter(|(tag, held)| tag == "p" && held[0] == index);
    progress.filter_map(|(_, held)| held[1].as_u64()).max().unwrap_or(0)
}

/// The journal as it would be had it been written before the machine last started.
pub(super) fn from_another_boot(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if !line[17..].starts_with(r#"{"boot""#) {
            return format!("{line}\n");
        }
        let body = r#"{"boot":"00000000-0000-0000-0000-000000000000"}"#;
        format!("{:016x} {body}\n", xxh64(body.as_bytes(), 0))
    });
    lines.collect()
}

/// A run that was stopped in order, gone on with, and killed: the data as it was at the stop's barrier, and the
/// journal as it was at the kill.
fn cut() -> (Gap, Vec<u8>, String, u64) {
    let (gap, images) = large();
    // The first run leaves one layer half done, and none of the rest of that image.
    let (largest, second) = (images[0].layers()[0], images[1].layers()[1]);
    stall(&gap, &largest, 9 * MIB as u64);
    stall(&gap, &second, MIB as u64);
    let mut run = gap.spawn(&EXPORT);
    until_sent(&gap, &mut run, &largest, 9 * MIB as u64);
    until_sent(&gap, &mut run, &second, MIB as u64);
    run.until("the first frame", || frames(&gap, &largest) == 1);
    run.signal(Signal::INT);
    assert_eq!(run.wait().code, 130);
    let synced = gap.read("out.tar.zst.partial");
    let before = done(&gap);

    // The second run gets all but the end of that layer, and is killed before its next barrier.
    gap.source.heal();
    stall(&gap, &largest, 9 * MIB as u64);
    gap.source.forget();
    let mut run = gap.spawn(&EXPORT);
    until_sent(&gap, &mut run, &largest, 9 * MIB as u64);
    run.until("more blobs", || done(&gap) > before);
    run.until("the second frame", || frames(&gap, &largest) == 2);
    run.kill();
    gap.source.heal();
    let journal = String::from_utf8(gap.read(JOURNAL)).unwrap();
    let total = all_blobs(&images).values().sum();
    (gap, synced, journal, total)
}

fn goes_on(gap: &Gap) -> u64 {
    gap.source.forget();
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let moved = downloaded(gap);
    gap.export(&["-o", "whole.tar.zst"]);
    assert!(gap.read("out.tar.zst") == gap.read("whole.tar.zst"));
    moved
}

#[test]
fn after_a_power_cut_only_what_a_barrier_covers_is_trusted() {
    let (gap, synced, journal, total) = cut();
    std::fs::write(gap.path("out.tar.zst.partial"), &synced).unwrap();
    std::fs::write(gap.path(JOURNAL), from_another_boot(&journal)).unwrap();
    let moved = goes_on(&gap);
    // The frame before the barrier counts.
    assert!(moved + 8 * MIB as u64 <= total, "{moved} of {total}");
}

#[test]
fn a_journal_that_lost_its_tail_in_a_power_cut_is_followed_as_far_as_it_goes() {
    let (gap, synced, journal, _) = cut();
    let barrier = journal
        .split_inclusive('\n')
        .scan(0, |end, line| {
            *end += line.len();
            Some((*end, line.contains(r#"{"s":"#)))
        })
        .filter(|(_, barrier)| *barrier)
        .last();
    let (end, _) = barrier.unwrap();
    // The last record that was synced, and half of another.
    let torn = (end + 9).min(journal.len());
    std::fs::write(gap.path("out.tar.zst.partial"), &synced).unwrap();
    std::fs::write(gap.path(JOURNAL), from_another_boot(&journal[..end]) + &journal[end..torn]).unwrap();
    goes_on(&gap);
}

#[test]
fn frames_the_journal_promises_are_read_back_before_they_count() {
    // The same boot, and yet the data is gone: a restored snapshot, a disk that lied.
    let (gap, synced, journal, _) = cut();
    std::fs::write(gap.path("out.tar.zst.partial"), &synced).unwrap();
    std::fs::write(gap.path(JOURNAL), &journal).unwrap();
    goes_on(&gap);
}

#[test]
fn a_journal_without_its_partial_starts_over() {
    let (gap, images) = large();
    stopped(&gap, &images, Signal::INT);
    std::fs::remove_file(gap.path("out.tar.zst.partial")).unwrap();
    let moved = goes_on(&gap);
    let layers: u64 = images[0].all_blobs().values().map(|bytes| bytes.len() as u64).sum();
    assert!(moved > layers, "{moved}");
}

#[test]
fn a_broken_journal_starts_over() {
    let (gap, images) = large();
    stopped(&gap, &images, Signal::INT);
    let mut journal = gap.read(JOURNAL);
    journal[3] ^= 1;
    std::fs::write(gap.path(JOURNAL), journal).unwrap();
    goes_on(&gap);
    assert_eq!(
        gap.files(),
        ["images.txt", "out.tar.zst", "out.tar.zst.sha256", "whole.tar.zst", "whole.tar.zst.sha256"]
    );
}

#[test]
fn a_compressed_frame_is_written_before_the_next_one_is_there() {
    let mut gap = Gap::new();
    let layer = Layer::tar(7, 20 * MIB);
    gap.image("team/app", "1", &ImageSpec::new(1).layer(layer.clone()).build());
    let digest = Digest::sha256(&layer.bytes);
    // Two frames are complete, and the third one never will be.
    stall(&gap, &digest, 17 * MIB as u64);
    let mut run = gap.spawn(&EXPORT);
    until_sent(&gap, &mut run, &digest, 17 * MIB as u64);
    run.until("two frames", || records(&gap).iter().filter(|(tag, _)| tag == "c").count() == 2);
    run.signal(Signal::INT);
    assert_eq!(run.wait().code, 130);
    gap.source.heal();
    gap.source.forget();
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(downloaded(&gap) < 5 * MIB as u64, "{}", downloaded(&gap));
}

/// The frames of an old partial may come from another version of the program, and have other bytes.
#[test]
fn frames_of_another_version_are_compressed_again_when_they_are_taken_over() {
    let (mut gap, images) = large();
    stopped(&gap, &images, Signal::INT);
    let mut file = gap.read("out.tar.zst.partial");
    let frames = records(&gap).into_iter().filter(|(tag, _)| tag == "c");
    let last = frames.map(|(_, held)| held).max_by_key(|held| held[1].as_u64()).unwrap();
    let [at, len] = [1, 2].map(|field| usize::try_from(last[field].as_u64().unwrap()).unwrap());
    let content = zstd::decode_all(&file[at..at + len]).unwrap();
    let mut compressor = zstd::bulk::Compressor::new(19).unwrap();
    compressor.include_checksum(true).unwrap();
    let other = compressor.compress(&content).unwrap();
    assert!(other.len() <= len && other != file[at..at + len]);
    file[at..at + other.len()].copy_from_slice(&other);
    std::fs::write(gap.path("out.tar.zst.partial"), file).unwrap();
    let line = |value: &Value| {
        let body = serde_json::json!({ "c": value }).to_string();
        format!("{:016x} {body}\n", xxh64(body.as_bytes(), 0))
    };
    let mut changed = last.clone();
    changed[2] = other.len().into();
    let text = std::fs::read_to_string(gap.path(JOURNAL)).unwrap();
    assert!(text.contains(&line(&last)));
    std::fs::write(gap.path(JOURNAL), text.replace(&line(&last), &line(&changed))).unwrap();
    gap.image("team/more", "1", &image(50));
    gap.source.forget();
    let ran = gap.cli.run(&EXPORT);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let gets = gap.source.blob_gets();
    assert!(images[2].layers().iter().all(|layer| !gets.contains_key(layer)), "{gets:?}");
    let ran = gap.cli.run(&["verify", "out.tar.zst"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
}
