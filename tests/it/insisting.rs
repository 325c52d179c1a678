//! Registries that say they have what they have not, that lose what they took, or that will not take it: an import ends
//! with all of it there, or with words that name what is not.

use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, artifact, image, multi_platform, signature};
use crate::support::registry::{Effect, Fault, Logged};

fn one() -> (Gap, TestImage) {
    let (image, mut gap) = (image(1), Gap::new());
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst"]);
    (gap, image)
}

/// A yes to whatever is asked about `image`.
fn yes(status: u16, image: &TestImage) -> Effect {
    Effect::Answer(status, vec![("docker-content-digest", image.digest.to_string())], String::new())
}

fn refused(gap: &Gap, code: i32, words: &[&str]) -> Ran {
    let ran = gap.try_import("out.tar.zst", &[]);
    assert_eq!(ran.code, code, "{}", ran.shown());
    for word in words {
        assert!(ran.stderr.contains(word), "no {word:?} in {}", ran.shown());
    }
    ran
}

fn is_of_a_manifest(one: &Logged) -> bool {
    one.path.contains("/manifests/")
}

#[test]
fn a_manifest_counts_when_it_comes_back_byte_for_byte() {
    let (mut gap, index) = (Gap::new(), multi_platform(3));
    gap.image("team/app", "1", &index);
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &[]);
    let log = gap.destination.log();
    let manifests: Vec<&Logged> = log.iter().filter(|one| is_of_a_manifest(one)).collect();
    let put = manifests.iter().position(|one| one.method == "PUT").unwrap();
    assert!(manifests[put..].iter().all(|one| one.method != "HEAD"), "nothing is proven by HEAD");
    for child in &index.children {
        assert_eq!(gap.destination.count("GET", &format!("/manifests/{}", child.digest)), 1);
    }
    let gets = |end: &str| {
        let gets = manifests[put..].iter().filter(|one| one.method == "GET" && one.path.ends_with(end));
        gets.count()
    };
    assert_eq!((gets("/manifests/1"), gets(&index.digest.to_string())), (1, 0));
}

#[test]
fn a_registry_that_acknowledges_what_it_does_not_keep_is_found_out() {
    // A tag; then it answers HEAD for whatever it was asked to take.
    let (gap, image) = one();
    gap.destination.fault(Fault::on("PUT", "/manifests/1", yes(201, &image)).always());
    gap.destination.fault(Fault::on("HEAD", "/manifests/1", yes(200, &image)).nth(2).always());
    refused(&gap, 1, &["pushed, but the registry returns nothing for", "team/app:1"]);

    // A child: no tag is put before it is there.
    let (mut gap, index) = (Gap::new(), multi_platform(3));
    gap.image("team/app", "1", &index);
    gap.export(&["-o", "out.tar.zst"]);
    let child = format!("/manifests/{}", index.children[1].digest);
    gap.destination.fault(Fault::on("PUT", child.clone(), yes(201, &index.children[1])).always());
    gap.destination.fault(Fault::on("HEAD", child.clone(), yes(200, &index.children[1])).always());
    refused(&gap, 1, &["returns nothing for", &child.replace("/manifests/", "team/app@")]);
    assert!(gap.destination.manifest("team/app", "1").is_none());

    // What is about an image.
    let (image, mut gap) = (crate::support::images::image(5), Gap::new());
    let sbom = artifact(&image, "application/spdx+json", b"an SBOM");
    gap.image("team/app", "1", &image);
    gap.source.put_untagged("team/app", &sbom);
    gap.export(&["-o", "out.tar.zst"]);
    let path = format!("/manifests/{}", sbom.digest);
    gap.destination.fault(Fault::on("PUT", path.clone(), yes(201, &sbom)).always());
    gap.destination.fault(Fault::on("HEAD", path.clone(), yes(200, &sbom)).always());
    refused(&gap, 1, &["returns nothing for", &path.replace("/manifests/", "team/app@")]);
    assert!(gap.destination.manifest("team/app", "1").is_none());
}

#[test]
fn other_bytes_and_another_digest_in_the_head_are_no_proof() {
    let (gap, image) = one();
    let other = format!("{} ", String::from_utf8(image.manifest.to_vec()).unwrap());
    let headers = vec![("docker-content-digest", image.digest.to_string())];
    gap.destination.fault(Fault::on("GET", "/manifests/1", Effect::Answer(200, headers, other)).always());
    refused(&gap, 1, &["the registry returns sha256:", "instead of sha256:"]);
    let (gap, _) = one();
    let zeros = format!("sha256:{}", "0".repeat(64));
    let header = Effect::Header("docker-content-digest", Some(zeros.clone()));
    gap.destination.fault(Fault::on("GET", "/manifests/1", header).always());
    refused(&gap, 1, &[&format!("returns {zeros} for")]);
}

#[test]
fn an_untagged_image_that_head_only_claims_is_sent() {
    let (image, mut gap) = (image(1), Gap::new());
    gap.source.put_untagged("team/app", &image);
    gap.line(&format!("{}/team/app@{}", gap.source.host(), image.digest));
    gap.export(&["-o", "out.tar.zst"]);
    let path = format!("/manifests/{}", image.digest);
    gap.destination.fault(Fault::on("HEAD", path.clone(), yes(200, &image)).always());
    let ran = gap.import("out.tar.zst", &["--no-synthetic-tags"]);
    assert!(ran.stdout.contains("1 image sent, 0 there already"), "{}", ran.shown());
    assert!(gap.destination.manifest("team/app", &image.digest.to_string()).is_some());
    // Now it is there, which its own bytes prove.
    let ran = gap.import("out.tar.zst", &["--no-synthetic-tags"]);
    assert!(ran.stdout.contains("0 images sent, 1 there already"), "{}", ran.shown());
}

/// Two images of one repository that share a layer; the registry says of every blob that it is there.
fn claimed() -> (Gap, Vec<TestImage>) {
    let base = Layer::gzip(9, 300_000);
    let (mut gap, mut images) = (Gap::new(), Vec::new());
    for n in 1..3 {
        images.push(ImageSpec::new(n).layer(base.clone()).layer(Layer::gzip(20 + n, 1000)).build());
        gap.image("team/app", &n.to_string(), &images[images.len() - 1]);
    }
    gap.export(&["-o", "out.tar.zst"]);
    gap.destination.fault(Fault::on("HEAD", "/blobs/", Effect::Answer(200, vec![], String::new())).always());
    (gap, images)
}

#[test]
fn a_blob_that_head_only_claims_is_sent_when_the_manifest_is_refused() {
    // The embedded registry names what is missing; some others do not.
    for names_them in [true, false] {
        let (gap, images) = claimed();
        if !names_them {
            let body =
                r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;
            let answer = Effect::Answer(400, vec![], body.to_owned());
            gap.destination.fault(Fault::on("PUT", "/manifests/", answer).times(3));
        }
        gap.import("out.tar.zst", &["--jobs", "1"]);
        for (image, tag) in images.iter().zip(["1", "2"]) {
            assert_whole(&gap.destination, "team/app", tag, image);
        }
        let uploads = gap.destination.count("PUT", "/blobs/uploads/");
        assert_eq!(uploads, 5, "what both share goes once");
    }
}

#[test]
fn content_that_stays_lost_is_sent_three_times_and_no_more() {
    let (gap, image) = one();
    let body = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;
    gap.destination
        .fault(Fault::on("PUT", "/manifests/", Effect::Answer(404, vec![], body.to_owned())).always());
    refused(&gap, 1, &["404 MANIFEST_BLOB_UNKNOWN"]);
    let blobs = image.all_blobs().len();
    assert_eq!(gap.destination.count("PUT", "/blobs/uploads/"), blobs + 3 * blobs);
    assert!(gap.destination.count("PUT", "/manifests/") <= 4 * 3);
}

#[test]
fn what_went_by_in_a_pipe_is_named_with_a_way_on() {
    let (gap, _) = claimed();
    let bundle = gap.read("out.tar.zst");
    let ran = gap.fed(&["import", "-", "-d", &gap.destination.host()], &bundle);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    assert!(ran.stderr.contains("import from a file, which can be read again"), "{}", ran.shown());
}

#[test]
fn a_tag_that_may_not_move_is_told_with_both_digests() {
    let (there, message) = (image(77), "tag is immutable");
    for status in [400, 403, 409, 412] {
        let (gap, image) = one();
        gap.destination.put_image("team/app", "1", &there);
        let body = format!(r#"{{"errors":[{{"code":"TAG_INVALID","message":"{message}"}}]}}"#);
        gap.destination
            .fault(Fault::on("PUT", "/manifests/1", Effect::Answer(status, vec![], body)).always());
        let both = format!("is {}, and the registry refuses to change it to {}", there.digest, image.digest);
        let ran = refused(&gap, 1, &[&both, message, "--on-conflict skip"]);
        assert!(!ran.stderr.contains("--with none"), "{}", ran.shown());
        gap.import("out.tar.zst", &["--on-conflict", "skip"]);
    }
    // A signature's tag.
    let (image, mut gap) = (image(1), Gap::new());
    let (tag, signed) = signature(&image);
    gap.image("team/app", "1", &image);
    gap.source.put_image("team/app", &tag, &signed);
    gap.export(&["-o", "out.tar.zst"]);
    gap.destination.put_image("team/app", &tag, &there);
    gap.destination.fault(Fault::status("PUT", format!("/manifests/{tag}"), 409).always());
    refused(&gap, 1, &[&there.digest.to_string(), "--on-conflict skip", "--with none"]);
    gap.import("out.tar.zst", &["--with", "none"]);

    // Where the tag is free, a refusal is what it was.
    let (gap, _) = one();
    gap.destination.fault(Fault::status("PUT", "/manifests/1", 403).always());
    let ran = refused(&gap, 4, &["403"]);
    assert!(!ran.stderr.contains("--on-conflict"), "{}", ran.shown());
}

#[test]
fn a_manifest_that_is_not_taken_is_tried_three_times_at_most_and_named() {
    // As docker-registry 2.8 answers to layers with urls.
    let with_urls = image(4).altered(|manifest| {
        manifest["layers"][0]["urls"] = serde_json::json!(["https://example.invalid/layer"]);
    });
    let mut gap = Gap::new();
    gap.image("team/app", "1", &with_urls);
    gap.export(&["-o", "out.tar.zst"]);
    gap.destination.fault(Fault::status("PUT", "/manifests/", 500).always());
    refused(&gap, 1, &["500", "whose layers have urls", "validation.manifests.urls.allow"]);
    assert_eq!(gap.destination.count("PUT", "/manifests/"), 3);

    let (mut gap, index) = (Gap::new(), multi_platform(3));
    gap.image("team/app", "1", &index);
    gap.export(&["-o", "out.tar.zst"]);
    gap.destination.fault(Fault::status("PUT", "/manifests/1", 404).always());
    refused(&gap, 1, &["404", "it is an index of the type", &index.media_type]);
    assert_eq!(gap.destination.count("PUT", "/manifests/1"), 1);

    // A registry that is only busy is given its time.
    let (gap, image) = one();
    gap.destination.fault(Fault::status("PUT", "/manifests/1", 503).times(4));
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "team/app", "1", &image);
}
