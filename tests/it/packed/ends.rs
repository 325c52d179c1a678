//! Data after the end: an error for a bundle, a warning for a layout of another tool, ignored if it is padding.

use super::*;

/// Archives with something behind their end, and what is said of it. `tar` has its end-of-archive marker.
fn with_more(tar: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let member = super::tar(&[Entry::file("evil", b"x")]);
    let blocks = |more: &[u8]| [tar, more].concat();
    vec![
        ("x.tar", blocks(&member), "the member \"evil\", after the end-of-archive marker"),
        ("x.tar", blocks(b"junk"), "after the end-of-archive marker"),
        ("x.tar.gz", gzip(&blocks(&member)), "the member \"evil\", after the end-of-archive marker"),
        (
            "x.tar.gz",
            [gzip(tar), gzip(&member)].concat(),
            "the member \"evil\", after the end-of-archive marker",
        ),
        ("x.tar.gz", [gzip(tar), b"junk".to_vec()].concat(), "bytes after the last gzip member, from byte"),
        ("x.tar.gz", [gzip(tar), zst(&member)].concat(), "bytes after the last gzip member, from byte"),
        (
            "x.tar.zst",
            [zst(tar), zst(&member)].concat(),
            "the member \"evil\", after the end-of-archive marker",
        ),
        ("x.tar.zst", [zst(tar), b"junk".to_vec()].concat(), "bytes after the last zstd frame, from byte"),
        ("x.tar.zst", [zst(tar), vec![0; 9], b"j".to_vec()].concat(), "bytes after the last zstd frame"),
        ("x.tar.zst", [zst(tar), gzip(&member)].concat(), "bytes after the last zstd frame, from byte"),
    ]
}

#[test]
fn what_follows_a_bundle_that_was_packed_again_is_an_error() {
    let (gap, _, entries) = exported();
    for (form, bytes, says) in with_more(&tar(&entries)) {
        std::fs::write(gap.path(form), &bytes).unwrap();
        let what = format!("{form} {says}");
        assert_refused(&gap, &what, &gap.try_import(form, &[]), 3, &[says]);
        // Out of a pipe it comes after the images: they may be there by then, and so go elsewhere here.
        let elsewhere = format!("{}/piped", gap.destination.host());
        let ran = gap.fed(&["import", "-", "-d", &elsewhere, "--force"], &bytes);
        assert!(ran.code == 3 && ran.stderr.contains(says), "{what}, piped: {}", ran.shown());
    }
}

#[test]
fn what_follows_a_layout_of_another_tool_is_a_warning() {
    let (gap, image, entries) = exported();
    for (form, bytes, says) in with_more(&tar(&foreign(&entries))) {
        std::fs::write(gap.path(form), &bytes).unwrap();
        for ran in [gap.try_import(form, &["--force"]), piped(&gap, &bytes, &[])] {
            assert_arrived(&gap, &format!("{form} {says}"), &ran, &image);
            let warned = ran.stderr.contains("warning") && ran.stderr.contains(says);
            assert!(warned, "{form} {says}: {}", ran.shown());
        }
        let ran = gap.cli.run(&["verify", form]);
        assert!(ran.code == 0 && ran.stderr.contains(says), "{form} {says}: {}", ran.shown());
    }
}

#[test]
fn padding_is_fine_everywhere() {
    let (gap, image, entries) = exported();
    for entries in [entries.clone(), foreign(&entries)] {
        let plain = tar(&entries);
        let padded = [plain.clone(), vec![0; 10_240 + 77]].concat();
        for (form, bytes) in [
            ("x.tar", padded.clone()),
            ("x.tar", open_tar(&entries)),
            ("x.tar.gz", gzip(&padded)),
            ("x.tar.gz", [gzip(&plain), vec![0; 5000]].concat()),
            ("x.tar.zst", [zst(&padded), vec![0; 5000]].concat()),
        ] {
            std::fs::write(gap.path(form), &bytes).unwrap();
            for ran in [gap.try_import(form, &["--force"]), piped(&gap, &bytes, &[])] {
                assert_arrived(&gap, form, &ran, &image);
                assert!(!ran.stderr.contains("warning"), "{form}: {}", ran.shown());
            }
        }
    }
}

#[test]
fn an_archive_that_ends_early_is_damaged_and_not_shorter() {
    let mut gap = Gap::new();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 600_000)).layer(Layer::tar(2, 300_000)).build();
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst"]);
    let members = members(&gap.read("out.tar.zst"));
    let entries: Vec<Entry> = members.iter().map(|(name, content)| Entry::file(name, content)).collect();
    let plain = tar(&foreign(&entries));
    let last = entries.last().unwrap().content.len().next_multiple_of(512);
    let cut = &plain[..plain.len() - 1024 - last + 100];
    for (form, bytes) in [
        ("x.tar", cut.to_vec()),
        ("x.tar.gz", gzip(cut)),
        ("x.tar.zst", zst(cut)),
        ("x.tar.gz", gzip(&plain)[..gzip(&plain).len() - 300].to_vec()),
        ("x.tar.zst", zst(&plain)[..zst(&plain).len() - 300].to_vec()),
    ] {
        std::fs::write(gap.path(form), &bytes).unwrap();
        assert_refused(&gap, form, &gap.try_import(form, &[]), 3, &["the archive is damaged"]);
    }
}
