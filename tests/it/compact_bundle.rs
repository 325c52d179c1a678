//! Compact bundles: the same digests arrive from a smaller file, and everything else that a bundle can do works.

use airgap_bundle::archive::Form;
use airgap_bundle::encoders::Encoder;
use airgap_bundle::image::Digest;
use rustix::process::Signal;

use crate::support::bundles::{contents, open, piped, problems};
use crate::support::cli::Cli;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, image, multi_platform, signature};
use crate::support::registry::{Effect, Fault};

const GO: Encoder = Encoder::Go126 { level: 6 };
const CRANE: Encoder = Encoder::Go126 { level: 1 };
const JIB: Encoder = Encoder::Zlib { level: 6 };

type Images = Vec<(&'static str, TestImage)>;

/// Images whose layers come in compact form, as they are, and uncompressed.
fn gap() -> (Gap, Images) {
    let mut gap = Gap::with(Cli::new().env("AIRGAP_BUNDLE_PASSPHRASE", "a long enough phrase"));
    let shared = Layer::encoded(1, 150_000, GO);
    let one = ImageSpec::new(1).layer(shared.clone()).layer(Layer::encoded(2, 300_000, CRANE)).build();
    let two = ImageSpec::new(2).layer(shared).layer(Layer::gzip(3, 50_000)).layer(Layer::empty()).build();
    let raw = ImageSpec::new(3).layer(Layer::tar(4, 300_000)).layer(Layer::encoded(5, 150_000, JIB)).build();
    let long = ImageSpec::new(7).sha512().layer(Layer::encoded(8, 150_000, GO)).build();
    let images = vec![
        ("a/one", one),
        ("b/two", two),
        ("c/raw", raw),
        ("d/multi", multi_platform(6)),
        ("e/long", long),
    ];
    for (repository, image) in &images {
        gap.image(repository, "1", image);
    }
    let (tag, signed) = signature(&images[0].1);
    gap.source.put_image("a/one", &tag, &signed);
    (gap, images)
}

/// With `out.tar.zst` and `out.compact.tar.zst`.
fn exported() -> (Gap, Images) {
    let (gap, images) = gap();
    gap.export(&["-o", "out.tar.zst"]);
    gap.export(&["--compact", "-o", "out.compact.tar.zst"]);
    (gap, images)
}

fn run(gap: &Gap, arguments: &[&str]) -> String {
    let ran = gap.cli.run(arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.shown());
    ran.stdout
}

fn arrives(gap: &Gap, prefix: &str, images: &Images) {
    for (repository, image) in images {
        assert_whole(&gap.destination, &format!("{prefix}/{repository}"), "1", image);
    }
    let (tag, signed) = signature(&images[0].1);
    assert_whole(&gap.destination, &format!("{prefix}/a/one"), &tag, &signed);
}

fn import(gap: &Gap, name: &str, prefix: &str, images: &Images) {
    let destination = format!("{}/{prefix}", gap.destination.host());
    run(gap, &["import", name, "-d", &destination, "--values", &format!("{prefix}.yaml")]);
    arrives(gap, prefix, images);
}

#[test]
fn the_same_digests_arrive_from_a_smaller_file() {
    let (gap, images) = exported();
    let (layout, compact) = (gap.read("out.tar.zst"), gap.read("out.compact.tar.zst"));
    assert!(compact.len() < layout.len() * 9 / 10, "{} of {}", compact.len(), layout.len());
    import(&gap, "out.compact.tar.zst", "compact", &images);
    assert!(contents(&open(compact).unwrap()) == contents(&open(layout).unwrap()));
}

#[test]
fn each_form_is_made_from_the_other_with_the_bytes_of_an_export() {
    let (gap, _) = exported();
    gap.source.forget();
    run(&gap, &["repack", "out.compact.tar.zst", "-o", "layout.tar.zst"]);
    assert!(gap.read("layout.tar.zst") == gap.read("out.tar.zst"));
    run(&gap, &["repack", "out.tar.zst", "--profile", "compact", "-o", "compact.tar.zst"]);
    assert!(gap.read("compact.tar.zst") == gap.read("out.compact.tar.zst"));
    run(
        &gap,
        &["repack", "out.compact.tar.zst", "--profile", "compact", "--jobs", "1", "-o", "again.tar.zst"],
    );
    assert!(gap.read("again.tar.zst") == gap.read("out.compact.tar.zst"));
    assert_eq!(gap.source.log().len(), 0, "a registry was asked");
}

#[test]
fn other_tools_read_the_container_but_find_no_index() {
    let (gap, _) = exported();
    let names: Vec<String> = crate::support::rebuilt::members(&gap.read("out.compact.tar.zst"))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names[..3], ["oci-layout", "bundle.json", "compact.json"]);
    assert_eq!(names.last().unwrap(), "compact-index.json");
    for absent in ["index.json", "manifest.json", "SHA256SUMS"] {
        assert!(!names.iter().any(|name| name == absent), "{absent}");
    }
    let reader = open(gap.read("out.compact.tar.zst")).unwrap();
    let forms: Vec<&Form> = (0..)
        .map_while(|index| (index < reader.manifest().blobs.len()).then(|| reader.form(index)))
        .flatten()
        .collect();
    assert_eq!(forms.iter().filter(|form| matches!(form, Form::Compact(_))).count(), 5, "{forms:?}");
}

#[test]
fn pipes_on_both_sides() {
    let (gap, images) = exported();
    let file = gap.read("out.compact.tar.zst");
    let streamed = gap.cli.command(&["export", "images.txt", "--compact", "-o", "-"]).output().unwrap();
    assert!(streamed.stdout == file);
    let destination = format!("{}/piped", gap.destination.host());
    let ran = gap.fed(&["import", "-", "-d", &destination, "--values", "piped.yaml"], &file);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    arrives(&gap, "piped", &images);
    let whole: Vec<(Digest, usize)> =
        piped(&file).unwrap().into_iter().map(|(digest, bytes)| (digest, bytes.len())).collect();
    let layout = piped(&gap.read("out.tar.zst")).unwrap();
    assert!(layout.into_iter().map(|(digest, bytes)| (digest, bytes.len())).eq(whole));
}

#[test]
fn verify_inspect_unpack_and_serve() {
    let (gap, images) = exported();
    let whole = run(&gap, &["verify", "out.compact.tar.zst"]);
    assert!(whole.starts_with("whole: 5 images"), "{whole}");
    let said = run(&gap, &["inspect", "out.compact.tar.zst"]);
    assert!(said.contains("\n5 of 12 blobs are in compact form: "), "{said}");
    let json: serde_json::Value =
        serde_json::from_str(&run(&gap, &["inspect", "out.compact.tar.zst", "--format", "json"])).unwrap();
    let forms = json["compact"].as_array().unwrap();
    let compact = forms.iter().filter(|blob| blob["form"] == "compact");
    assert!(compact.clone().all(|blob| blob["held"].as_u64() < blob["size"].as_u64()), "{forms:?}");
    assert_eq!((forms.len(), compact.count()), (12, 5));
    let planned = run(&gap, &["export", "images.txt", "--compact", "--dry-run"]);
    assert!(planned.contains("bundle: at most ") && planned.contains("of one processor"), "{planned}");
    run(&gap, &["unpack", "out.compact.tar.zst", "-o", "folder"]);
    import(&gap, "folder", "unpacked", &images);
    let mut serve =
        gap.spawn(&["serve", "out.compact.tar.zst", "--address", "127.0.0.1:0", "--address-file", "address"]);
    serve.until("the address", || gap.path("address").exists());
    let address = String::from_utf8(gap.read("address")).unwrap();
    let (repository, image) = &images[0];
    let name = format!("{}/{repository}:1\n", address.trim());
    std::fs::write(gap.path("served.txt"), name).unwrap();
    run(&gap, &["export", "served.txt", "-o", "served.tar.zst"]);
    let reader = open(gap.read("served.tar.zst")).unwrap();
    assert!(image.all_blobs().keys().all(|digest| reader.blob(digest).is_some()));
    serve.kill();
}

#[test]
fn volumes_parity_and_signatures() {
    let (gap, images) = exported();
    run(&gap, &["keygen", "-o", "site"]);
    let cut = ["--volume-size", "70000", "--parity", "2", "--sign-key", "site.key"];
    let mut arguments = vec!["repack", "out.tar.zst", "--profile", "compact", "-o", "cut.tar.zst"];
    arguments.extend(cut);
    run(&gap, &arguments);
    run(&gap, &["verify", "cut.tar.zst.001", "--verify-key", "site.pub"]);
    std::fs::remove_file(gap.path("cut.tar.zst.002")).unwrap();
    std::fs::remove_file(gap.path("cut.tar.zst.004")).unwrap();
    run(&gap, &["repack", "--rebuild", "cut.tar.zst.001"]);
    let destination = format!("{}/cut", gap.destination.host());
    run(
        &gap,
        &[
            "import",
            "cut.tar.zst.001",
            "-d",
            &destination,
            "--verify-key",
            "site.pub",
            "--values",
            "cut.yaml",
        ],
    );
    arrives(&gap, "cut", &images);
    run(&gap, &["sign", "out.compact.tar.zst", "--key", "site.key"]);
    run(&gap, &["verify", "out.compact.tar.zst", "--verify-key", "site.pub"]);
}

/// No changed byte goes unnoticed, gives other bytes, or brings the program down.
#[test]
fn every_flipped_byte_is_found_or_does_not_matter() {
    let mut gap = Gap::new();
    let layers = [Layer::encoded(1, 60_000, JIB), Layer::gzip(3, 5_000), Layer::tar(4, 40_000)];
    gap.image("a/one", "1", &ImageSpec::new(1).layers(layers).build());
    gap.export(&["--compact", "-o", "out.compact.tar.zst"]);
    let file = gap.read("out.compact.tar.zst");
    let right = contents(&open(file.clone()).unwrap());
    let mut rng = fastrand::Rng::with_seed(1);
    let every = |n: usize| (0..file.len()).step_by(n);
    let ends = (0..2500).chain(file.len() - 2500..file.len()).step_by(29);
    for at in every(file.len() / 60).chain(ends) {
        let mut bad = file.clone();
        bad[at] ^= 1 << rng.u8(..8);
        assert!(!problems(bad.clone()).is_empty(), "byte {at}: verify finds nothing");
        // What a pipe gives is compared by whoever takes it.
        for (digest, bytes) in piped(&bad).unwrap_or_default() {
            let is_right = Digest::of(digest.algorithm(), &bytes) == digest;
            assert_eq!(is_right, right[&digest] == bytes, "byte {at}");
        }
    }
}

#[test]
fn files_that_are_cut_short_anywhere_are_refused_and_salvaged() {
    let (gap, mut images) = gap();
    // The registry of these tests gives a manifest by its sha512 or by its tag, not by its sha256.
    images.pop();
    gap.export(&["--compact", "--skip", "*/e/long*", "-o", "out.compact.tar.zst"]);
    let file = gap.read("out.compact.tar.zst");
    for end in (0..file.len()).step_by(file.len() / 25).chain([file.len() - 1]) {
        let cut = file[..end].to_vec();
        assert!(open(cut.clone()).is_err(), "{end}");
        assert!(piped(&cut).is_err(), "{end}");
    }
    // Damage, whatever is missing; with only the end lost, every blob is there.
    for end in [file.len() * 6 / 10, file.len() - 100, file.len() - 1] {
        std::fs::write(gap.path("cut.tar.zst"), &file[..end]).unwrap();
        let ran = gap.cli.run(&["verify", "cut.tar.zst"]);
        assert_eq!(ran.code, 3, "{end}: {}", ran.shown());
        assert!(ran.stderr.contains("the bundle is damaged in "), "{end}: {}", ran.shown());
    }
    let all = format!("{}/all", gap.destination.host());
    run(&gap, &["import", "cut.tar.zst", "-d", &all, "--salvage", "--values", "all.yaml"]);
    arrives(&gap, "all", &images);
    std::fs::write(gap.path("cut.tar.zst"), &file[..file.len() * 6 / 10]).unwrap();
    let destination = format!("{}/saved", gap.destination.host());
    let ran = gap.cli.run(&["import", "cut.tar.zst", "-d", &destination]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    let ran = gap.cli.run(&["import", "cut.tar.zst", "-d", &destination, "--salvage"]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    let request = gap.files().into_iter().find(|name| name.contains(".request-")).unwrap();
    run(&gap, &["export", "--request", &request, "-o", "rest.tar.zst"]);
    run(&gap, &["import", "rest.tar.zst", "-d", &destination]);
    arrives(&gap, "saved", &images);
}

/// Whenever it is stopped, an export goes on where it was, and gives the same bytes.
#[test]
fn a_stopped_export_goes_on() {
    let (gap, images) = gap();
    gap.export(&["--compact", "-o", "whole.tar.zst"]);
    let whole = gap.read("whole.tar.zst");
    let layers: Vec<Digest> = images.iter().flat_map(|(_, image)| image.layers()).collect();
    for (signal, layer) in [(Signal::INT, layers[3]), (Signal::KILL, layers[1]), (Signal::TERM, layers[5])] {
        gap.source.fault(Fault::on("GET", format!("/blobs/{layer}"), Effect::Stall(1000)));
        let mut run = gap.spawn(&["export", "images.txt", "--compact", "-o", "out.tar.zst"]);
        run.until("the stall", || gap.source.faulted() > 0);
        run.signal(signal);
        assert_ne!(run.wait().code, 0);
        gap.source.heal();
        gap.source.forget();
        let ran = gap.export(&["--compact", "-o", "out.tar.zst"]);
        assert!(gap.read("out.tar.zst") == whole, "{signal:?}: {}", ran.shown());
        std::fs::remove_file(gap.path("out.tar.zst")).unwrap();
        std::fs::remove_file(gap.path("out.tar.zst.sha256")).unwrap();
    }
}

#[test]
fn content_that_is_wrong_is_fetched_again() {
    let (gap, images) = gap();
    gap.export(&["--compact", "-o", "whole.tar.zst"]);
    for layer in [images[0].1.layers()[1], images[1].1.layers()[1], images[2].1.layers()[0]] {
        gap.source.fault(Fault::on("GET", format!("/blobs/{layer}"), Effect::Flip(5000)).times(1));
    }
    gap.export(&["--compact", "-o", "out.tar.zst"]);
    assert!(gap.read("out.tar.zst") == gap.read("whole.tar.zst"));
}

/// What it left is of no use, and in no way.
#[test]
fn an_unfinished_export_of_the_other_form() {
    let (gap, images) = gap();
    let last = *images[4].1.layers().last().unwrap();
    gap.source.fault(Fault::on("GET", format!("/blobs/{last}"), Effect::Stall(1000)));
    let mut run = gap.spawn(&["export", "images.txt", "-o", "out.tar.zst"]);
    run.until("the stall", || gap.source.faulted() > 0);
    run.signal(Signal::INT);
    run.wait();
    gap.source.heal();
    gap.export(&["--compact", "-o", "out.tar.zst"]);
    gap.export(&["--compact", "-o", "whole.tar.zst"]);
    assert!(gap.read("out.tar.zst") == gap.read("whole.tar.zst"));
    assert!(!gap.files().iter().any(|name| name.contains("partial")), "{:?}", gap.files());
}

#[test]
fn a_bundle_without_layers_and_one_with_small_ones() {
    let mut gap = Gap::new();
    gap.image("a/small", "1", &image(1));
    gap.export(&["--compact"]);
    let name = gap.files().into_iter().find(|name| name.ends_with(".compact.tar.zst")).unwrap();
    run(&gap, &["verify", &name]);
    gap.import(&name, &[]);
    assert_whole(&gap.destination, "a/small", "1", &image(1));
}

/// A key signs both forms, so that each can be made from the other where no key is.
#[test]
fn the_signature_of_the_layout_crosses_with_the_compact_form() {
    let (gap, _) = exported();
    run(&gap, &["keygen", "-o", "key"]);
    gap.export(&["--sign-key", "key.key", "-o", "signed.tar.zst"]);
    gap.export(&["--compact", "--sign-key", "key.key", "-o", "signed.compact.tar.zst"]);
    run(&gap, &["repack", "signed.compact.tar.zst", "-o", "made.tar.zst"]);
    assert!(gap.read("made.tar.zst") == gap.read("signed.tar.zst"));
    run(&gap, &["verify", "made.tar.zst", "--verify-key", "key.pub"]);
    // From a signed layout: without a signature of its own, and back.
    run(&gap, &["repack", "signed.tar.zst", "--profile", "compact", "-o", "other.compact.tar.zst"]);
    assert_ne!(gap.cli.run(&["verify", "other.compact.tar.zst", "--verify-key", "key.pub"]).code, 0);
    run(&gap, &["repack", "other.compact.tar.zst", "-o", "back.tar.zst"]);
    assert!(gap.read("back.tar.zst") == gap.read("signed.tar.zst"));
    let inspect = |name: &str| -> serde_json::Value {
        serde_json::from_str(&run(&gap, &["inspect", name, "--format", "json"])).unwrap()
    };
    assert_eq!(inspect("signed.compact.tar.zst")["layoutId"], inspect("signed.tar.zst")["id"]);
}

/// The connection breaks in the middle of a blob that is made again, and the registry then knows of nothing that it got.
#[test]
fn a_registry_that_loses_an_upload_gets_the_blob_again() {
    let (gap, images) = exported();
    for status in [404, 500] {
        gap.destination.fault(Fault::on("PATCH", "/uploads/", Effect::DropRequest(60_000)).times(3));
        gap.destination.fault(Fault::status("GET", "/uploads/", status).times(2));
        gap.destination.fault(Fault::status("PUT", "/uploads/", 404));
        import(&gap, "out.compact.tar.zst", &format!("lost{status}"), &images);
    }
}

#[test]
fn a_value_without_its_equals_sign_is_understood() {
    let gap = Gap::new();
    std::fs::write(gap.path("my.lock"), "").unwrap();
    for (arguments, meant) in [
        (["export", "--compact", "max"], "--compact=max"),
        (["export", "--locked", "my.lock"], "--locked=my.lock"),
    ] {
        let ran = gap.cli.run(&arguments);
        assert_eq!(ran.code, 2, "{}", ran.shown());
        assert!(ran.stderr.contains(meant), "{}", ran.shown());
    }
}
