//! Limits for clients: uploads, connections, time. No test here waits for a time to pass, or compares times.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use airgap_bundle::serve::{
    DirectoryStore, Limits, Notices, PaceLimits, ServeOptions, Store, UploadLimits, bind,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::support::client_builder;
use crate::support::registry::put;

/// Bytes of a layer that no buffer of a system holds.
const LARGE: usize = 24 << 20;
const GET: &str = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";

/// The status of the next answer, which is read as far as its head.
async fn status(stream: &mut TcpStream) -> u16 {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

async fn ask(stream: &mut TcpStream) -> u16 {
    stream.write_all(GET.as_bytes()).await.unwrap();
    let status = status(stream).await;
    assert_eq!(stream.read_exact(&mut [0; 2]).await.unwrap(), 2, "the body");
    status
}

/// Everything up to the end of the connection, which comes, however it is ended.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// The registry as it is served, on a port of its own.
struct Served {
    address: SocketAddr,
    url: String,
    client: Client,
    store: Arc<DirectoryStore>,
    _stop: oneshot::Sender<()>,
    _folder: TempDir,
}

impl Served {
    async fn start(uploads: UploadLimits) -> Self {
        Self::start_with(uploads, Limits::default(), None).await
    }

    async fn limited(limits: Limits) -> Self {
        Self::start_with(UploadLimits::default(), limits, None).await
    }

    async fn start_with(uploads: UploadLimits, limits: Limits, tls: Option<(PathBuf, PathBuf)>) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(std::time::Instant::now);
        let store = Arc::new(DirectoryStore::open_with(folder.path(), uploads, clock).unwrap());
        let address = "127.0.0.1:0".parse().unwrap();
        let notices = Notices::default();
        let options = ServeOptions { address, tls, htpasswd: None, read_only: false, notices, limits };
        let server = bind(options, Arc::clone(&store) as Arc<dyn Store>).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.run(async move { drop(stopped.await) }));
        // Each request has a connection of its own.
        let client = client_builder().pool_max_idle_per_host(0).build().unwrap();
        Self { address, url: format!("http://{address}"), client, store, _stop: stop, _folder: folder }
    }

    /// A connection from 127.0.0.`last`.
    async fn connect(&self, last: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// A connection with an upload under way: its head is there, its body is not.
    async fn busy(&self, last: u8, upload: &str) -> TcpStream {
        let mut stream = self.connect(last).await;
        let head = format!(
            "PATCH {upload} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 25];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    }

    async fn post(&self, path: &str) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-length", "0");
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }
}

#[tokio::test]
async fn uploads_of_a_client_and_of_all_are_bounded_and_the_answer_says_so() {
    let path = "/v2/a/blobs/uploads/";
    for (per_client, in_all, status, code) in [(2, 9, 429, "TOOMANYREQUESTS"), (9, 2, 503, "UNAVAILABLE")] {
        let served = Served::start(UploadLimits { per_client, in_all, ..UploadLimits::default() }).await;
        let first = served.post(path).await;
        assert_eq!((first.status.as_u16(), served.post(path).await.status.as_u16()), (202, 202));
        let refused = served.post(path).await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (status, code));
        assert!(refused.header("retry-after").parse::<u32>().is_ok());
        assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("2 uploads"));
        // A blob in one request takes a place too, and gives it back.
        let (bytes, digest) = (&b"blob"[..], Digest::sha256(b"blob"));
        let whole = format!("{}{path}?digest={digest}", served.url);
        let send = || served.client.post(&whole).body(bytes).send();
        assert_eq!(send().await.unwrap().status(), status);
        let upload = format!("{}{}", served.url, first.header("location"));
        assert_eq!(served.client.delete(upload).send().await.unwrap().status(), 204);
        for _ in 0..3 {
            assert_eq!(send().await.unwrap().status(), 201);
        }
        // A mount needs no upload.
        served.post(path).await;
        assert_eq!(served.post(&format!("/v2/b/blobs/uploads/?mount={digest}&from=a")).await.status, 201);
    }
}

#[tokio::test]
async fn idle_connections_make_way_for_others() {
    let limits = Limits { connections: 4, per_client: 3, ..Limits::default() };
    let served = Served::limited(limits).await;
    // One client takes all that it may have.
    let (mut first, mut second, mut third) =
        (served.connect(1).await, served.connect(1).await, served.connect(1).await);
    second.write_all(b"GET /v2/ HTTP/1.1\r\nHost").await.unwrap();
    let mut fourth = served.connect(1).await;
    assert_eq!(ask(&mut fourth).await, 200);
    assert_eq!(rest(&mut first).await, b"");
    assert_eq!(ask(&mut third).await, 200);
    // Others come in: into the room that is left, and then for who has waited longest.
    let mut other = served.connect(2).await;
    assert_eq!(ask(&mut other).await, 200);
    let mut another = served.connect(3).await;
    assert_eq!(ask(&mut another).await, 200);
    assert_eq!(rest(&mut second).await, b"");
    assert_eq!(ask(&mut other).await, 200);
    // However many there are.
    let many = futures_util::future::join_all((0..300).map(|_| served.connect(1))).await;
    assert_eq!(ask(&mut served.connect(4).await).await, 200);
    drop(many);
}

#[tokio::test]
async fn requests_under_way_are_not_broken_off_for_others() {
    let limits = Limits { connections: 2, per_client: 1, ..Limits::default() };
    let served = Served::limited(limits).await;
    let mut uploads = Vec::new();
    while uploads.len() < 2 {
        let opened = served.post("/v2/a/blobs/uploads/").await;
        // The connection of the one before may not have ended yet.
        uploads.extend((opened.status == 202).then(|| opened.header("location").to_owned()));
    }
    let mut busy = served.busy(1, &uploads[0]).await;
    let mut more = served.connect(1).await;
    more.write_all(GET.as_bytes()).await.unwrap();
    let refused = String::from_utf8(rest(&mut more).await).unwrap();
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("TOOMANYREQUESTS"), "{refused}");
    assert!(refused.contains("connection: close") && refused.contains("retry-after: "), "{refused}");
    // With all connections in use, the next client waits for one.
    let mut other = served.busy(2, &uploads[1]).await;
    let mut waits = served.connect(3).await;
    waits.write_all(GET.as_bytes()).await.unwrap();
    busy.write_all(b"blob").await.unwrap();
    assert_eq!(status(&mut busy).await, 202);
    assert_eq!(status(&mut waits).await, 200);
    other.write_all(b"blob").await.unwrap();
    assert_eq!(status(&mut other).await, 202);
}

#[tokio::test]
async fn a_request_has_to_begin_in_time() {
    let limits = Limits { waiting: Duration::from_millis(1), ..Limits::default() };
    let folder = TempDir::new().unwrap();
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, issued.cert.pem()).unwrap();
    std::fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
    for tls in [None, Some((chain, key))] {
        let tls_is_on = tls.is_some();
        let served = Served::start_with(UploadLimits::default(), limits, tls).await;
        // Nothing at all, the beginning of a head, and with TLS that of a handshake, or one that never ends.
        let begun = if tls_is_on { &b"\x16\x03\x01\x02\x00\x01"[..] } else { b"GET" };
        for begin in [&b""[..], b"GET /v2/ HTTP/1.1\r\nHost: x\r\n", begun] {
            let mut stream = served.connect(1).await;
            let _ = stream.write_all(begin).await;
            let answer = rest(&mut stream).await;
            assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        }
        let mut stream = served.connect(1).await;
        let drip = async {
            while stream.write_all(b"x").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        drip.await;
    }
}

/// Clients of a registry on loopback try TLS first, and would wait for its answer.
#[tokio::test]
async fn what_never_becomes_a_request_is_refused_at_once() {
    let served = Served::limited(Limits::default()).await;
    for greeting in [&b"\x16\x03\x01\x00\xe4\x01\x00\x00\xe0\x03\x03"[..], b"\0", b"\xff\xff", b"{}"] {
        let mut stream = served.connect(1).await;
        stream.write_all(greeting).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{greeting:?}: {answer:?}");
    }
}

#[tokio::test]
async fn bodies_that_come_too_slowly_are_refused_and_what_came_is_kept() {
    let pace = PaceLimits { patience: Duration::ZERO, least_rate: 1 };
    let served = Served::limited(Limits { pace, ..Limits::default() }).await;
    let upload = served.post("/v2/a/blobs/uploads/").await.header("location").to_owned();
    for (method, path) in [("PATCH", &*upload), ("PUT", "/v2/a/manifests/2")] {
        let mut stream = served.connect(1).await;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = String::from_utf8(rest(&mut stream).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("too slowly"), "{answer}");
    }
    let kept = served.client.get(format!("{}{upload}", served.url)).send().await.unwrap();
    assert_eq!(kept.headers()["range"], "0-9");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_left() {
    let pace = PaceLimits { patience: Duration::ZERO, least_rate: 1 };
    let served = Served::limited(Limits { pace, per_client: 1, ..Limits::default() }).await;
    let image = ImageSpec::new(1).layer(Layer::gzip(1, LARGE)).build();
    put(&served.store, "a", Some("1"), &image);
    let (digest, layer) = &image.blobs[1];
    let mut slow = served.connect(1).await;
    let get = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
    slow.write_all(get.as_bytes()).await.unwrap();
    assert_eq!(status(&mut slow).await, 200);
    // Its place is free again once it was left.
    while ask(&mut served.connect(1).await).await != 200 {}
    assert!(rest(&mut slow).await.len() < layer.len());
}

#[tokio::test]
async fn a_request_with_two_lengths_is_refused_wherever_it_stands() {
    let served = Served::limited(Limits::default()).await;
    let post = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n";
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    let both = format!("{post}{length}{chunked}\r\n0\r\n\r\n");
    let last = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let put = "PUT /v2/a/manifests/2 HTTP/1.1\r\nHost: x\r\n";
    for (text, statuses) in [
        (both.clone(), vec![400]),
        (format!("{post}{chunked}{length}\r\n0\r\n\r\n{GET}"), vec![400]),
        (format!("{post}{length}{length}\r\n12345"), vec![400]),
        (format!("{GET}{GET}{both}{GET}"), vec![200, 200, 400]),
        // Behind a body, and inside of one, where it is no request.
        (format!("{put}{length}\r\n12345{both}"), vec![400, 400]),
        (format!("{put}Content-Length: {}\r\n\r\n{both}{last}", both.len()), vec![400, 200]),
        // After a body whose end nobody has stated, the connection ends.
        (format!("{post}{chunked}\r\n0\r\n\r\n{GET}"), vec![202]),
        // Left to hyper.
        (format!("{post}Transfer-Encoding: chunked, gzip\r\n\r\n"), vec![400]),
        (format!("{post}Content-Length: x\r\n\r\n"), vec![400]),
        (format!("GET /v2/ HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(33 << 10)), vec![431]),
        (format!("GET /v2/ HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101)), vec![431]),
        (
            format!("GET /v2/{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "x".repeat(30 << 10)),
            vec![404],
        ),
    ] {
        let mut stream = served.connect(1).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let answers = String::from_utf8(rest(&mut stream).await).unwrap();
        let found: Vec<u16> =
            answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect();
        assert_eq!(found, statuses, "{}\n{answers}", &text[..text.len().min(400)]);
    }
}

#[tokio::test]
async fn a_request_has_exactly_one_host() {
    let served = Served::limited(Limits::default()).await;
    for (head, expected) in [
        ("GET /v2/ HTTP/1.1\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n", 400),
        ("GET /v2/ HTTP/1.1\r\nHost: x\r\n", 200),
        // Only HTTP/1.1 requires it.
        ("GET /v2/ HTTP/1.0\r\n", 200),
    ] {
        let mut stream = served.connect(1).await;
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        assert_eq!(status(&mut stream).await, expected, "{head}");
    }
}
