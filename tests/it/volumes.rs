//! Bundles in volumes: the same bytes in several files; what is missing, damaged, foreign or exchanged is named.

use std::io::BufRead;

use airgap_bundle::archive::VolumeList;
use airgap_bundle::image::Digest;

use crate::support::cli::Cli;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, multi_platform};
use crate::support::registry::{Effect, Fault};

const SIZE: usize = 100_000;
const CUT: [&str; 2] = ["--volume-size", "100000"];

/// Images of several volumes, with a stored layer and a compressed one that span some.
fn cut(gap: &mut Gap) -> Vec<(&'static str, &'static str, TestImage)> {
    let large = ImageSpec::new(1).layer(Layer::gzip(1, 350_000)).layer(Layer::tar(2, 300_000)).build();
    let small = ImageSpec::new(3).layers((0..30).map(|seed| Layer::gzip(100 + seed, 8_000))).build();
    let images =
        vec![("team/large", "1", large), ("team/multi", "1", multi_platform(5)), ("team/small", "1", small)];
    for (repository, tag, image) in &images {
        gap.image(repository, tag, image);
    }
    gap.export(&["-o", "one.tar.zst"]);
    gap.export(&[&["-o", "out.tar.zst"], &CUT[..]].concat());
    images
}

/// The volumes of `out.tar.zst` in order.
fn volumes(gap: &Gap) -> Vec<String> {
    let of_it = |name: &String| {
        let number = name.strip_prefix("out.tar.zst.");
        number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
    };
    gap.files().into_iter().filter(of_it).collect()
}

fn list(gap: &Gap) -> VolumeList {
    VolumeList::read(&gap.path("out.tar.zst.volumes.json")).unwrap()
}

/// How many blobs the journal of an unfinished export calls complete.
fn recorded(gap: &Gap, target: &str) -> usize {
    let journal = std::fs::read_to_string(gap.path(&format!("{target}.partial.journal")));
    journal.map_or(0, |text| text.matches("{\"d\":").count())
}

/// Moves a file into the folder `to`.
fn carry(gap: &Gap, name: &str, to: &str) {
    std::fs::create_dir_all(gap.path(to)).unwrap();
    std::fs::copy(gap.path(name), gap.path(to).join(name)).unwrap();
}

#[test]
fn volumes_are_the_file_cut_at_exact_sizes() {
    let mut gap = Gap::new();
    cut(&mut gap);
    let one = gap.read("one.tar.zst");
    let names = volumes(&gap);
    assert_eq!(names[..2], ["out.tar.zst.001", "out.tar.zst.002"]);
    let parts: Vec<Vec<u8>> = names.iter().map(|name| gap.read(name)).collect();
    assert!(parts[..parts.len() - 1].iter().all(|part| part.len() == SIZE));
    assert!(parts.concat() == one);
    assert!(!gap.path("out.tar.zst").exists());

    let list = list(&gap);
    assert_eq!((list.size, list.volume_size), (one.len() as u64, SIZE as u64));
    for (entry, part) in list.volumes.iter().zip(&parts) {
        assert_eq!((entry.size, &entry.sha256), (part.len() as u64, &Digest::sha256(part).hex()));
    }
    let sums = String::from_utf8(gap.read("out.tar.zst.sha256")).unwrap();
    let expected: Vec<String> =
        list.volumes.iter().map(|entry| format!("{}  {}\n", entry.sha256, entry.name)).collect();
    assert_eq!(sums, expected.concat());

    let ran = gap.export(&["-o", "out.tar.zst", "--volume-size", "100000", "--jobs", "1", "--force"]);
    let carried = format!("out.tar.zst.001 to {}  ({} volumes", names.last().unwrap(), names.len());
    assert!(ran.stdout.contains(&carried), "{}", ran.shown());
    assert!(volumes(&gap).iter().map(|name| gap.read(name)).collect::<Vec<_>>() == parts);
    let again = gap.export(&[&["-o", "out.tar.zst"], &CUT[..]].concat());
    assert!(again.stderr.contains("is already complete"), "{}", again.shown());
}

#[test]
fn every_name_of_a_set_opens_it() {
    let mut gap = Gap::new();
    let images = cut(&mut gap);
    for name in volumes(&gap) {
        carry(&gap, &name, "stick");
    }
    let last = volumes(&gap).pop().unwrap();
    for absent in
        ["stick/out.tar.zst.volumes.json", "stick/other.volumes.json", "stick/other.001", "stick/other"]
    {
        let ran = gap.cli.run(&["verify", absent]);
        assert_eq!(ran.code, 1, "{absent}: {}", ran.shown());
        assert!(ran.stderr.contains("No such file"), "{absent}: {}", ran.shown());
    }
    // Without its list first, by the numbers alone.
    for round in 0..2 {
        for name in ["stick", "stick/out.tar.zst", "stick/out.tar.zst.001", &format!("stick/{last}")] {
            for command in ["verify", "inspect"] {
                let ran = gap.cli.run(&[command, name]);
                assert_eq!(ran.code, 0, "{round} {command} {name}: {}", ran.shown());
            }
            let values = format!("{round}-{}.yaml", name.replace('/', "-"));
            gap.import(name, &["--values", &values]);
        }
        carry(&gap, "out.tar.zst.volumes.json", "stick");
    }
    let ran = gap.cli.run(&["verify", "stick/out.tar.zst.volumes.json"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    for (repository, tag, image) in &images {
        assert_whole(&gap.destination, repository, tag, image);
    }
    // And by no name at all, where it is the one bundle in the folder.
    let inside = gap.path("stick");
    let mut command = gap.cli.command(&["import", "-d", &gap.destination.host()]);
    let output = command.current_dir(inside).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

type Change<'a> = Box<dyn Fn(&Gap) + 'a>;

#[test]
fn a_wrong_volume_is_named_and_only_that_one_has_to_come_again() {
    let mut gap = Gap::new();
    cut(&mut gap);
    let names = volumes(&gap);
    let (second, third, fifth, last) = (&names[1], &names[2], &names[4], names.last().unwrap());
    let total = names.len();
    let whole: Vec<Vec<u8>> = names.iter().map(|name| gap.read(name)).collect();
    let restore = |gap: &Gap| {
        for (name, bytes) in names.iter().zip(&whole) {
            std::fs::write(gap.path(name), bytes).unwrap();
        }
    };
    let flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[50_000] ^= 1;
        bytes
    };
    let changes: Vec<(&str, String, Change<'_>)> = vec![
        (
            "missing",
            format!("{second} (volume 2 of {total}) is missing"),
            Box::new(|gap| {
                std::fs::remove_file(gap.path(second)).unwrap();
            }),
        ),
        (
            "cut short",
            format!("{third} (volume 3 of {total}) has 99999 bytes, not 100000"),
            Box::new(|gap| {
                std::fs::write(gap.path(third), &whole[2][..99_999]).unwrap();
            }),
        ),
        (
            "damaged",
            format!("{second}: volume 2 of {total} is damaged"),
            Box::new(|gap| {
                std::fs::write(gap.path(second), flipped(&whole[1])).unwrap();
            }),
        ),
        (
            "exchanged",
            format!("{third}: volume 3 of {total} holds volume 2 of {total}"),
            Box::new(|gap| {
                std::fs::write(gap.path(third), &whole[1]).unwrap();
            }),
        ),
        (
            "of another set",
            format!("{fifth}: volume 5 of {total} is of another set"),
            Box::new(|gap| {
                std::fs::write(gap.path(fifth), vec![7; SIZE]).unwrap();
            }),
        ),
        (
            "first foreign",
            format!("{}: volume 1 of {total} is damaged", names[0]),
            Box::new(|gap| {
                std::fs::write(gap.path(&names[0]), vec![7; SIZE]).unwrap();
            }),
        ),
        (
            "last damaged",
            format!("{last}: volume {total} of {total} is damaged"),
            Box::new(|gap| {
                let mut bytes = whole[total - 1].clone();
                let end = bytes.len() - 20;
                bytes[end] ^= 1;
                std::fs::write(gap.path(last), bytes).unwrap();
            }),
        ),
    ];
    for (what, says, change) in changes {
        change(&gap);
        let ran = gap.cli.run(&["verify", "out.tar.zst.001"]);
        assert_eq!(ran.code, 3, "{what}: {}", ran.shown());
        assert!(ran.stderr.contains(&says), "{what}: {}", ran.shown());
        restore(&gap);
        assert_eq!(gap.cli.run(&["verify", "out.tar.zst.001"]).code, 0, "{what}");
    }
    // Without the list, numbers and sizes still tell.
    std::fs::remove_file(gap.path("out.tar.zst.volumes.json")).unwrap();
    std::fs::remove_file(gap.path(second)).unwrap();
    let ran = gap.cli.run(&["inspect", "out.tar.zst.001"]);
    assert!(ran.code == 3 && ran.stderr.contains("volume 2 of"), "{}", ran.shown());
    restore(&gap);
    std::fs::remove_file(gap.path(last)).unwrap();
    let ran = gap.cli.run(&["inspect", "out.tar.zst.001"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
}

#[test]
fn damage_in_a_volume_is_named_by_import_and_no_image_that_needs_it_appears() {
    let mut gap = Gap::new();
    let images = cut(&mut gap);
    let mut bytes = gap.read("out.tar.zst.002");
    bytes[50_000] ^= 1;
    std::fs::write(gap.path("out.tar.zst.002"), bytes).unwrap();
    let ran = gap.try_import("out.tar.zst.001", &["--keep-going"]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    assert_eq!(gap.destination.manifest("team/large", "1"), None);
    assert_whole(&gap.destination, "team/multi", "1", &images[1].2);
}

#[test]
fn a_list_that_was_changed_is_refused() {
    let mut gap = Gap::new();
    cut(&mut gap);
    let text = String::from_utf8(gap.read("out.tar.zst.volumes.json")).unwrap();
    let other_bundle =
        text.replacen("\"bundle\": \"sha256:", "\"bundle\": \"sha256:0", 1).replacen("0\",", "\",", 1);
    let first_sum = &list(&gap).volumes[0].sha256;
    for (changed, says) in [
        (text.replace(first_sum, &"0".repeat(64)), "was changed"),
        (text.replace("out.tar.zst.002", "../out.tar.zst.002"), "is not a file name"),
        (text.replace("\"size\": 100000", "\"size\": 100001"), "does not match the others"),
        (text.replace("volumes.v1", "volumes.v2"), "another kind"),
        (text.replace("\"set\"", "\"sett\""), "unknown field"),
        ("{".to_owned(), "out.tar.zst.volumes.json"),
        (other_bundle, ""),
    ] {
        std::fs::write(gap.path("out.tar.zst.volumes.json"), changed).unwrap();
        let ran = gap.cli.run(&["inspect", "out.tar.zst.001"]);
        assert_eq!(ran.code, 3, "{says}: {}", ran.shown());
        assert!(ran.stderr.contains(says), "{says}: {}", ran.shown());
    }
}

#[test]
fn two_sets_in_a_folder_are_told_apart() {
    let mut gap = Gap::new();
    cut(&mut gap);
    for name in volumes(&gap) {
        carry(&gap, &name, "stick");
        let other = gap.path("stick").join(name.replace("out", "other"));
        std::fs::copy(gap.path(&name), other).unwrap();
    }
    let ran = gap.cli.run(&["inspect", "stick"]);
    assert!(ran.code == 2 && ran.stderr.contains("there are 2 sets of volumes in stick:"), "{}", ran.shown());
    assert!(ran.stderr.contains("name one set") && !ran.stderr.contains("again"), "{}", ran.shown());
    assert_eq!(gap.cli.run(&["inspect", "stick/other.tar.zst.003"]).code, 0);
}

#[test]
fn a_killed_export_goes_on_in_its_volumes() {
    let mut gap = Gap::new();
    let images = cut(&mut gap);
    let whole: Vec<_> = volumes(&gap).iter().map(|name| gap.read(name)).collect();
    let large = images[0].2.layers()[0];
    let arguments = ["export", "images.txt", "-o", "out.tar.zst", "--volume-size", "100000", "--force"];
    gap.source.fault(Fault::on("GET", large.to_string(), Effect::Stall(300_000)).always());
    let mut run = gap.spawn(&arguments);
    run.until("records", || recorded(&gap, "out.tar.zst") > 5);
    run.kill();
    gap.source.heal();
    let ran = gap.cli.run(&arguments);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(volumes(&gap).iter().map(|name| gap.read(name)).collect::<Vec<_>>() == whole);
    assert!(!gap.files().iter().any(|name| name.contains("partial")), "{:?}", gap.files());
}

#[test]
fn a_run_that_ended_while_volumes_were_named_goes_on() {
    let mut gap = Gap::new();
    let images = cut(&mut gap);
    for name in
        volumes(&gap).iter().map(String::as_str).chain(["out.tar.zst.volumes.json", "out.tar.zst.sha256"])
    {
        std::fs::rename(gap.path(name), gap.path(&format!("kept-{name}"))).unwrap();
    }
    let arguments = ["export", "images.txt", "-o", "out.tar.zst", "--volume-size", "100000"];
    let large = images[0].2.layers()[0];
    gap.source.fault(Fault::on("GET", large.to_string(), Effect::Stall(300_000)).always());
    let mut run = gap.spawn(&arguments);
    run.until("records", || recorded(&gap, "out.tar.zst") > 5);
    run.kill();
    gap.source.heal();
    for number in ["001", "002"] {
        let partial = gap.path(&format!("out.tar.zst.partial.{number}"));
        std::fs::rename(partial, gap.path(&format!("out.tar.zst.{number}"))).unwrap();
    }
    let ran = gap.cli.run(&arguments);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    for name in volumes(&gap) {
        assert!(gap.read(&name) == gap.read(&format!("kept-{name}")), "{name}");
    }
}

#[test]
fn another_size_takes_over_what_is_there() {
    let mut gap = Gap::new();
    let images = cut(&mut gap);
    let one = gap.read("one.tar.zst");
    let total = gap.source.blob_gets().len();
    let large = images[0].2.layers()[0];
    gap.source.fault(Fault::on("GET", large.to_string(), Effect::Stall(300_000)).always());
    let mut run = gap.spawn(&["export", "images.txt", "-o", "new.tar.zst", "--volume-size", "70000"]);
    run.until("records", || recorded(&gap, "new.tar.zst") > 20);
    run.kill();
    let done = recorded(&gap, "new.tar.zst");
    gap.source.heal();
    gap.source.forget();
    gap.export(&["-o", "new.tar.zst"]);
    let fetched = gap.source.blob_gets().len();
    assert!(fetched <= total - done, "{fetched} of {total} again, {done} were there");
    assert!(gap.read("new.tar.zst") == one);
}

#[test]
fn media_that_fill_gaps_get_volumes_in_order() {
    let mut gap = Gap::with(Cli::new().env("AIRGAP_BUNDLE_MEDIUM", "filling"));
    cut(&mut gap);
    let parts: Vec<Vec<u8>> = volumes(&gap).iter().map(|name| gap.read(name)).collect();
    assert!(parts.concat() == gap.read("one.tar.zst"));
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst.001"]).code, 0);
}

#[test]
fn an_import_waits_for_volumes_that_come_one_after_another() {
    let mut gap = Gap::new();
    let images = cut(&mut gap);
    let names = volumes(&gap);
    carry(&gap, "out.tar.zst.volumes.json", "drive");
    carry(&gap, &names[0], "drive");
    let host = gap.destination.host();
    let mut run = gap.spawn(&["import", "drive", "-d", &host, "--wait-for-volumes"]);
    let said = std::io::BufReader::new(run.child().stderr.take().unwrap());
    let mut lines = said.lines().map(|line| line.unwrap());
    for (before, name) in names.iter().zip(&names[1..]) {
        // The disc before is gone when the next one comes.
        let waits = format!("waiting for drive/{name}");
        assert!(lines.any(|line| line.contains(&waits)), "{waits}");
        std::fs::remove_file(gap.path("drive").join(before)).unwrap();
        carry(&gap, name, "drive");
    }
    let rest: Vec<String> = lines.collect();
    assert_eq!(run.wait().code, 0, "{rest:?}");
    for (repository, tag, image) in &images {
        assert_whole(&gap.destination, repository, tag, image);
    }
    let ran = gap.cli.run(&["import", "one.tar.zst", "-d", &host, "--wait-for-volumes"]);
    assert!(ran.code == 3 && ran.stderr.contains("cannot wait for volumes"), "{}", ran.shown());
}
