//! Input from a pipe: layouts of other tools, bundles packed again, and registries that lose uploads.

use std::io::Write;

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage};
use crate::support::rebuilt::{Member, members, tar};
use crate::support::registry::{Effect, Fault};

const MIB: usize = 1 << 20;

type Members = Vec<Member>;

/// Two images, one with a layer that goes out in chunks; and the members of their bundle.
fn two() -> (Gap, Vec<TestImage>, Members) {
    let mut gap = Gap::new();
    let images = vec![
        ImageSpec::new(1).layer(Layer::gzip(1, 40 * MIB)).layer(Layer::gzip(2, 50_000)).build(),
        ImageSpec::new(2).layer(Layer::gzip(3, 5 * MIB)).layer(Layer::tar(4, 3 * MIB)).build(),
    ];
    for (n, image) in images.iter().enumerate() {
        gap.image(&format!("team/app-{n}"), "1", image);
    }
    gap.export(&["-o", "out.tar.zst"]);
    let members = members(&gap.read("out.tar.zst"));
    (gap, images, members)
}

/// What another tool would have made of it.
fn foreign(members: &Members) -> Members {
    let own = ["bundle.json", "SHA256SUMS", "manifest.json"];
    members.iter().filter(|(name, _)| !own.contains(&name.as_str())).cloned().collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `bundle import -` into `prefix`.
fn fed(gap: &Gap, prefix: &str, arguments: &[&str], input: &[u8]) -> crate::support::cli::Ran {
    let destination = format!("{}/{prefix}", gap.destination.host());
    let values = format!("{prefix}.yaml");
    gap.fed(&[&["import", "-", "-d", &destination, "--values", &values], arguments].concat(), input)
}

fn assert_arrived(gap: &Gap, prefix: &str, images: &[TestImage]) {
    for (n, image) in images.iter().enumerate() {
        assert_whole(&gap.destination, &format!("{prefix}/team/app-{n}"), "1", image);
    }
}

fn spool(gap: &Gap) -> String {
    let spool = gap.path("spool");
    std::fs::create_dir_all(&spool).unwrap();
    spool.to_str().unwrap().to_owned()
}

fn assert_empty(folder: &str) {
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn a_layout_whose_index_comes_first_streams() {
    let (gap, images, members) = two();
    let plain = tar(&foreign(&members));
    for (prefix, input) in
        [("plain", plain.clone()), ("gz", gzip(&plain)), ("zst", zstd::encode_all(&plain[..], 1).unwrap())]
    {
        let ran = fed(&gap, prefix, &[], &input);
        assert_eq!(ran.code, 0, "{prefix}: {}", ran.shown());
        assert_arrived(&gap, prefix, &images);
    }
}

#[test]
fn a_stream_that_ends_too_early_says_so_once_for_each_image() {
    let (gap, ..) = two();
    let bundle = gap.read("out.tar.zst");
    let ran = fed(&gap, "cut", &[], &bundle[..bundle.len() - 6 * MIB]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("the archive is damaged: the stream ends after"), "{}", ran.shown());
    assert!(!ran.stderr.contains("damaged: the archive"), "{}", ran.shown());
}

/// A stream that ends inside a blob is not a blob of another digest, however the blob is sent.
#[test]
fn a_stream_that_ends_inside_a_blob_ends_too_early() {
    let (gap, ..) = two();
    let bundle = gap.read("out.tar.zst");
    let spool = spool(&gap);
    for (prefix, more) in [("chunks", &[][..]), ("spool", &["--spool", &spool][..])] {
        // Inside the layer of 40 MiB, which is sent in chunks, or kept in the spool folder.
        let ran = fed(&gap, prefix, more, &bundle[..30 * MIB]);
        assert_eq!(ran.code, 3, "{}", ran.shown());
        assert!(ran.stderr.contains("the stream ends after"), "{}", ran.shown());
        assert!(!ran.stderr.contains("another digest"), "{}", ran.shown());
    }
    assert_empty(&spool);
}

#[test]
fn a_named_pipe_is_told_how_it_is_read() {
    let gap = Gap::new();
    let made = std::process::Command::new("mkfifo").arg(gap.path("pipe")).status();
    assert!(made.unwrap().success());
    // Held open on both sides, so that opening it waits for nobody.
    let open = std::fs::File::options().read(true).write(true).open(gap.path("pipe")).unwrap();
    let ran = gap.try_import("pipe", &[]);
    drop(open);
    assert!(
        ran.code == 3 && ran.stderr.contains("pipe is a pipe, and a bundle out of one is read"),
        "{}",
        ran.shown()
    );
    assert!(ran.stderr.contains("bundle import -"), "{}", ran.shown());
}

#[test]
fn a_bundle_that_was_packed_again_keeps_its_name_and_id() {
    let (gap, images, members) = two();
    let ran = fed(&gap, "again", &["--report", "report.json"], &tar(&members));
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_arrived(&gap, "again", &images);
    let report: serde_json::Value = serde_json::from_slice(&gap.read("report.json")).unwrap();
    let inspected = gap.cli.run(&["inspect", "out.tar.zst", "--format", "json"]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert!(report["bundle"]["id"].is_string());
    assert_eq!(report["bundle"]["id"], inspected["id"]);
    // A member that was altered on the way is found as in the file.
    let mut altered = members;
    let index = altered.iter_mut().find(|(name, _)| name == "index.json").unwrap();
    index.1 = String::from_utf8(index.1.clone()).unwrap().replace("app-0", "app-9").into_bytes();
    let ran = fed(&gap, "altered", &[], &tar(&altered));
    assert_eq!(ran.code, 3, "{}", ran.shown());
}

#[test]
fn layers_before_the_index_need_a_spool_and_say_so() {
    let (gap, images, members) = two();
    // As skopeo and Docker write it: sorted by name.
    let mut sorted = foreign(&members);
    sorted.sort();
    let input = tar(&sorted);
    let ran = fed(&gap, "early", &[], &input);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("--spool DIR"), "{}", ran.stderr);
    assert_eq!(gap.destination.log().len(), 0);
    let folder = spool(&gap);
    let ran = fed(&gap, "spooled", &["--spool", &folder], &input);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_arrived(&gap, "spooled", &images);
    assert_empty(&folder);
    let ran = fed(&gap, "nowhere", &["--spool", "not-there"], &input);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("not-there"), "{}", ran.stderr);
}

#[test]
fn a_small_layout_in_any_order_fits_into_memory() {
    let mut gap = Gap::new();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, MIB)).build();
    let name = gap.source.put_image("team/app-0", "1", &image);
    gap.line(&name);
    let descriptor = serde_json::json!({
        "mediaType": image.media_type, "digest": image.digest, "size": image.manifest.len(),
        "annotations": { "org.opencontainers.image.ref.name": name },
    });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor] }).to_string();
    let mut members: Vec<_> =
        image.blobs.iter().map(|(digest, bytes)| (digest.layout_path(), bytes.to_vec())).collect();
    members.push((image.digest.layout_path(), image.manifest.to_vec()));
    members.push(("index.json".to_owned(), index.into_bytes()));
    let ran = fed(&gap, "small", &[], &tar(&members));
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_arrived(&gap, "small", &[image]);
    // What the index names must come.
    members.remove(0);
    let ran = fed(&gap, "less", &[], &tar(&members));
    assert_eq!(ran.code, 3, "{}", ran.shown());
    members.retain(|(name, _)| name == "index.json");
    assert_eq!(fed(&gap, "nothing", &[], &tar(&members)).code, 3);
}

/// Uploads of the first image: its config, then the chunks of its large layer.
const FIRST: &str = "/team/app-0/blobs/uploads/";

/// The registry breaks off the second chunk of the large layer, and knows nothing of the session afterwards.
fn forgetful(gap: &Gap) {
    gap.destination.fault(Fault::on("PATCH", FIRST, Effect::DropRequest(MIB as u64)).nth(3));
    gap.destination.fault(Fault::status("GET", "/blobs/uploads/", 404).always());
}

#[test]
fn what_a_registry_loses_of_a_pipe_is_named_and_the_others_arrive() {
    let (gap, images, _) = two();
    let input = gap.read("out.tar.zst");
    forgetful(&gap);
    let ran = fed(&gap, "lost", &[], &input);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    assert!(ran.stderr.contains("a pipe cannot be read again"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&images[0].layers()[0].to_string()), "{}", ran.stderr);
    assert!(gap.destination.manifest("lost/team/app-0", "1").is_none());
    assert_whole(&gap.destination, "lost/team/app-1", "1", &images[1]);
    gap.destination.heal();
    let ran = fed(&gap, "lost", &[], &input);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_arrived(&gap, "lost", &images);
}

#[test]
fn with_a_spool_nothing_that_a_registry_loses_is_lost() {
    let (gap, images, _) = two();
    let input = gap.read("out.tar.zst");
    let folder = spool(&gap);
    gap.destination.fault(Fault::on("PATCH", "/blobs/uploads/", Effect::DropRequest(MIB as u64)).times(2));
    gap.destination.fault(Fault::status("GET", "/blobs/uploads/", 404).always());
    let ran = fed(&gap, "kept", &["--spool", &folder], &input);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(gap.destination.faulted() >= 2);
    assert_arrived(&gap, "kept", &images);
    assert_empty(&folder);
}

#[test]
fn an_archive_that_is_read_in_order_is_read_again_for_a_layer_that_was_lost() {
    let (gap, images, members) = two();
    std::fs::write(gap.path("layout.tar.gz"), gzip(&tar(&foreign(&members)))).unwrap();
    forgetful(&gap);
    let ran = gap.try_import("layout.tar.gz", &[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    for (n, image) in images.iter().enumerate() {
        assert_whole(&gap.destination, &format!("team/app-{n}"), "1", image);
    }
}

#[test]
fn a_registry_that_restarts_in_the_middle_of_a_pipe_is_waited_for() {
    let (gap, images, _) = two();
    let input = gap.read("out.tar.zst");
    // The first chunk breaks off with its session gone: it is at hand, and sent again.
    gap.destination.fault(Fault::on("PATCH", FIRST, Effect::DropRequest(100)).nth(2));
    gap.destination.fault(Fault::status("GET", FIRST, 404));
    // The second breaks off, and for a while there is nobody; then the session is there as it was.
    gap.destination.fault(Fault::on("PATCH", FIRST, Effect::DropRequest(MIB as u64)).nth(4));
    gap.destination.fault(Fault::on("GET", FIRST, Effect::Drop).nth(2).times(2));
    // And once more at the end of it.
    gap.destination.fault(Fault::on("PUT", FIRST, Effect::Drop).nth(2));
    let ran = fed(&gap, "restarted", &[], &input);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(gap.destination.faulted() >= 6, "{}", gap.destination.faulted());
    assert_arrived(&gap, "restarted", &images);
}
