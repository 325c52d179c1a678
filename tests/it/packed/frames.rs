//! zstd and gzip as other programs write them: skippable frames, many frames, large windows, several members.

use super::*;

/// A skippable frame, as pzstd puts one before each frame it writes.
fn skippable(length: usize) -> Vec<u8> {
    let mut frame = vec![0x50, 0x2a, 0x4d, 0x18];
    frame.extend_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
    frame.resize(8 + length, 0x28);
    frame
}

/// One frame of raw blocks, with a window of 2 to the power of `log` bytes.
fn with_window(content: &[u8], log: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    let blocks: Vec<&[u8]> = content.chunks(100_000).collect();
    for (at, block) in blocks.iter().enumerate() {
        let header = u32::try_from(block.len()).unwrap() << 3 | u32::from(at + 1 == blocks.len());
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    assert_eq!(
        zstd::Decoder::new(&frame[..])
            .and_then(|mut d| {
                d.window_log_max(31)?;
                std::io::copy(&mut d, &mut std::io::sink())
            })
            .unwrap(),
        content.len() as u64
    );
    frame
}

#[test]
fn zstd_as_other_programs_write_it_is_read() {
    let (gap, image, entries) = exported();
    for entries in [entries.clone(), foreign(&entries)] {
        let plain = tar(&entries);
        let (one, two) = plain.split_at(plain.len() / 2);
        let pieces = |size: usize| plain.chunks(size).flat_map(zst).collect::<Vec<u8>>();
        for (what, bytes) in [
            ("skippable first", [skippable(4), zst(&plain)].concat()),
            ("an empty one first", [skippable(0), zst(&plain)].concat()),
            ("several first", [skippable(4), skippable(9_000), zst(&plain)].concat()),
            ("between frames", [zst(one), skippable(100), zst(two)].concat()),
            ("at the end", [zst(&plain), skippable(100)].concat()),
            ("as pzstd does it", [skippable(4), zst(one), skippable(4), zst(two)].concat()),
            ("frames of some bytes", pieces(7_001)),
            ("frames of one block of a tar", pieces(512)),
            ("an empty frame", [zst(one), zst(b""), zst(two)].concat()),
            ("the largest window", with_window(&plain, 27)),
        ] {
            std::fs::write(gap.path("x.tar.zst"), &bytes).unwrap();
            for ran in [gap.try_import("x.tar.zst", &["--force"]), piped(&gap, &bytes, &[])] {
                assert_arrived(&gap, what, &ran, &image);
                assert!(!ran.stderr.contains("warning"), "{what}: {}", ran.shown());
            }
        }
    }
}

#[test]
fn a_larger_window_is_named_with_its_size_in_whatever_frame_it_is() {
    let (gap, _, entries) = exported();
    let plain = tar(&foreign(&entries));
    let (one, two) = plain.split_at(plain.len() / 2);
    for (what, bytes) in [
        ("first", with_window(&plain, 28)),
        ("after a skippable frame", [skippable(4), with_window(&plain, 28)].concat()),
        ("second", [zst(one), with_window(two, 28)].concat()),
        ("last", [zst(&plain), with_window(b"x", 28)].concat()),
    ] {
        std::fs::write(gap.path("x.tar.zst"), &bytes).unwrap();
        let says = "needs a zstd window of 256 MiB, but at most 128 MiB are supported";
        assert_refused(&gap, what, &gap.try_import("x.tar.zst", &[]), 3, &[says, "hint: compress it again"]);
        if what != "last" {
            assert_refused(&gap, what, &piped(&gap, &bytes, &[]), 3, &[says]);
        }
    }
}

#[test]
fn frames_that_are_cut_or_broken_are_damage() {
    let (gap, _, entries) = exported();
    let plain = tar(&foreign(&entries));
    let (one, two) = plain.split_at(plain.len() / 2);
    let mut reserved = zst(two);
    reserved[4] |= 0x08;
    for (what, bytes) in [
        ("a cut header", [zst(one), vec![0x28, 0xb5, 0x2f, 0xfd]].concat()),
        ("a skippable frame without its end", [zst(one), skippable(100)[..50].to_vec()].concat()),
        ("a header of no version", [zst(one), reserved].concat()),
        ("half a frame", [zst(one), zst(two)[..zst(two).len() / 2].to_vec()].concat()),
    ] {
        std::fs::write(gap.path("x.tar.zst"), &bytes).unwrap();
        for ran in [gap.try_import("x.tar.zst", &[]), piped(&gap, &bytes, &[])] {
            assert_refused(&gap, what, &ran, 3, &["the archive is damaged"]);
        }
    }
}

#[test]
fn gzip_of_several_members_is_read() {
    let (gap, image, entries) = exported();
    for entries in [entries.clone(), foreign(&entries)] {
        let plain = tar(&entries);
        for size in [512, 7_001, plain.len() / 2 + 1] {
            let bytes: Vec<u8> = plain.chunks(size).flat_map(gzip).collect();
            std::fs::write(gap.path("x.tar.gz"), &bytes).unwrap();
            for ran in [gap.try_import("x.tar.gz", &["--force"]), piped(&gap, &bytes, &[])] {
                assert_arrived(&gap, &format!("members of {size}"), &ran, &image);
            }
        }
    }
}

#[test]
fn many_small_frames_take_time_for_their_bytes_and_no_more() {
    let (gap, _, entries) = exported();
    let mut bytes = zst(&tar(&foreign(&entries)));
    for _ in 0..200_000 {
        bytes.extend_from_slice(&skippable(0));
    }
    let empty = zst(b"");
    for _ in 0..200_000 {
        bytes.extend_from_slice(&empty);
    }
    std::fs::write(gap.path("x.tar.zst"), &bytes).unwrap();
    let began = std::time::Instant::now();
    let ran = gap.cli.run(&["verify", "x.tar.zst"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
}
