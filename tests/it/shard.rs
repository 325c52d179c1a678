//! `import --shard`: several machines, each image once, the same split everywhere.

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage};

/// Twelve images on three bases.
fn fleet(gap: &mut Gap) -> Vec<(String, TestImage)> {
    let bases: Vec<Layer> = (0..3).map(|seed| Layer::gzip(900 + seed, 200_000)).collect();
    let images = (0..12).map(|seed| {
        let layers = [bases[usize::try_from(seed % 3).unwrap()].clone(), Layer::gzip(seed, 20_000)];
        (format!("team/app{seed}"), ImageSpec::new(seed).layers(layers).build())
    });
    let images: Vec<_> = images.collect();
    for (repository, image) in &images {
        gap.image(repository, "1", image);
    }
    gap.export(&["-o", "out.tar.zst"]);
    images
}

fn there(gap: &Gap, images: &[(String, TestImage)]) -> Vec<usize> {
    let is_there = |(_, (repository, _)): &(usize, &(String, TestImage))| {
        gap.destination.manifest(repository, "1").is_some()
    };
    images.iter().enumerate().filter(is_there).map(|(at, _)| at).collect()
}

#[test]
fn the_parts_together_are_everything_and_no_image_is_in_two() {
    let mut gap = Gap::new();
    let images = fleet(&mut gap);
    let mut before = Vec::new();
    for part in ["1/3", "2/3", "3/3"] {
        let ran = gap.import("out.tar.zst", &["--shard", part, "--values", "v.yaml"]);
        assert!(ran.stderr.contains("4 images of 12, 283.71 kB of 851.13 kB"), "{}", ran.shown());
        let now = there(&gap, &images);
        assert_eq!(now.len(), before.len() + 4, "{part}: {}", ran.shown());
        before = now;
    }
    for (repository, image) in &images {
        assert_whole(&gap.destination, repository, "1", image);
    }
    // Each base has crossed once: those that share one were kept together.
    let layers =
        images.iter().flat_map(|(_, image)| image.layers()).collect::<std::collections::HashSet<_>>();
    let configs = images.len();
    let finished = gap.destination.count("PUT", "/blobs/uploads/") + gap.destination.count("POST", "digest=");
    assert_eq!(finished, layers.len() + configs);
}

#[test]
fn the_receipts_of_all_parts_together_are_the_receipt_of_the_whole() {
    let mut gap = Gap::new();
    fleet(&mut gap);
    for part in ["1/2", "2/2"] {
        let receipt = format!("receipt-{}.json", &part[..1]);
        gap.import("out.tar.zst", &["--shard", part, "--values", "v.yaml", "--receipt", &receipt]);
    }
    let verify = |receipts: &[&str]| {
        let named = receipts.iter().flat_map(|receipt| ["--receipt", receipt]);
        gap.cli.run(&["verify", "out.tar.zst"].into_iter().chain(named).collect::<Vec<_>>())
    };
    let one = verify(&["receipt-1.json"]);
    assert!(one.code == 3 && one.stderr.contains("did not arrive"), "{}", one.shown());
    let both = verify(&["receipt-1.json", "receipt-2.json"]);
    assert_eq!(both.code, 0, "{}", both.shown());
    // What arrived elsewhere did not arrive here.
    let text = String::from_utf8(gap.read("receipt-2.json")).unwrap();
    std::fs::write(gap.path("receipt-2.json"), text.replace(&gap.destination.host(), "other.example"))
        .unwrap();
    let apart = verify(&["receipt-1.json", "receipt-2.json"]);
    assert!(apart.code == 3 && apart.stderr.contains("receipt-1.json: "), "{}", apart.shown());
    assert!(apart.stderr.contains("receipt-2.json: "), "{}", apart.shown());
}

#[test]
fn the_split_is_the_same_whatever_the_registry_has() {
    let mut gap = Gap::new();
    let images = fleet(&mut gap);
    gap.import("out.tar.zst", &["--shard", "2/3", "--values", "v.yaml"]);
    let second = there(&gap, &images);
    let again = gap.import("out.tar.zst", &["--shard", "2/3", "--values", "v.yaml"]);
    assert!(again.stdout.contains("0 images sent, 4 there already"), "{}", again.shown());
    assert_eq!(there(&gap, &images), second);
}

#[test]
fn an_indexed_job_tells_the_part_and_a_part_may_be_empty() {
    let mut gap = Gap::new();
    let images = fleet(&mut gap);
    let host = gap.destination.host();
    let import = |index: Option<&str>, parts: &str| {
        let mut command =
            gap.cli.command(&["import", "out.tar.zst", "-d", &host, "--shard", parts, "--values", "v.yaml"]);
        if let Some(index) = index {
            command.env("JOB_COMPLETION_INDEX", index);
        }
        command.output().unwrap()
    };
    for index in ["0", "1", "39"] {
        assert!(import(Some(index), "40").status.success(), "{index}");
    }
    let some = there(&gap, &images).len();
    assert!((1..=3).contains(&some), "{some}");
    for (index, says) in [(None, "not set"), (Some("4"), "from 0 below 4"), (Some("x"), "from 0 below 4")] {
        let output = import(index, "4");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(says), "{text}");
    }
    let nothing = gap.try_import("out.tar.zst", &["--shard", "1/2", "--only", "absent*"]);
    assert_eq!(nothing.code, 2, "{}", nothing.shown());
}

#[test]
fn the_job_for_kubernetes_says_what_the_program_understands() {
    let text = include_str!("../../scripts/kubernetes/job.yaml");
    let args = text
        .split("          args:\n")
        .nth(1)
        .unwrap()
        .lines()
        .map_while(|line| line.strip_prefix("            - "));
    let args: Vec<&str> = args.map(|arg| arg.split(" #").next().unwrap()).collect();
    assert!(args.contains(&"--shard=4") && text.contains("completions: 4"), "{args:?}");
    // Everything is understood; what is missing is the file.
    let gap = Gap::new();
    let ran = gap.cli.run(&args);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("/carried/shop.tar.zst: No such file"), "{}", ran.shown());
}
