//! The client against servers that misbehave on purpose, on loopback.

mod auth;
mod hints;
mod plain_login;
mod proxies;
mod pull;
mod push;
mod rules;
mod secure;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};

use super::*;
use crate::image::{Algorithm, Digest, HostName, Repository};

/// A request as the server saw it.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    /// With its query.
    path: String,
    headers: axum::http::HeaderMap,
    body: Bytes,
    /// The body came to its stated end.
    complete: bool,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

/// A server that answers by a function and keeps a log.
#[derive(Clone)]
struct Fake {
    host: HostName,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    async fn start(answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string().parse().unwrap();
        let log: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (shared, answer) = (Arc::clone(&log), Arc::new(answer));
        let handler = move |request: Request<Body>| {
            let (log, answer) = (Arc::clone(&shared), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let (mut bytes, mut complete) = (Vec::new(), true);
                let mut body = body.into_data_stream();
                while let Some(chunk) = body.next().await {
                    match chunk {
                        Ok(chunk) => bytes.extend_from_slice(&chunk),
                        Err(_) => complete = false,
                    }
                }
                let seen = Seen {
                    method: parts.method.to_string(),
                    path: parts.uri.to_string(),
                    headers: parts.headers,
                    body: bytes.into(),
                    complete,
                };
                log.lock().unwrap().push(seen.clone());
                answer(&seen)
            }
        };
        let app = axum::Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { host, log }
    }

    fn repository(&self, path: &str) -> Repository {
        Repository::new(self.host.clone(), path).unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    fn seen(&self, method: &str, part: &str) -> Vec<Seen> {
        self.log.lock().unwrap().iter().filter(|seen| seen.is(method, part)).cloned().collect()
    }
}

/// A client that waits milliseconds and knows no files but those of the test.
fn client(change: impl FnOnce(&mut ClientOptions)) -> RegistryClient {
    let mut options = ClientOptions {
        backoff_base: Duration::from_millis(2),
        stall_timeout: Duration::from_millis(500),
        environment: Environment::default(),
        ..ClientOptions::default()
    };
    change(&mut options);
    RegistryClient::new(options)
}

fn plain() -> RegistryClient {
    client(|_| {})
}

fn status(code: u16) -> axum::http::response::Builder {
    Response::builder().status(code)
}

fn reply(code: u16, body: impl Into<Body>) -> Response<Body> {
    status(code).body(body.into()).unwrap()
}

/// A body that states `length`, sends `bytes` and breaks off.
fn cut(response: axum::http::response::Builder, length: usize, bytes: &[u8]) -> Response<Body> {
    let chunks = vec![Ok(Bytes::copy_from_slice(bytes)), Err(std::io::Error::other("cut"))];
    // The break must not overtake the bytes before it.
    let chunks = futures_util::stream::iter(chunks).then(async |chunk| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        chunk
    });
    response.header("content-length", length).body(Body::from_stream(chunks)).unwrap()
}

fn content(size: usize) -> Bytes {
    (0..size).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

/// Uploads from memory; checks the digest as the contract requires.
struct Memory {
    bytes: Bytes,
    digest: Digest,
}

impl Memory {
    fn new(bytes: &Bytes) -> Self {
        Self { bytes: bytes.clone(), digest: Digest::sha256(bytes) }
    }
}

impl BlobSource for Memory {
    fn open(&self, from: u64, length: u64) -> BoxStream<'static, Result<Bytes, SourceError>> {
        let (from, length) = (usize::try_from(from).unwrap(), usize::try_from(length).unwrap());
        let part = self.bytes.slice(from..from + length);
        let half = part.len() / 2;
        let last = if Digest::of(self.digest.algorithm(), &self.bytes) == self.digest {
            Ok(part.slice(half..))
        } else {
            Err(std::io::Error::other("the blob is damaged").into())
        };
        futures_util::stream::iter([Ok(part.slice(..half)), last]).boxed()
    }
}

#[tokio::test]
async fn servers_that_are_no_registry_are_told_apart() {
    let page = "<!doctype html><title>Welcome to nginx!</title>";
    let cases: [(u16, &str, &str, Result<PingOutcome, &str>); 6] = [
        (200, "text/html", page, Err("Welcome to nginx!")),
        (200, "application/json", "{}", Ok(PingOutcome::Registry { authenticated: false })),
        (200, "text/plain", "", Ok(PingOutcome::Registry { authenticated: false })),
        (401, "application/json", "{}", Ok(PingOutcome::NeedsLogin)),
        (403, "text/plain", "no", Ok(PingOutcome::Unclear { status: 403 })),
        (404, "text/html", page, Ok(PingOutcome::Unclear { status: 404 })),
    ];
    for (code, kind, body, expected) in cases {
        let fake = Fake::start(move |_| {
            let response = status(code).header("content-type", kind);
            let response =
                if code == 401 { response.header("www-authenticate", "Basic realm=x") } else { response };
            response.body(Body::from(body)).unwrap()
        })
        .await;
        match (plain().ping(&fake.host).await, expected) {
            (Ok(outcome), Ok(expected)) => assert_eq!(outcome, expected),
            (Err(error), Err(says)) => {
                assert_eq!(error.class(), ErrorClass::NotARegistry);
                assert!(error.to_string().contains(says), "{error}");
            }
            (outcome, _) => panic!("{code} {kind}: {outcome:?}"),
        }
    }
}

/// Callers run these in tasks of their own.
#[tokio::test]
async fn everything_can_be_spawned() {
    fn sendable<T: Send>(future: T) {
        drop(future);
    }
    let (client, repository) = (plain(), Repository::new("r.io".parse().unwrap(), "a").unwrap());
    let source = Memory::new(&content(1));
    let tag = ManifestTarget::Tag("v1".parse().unwrap());
    sendable(client.push_blob(&repository, &source.digest, 1, &source, Some(&repository)));
    sendable(client.mount_blob(&repository, &source.digest, &repository));
    sendable(client.head_manifest(&repository, &tag));
    sendable(client.referrers(&repository, &source.digest));
    sendable(client.tags(&repository));
    sendable(client.check_push_access(&repository));
    sendable(client.ping(repository.host()));
    sendable(async {
        let mut stream = client.blob(&(&repository).into(), &source.digest, 1, 0).await?;
        stream.next().await?;
        let mut upload = Upload::begin(&client, &repository, Algorithm::Sha256).await?;
        upload.append(Bytes::new()).await?;
        upload.finish(&source.digest).await
    });
}
