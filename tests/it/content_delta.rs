//! Compact deltas: their blobs are made from those of an older release, which is at the destination or in an older bundle.

use std::path::PathBuf;

use airgap_bundle::encoders::Encoder;
use airgap_bundle::image::Digest;
use rustix::process::Signal;

use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage};
use crate::support::registry::{Effect, Fault};

const GO: Encoder = Encoder::Go126 { level: 6 };

/// Content of a release: random text, in which each release changes a little.
fn content(seed: u64, release: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut text: Vec<u8> = (0..400_000).map(|_| rng.alphanumeric() as u8).collect();
    for change in 0..release {
        let at = 50_000 * (change + 1);
        text.splice(at..at + 10, format!("release {release}").into_bytes());
    }
    text
}

fn image(seed: u64, release: usize) -> TestImage {
    let same = Layer::of_file("same", &content(seed + 100, 0), GO);
    let changed = Layer::of_file("changed", &content(seed, release), GO);
    ImageSpec::new(seed * 10 + release as u64).layer(same).layer(changed).build()
}

/// The layer that changes between releases.
fn changed(image: &TestImage) -> Digest {
    image.blobs[2].0
}

/// Where the destination holds a blob.
fn blob_file(gap: &Gap, digest: &Digest) -> PathBuf {
    let mut folders = vec![gap.destination.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_it = path.to_str().is_some_and(|name| name.ends_with(&digest.hex()));
            if path.is_dir() {
                folders.push(path);
            } else if is_it && path.metadata().unwrap().len() > 1000 {
                return path;
            }
        }
    }
    panic!("the destination lacks {digest}")
}

/// The destination loses the layers that change.
fn lose_changed(gap: &Gap, images: &[TestImage; 2]) {
    for image in images {
        std::fs::remove_file(blob_file(gap, &changed(image))).unwrap();
    }
}

/// Imports the delta from a pipe.
fn pipe(gap: &Gap) -> Ran {
    let host = gap.destination.host();
    gap.fed(&["import", "-", "-d", &host, "--values", "v.yaml", "--force"], &gap.read("delta.tar.zst"))
}

/// Two releases of two images: `one.tar.zst` has the first, `two.tar.zst` all of the second, and `delta.tar.zst` what is new
/// in it.
fn releases() -> (Gap, [TestImage; 2], [TestImage; 2]) {
    let mut gap = Gap::new();
    let (first, second) = ([image(1, 0), image(2, 0)], [image(1, 3), image(2, 2)]);
    for (repository, image) in ["a/one", "b/two"].iter().zip(&first) {
        gap.image(repository, "1", image);
    }
    gap.export(&["-o", "one.tar.zst"]);
    for (repository, image) in ["a/one", "b/two"].iter().zip(&second) {
        gap.source.put_image(repository, "1", image);
    }
    gap.export(&["--compact", "-o", "two.tar.zst"]);
    gap.export(&["--compact", "--base", "one.tar.zst", "-o", "delta.tar.zst"]);
    (gap, first, second)
}

fn run(gap: &Gap, arguments: &[&str]) -> String {
    let ran = gap.cli.run(arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.shown());
    ran.stdout
}

fn arrived(gap: &Gap, images: &[TestImage; 2]) {
    for (repository, image) in ["a/one", "b/two"].iter().zip(images) {
        assert_whole(&gap.destination, repository, "1", image);
    }
}

#[test]
fn an_update_is_as_small_as_what_changed() {
    let (gap, first, second) = releases();
    let (whole, delta) = (gap.read("two.tar.zst").len(), gap.read("delta.tar.zst").len());
    assert!(delta * 50 < whole, "{delta} of {whole}");
    gap.import("one.tar.zst", &[]);
    arrived(&gap, &first);
    let shown = run(&gap, &["import", "delta.tar.zst", "-d", &gap.destination.host(), "--dry-run"]);
    assert!(shown.contains("2 blobs of the destination will be read again"), "{shown}");
    gap.import("delta.tar.zst", &[]);
    arrived(&gap, &second);
}

#[test]
fn it_arrives_through_a_pipe_and_again() {
    let (gap, _, second) = releases();
    gap.import("one.tar.zst", &[]);
    for _ in 0..2 {
        let ran = pipe(&gap);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        arrived(&gap, &second);
    }
}

#[test]
fn a_pipe_without_its_base_says_what_is_missing() {
    let (gap, first, _) = releases();
    gap.import("one.tar.zst", &[]);
    lose_changed(&gap, &first);
    let ran = pipe(&gap);
    assert_ne!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("which is in an older bundle"), "{}", ran.shown());
    assert!(ran.stderr.contains("--base FILE"), "{}", ran.shown());
}

#[test]
fn without_its_base_nothing_is_sent() {
    let (gap, _, second) = releases();
    let ran = gap.try_import("delta.tar.zst", &[]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("lacks 2 blobs that this delta builds on"), "{}", ran.shown());
    assert!(ran.stderr.contains("--fill-from BASE"), "{}", ran.shown());
    // It would not help: whole layers are missing, too.
    assert!(!ran.stderr.contains("--base FILE"), "{}", ran.shown());
    assert!(crate::support::gap::uploads(&gap.destination).is_empty());
    // The older bundle has what the blobs are made from, and the rest is filled in from it.
    run(&gap, &["repack", "delta.tar.zst", "--fill-from", "one.tar.zst", "-o", "filled.tar.zst"]);
    gap.export(&["-o", "plain.tar.zst"]);
    assert!(gap.read("filled.tar.zst") == gap.read("plain.tar.zst"));
    gap.import("filled.tar.zst", &[]);
    arrived(&gap, &second);
}

/// The destination has the unchanged layers, but not those that changed.
#[test]
fn an_older_bundle_stands_in_for_the_destination() {
    let (gap, first, second) = releases();
    gap.import("one.tar.zst", &[]);
    lose_changed(&gap, &first);
    let ran = gap.try_import("delta.tar.zst", &[]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("lacks 2 blobs from which blobs of this bundle are made"), "{}", ran.shown());
    assert!(ran.stderr.contains("--base FILE"), "{}", ran.shown());
    gap.import("delta.tar.zst", &["--base", "one.tar.zst"]);
    arrived(&gap, &second);
}

#[test]
fn verify_says_what_it_cannot_check() {
    let (gap, ..) = releases();
    let shown = run(&gap, &["verify", "delta.tar.zst"]);
    assert!(shown.contains("2 of 6 blobs need bundle"), "{shown}");
    let ran = gap.cli.run(&["verify", "delta.tar.zst", "--complete"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("2 of 6 blobs need bundle"), "{}", ran.shown());
    let shown = run(&gap, &["verify", "delta.tar.zst", "--base", "one.tar.zst", "--complete"]);
    assert!(!shown.contains("need bundle"), "{shown}");
    let ran = gap.cli.run(&["verify", "delta.tar.zst", "--base", "two.tar.zst"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
}

#[test]
fn every_flip_is_an_error_or_the_right_digest() {
    let (gap, ..) = releases();
    let delta = gap.read("delta.tar.zst");
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..40 {
        let (mut flipped, at) = (delta.clone(), rng.usize(..delta.len()));
        flipped[at] ^= 1 << rng.u8(..8);
        std::fs::write(gap.path("flipped.tar.zst"), flipped).unwrap();
        for base in [&[][..], &["--base", "one.tar.zst"]] {
            let ran = gap.cli.run(&[&["verify", "flipped.tar.zst"][..], base].concat());
            assert!(ran.code != 0 && ran.code != 101, "byte {at}: {}", ran.shown());
        }
    }
}

/// What the destination returns for a base is not trusted.
#[test]
fn a_base_with_other_content_is_an_error_before_the_commit() {
    let (gap, first, second) = releases();
    gap.import("one.tar.zst", &[]);
    let file = blob_file(&gap, &changed(&first[0]));
    let mut other = std::fs::read(&file).unwrap();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    std::fs::write(&file, other).unwrap();
    let ran = gap.try_import("delta.tar.zst", &[]);
    assert_ne!(ran.code, 0, "{}", ran.shown());
    assert!(!gap.destination.has_blob("a/one", &changed(&second[0])));
    gap.import("delta.tar.zst", &["--base", "one.tar.zst"]);
    arrived(&gap, &second);
}

/// Damages every layer of the bundle.
fn damage(gap: &Gap, name: &str) -> Vec<u8> {
    let good = gap.read(name);
    let mut bad = good.clone();
    for at in (good.len() / 8..good.len() * 7 / 8).step_by(good.len() / 64) {
        bad[at] ^= 1;
    }
    std::fs::write(gap.path(name), bad).unwrap();
    good
}

#[test]
fn a_delta_as_base_and_as_what_is_unpacked() {
    let (gap, ..) = releases();
    gap.source.put_image("a/one", "1", &image(1, 5));
    let ran = gap.try_export(&["--compact", "--base", "delta.tar.zst", "-o", "next.tar.zst"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("the base is a delta itself"), "{}", ran.shown());
    let ran = gap.cli.run(&["unpack", "delta.tar.zst", "-o", "folder"]);
    assert!(ran.code != 0 && ran.stderr.contains("--fill-from BASE"), "{}", ran.shown());
    run(&gap, &["unpack", "delta.tar.zst", "--fill-from", "one.tar.zst", "-o", "folder"]);
}

/// A registry that does not give older content is not a damaged file.
#[test]
fn a_base_that_may_not_be_downloaded() {
    let (gap, first, second) = releases();
    gap.import("one.tar.zst", &[]);
    let path = format!("/blobs/{}", changed(&first[0]));
    gap.destination.fault(Fault::status("GET", path, 403).times(2));
    let ran = gap.try_import("delta.tar.zst", &[]);
    assert_eq!(ran.code, 4, "{}", ran.shown());
    assert!(ran.stderr.contains("cannot be read") && !ran.stderr.contains("damaged"), "{}", ran.shown());
    assert!(!gap.destination.has_blob("a/one", &changed(&second[0])));
}

/// Where the older content is damaged, the delta is not to blame.
#[test]
fn a_damaged_base_is_named() {
    let (gap, first, second) = releases();
    gap.import("one.tar.zst", &[]);
    let named = |ran: &Ran, place: &str| {
        assert!(ran.code != 0 && ran.code != 101, "{}", ran.shown());
        assert!(ran.stderr.contains(&format!("in {place}, which is damaged")), "{}", ran.shown());
        assert!(!ran.stderr.contains("run the same command again"), "{}", ran.shown());
    };
    let file = blob_file(&gap, &changed(&first[0]));
    let mut other = std::fs::read(&file).unwrap();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    std::fs::write(&file, other).unwrap();
    named(&gap.try_import("delta.tar.zst", &[]), &format!("{}/a/one", gap.destination.host()));
    let good = damage(&gap, "one.tar.zst");
    named(&gap.cli.run(&["verify", "delta.tar.zst", "--base", "one.tar.zst"]), "one.tar.zst");
    lose_changed(&gap, &first);
    named(&gap.try_import("delta.tar.zst", &["--base", "one.tar.zst"]), "one.tar.zst");
    // Whoever has no other copy of the base can ask for the blobs themselves.
    let ran = gap.try_import("delta.tar.zst", &["--base", "one.tar.zst", "--salvage"]);
    named(&ran, "one.tar.zst");
    assert!(gap.files().iter().any(|name| name.contains(".request-")), "{}", ran.shown());
    let ran = gap.cli.run(&["repack", "delta.tar.zst", "--fill-from", "one.tar.zst", "-o", "filled.tar.zst"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(
        ran.stderr.contains("one.tar.zst, bytes") && ran.stderr.contains("damaged file"),
        "{}",
        ran.shown()
    );
    let ran = gap.cli.run(&["repack", "delta.tar.zst", "--profile", "layout", "-o", "filled.tar.zst"]);
    assert!(ran.code != 0 && ran.stderr.contains("--fill-from BASE"), "{}", ran.shown());
    std::fs::write(gap.path("one.tar.zst"), good).unwrap();
    gap.import("delta.tar.zst", &["--base", "one.tar.zst"]);
    arrived(&gap, &second);
}

#[test]
fn a_base_that_cannot_be_read_is_told() {
    let (gap, _, second) = releases();
    let good = damage(&gap, "one.tar.zst");
    let export = |more: &[&str]| {
        let base = ["--compact", "--base", "one.tar.zst", "--force", "-o", "other.tar.zst"];
        gap.try_export(&[&base[..], more].concat())
    };
    let ran = export(&[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("cannot be read") && ran.stderr.contains("carried again"), "{}", ran.shown());
    let ran = export(&["--base-content", "require"]);
    assert_ne!(ran.code, 0, "{}", ran.shown());
    let ran = export(&["--base-content", "none"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(!ran.stderr.contains("cannot be read"), "{}", ran.shown());
    std::fs::write(gap.path("one.tar.zst"), good).unwrap();
    gap.import("one.tar.zst", &[]);
    lose_changed(&gap, &[image(1, 0), image(2, 0)]);
    gap.import("other.tar.zst", &[]);
    arrived(&gap, &second);
}

/// A base of which no layer is the same is still needed, and is named where it is missing.
#[test]
fn a_delta_that_shares_no_layer_needs_its_base() {
    let only = |release| {
        let layer = Layer::of_file("changed", &content(1, release), GO);
        ImageSpec::new(50 + release as u64).layer(layer).build()
    };
    let mut gap = Gap::new();
    gap.image("a/one", "1", &only(0));
    gap.export(&["-o", "one.tar.zst"]);
    gap.source.put_image("a/one", "1", &only(1));
    let ran = gap.try_export(&["--compact", "--base", "one.tar.zst", "-o", "delta.tar.zst"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(!ran.stderr.contains("does not need it"), "{}", ran.shown());
    assert!(ran.stdout.contains("made from 1 blob of bundle"), "{}", ran.shown());
    assert!(ran.stdout.contains("(after its base)"), "{}", ran.shown());
    assert!(run(&gap, &["inspect", "delta.tar.zst"]).contains("made from 1 blob of bundle"));
    let ran = gap.cli.run(&["serve", "delta.tar.zst", "--address", "127.0.0.1:0"]);
    assert_ne!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("is a delta on bundle"), "{}", ran.shown());
    gap.import("one.tar.zst", &[]);
    gap.import("delta.tar.zst", &[]);
    assert_whole(&gap.destination, "a/one", "1", &only(1));
}

#[test]
fn machines_share_the_work() {
    let (gap, _, second) = releases();
    gap.import("one.tar.zst", &[]);
    for part in ["2/2", "1/2"] {
        gap.import("delta.tar.zst", &["--shard", part, "--values", "v.yaml"]);
    }
    arrived(&gap, &second);
}

#[test]
fn what_is_intact_is_salvaged_and_the_rest_asked_for() {
    let (gap, _, second) = releases();
    gap.import("one.tar.zst", &[]);
    let mut bad = gap.read("delta.tar.zst");
    // In the last member of a blob, behind its header.
    let path = b"compact/sha256/";
    let at = bad.windows(path.len()).rposition(|bytes| bytes == path).unwrap();
    bad[at + 512 + 40] ^= 1;
    std::fs::write(gap.path("delta.tar.zst"), bad).unwrap();
    let ran = gap.try_import("delta.tar.zst", &[]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    let ran = gap.try_import("delta.tar.zst", &["--salvage"]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    let request = gap.files().into_iter().find(|name| name.contains(".request-")).unwrap();
    run(&gap, &["export", "--request", &request, "-o", "rest.tar.zst"]);
    gap.import("rest.tar.zst", &[]);
    arrived(&gap, &second);
}

#[test]
fn a_killed_export_goes_on() {
    let (gap, _, second) = releases();
    let whole = gap.read("delta.tar.zst");
    for (image, effort) in
        [(&second[0], "--compact"), (&second[1], "--compact"), (&second[1], "--compact=max")]
    {
        gap.source.fault(Fault::on("GET", format!("/blobs/{}", changed(image)), Effect::Stall(1000)));
        let base = ["--base", "one.tar.zst", "-o", "out.tar.zst"];
        let mut killed = gap.spawn(&[&["export", "images.txt", effort][..], &base].concat());
        killed.until("the stall", || gap.source.faulted() > 0);
        killed.signal(Signal::KILL);
        assert_ne!(killed.wait().code, 0);
        gap.source.heal();
        gap.source.forget();
        // What the other effort left is not taken for this one's.
        gap.export(&[&["--compact"][..], &base].concat());
        assert!(gap.read("out.tar.zst") == whole, "{effort}");
        std::fs::remove_file(gap.path("out.tar.zst")).unwrap();
        std::fs::remove_file(gap.path("out.tar.zst.sha256")).unwrap();
    }
}

/// Killed while it reads a base, and while a blob that is made from it is on its way.
#[test]
fn a_killed_import_goes_on() {
    let (gap, first, second) = releases();
    gap.import("one.tar.zst", &[]);
    let old = format!("/blobs/{}", changed(&first[0]));
    for fault in [
        Fault::on("GET", old, Effect::Stall(1000)),
        Fault::on("PATCH", "/b/two/blobs/uploads/", Effect::Stall(0)),
    ] {
        gap.destination.fault(fault);
        let mut killed = gap.spawn(&["import", "delta.tar.zst", "-d", &gap.destination.host()]);
        killed.until("the stall", || gap.destination.faulted() > 0);
        killed.signal(Signal::KILL);
        assert_ne!(killed.wait().code, 0);
        gap.destination.heal();
    }
    gap.import("delta.tar.zst", &[]);
    arrived(&gap, &second);
}

/// What the destination has is known from a receipt, and what is in it from the source.
#[test]
fn a_receipt_is_enough_where_the_source_has_the_older_layers() {
    let (gap, first, second) = releases();
    gap.import("one.tar.zst", &["--receipt", "receipt.json"]);
    let export = |more: &[&str]| {
        let base = ["--compact", "--base", "receipt.json", "--force", "-o", "listed.tar.zst"];
        gap.try_export(&[&base[..], more].concat())
    };
    let ran = export(&["--dry-run"]);
    assert!(ran.stdout.contains("2 blobs of the base"), "{}", ran.shown());
    let ran = export(&[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let (listed, whole) = (gap.read("listed.tar.zst").len(), gap.read("two.tar.zst").len());
    assert!(listed * 50 < whole, "{listed} of {whole}");
    gap.import("listed.tar.zst", &[]);
    arrived(&gap, &second);
    // Where the source lost one of them, its content crosses again.
    let gone = format!("/blobs/{}", changed(&first[0]));
    gap.source.fault(Fault::on("GET", gone, Effect::Answer(404, Vec::new(), String::new())).always());
    let ran = export(&[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("carried again"), "{}", ran.shown());
    assert!(gap.read("listed.tar.zst").len() > listed * 10);
    let ran = export(&["--base-content", "require"]);
    assert_ne!(ran.code, 0, "{}", ran.shown());
}

/// A transfer waits for what its blob is made from, so that must not wait for transfers to end.
#[test]
fn one_job_downloads_bases_beside_what_it_transfers() {
    let image = |release: usize| {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut text = vec![0; 6 << 20];
        rng.fill(&mut text);
        text.splice(1_000..1_010, format!("release {release}").into_bytes());
        ImageSpec::new(70 + release as u64)
            .layer(Layer::of_file("large", &text, Encoder::Zlib { level: 6 }))
            .build()
    };
    let mut gap = Gap::new();
    gap.image("a/large", "1", &image(1));
    gap.export(&["-o", "one.tar.zst"]);
    gap.import("one.tar.zst", &["--receipt", "receipt.json"]);
    gap.source.put_image("a/large", "1", &image(2));
    gap.export(&["--compact", "--base", "receipt.json", "--jobs", "1", "-o", "delta.tar.zst"]);
    assert!(gap.read("delta.tar.zst").len() < 1 << 20);
    gap.import("delta.tar.zst", &["--jobs", "1"]);
    assert_whole(&gap.destination, "a/large", "1", &image(2));
}
