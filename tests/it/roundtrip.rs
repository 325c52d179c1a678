//! The main job: list → export → one file → import, digests equal, nothing moved twice.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::Stdio;

use airgap_bundle::image::Digest;
use serde_json::Value;

use crate::support::gap::{Gap, assert_whole, query, uploads};
use crate::support::images::{ImageSpec, Layer, TestImage, image, index, multi_platform, sharing};
use crate::support::registry::{Effect, Fault};

/// Sources of every kind, with the places where they must land: repository, tag or digest, image.
fn everything() -> (Gap, Vec<(String, String, TestImage)>) {
    let mut gap = Gap::new();
    let base = Layer::gzip(100, 60_000);
    let mut shared = sharing([20, 21], &base).into_iter();
    let twice = Layer::gzip(30, 9_000);
    let docker = |seed, architecture| {
        ImageSpec::new(seed).docker().platform("linux", architecture).layer(Layer::gzip(seed, 7_000)).build()
    };
    let list = index(
        vec![(("linux", "amd64"), docker(40, "amd64")), (("linux", "s390x"), docker(41, "s390x"))],
        true,
    );
    let tagged = [
        ("team/oci", "1", image(1)),
        (
            "team/docker",
            "2",
            ImageSpec::new(2).docker().layer(Layer::gzip(2, 20_000)).layer(Layer::tar(3, 30_000)).build(),
        ),
        ("team/multi", "3.0", multi_platform(10)),
        ("other/list", "latest", list),
        ("team/shared-a", "1", shared.next().unwrap()),
        ("other/shared-b", "1", shared.next().unwrap()),
        ("team/twice", "1", ImageSpec::new(30).layer(twice.clone()).layer(twice).build()),
        ("team/empty", "1", ImageSpec::new(31).layer(Layer::empty()).layer(Layer::gzip(31, 100)).build()),
        ("team/none", "1", ImageSpec::new(32).build()),
        (
            "team/tars",
            "1",
            ImageSpec::new(33)
                .layer(Layer::tar(50, 200_000))
                .layer(base)
                .layer(Layer::tar(51, 1_000))
                .build(),
        ),
    ];
    let mut places = Vec::new();
    for (repository, tag, image) in tagged {
        gap.image(repository, tag, &image);
        places.push((repository.to_owned(), tag.to_owned(), image));
    }
    // Config and layer in sha512, the manifest as every registry names it.
    let long = ImageSpec::new(60).sha512().layer(Layer::gzip(60, 5_000)).build();
    let digest = Digest::sha256(&long.manifest);
    let long = TestImage { digest, ..long };
    gap.image("team/long", "1", &long);
    places.push(("team/long".to_owned(), "1".to_owned(), long));

    // A tag that has moved on since it was pinned, and an image that never had one.
    let (pinned, nameless) = (image(70), image(71));
    gap.source.put_image("team/pinned", "old", &pinned);
    gap.source.put_image("team/pinned", "v1", &image(72));
    gap.line(&format!("{}/team/pinned:v1@{}", gap.source.host(), pinned.digest));
    places.push(("team/pinned".to_owned(), "v1".to_owned(), pinned));
    gap.source.put_untagged("team/nameless", &nameless);
    gap.line(&format!("{}/team/nameless@{}", gap.source.host(), nameless.digest));
    let synthetic = format!("digest-{}", &nameless.digest.hex()[..16]);
    places.push(("team/nameless".to_owned(), synthetic, nameless));
    (gap, places)
}

fn distinct(places: &[(String, String, TestImage)]) -> BTreeSet<Digest> {
    let blobs = places.iter().flat_map(|(_, _, image)| image.all_blobs().into_keys());
    blobs.collect()
}

#[test]
fn every_kind_of_image_arrives_byte_for_byte_and_moves_once() {
    let (gap, places) = everything();
    gap.export(&["-o", "out.tar.zst"]);
    let gets = gap.source.blob_gets();
    // An empty blob is known without asking.
    let mut wanted = distinct(&places);
    assert!(wanted.remove(&Digest::sha256(b"")));
    assert_eq!(gets.keys().copied().collect::<BTreeSet<_>>(), wanted);
    assert!(gets.values().all(|count| *count == 1), "{gets:?}");
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst"]).code, 0);

    gap.import("out.tar.zst", &[]);
    for (repository, reference, image) in &places {
        assert_whole(&gap.destination, repository, reference, image);
    }
    let sent = uploads(&gap.destination);
    assert_eq!(sent.keys().copied().collect::<BTreeSet<_>>(), distinct(&places));
    assert!(sent.values().all(|count| *count == 1), "{sent:?}");
    // The base layer is in three repositories: uploaded to one, mounted into two.
    let base = Digest::sha256(&Layer::gzip(100, 60_000).bytes);
    let mounts = gap.destination.log().into_iter().filter(|one| {
        one.status == Some(201) && query(&one.query, "mount").is_some_and(|digest| digest == base.to_string())
    });
    assert_eq!(mounts.count(), 2);
}

#[test]
fn a_second_import_sends_nothing_and_asks_once_per_image() {
    let (gap, places) = everything();
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &[]);
    gap.destination.forget();
    gap.import("out.tar.zst", &[]);
    let log = gap.destination.log();
    assert_eq!(log.iter().map(super::support::registry::Logged::received).sum::<u64>(), 0);
    let heads = log.iter().filter(|one| one.method == "HEAD").count();
    assert_eq!(heads, places.len());
    // ArtifactStatus these only the ping.
    assert!(log.len() <= heads + 2, "{log:#?}");
    assert!(log.iter().all(|one| one.method == "HEAD" || one.path == "/v2/"), "{log:#?}");
}

#[test]
fn jobs_and_the_way_out_do_not_change_a_byte() {
    let (gap, _) = everything();
    gap.export(&["-o", "one.tar.zst", "--jobs", "1"]);
    gap.export(&["-o", "eight.tar.zst", "--jobs", "8"]);
    let one = gap.read("one.tar.zst");
    assert!(one == gap.read("eight.tar.zst"));

    let output = gap.cli.command(&["export", "images.txt", "-o", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(one == output.stdout);

    let named = |name: &str| format!("{}  {name}\n", Digest::sha256(&one).hex());
    for name in ["one.tar.zst", "eight.tar.zst"] {
        let sidecar = String::from_utf8(gap.read(&format!("{name}.sha256"))).unwrap();
        assert_eq!(sidecar, named(name));
    }
    assert_eq!(
        gap.files(),
        ["eight.tar.zst", "eight.tar.zst.sha256", "images.txt", "one.tar.zst", "one.tar.zst.sha256"]
    );
}

#[test]
fn a_pipe_carries_everything_without_a_file() {
    let (gap, places) = everything();
    let mut export = gap
        .cli
        .command(&["export", "images.txt", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let host = gap.destination.host();
    let import =
        gap.cli.command(&["import", "-", "-d", &host]).stdin(export.stdout.take().unwrap()).output().unwrap();
    let mut said = String::new();
    export.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(export.wait().unwrap().success(), "{said}");
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    for (repository, reference, image) in &places {
        assert_whole(&gap.destination, repository, reference, image);
    }
    let sent = uploads(&gap.destination);
    assert!(sent.values().all(|count| *count == 1), "{sent:?}");
    assert_eq!(gap.files(), ["images.txt", "images.values.yaml"]);
}

#[test]
fn the_plan_names_the_size_of_the_file_and_writes_nothing() {
    // Without uncompressed layers the size is exact.
    let mut gap = Gap::new();
    let child = |seed| ImageSpec::new(seed).layer(Layer::gzip(seed, 20_000)).build();
    let both = vec![(("linux", "amd64"), child(1)), (("linux", "arm64"), child(2))];
    gap.image("a/multi", "1", &index(both, false));
    for (seed, image) in (5..).zip(sharing(5..9, &Layer::gzip(2, 300_001))) {
        gap.image(&format!("a/shared-{seed}"), "1", &image);
    }
    let plan = |gap: &Gap| -> Value {
        let ran = gap.export(&["--dry-run", "--format", "json"]);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let exact = plan(&gap);
    assert_eq!(gap.files(), ["images.txt"]);
    assert_eq!(exact["exact"], true);
    gap.export(&["-o", "out.tar.zst"]);
    assert_eq!(exact["bundleBytes"], gap.read("out.tar.zst").len());

    gap.image("a/tar", "1", &ImageSpec::new(9).layer(Layer::tar(9, 100_000)).build());
    let bound = plan(&gap);
    assert_eq!(bound["exact"], false);
    gap.export(&["-o", "more.tar.zst"]);
    let len = gap.read("more.tar.zst").len() as u64;
    let bound = bound["bundleBytes"].as_u64().unwrap();
    assert!(len <= bound && len + 100_000 > bound, "{len} {bound}");
}

#[test]
fn where_mounting_is_refused_the_blob_is_sent_again() {
    use crate::support::registry::{Effect, Fault};
    let mut gap = Gap::new();
    let base = Layer::gzip(1, 30_000);
    let images = sharing([2, 3], &base);
    gap.image("a/one", "1", &images[0]).image("b/two", "1", &images[1]);
    gap.export(&["-o", "out.tar.zst"]);
    let refusal = r#"{"errors":[{"code":"UNSUPPORTED","message":"no mounts"}]}"#.to_owned();
    gap.destination.fault(Fault::on("POST", "mount=", Effect::Answer(405, Vec::new(), refusal)).always());
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "a/one", "1", &images[0]);
    assert_whole(&gap.destination, "b/two", "1", &images[1]);
    assert_eq!(uploads(&gap.destination)[&Digest::sha256(&base.bytes)], 2);
}

#[test]
fn a_prefix_goes_before_every_repository_and_into_the_values() {
    let mut gap = Gap::new();
    let image = image(1);
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst"]);
    let prefixed = format!("{}/mirror/all", gap.destination.host());
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &prefixed]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_whole(&gap.destination, "mirror/all/team/app", "1", &image);
    let values = String::from_utf8(gap.read("out.values.yaml")).unwrap();
    assert!(values.contains(&prefixed), "{values}");
}

#[test]
fn only_what_is_asked_for_is_sent() {
    let mut gap = Gap::new();
    let (first, second) = (image(1), image(2));
    gap.image("team/app", "1", &first).image("team/kafka", "1", &second);
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &["--only", "*/kafka*"]);
    assert_whole(&gap.destination, "team/kafka", "1", &second);
    assert!(gap.destination.manifest("team/app", "1").is_none());
    assert_eq!(gap.destination.count("PUT", "team/app"), 0);
}

#[test]
fn a_layer_that_an_earlier_import_left_is_mounted_not_sent() {
    let mut gap = Gap::new();
    let images = sharing([2, 3], &Layer::gzip(1, 30_000));
    gap.image("a/one", "1", &images[0]).image("b/two", "1", &images[1]);
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &["--only", "a/one*"]);
    gap.destination.forget();
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "b/two", "1", &images[1]);
    let base = Digest::sha256(&Layer::gzip(1, 30_000).bytes);
    assert!(!uploads(&gap.destination).contains_key(&base));
}

#[test]
fn a_complete_bundle_gets_the_checksum_that_a_killed_run_left_out() {
    let mut gap = Gap::new();
    gap.image("a/one", "1", &sharing([2, 3], &Layer::gzip(1, 3_000))[0]);
    gap.export(&["-o", "out.tar.zst"]);
    let sidecar = gap.read("out.tar.zst.sha256");
    std::fs::remove_file(gap.path("out.tar.zst.sha256")).unwrap();
    gap.export(&["-o", "out.tar.zst"]);
    assert_eq!(gap.read("out.tar.zst.sha256"), sidecar);
}

#[test]
fn the_checksum_is_that_of_the_file_also_when_a_layer_came_wrong_at_first() {
    let mut gap = Gap::new();
    let layer = Layer::gzip(1, 20 << 20);
    let image = ImageSpec::new(1).layer(layer).layer(Layer::gzip(2, 1000)).build();
    gap.image("team/app", "1", &image);
    gap.source.fault(Fault::on("GET", format!("/blobs/{}", image.layers()[0]), Effect::Flip(1000)));
    gap.export(&["-o", "out.tar.zst"]);
    assert_eq!(gap.source.faulted(), 1);
    let sidecar = String::from_utf8(gap.read("out.tar.zst.sha256")).unwrap();
    assert_eq!(sidecar, format!("{}  out.tar.zst\n", Digest::sha256(&gap.read("out.tar.zst")).hex()));
}
