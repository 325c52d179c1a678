//! Hostile input, limits, logins, crashes, faults, and a foreign client.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use airgap_bundle::serve::{DirectoryStore, Limits, Notices, ServeOptions, bind};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tempfile::TempDir;

use super::*;
use crate::support::client_builder;

/// The status of a request whose target goes out exactly as written.
fn raw_status(registry: &TestRegistry, method: &str, target: &str) -> u16 {
    let mut stream = TcpStream::connect(registry.host()).unwrap();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn no_path_leads_out_of_the_store() {
    let registry = TestRegistry::start();
    registry.put_image("a", "1", &images::image(1));
    let before = std::fs::read_dir(registry.folder().parent().unwrap()).unwrap().count();
    for target in [
        "/v2/../../etc/manifests/passwd",
        "/v2/a/manifests/..%2f..%2f..%2flock",
        "/v2/%2e%2e/manifests/1",
        "/v2/a/blobs/sha256:..%2f..%2flock",
        "/v2/a/blobs/uploads/..%2flock",
        "/v2/a/blobs/uploads/..",
        "/v2/a/_manifests/manifests/x",
        "/v2/_blobs/tags/list",
        "/v2/a%00b/manifests/1",
        "/v2//manifests/1",
        "/v2/a/referrers/sha256:..%2f..",
        "/v2/a/manifests/%",
    ] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "POST"] {
            let status = raw_status(&registry, method, target);
            assert!((400..500).contains(&status), "{method} {target}: {status}");
        }
    }
    assert_eq!(std::fs::read_dir(registry.folder().parent().unwrap()).unwrap().count(), before);
    assert!(registry.manifest("a", "1").is_some());
}

/// In KiB; the highest the process has ever had.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs in a process of its own, since the peak is that of all tests in the process.
#[test]
fn memory_does_not_grow_with_the_blob() {
    let name = "serve::hostile::a_large_blob_comes_and_goes";
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args(["--exact", "--ignored", name]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn a_large_blob_comes_and_goes() {
    const PIECES: usize = 384;
    let talk = Talk::start();
    let piece = Bytes::from(vec![7; 1 << 20]);
    let mut hasher = airgap_bundle::image::Hasher::new(Algorithm::Sha256);
    (0..PIECES).for_each(|_| hasher.update(&piece));
    let digest = hasher.finish();
    let before = peak_memory();
    let upload = talk.upload("a").await;
    let body = stream::iter(std::iter::repeat_n(piece, PIECES)).map(Ok::<_, std::io::Error>);
    let url = talk.registry.url(&format!("{upload}?digest={digest}"));
    let put = talk.client.put(url).body(reqwest::Body::wrap_stream(body)).send().await.unwrap();
    assert_eq!(put.status(), 201);
    let got = talk.client.get(talk.registry.url(&format!("/v2/a/blobs/{digest}"))).send().await.unwrap();
    let mut hasher = airgap_bundle::image::Hasher::new(Algorithm::Sha256);
    let mut frames = got.bytes_stream();
    while let Some(frame) = frames.next().await {
        hasher.update(&frame.unwrap());
    }
    assert_eq!(hasher.finish(), digest);
    let grown = peak_memory() - before;
    assert!(grown < 96 << 10, "{grown} KiB");
}

#[tokio::test]
async fn logins_are_asked_for_and_checked() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("htpasswd");
    std::fs::write(&file, format!("# users\nanna:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let registry = TestRegistry::start_with_users(&file);
    let ask = |user: &'static str, password: &'static str| {
        client().get(registry.url("/v2/")).basic_auth(user, Some(password)).send()
    };
    let refused = client().get(registry.url("/v2/")).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
    for (user, password, status) in
        [("anna", "secret", 200), ("anna", "secret", 200), ("anna", "wrong", 401), ("otto", "secret", 401)]
    {
        assert_eq!(ask(user, password).await.unwrap().status(), status, "{user}:{password}");
    }
    std::fs::write(&file, "anna:secret\n").unwrap();
    let error = airgap_bundle::serve::Users::from_htpasswd(&file).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("bcrypt") && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn tls_read_only_and_a_clean_stop() {
    let folder = TempDir::new().unwrap();
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, issued.cert.pem()).unwrap();
    std::fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
    let store = Arc::new(DirectoryStore::open(folder.path().join("store")).unwrap());
    let address = "127.0.0.1:0".parse().unwrap();
    let options = ServeOptions {
        address,
        tls: Some((chain, key)),
        htpasswd: None,
        read_only: true,
        notices: Notices::default(),
        limits: Limits::default(),
    };
    let server = bind(options, store).await.unwrap();
    let address = server.local_addr();
    let url = format!("https://{address}/v2/");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let trusted = reqwest::Certificate::from_pem(issued.cert.pem().as_bytes()).unwrap();
    let client = client_builder().tls_certs_only([trusted]).build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    let refused = client.post(format!("{url}a/blobs/uploads/")).send().await.unwrap();
    assert_eq!(refused.status(), 405);
    drop(client);
    // Whoever has begun a handshake, and leaves it at that, is not waited for.
    let mut silent = TcpStream::connect(address).unwrap();
    silent.write_all(b"\x16").unwrap();
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let talk = Talk::start();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 300_000)).build();
    talk.registry.put_image("a", "1", &image);
    let (digest, bytes) = &image.blobs[1];
    let path = format!("/v2/a/blobs/{digest}");
    let fetch = |range: Option<&'static str>| {
        let request = talk.client.get(talk.registry.url(&path)).timeout(Duration::from_millis(800));
        let request = range.into_iter().fold(request, |request, range| request.header("range", range));
        async { request.send().await?.bytes().await }
    };
    for effect in [Effect::Drop, Effect::Cut(1000), Effect::Stall(1000)] {
        talk.registry.fault(Fault::on("GET", "/blobs/", effect));
        assert!(fetch(None).await.is_err());
        assert_eq!(fetch(None).await.unwrap(), bytes);
        talk.registry.heal();
    }
    talk.registry.fault(Fault::on("GET", "/blobs/", Effect::Flip(299_999)).nth(2));
    assert_eq!(fetch(None).await.unwrap(), bytes);
    let flipped = fetch(None).await.unwrap();
    assert_eq!((&flipped[..299_999], flipped[299_999]), (&bytes[..299_999], !bytes[299_999]));
    talk.registry.fault(Fault::on("GET", "/blobs/", Effect::IgnoreRange));
    assert_eq!(fetch(Some("bytes=5-")).await.unwrap().len(), 300_000);
    talk.registry
        .fault(Fault::on("*", "/manifests/", Effect::Header("docker-content-digest", None)).always());
    talk.registry.fault(Fault::status("GET", "/v2/a/manifests/1", 429).times(1));
    assert_eq!(talk.get("/v2/a/manifests/1").await.status, 429);
    let nameless = talk.get("/v2/a/manifests/1").await;
    assert_eq!((nameless.status.as_u16(), nameless.header("docker-content-digest")), (200, ""));
    assert_eq!(talk.registry.blob_gets()[digest], 9);
    assert_eq!(talk.registry.log().last().unwrap().sent(), image.manifest.len() as u64);
}

/// A client that others wrote. Without `skopeo` there is nothing to try.
#[test]
fn skopeo_pushes_and_pulls() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        return;
    }
    let registry = TestRegistry::start();
    let image = ImageSpec::new(1).layer(Layer::tar(1, 50_000)).layer(Layer::tar(2, 100)).build();
    registry.put_image("a/blobs/x", "1", &image);
    let folder = TempDir::new().unwrap();
    let layout = format!("oci:{}:1", folder.path().join("layout").display());
    let copy = |from: &str, to: &str| {
        let flags = ["copy", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"];
        let output = Command::new("skopeo")
            .args(flags)
            .args(["--all", "--preserve-digests", from, to])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    copy(&format!("docker://{}/a/blobs/x:1", registry.host()), &layout);
    copy(&layout, &format!("docker://{}/pushed/y:2", registry.host()));
    assert_eq!(registry.manifest_digest("pushed/y", "2"), Some(image.digest));
    let index = images::multi_platform(7);
    registry.put_image("many", "1", &index);
    copy(
        &format!("docker://{}/many:1", registry.host()),
        &format!("docker://{}/copied/many:1", registry.host()),
    );
    assert_eq!(registry.manifest_digest("copied/many", "1"), Some(index.digest));
    assert_eq!(registry.log().iter().filter(|one| one.status.is_some_and(|status| status >= 500)).count(), 0);
}
