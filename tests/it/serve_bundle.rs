//! `bundle serve`: a bundle as a read-only registry, a folder as a small one, and who may reach it.

use reqwest::Method;
use rustix::process::Signal;

use crate::support::client;
use crate::support::gap::{Gap, Running, assert_whole, htpasswd};
use crate::support::images::{TestImage, artifact, image, multi_platform};
use crate::support::registry::TestRegistry;

mod damage;
mod full;

/// A program that serves, and where.
struct Served {
    run: Running,
    address: String,
}

impl Served {
    fn start(gap: &Gap, arguments: &[&str]) -> Self {
        let _ = std::fs::remove_file(gap.path("address"));
        let always = ["serve", "--address-file", "address"];
        let mut run = gap.spawn(&[&always[..], arguments].concat());
        run.until("the address", || gap.path("address").exists());
        let address = String::from_utf8(gap.read("address")).unwrap();
        Self { run, address }
    }

    async fn ask(&self, method: Method, path: &str, range: Option<&str>) -> reqwest::Response {
        let mut request = client().request(method, format!("http://{}{path}", self.address));
        if let Some(range) = range {
            request = request.header("range", range);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let answer = self.ask(Method::GET, path, None).await;
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice(&body).unwrap()
    }
}

/// A served bundle of an image with stored and compressed layers, a multi-platform one, and something about the first.
fn served() -> (Gap, Served, TestImage, TestImage, TestImage) {
    let mut gap = Gap::new();
    let (app, multi) = (image(1), multi_platform(2));
    let about = artifact(&app, "application/vnd.example.sbom", b"what is in it");
    gap.image("team/app", "1", &app).image("team/app", "sbom", &about).image("team/multi", "2.0", &multi);
    gap.export(&["-o", "out.tar.zst"]);
    let served = Served::start(&gap, &["out.tar.zst", "--address", "127.0.0.1:0"]);
    (gap, served, app, multi, about)
}

#[tokio::test]
async fn manifests_and_tags_are_found_by_name_and_by_digest() {
    let (_gap, served, app, multi, about) = served();
    assert_eq!(served.get("/v2/").await.0, 200);
    let tags = served.json("/v2/team/app/tags/list").await;
    assert_eq!(tags["tags"], serde_json::json!(["1", "sbom"]));
    for (repository, reference, image) in [
        ("team/app", "1".to_owned(), &app),
        ("team/app", app.digest.to_string(), &app),
        ("team/app", "sbom".to_owned(), &about),
        ("team/multi", "2.0".to_owned(), &multi),
        ("team/multi", multi.children[1].digest.to_string(), &multi.children[1]),
    ] {
        let path = format!("/v2/{repository}/manifests/{reference}");
        for method in [Method::HEAD, Method::GET] {
            let answer = served.ask(method.clone(), &path, None).await;
            assert_eq!(answer.status(), 200, "{method} {path}");
            let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("docker-content-digest"), image.digest.to_string());
            assert_eq!(header("content-type"), image.media_type);
            assert_eq!(header("content-length"), image.manifest.len().to_string());
        }
        assert_eq!(served.get(&path).await.1, image.manifest);
    }
    for missing in ["/v2/team/app/manifests/2", "/v2/team/none/manifests/1", "/v2/team/none/tags/list"] {
        assert_eq!(served.get(missing).await.0, 404, "{missing}");
    }
    // What is in another repository of the bundle is not in this one.
    assert_eq!(served.get(&format!("/v2/team/app/manifests/{}", multi.digest)).await.0, 404);
}

#[tokio::test]
async fn blobs_come_whole_and_in_ranges() {
    let (_gap, served, app, ..) = served();
    for (digest, bytes) in &app.blobs {
        let path = format!("/v2/team/app/blobs/{digest}");
        assert_eq!(served.get(&path).await, (200, bytes.to_vec()));
        let head = served.ask(Method::HEAD, &path, None).await;
        assert_eq!(head.headers()["content-length"], bytes.len().to_string().as_str());
        let last = bytes.len() - 1;
        for (asked, range) in [
            (format!("bytes=7-{}", last - 3), 7..bytes.len() - 3),
            (format!("bytes={last}-"), last..bytes.len()),
            ("bytes=-5".to_owned(), bytes.len() - 5..bytes.len()),
        ] {
            let answer = served.ask(Method::GET, &path, Some(&asked)).await;
            assert_eq!(answer.status(), 206, "{asked}");
            let stated = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
            assert_eq!(answer.headers()["content-range"], stated.as_str());
            assert_eq!(answer.bytes().await.unwrap(), bytes[range]);
        }
        let beyond = served.ask(Method::GET, &path, Some(&format!("bytes={}-", bytes.len()))).await;
        assert_eq!(beyond.status(), 416);
    }
    let unknown = format!("/v2/team/app/blobs/sha256:{}", "0".repeat(64));
    assert_eq!(served.get(&unknown).await.0, 404);
}

#[tokio::test]
async fn what_is_about_an_image_is_listed() {
    let (_gap, served, app, multi, about) = served();
    let referrers = served.json(&format!("/v2/team/app/referrers/{}", app.digest)).await;
    assert_eq!(referrers["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(referrers["manifests"][0]["digest"], about.digest.to_string());
    assert_eq!(referrers["manifests"][0]["artifactType"], "application/vnd.example.sbom");
    let none = served.json(&format!("/v2/team/multi/referrers/{}", multi.digest)).await;
    assert_eq!(none["manifests"], serde_json::json!([]));
}

#[tokio::test]
async fn nothing_can_be_written_to_a_bundle() {
    let (gap, mut served, app, ..) = served();
    let before = gap.read("out.tar.zst");
    for (method, path) in [
        (Method::POST, "/v2/team/app/blobs/uploads/".to_owned()),
        (Method::PUT, "/v2/team/app/manifests/2".to_owned()),
        (Method::DELETE, "/v2/team/app/manifests/1".to_owned()),
        (Method::DELETE, format!("/v2/team/app/blobs/{}", app.blobs[0].0)),
    ] {
        let answer = served.ask(method.clone(), &path, None).await;
        assert_eq!(answer.status(), 405, "{method} {path}");
    }
    served.run.signal(Signal::INT);
    let ran = served.run.wait();
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stdout.contains("/team/multi:2.0\n"), "{}", ran.stdout);
    assert!(before == gap.read("out.tar.zst"));
}

#[test]
fn a_served_bundle_is_a_source_like_any_other() {
    let (mut gap, served, app, multi, _) = served();
    // Through the served bundle, into a bundle, into a registry.
    let list = format!("{0}/team/app:1\n{0}/team/multi:2.0\n", served.address);
    std::fs::write(gap.path("again.txt"), list).unwrap();
    let ran = gap.cli.run(&["export", "again.txt"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.destination = TestRegistry::start();
    gap.import("again.tar.zst", &[]);
    assert_whole(&gap.destination, "team/app", "1", &app);
    assert_whole(&gap.destination, "team/multi", "2.0", &multi);
}

#[test]
fn a_folder_keeps_what_is_pushed_to_it() {
    let mut gap = Gap::new();
    let multi = multi_platform(5);
    gap.image("team/multi", "1", &multi);
    gap.export(&["-o", "out.tar.zst"]);
    let arguments = ["--dir", "registry", "--address", "127.0.0.1:0"];
    let mut served = Served::start(&gap, &arguments);
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &served.address]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    served.run.signal(Signal::TERM);
    assert_eq!(served.run.wait().code, 0);
    let mut served = Served::start(&gap, &arguments);
    std::fs::write(gap.path("again.txt"), format!("{}/team/multi:1\n", served.address)).unwrap();
    let ran = gap.cli.run(&["export", "again.txt"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.import("again.tar.zst", &[]);
    assert_whole(&gap.destination, "team/multi", "1", &multi);
    served.run.signal(Signal::INT);
    served.run.wait();
}

#[test]
fn a_folder_that_is_not_a_registry_is_a_usage_error_with_the_way_out() {
    let gap = Gap::new();
    std::fs::create_dir_all(gap.path("site/uploads")).unwrap();
    std::fs::create_dir(gap.path("site/repositories")).unwrap();
    std::fs::write(gap.path("site/uploads/letter.txt"), "mine").unwrap();
    let ran = gap.cli.run(&["serve", "--dir", "site", "--address", "127.0.0.1:0"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("error: site is not empty, and it is not a registry"), "{}", ran.shown());
    assert!(ran.stderr.contains("hint: name a folder that is empty"), "{}", ran.shown());
    assert_eq!(gap.read("site/uploads/letter.txt"), b"mine");
    assert_eq!(std::fs::read_dir(gap.path("site")).unwrap().count(), 2);
}

#[test]
fn only_this_machine_is_served_unless_told_otherwise() {
    let gap = Gap::new();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let ran = gap.cli.run(&["serve", "--dir", "registry", "--address", address]);
        assert_eq!(ran.code, 2, "{}", ran.shown());
        assert!(ran.stderr.contains("--open"), "{}", ran.stderr);
        assert!(!gap.path("registry").exists());
    }
    // Users without TLS would send their passwords in the clear.
    let users = htpasswd(gap.cli.folder(), "me", "secret");
    let guarded = ["serve", "--dir", "registry", "--address", "0.0.0.0:0", "--htpasswd"];
    let ran = gap.cli.run(&[&guarded[..], &[users.to_str().unwrap()]].concat());
    assert_eq!(ran.code, 2, "{}", ran.shown());
    let mut served = Served::start(&gap, &["--dir", "registry", "--address", "0.0.0.0:0", "--open"]);
    assert!(served.address.starts_with("0.0.0.0:"));
    served.run.signal(Signal::INT);
    assert_eq!(served.run.wait().code, 0);
}
