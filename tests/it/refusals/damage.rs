//! Damaged and changed bundles.

use super::{Gap, TestImage, same, small};
use crate::support::gap::assert_whole;
use crate::support::images::{ImageSpec, Layer};

#[test]
fn files_that_are_no_bundle() {
    let (gap, _) = small();
    let zstd = zstd::encode_all(&b"hello"[..], 3).unwrap();
    let contents: [(&str, &[u8]); 4] =
        [("empty", b""), ("text", b"These are my holiday notes.\n"), ("zstd", &zstd), ("zeros", &[0; 4096])];
    for (name, bytes) in contents {
        let file = format!("{name}.tar.zst");
        std::fs::write(gap.path(&file), bytes).unwrap();
        for ran in
            [gap.cli.run(&["verify", &file]), gap.cli.run(&["inspect", &file]), gap.try_import(&file, &[])]
        {
            assert_eq!(ran.code, 3, "{name}: {}", ran.shown());
        }
        same(&gap, &format!("no_bundle_{name}"), &gap.cli.run(&["verify", &file]));
        std::fs::remove_file(gap.path(&file)).unwrap();
    }
    let ran = gap.try_import("missing.tar.zst", &[]);
    assert_eq!(ran.code, 1);
    same(&gap, "bundle_missing", &ran);
    std::fs::write(gap.path("second.tar.zst"), gap.read("out.tar.zst")).unwrap();
    let host = gap.destination.host();
    let ran = gap.cli.run(&["import", "-d", &host]);
    assert_eq!(ran.code, 2);
    same(&gap, "two_bundles_here", &ran);
    assert_eq!(gap.destination.count("POST", "") + gap.destination.count("PUT", ""), 0);
}

#[test]
fn a_truncated_bundle() {
    let (gap, _) = small();
    let whole = gap.read("out.tar.zst");
    for len in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        std::fs::write(gap.path("out.tar.zst"), &whole[..len]).unwrap();
        for ran in [
            gap.cli.run(&["verify", "out.tar.zst"]),
            gap.try_import("out.tar.zst", &[]),
            gap.fed(&["import", "-", "-d", &gap.destination.host()], &whole[..len]),
        ] {
            assert_eq!(ran.code, 3, "{len}: {}", ran.shown());
        }
    }
    same(&gap, "truncated", &gap.cli.run(&["verify", "out.tar.zst"]));
    assert_eq!(gap.files(), ["images.txt", "out.tar.zst"]);
}

/// What an import of damage may leave: the whole image or no tag.
fn assert_no_half(gap: &Gap, image: &TestImage) {
    if gap.destination.manifest("team/app", "1").is_some() {
        assert_whole(&gap.destination, "team/app", "1", image);
    }
}

#[test]
fn a_flipped_byte_in_a_layer_is_named_with_its_place_and_its_image() {
    let (gap, image) = small();
    let mut bytes = gap.read("out.tar.zst");
    let layer = &image.blobs[1].1;
    let at = bytes.windows(layer.len()).position(|window| window == &layer[..]).unwrap();
    bytes[at + 100] ^= 1;
    std::fs::write(gap.path("out.tar.zst"), &bytes).unwrap();
    let ran = gap.cli.run(&["verify", "out.tar.zst"]);
    assert_eq!(ran.code, 3);
    same(&gap, "flipped_layer_verify", &ran);
    let ran = gap.try_import("out.tar.zst", &[]);
    assert_eq!(ran.code, 3);
    same(&gap, "flipped_layer_import", &ran);
    assert!(gap.destination.manifest("team/app", "1").is_none());
    assert!(!gap.destination.has_blob("team/app", &image.layers()[0]));
}

#[test]
fn of_many_images_on_a_damaged_base_ten_are_named_on_the_screen_and_all_in_json() {
    let mut gap = Gap::new();
    let base = Layer::gzip(1, 50_000);
    for number in 0..13 {
        let image =
            ImageSpec::new(number).layer(base.clone()).layer(Layer::gzip(100 + number, 2_000)).build();
        gap.image(&format!("team/app-{number:02}"), "1", &image);
    }
    gap.export(&["-o", "out.tar.zst"]);
    let mut bytes = gap.read("out.tar.zst");
    let at = bytes.windows(64).position(|window| window == &base.bytes[..64]).unwrap();
    bytes[at + 100] ^= 1;
    std::fs::write(gap.path("out.tar.zst"), &bytes).unwrap();

    let ran = gap.cli.run(&["verify", "out.tar.zst"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert_eq!(ran.stderr.matches("needed by ").count(), 10, "{}", ran.shown());
    assert!(ran.stderr.contains("and by 3 more images (--format json names all)"), "{}", ran.shown());

    let ran = gap.cli.run(&["verify", "out.tar.zst", "--format", "json"]);
    let result: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let problems = result["bundle"]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{}", ran.shown());
    assert_eq!(problems[0]["images"].as_array().unwrap().len(), 13, "{}", ran.shown());
}

#[test]
fn a_flipped_byte_in_any_member_is_found_and_never_becomes_half_an_image() {
    let (gap, image) = small();
    let whole = gap.read("out.tar.zst");
    // Some in each frame: the head, the stored layer, the compressed one, the end, the seek table.
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        std::fs::write(gap.path("out.tar.zst"), &bytes).unwrap();
        let ran = gap.cli.run(&["verify", "out.tar.zst"]);
        assert_eq!(ran.code, 3, "byte {at}: {}", ran.shown());
        let ran = gap.try_import("out.tar.zst", &["--force"]);
        assert_ne!(ran.code, 101, "byte {at}: {}", ran.shown());
        assert_no_half(&gap, &image);
    }
}
