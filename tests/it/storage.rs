//! Bundles read over the network, by ranges: imported, inspected and verified without a copy.

use airgap_bundle::image::Digest;

use crate::support::gap::{Gap, assert_whole, htpasswd};
use crate::support::images::{ImageSpec, Layer, TestImage, artifact, image};
use crate::support::registry::{Effect, Fault, TestRegistry};

/// A bundle that lies on a web server: the source registry gives it out as one of its blobs.
fn published(gap: &mut Gap) -> (TestImage, String) {
    let large = ImageSpec::new(1).layer(Layer::gzip(1, 5_000_000)).layer(Layer::tar(2, 300_000)).build();
    gap.image("team/app", "1", &large);
    gap.export(&["-o", "out.tar.zst"]);
    let bytes = gap.read("out.tar.zst");
    std::fs::remove_file(gap.path("out.tar.zst")).unwrap();
    let url = publish(&gap.source, &bytes);
    gap.source.forget();
    (large, url)
}

fn publish(server: &TestRegistry, bytes: &[u8]) -> String {
    server.put_untagged("files/bundle", &artifact(&image(9), "application/x-file", bytes));
    server.url(&format!("/v2/files/bundle/blobs/{}", Digest::sha256(bytes)))
}

#[test]
fn a_bundle_on_a_web_server_is_imported_by_ranges() {
    let mut gap = Gap::new();
    let (image, url) = published(&mut gap);
    let inspected = gap.cli.run(&["inspect", &url]);
    assert!(inspected.stdout.contains("team/app:1"), "{}", inspected.shown());
    let ranges = gap.source.log().iter().filter(|request| request.header("range").is_some()).count();
    assert!((1..=3).contains(&ranges), "{ranges} ranges of 2 MiB for the head and the end of it");
    assert!(gap.source.log().iter().all(|request| request.method == "GET"), "HEAD may not be allowed");
    let verified = gap.cli.run(&["verify", &url]);
    assert_eq!(verified.code, 0, "{}", verified.shown());
    gap.source.forget();
    gap.import(&url, &["--values", "v.yaml"]);
    assert_whole(&gap.destination, "team/app", "1", &image);
    let log = gap.source.log();
    assert!(log.iter().all(|request| request.header("range").is_some()));
    assert_eq!(gap.files(), ["images.txt", "out.tar.zst.sha256", "v.yaml"], "there is no copy");
}

#[test]
fn what_is_wrong_with_an_address_is_said() {
    let mut gap = Gap::new();
    let (_, url) = published(&mut gap);
    let absent = url.replace("files/bundle", "files/other") + "?X-Amz-Signature=secret";
    for (address, code, says) in [
        (absent.as_str(), 5, "there is no file at this address"),
        ("http://user:secret@127.0.0.1:1/x.tar.zst", 5, "do not belong in an address"),
        ("http://registry.example/x.tar.zst", 5, "plain HTTP to registry.example is not allowed"),
        ("https://127.0.0.1:1/x.tar.zst", 5, "refused"),
        ("https://127.0.0.1:1/x.tar.zst.001?token=secret", 2, "volumes are not read over the network"),
        ("https://127.0.0.1:1/x.tar.zst.volumes.json", 2, "volumes are not read over the network"),
        ("https://127.0.0.1:1/x.tar.zst.2026", 5, "refused"),
    ] {
        let ran = gap.try_import(address, &["--retries", "1"]);
        assert_eq!(ran.code, code, "{address}: {}", ran.shown());
        assert!(ran.stderr.contains(says), "{address}: {}", ran.shown());
        assert!(!ran.stderr.contains("secret"), "{}", ran.shown());
    }
    gap.source
        .fault(Fault::on("GET", "files/bundle", Effect::Answer(403, Vec::new(), String::new())).always());
    let ran = gap.try_import(&url, &[]);
    assert_eq!(ran.code, 4, "{}", ran.shown());
    assert_eq!(gap.destination.count("POST", "") + gap.destination.count("PUT", ""), 0);
}

#[test]
fn a_signed_address_leaves_nothing_of_its_signature_behind() {
    const QUERY: &str =
        "X-Amz-Credential=AKIA/20261128/eu/s3&X-Amz-Signature=geheim%2Fgeheim&X-Amz-Expires=3600";
    let mut gap = Gap::new();
    let (image, url) = published(&mut gap);
    let address = format!("{url}?{QUERY}");
    let reports = ["--report", "report.json", "--receipt", "receipt.json", "-v"];
    let clean = |ran: &crate::support::cli::Ran| {
        let files: Vec<(String, String)> = gap
            .files()
            .into_iter()
            .map(|name| (name.clone(), String::from_utf8_lossy(&gap.read(&name)).into_owned()))
            .collect();
        for secret in ["geheim", "AKIA", "X-Amz-Signature"] {
            assert!(!ran.shown().contains(secret), "{secret}: {}", ran.shown());
            for (name, content) in &files {
                assert!(!name.contains(secret) && !content.contains(secret), "{secret} in {name}: {content}");
            }
        }
    };
    // Each as it goes well.
    clean(&gap.import(&address, &reports));
    assert_whole(&gap.destination, "team/app", "1", &image);
    assert!(gap.files().iter().any(|name| name.ends_with(".values.yaml")), "{:?}", gap.files());
    for verb in ["inspect", "verify", "values", "mirrors"] {
        let destination = ["-d", "registry.example.com", "--for", "k3s"];
        let more = match verb {
            "values" => &destination[..2],
            "mirrors" => &destination[..],
            _ => &[],
        };
        clean(
            &gap.cli.run(
                &[
                    &[verb, &address],
                    more,
                    &["--format", "json"][..usize::from(verb != "values" && verb != "mirrors") * 2],
                ]
                .concat(),
            ),
        );
    }
    // And as the server refuses it and repeats what it was sent.
    let echo = r#"{"errors":[{"code":"DENIED","message":"geheim/geheim is not the signature of AKIA/20261128/eu/s3"}]}"#;
    gap.source
        .fault(Fault::on("GET", "files/bundle", Effect::Answer(403, Vec::new(), echo.to_owned())).always());
    for mode in ["plain", "json"] {
        let ran = gap.try_import(&address, &[&reports[..], &["--progress", mode, "--force"]].concat());
        assert_eq!(ran.code, 4, "{}", ran.shown());
        clean(&ran);
    }
    let ran = gap.try_import(&address.replace("http://", "https://"), &["--salvage"]);
    clean(&ran);
}

#[test]
fn what_changes_on_the_way_never_becomes_an_image() {
    let mut gap = Gap::new();
    let (_, url) = published(&mut gap);
    let name = url.split("/v2/").nth(1).unwrap().to_owned();
    gap.source.fault(Fault::on("GET", &name, Effect::Flip(100_000)).nth(3).always());
    let ran = gap.try_import(&url, &["--values", "v.yaml"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(gap.destination.manifest("team/app", "1").is_none());
}

#[test]
fn connections_that_break_are_made_again() {
    let mut gap = Gap::new();
    let (image, url) = published(&mut gap);
    let name = url.split("/v2/").nth(1).unwrap().to_owned();
    gap.source.fault(Fault::on("GET", &name, Effect::Cut(100_000)).nth(2));
    gap.source.fault(Fault::on("GET", &name, Effect::Drop).nth(4));
    gap.source.fault(Fault::status("GET", &name, 503).nth(5));
    let ran = gap.import(&url, &["--values", "v.yaml"]);
    assert_eq!(gap.source.faulted(), 3, "{}", ran.shown());
    assert_whole(&gap.destination, "team/app", "1", &image);
}

#[test]
fn a_server_that_stands_still_is_asked_again() {
    let mut gap = Gap::new();
    let (image, url) = published(&mut gap);
    let name = url.split("/v2/").nth(1).unwrap().to_owned();
    gap.source.fault(Fault::on("GET", &name, Effect::Stall(100_000)).nth(2));
    let ran = gap.import(&url, &["--values", "v.yaml", "--timeout", "1s"]);
    assert_eq!(gap.source.faulted(), 1, "{}", ran.shown());
    assert_whole(&gap.destination, "team/app", "1", &image);
}

/// Stores a login for `server` in `auth.json`, without asking it.
fn store_login(gap: &Gap, server: &TestRegistry) {
    let who = ["--username", "carrier", "--password-stdin", "--auth-file", "auth.json"];
    let ran = gap.fed(&[&["login", &server.host(), "--no-check"], &who[..]].concat(), b"secret\n");
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

/// The web server at another address: what is asked for there is sent on to `url`.
fn front(url: &str) -> TestRegistry {
    let front = TestRegistry::start();
    let on = || Effect::Answer(302, vec![("location", url.to_owned())], String::new());
    front.fault(Fault::on("GET", "/shop.tar.zst", on()).always());
    for suffix in [".sig", ".sigstore.json", ".approvals"] {
        let absent = Effect::Answer(404, Vec::new(), String::new());
        front.fault(Fault::on("GET", format!("/shop.tar.zst{suffix}"), absent).always());
    }
    front
}

#[test]
fn redirects_are_followed_and_logins_stay_behind() {
    let mut gap = Gap::new();
    let (image, url) = published(&mut gap);
    let front = front(&url);
    store_login(&gap, &front);
    let address = front.url("/shop.tar.zst?token=secret");
    let arguments = ["--values", "v.yaml", "--auth-file", "auth.json"];
    let ran = gap.import(&address, &arguments);
    assert_whole(&gap.destination, "team/app", "1", &image);
    assert!(front.log().iter().all(|request| request.query == "token=secret"), "a signed address");
    assert!(gap.source.log().iter().all(|request| request.header("authorization").is_none()));
    assert!(!ran.shown().contains("secret"), "{}", ran.shown());
    let round = TestRegistry::start();
    let on = Effect::Answer(307, vec![("location", round.url("/a"))], String::new());
    round.fault(Fault::on("GET", "/a", on).always());
    let ran = gap.try_import(&round.url("/a"), &["--retries", "1"]);
    assert!(ran.code == 5 && ran.stderr.contains("too many redirects"), "{}", ran.shown());
}

#[test]
fn a_web_server_gets_the_login_of_its_host() {
    let mut gap = Gap::new();
    let (image, _) = published(&mut gap);
    let users = htpasswd(gap.cli.folder(), "carrier", "secret");
    let closed = TestRegistry::start_with_users(&users);
    gap.export(&["-o", "out.tar.zst", "--force"]);
    let address = publish(&closed, &gap.read("out.tar.zst"));
    let ran = gap.try_import(&address, &["--values", "v.yaml"]);
    assert_eq!(ran.code, 4, "{}", ran.shown());
    assert!(ran.stderr.contains(&format!("bundle login --no-check {}", closed.host())), "{}", ran.shown());
    store_login(&gap, &closed);
    closed.forget();
    let ran = gap.import(&address, &["--values", "v.yaml", "--auth-file", "auth.json"]);
    assert_whole(&gap.destination, "team/app", "1", &image);
    assert!(!ran.shown().contains("secret"), "{}", ran.shown());
    let refused = closed.log().iter().filter(|request| request.header("authorization").is_none()).count();
    assert_eq!(refused, 1, "the login is offered at once after the first request");
}

#[test]
fn an_address_is_asked_for_signature_approval_and_rules_like_a_file() {
    let mut gap = Gap::new();
    let (image, stored) = published(&mut gap);
    let front = front(&stored);
    let url = front.url("/shop.tar.zst");
    // All of it in answer to a range, as Apache does with small files.
    let lies = |suffix: &str, text: String| {
        let length = vec![("content-length", text.len().to_string())];
        let there = Effect::Answer(200, length, text);
        front.fault(Fault::on("GET", format!("/shop.tar.zst{suffix}"), there).always());
    };
    let ran = gap.cli.run(&["keygen", "-o", "site", "--no-passphrase"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    std::fs::write(gap.path("policy.yaml"), "noRoot: true\n").unwrap();
    let signed = ["--verify-key", "site.pub"];
    let approved = ["--require-approval", "site.pub"];
    for (arguments, says) in
        [(signed, "is not signed"), (approved, "is not approved"), (["--policy", "policy.yaml"], "noRoot: ")]
    {
        let host = gap.destination.host();
        for command in [&["import", &url, "-d", &host][..], &["verify", &url]] {
            let ran = gap.cli.run(&[command, &arguments[..]].concat());
            assert!(ran.code == 3 && ran.stderr.contains(says), "{}", ran.shown());
        }
    }
    let ran = gap.cli.run(&["inspect", &url, "--verify-key", "site.pub"]);
    assert!(ran.code == 3 && ran.stderr.contains("is not signed"), "{}", ran.shown());
    assert!(gap.destination.log().is_empty());
    // What is said of it lies here, and then beside it.
    gap.export(&["-o", "out.tar.zst", "--force"]);
    for role in ["exporter", "approver"] {
        let ran = gap.cli.run(&["sign", "out.tar.zst", "--key", "site.key", "--role", role]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
    }
    let given = ["--signature", "out.tar.zst.sig", "--approvals", "out.tar.zst.approvals"];
    gap.import(&url, &[&signed[..], &approved, &given, &["--values", "v.yaml"]].concat());
    assert_whole(&gap.destination, "team/app", "1", &image);
    let text = |name: &str| String::from_utf8(gap.read(name)).unwrap();
    lies(".sig", text("out.tar.zst.sig"));
    let ran = gap.cli.run(&["inspect", &url, "--verify-key", "site.pub"]);
    assert!(ran.code == 0 && ran.stdout.contains("shop.tar.zst.sig"), "{}", ran.shown());
    lies(".approvals", text("out.tar.zst.approvals"));
    let ran = gap.cli.run(&[&["verify", &url], &signed[..], &approved].concat());
    assert!(ran.code == 0, "{}", ran.shown());
    // A signature of something else.
    let ran = gap.cli.run(&["keygen", "-o", "other", "--no-passphrase"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let ran = gap.cli.run(&["verify", &url, "--verify-key", "other.pub"]);
    assert!(ran.code == 3 && ran.stderr.contains("shop.tar.zst.sig"), "{}", ran.shown());
}
