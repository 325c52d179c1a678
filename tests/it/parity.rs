//! Parity volumes: lost and damaged volumes are rebuilt exactly, and whether they can be is known beforehand.

use airgap_bundle::archive::VolumeList;
use airgap_bundle::image::Digest;

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage};

/// A bundle of some volumes of 100,000 bytes, less what makes it no multiple of 64, with `parity` more.
fn protected(gap: &mut Gap, parity: &str) -> TestImage {
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 350_000)).layer(Layer::tar(2, 300_000)).build();
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst", "--volume-size", "100000", "--parity", parity]);
    image
}

fn list(gap: &Gap) -> VolumeList {
    VolumeList::read(&gap.path("out.tar.zst.volumes.json")).unwrap()
}

/// Every file of the set with its content.
fn set(gap: &Gap) -> Vec<(String, Vec<u8>)> {
    let list = list(gap);
    list.all().map(|entry| (entry.name.clone(), gap.read(&entry.name))).collect()
}

fn damage(gap: &Gap, name: &str) {
    let mut bytes = gap.read(name);
    bytes[777] ^= 1;
    std::fs::write(gap.path(name), bytes).unwrap();
}

fn remove(gap: &Gap, name: &str) {
    std::fs::remove_file(gap.path(name)).unwrap();
}

#[test]
fn what_is_lost_or_damaged_is_rebuilt_to_the_bit() {
    let mut gap = Gap::new();
    let image = protected(&mut gap, "2");
    let list = list(&gap);
    let names: Vec<&str> = list.parity.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["out.tar.zst.p01", "out.tar.zst.p02"]);
    assert_eq!((list.volume_size, list.parity[0].size), (99_968, 99_968));
    let whole = set(&gap);
    for (entry, (_, bytes)) in list.all().zip(&whole) {
        assert_eq!(entry.sha256, Digest::sha256(bytes).hex());
    }
    let sums = String::from_utf8(gap.read("out.tar.zst.sha256")).unwrap();
    assert!(sums.contains("  out.tar.zst.p02\n"), "{sums}");
    let verified = gap.cli.run(&["verify", "out.tar.zst"]);
    assert!(
        verified.stdout.contains("2 parity volumes: any 2 volumes can be lost and rebuilt"),
        "{}",
        verified.shown()
    );

    let last = list.volumes.len() - 1;
    for (first, second) in [(0, 1), (1, last), (2, last + 1), (last + 1, last + 2), (3, 3)] {
        let (first, second) = (&whole[first].0, &whole[second].0);
        damage(&gap, second);
        remove(&gap, first);
        let verified = gap.cli.run(&["verify", "out.tar.zst"]);
        let hopeful = first.contains(".p") || verified.stderr.contains("bundle repack --rebuild out.tar.zst");
        assert!(hopeful, "{first} {second}: {}", verified.shown());
        let ran = gap.cli.run(&["repack", "--rebuild", "out.tar.zst"]);
        assert_eq!(ran.code, 0, "{first} {second}: {}", ran.shown());
        assert!(set(&gap) == whole, "{first} {second}: {}", ran.shown());
        assert!(!gap.files().iter().any(|name| name.contains(".new")));
    }
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "team/app", "1", &image);
    let again = gap.cli.run(&["repack", "--rebuild", "out.tar.zst.001"]);
    assert!(again.stdout.contains("nothing to rebuild"), "{}", again.shown());
}

#[test]
fn more_than_parity_can_give_is_named_and_nothing_is_touched() {
    let mut gap = Gap::new();
    protected(&mut gap, "1");
    remove(&gap, "out.tar.zst.002");
    damage(&gap, "out.tar.zst.003");
    let files = gap.files();
    let ran = gap.cli.run(&["repack", "--rebuild", "out.tar.zst"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    let expected = "2 volumes are lost or damaged, and 1 of 1 parity volume is whole: 1 too few to rebuild them\n      \
                    out.tar.zst.002\n      out.tar.zst.003\n";
    assert!(ran.stderr.contains(expected), "{}", ran.shown());
    let verified = gap.cli.run(&["verify", "out.tar.zst"]);
    assert_eq!(verified.code, 3, "{}", verified.shown());
    assert!(verified.stderr.contains("1 too few to rebuild them"), "{}", verified.shown());
    assert_eq!(gap.files(), files);
}

#[test]
fn what_was_mixed_up_is_put_right_from_a_read_only_medium() {
    let mut gap = Gap::new();
    protected(&mut gap, "1");
    let whole = set(&gap);
    // Two were exchanged, one is lost: of contents only one is not there.
    std::fs::write(gap.path("out.tar.zst.001"), &whole[1].1).unwrap();
    std::fs::write(gap.path("out.tar.zst.002"), &whole[0].1).unwrap();
    remove(&gap, "out.tar.zst.003");
    let before = gap.read("out.tar.zst.001");
    std::fs::create_dir(gap.path("mended")).unwrap();
    let ran = gap.cli.run(&["repack", "--rebuild", "out.tar.zst", "-o", "mended"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    for (name, bytes) in &whole[..3] {
        assert!(gap.read(&format!("mended/{name}")) == *bytes, "{name}");
    }
    assert!(gap.read("out.tar.zst.001") == before);
    let wrong = gap.cli.run(&["repack", "--rebuild", "out.tar.zst", "-o", "absent"]);
    assert_eq!(wrong.code, 2, "{}", wrong.shown());
}

#[test]
fn an_export_that_ends_before_its_parity_makes_it_up() {
    let mut gap = Gap::new();
    protected(&mut gap, "2");
    let whole = set(&gap);
    // As a run leaves it that was killed after the volumes were done.
    let target = ["-o", "out.tar.zst", "--volume-size", "100000"];
    gap.export(&[&target[..], &["--force"]].concat());
    assert!(!gap.path("out.tar.zst.p01").exists(), "an older set's parity is gone with it");
    let cut = gap.cli.run(&["verify", "out.tar.zst"]);
    assert!(!cut.stdout.contains("parity"), "{}", cut.shown());
    gap.export(&["-o", "out.tar.zst", "--volume-size", "99968", "--force"]);
    let ran = gap.export(&[&target[..], &["--parity", "2"]].concat());
    assert!(ran.stderr.contains("is already complete"), "{}", ran.shown());
    assert!(set(&gap) == whole);
    // Fewer are asked for now.
    let one = gap.export(&[&target[..], &["--parity", "1"]].concat());
    assert!(one.stdout.contains("\n  out.tar.zst.p01  (parity)\n"), "{}", one.shown());
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst.p01"]).code, 0, "any file of a set opens it");
    assert!(!gap.path("out.tar.zst.p02").exists());
    assert_eq!(list(&gap).parity.len(), 1);
}

#[test]
fn a_list_that_names_other_files_is_refused() {
    let mut gap = Gap::new();
    protected(&mut gap, "1");
    remove(&gap, "out.tar.zst.002");
    let path = gap.path("out.tar.zst.volumes.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("out.tar.zst.002", "precious.txt")).unwrap();
    std::fs::write(gap.path("precious.txt"), "mine").unwrap();
    let ran = gap.cli.run(&["repack", "--rebuild", "out.tar.zst"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("is not the name of a volume of out.tar.zst"), "{}", ran.shown());
    assert_eq!(gap.read("precious.txt"), b"mine");
}

#[test]
fn parity_is_for_volumes() {
    let gap = Gap::new();
    let ran = gap.cli.run(&["export", "list.txt", "--parity", "1"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    let ran = gap.cli.run(&["repack", "absent.tar.zst", "--rebuild"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("there is no list of volumes"), "{}", ran.shown());
}

#[test]
fn a_set_whose_parity_was_never_finished_does_not_pass_for_a_whole_one() {
    let mut gap = Gap::new();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 350_000)).build();
    gap.image("team/app", "1", &image);
    // Parity cannot be written: there is a folder in its place.
    std::fs::create_dir(gap.path("out.tar.zst.p01.new")).unwrap();
    let command = ["-o", "out.tar.zst", "--volume-size", "100000", "--parity", "1"];
    let ran = gap.try_export(&command);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert_eq!((list(&gap).parity_wanted, list(&gap).parity.len()), (1, 0));
    let verified = gap.cli.run(&["verify", "out.tar.zst"]);
    assert_eq!(verified.code, 3, "{}", verified.shown());
    assert!(verified.stderr.contains("the set is not complete"), "{}", verified.shown());
    // What is there is whole, and can be imported; the same command finishes it.
    gap.import("out.tar.zst", &[]);
    std::fs::remove_dir(gap.path("out.tar.zst.p01.new")).unwrap();
    gap.export(&command);
    assert_eq!((list(&gap).parity_wanted, list(&gap).parity.len()), (0, 1));
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst"]).code, 0);
    // Also where it is asked for later.
    gap.export(&["-o", "later.tar.zst", "--volume-size", "99968"]);
    std::fs::create_dir(gap.path("later.tar.zst.p01.new")).unwrap();
    assert_eq!(gap.try_export(&["-o", "later.tar.zst", "--volume-size", "99968", "--parity", "1"]).code, 1);
    assert_eq!(gap.cli.run(&["verify", "later.tar.zst"]).code, 3);
    assert_whole(&gap.destination, "team/app", "1", &image);
}
