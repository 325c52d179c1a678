//! A registry on a disk without room: each request is refused with its reason, the registry goes on, and nothing is left
//! that keeps the disk full.

use std::process::Command;

use airgap_bundle::image::Digest;

use super::*;

impl Served {
    /// What a shell makes of `script`, with the program as `$0`, which serves the folder `registry`.
    fn in_shell(gap: &Gap, apart: bool, script: &str) -> Self {
        let like = gap.cli.command(&[]);
        let mut command = Command::new(if apart { "unshare" } else { "bash" });
        command.args(if apart { &["-rm", "bash"][..] } else { &[] });
        let serve = "exec $0 serve --address-file address --dir registry --address 127.0.0.1:0";
        command.args(["-c", &format!("{script}; {serve}"), env!("CARGO_BIN_EXE_bundle")]);
        command.current_dir(gap.cli.folder()).env_clear();
        command.envs(like.get_envs().filter_map(|(key, value)| Some((key, value?))));
        std::fs::create_dir(gap.path("registry")).unwrap();
        let mut run = Running::of(command);
        run.until("the address", || gap.path("address").exists());
        let address = String::from_utf8(gap.read("address")).unwrap();
        Self { run, address }
    }

    async fn send(&self, method: Method, path: &str, body: &[u8]) -> (u16, String, String) {
        let request = client().request(method, format!("http://{}{path}", self.address));
        let answer = request.body(body.to_vec()).send().await.unwrap();
        let location =
            answer.headers().get("location").map_or("", |value| value.to_str().unwrap()).to_owned();
        (answer.status().as_u16(), location, answer.text().await.unwrap())
    }

    /// Pushes a blob in one request.
    async fn push(&self, body: &[u8]) -> (u16, String) {
        let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::sha256(body));
        let (status, _, text) = self.send(Method::POST, &path, body).await;
        (status, text)
    }
}

fn is_no_space(status: u16, text: &str) {
    assert_eq!(status, 507, "{text}");
    let body: serde_json::Value = serde_json::from_str(text).unwrap();
    let message = body["errors"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("the registry has no space left: "), "{message}");
}

#[tokio::test]
async fn a_file_that_the_system_does_not_let_grow() {
    let gap = Gap::new();
    let mut served = Served::in_shell(&gap, false, "trap '' XFSZ; ulimit -f 1024");
    let (large, small) = (vec![7; 2 << 20], b"small");
    for _ in 0..2 {
        let (status, text) = served.push(&large).await;
        is_no_space(status, &text);
    }
    assert_eq!(served.push(small).await.0, 201);
    let uploads = std::fs::read_dir(gap.path("registry/uploads")).unwrap();
    assert_eq!(uploads.count(), 0, "what was refused is gone");
    served.run.signal(Signal::INT);
    let ran = served.run.wait();
    assert_eq!(ran.code, 0, "{}", ran.shown());
    // Clients may try as often as they like.
    assert_eq!(ran.stderr.matches("warning: the registry has no space left").count(), 1, "{}", ran.shown());
}

#[tokio::test]
async fn a_full_disk() {
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|ran| ran.status.success()) {
        eprintln!("skipped: this system gives nobody a mount of their own");
        return;
    }
    let gap = Gap::new();
    let mut served = Served::in_shell(&gap, true, "mount -t tmpfs -o size=1m none registry");
    assert_eq!(served.push(b"before").await.0, 201);
    let (status, upload, _) = served.send(Method::POST, "/v2/a/blobs/uploads/", b"").await;
    assert_eq!(status, 202);
    let (status, _, text) = served.send(Method::PATCH, &upload, &vec![7; 2 << 20]).await;
    is_no_space(status, &text);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{0}","manifests":[],"annotations":{{"x":"{1}"}}}}"#,
        airgap_bundle::image::media_type::OCI_INDEX,
        "x".repeat(600 << 10)
    );
    // However often it is tried, the room of what was refused is free again.
    for _ in 0..4 {
        let (status, _, text) = served.send(Method::PUT, "/v2/a/manifests/1", manifest.as_bytes()).await;
        is_no_space(status, &text);
        let (status, text) = served.push(&vec![8; 600 << 10]).await;
        is_no_space(status, &text);
    }
    let blob = format!("/v2/a/blobs/{}", Digest::sha256(b"before"));
    assert_eq!(served.get(&blob).await, (200, b"before".to_vec()));
    // What came of the upload was kept, and it goes when the client lets go of it.
    assert_eq!(served.send(Method::DELETE, &upload, b"").await.0, 204);
    let (status, _, text) = served.send(Method::PUT, "/v2/a/manifests/1", manifest.as_bytes()).await;
    assert_eq!(status, 201, "{text}");
    assert_eq!(served.get("/v2/a/manifests/1").await, (200, manifest.into_bytes()));
    served.run.signal(Signal::INT);
    let ran = served.run.wait();
    assert!(ran.code == 0 && ran.stderr.contains("no space left"), "{}", ran.shown());
}
