//! One HTTP exchange: client per origin, request bodies that can be watched, answers that are read with bounds.
//!
//! No redirects, no retries, no authentication here. There is no total timeout; what is watched is progress.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt as _};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;

use super::BlobSource;
use super::error::{ErrorKind, SourceError, StatusAnswer};
use super::host::Host;
use super::pace::{Permit, RateLimiter, locked};
use super::proxy::ProxyRules;
use super::redact::{clean, masked, page_title};
use super::retry::{self, RateLimit};
use super::stats::Traffic;
use super::tls::{TlsSettings, explain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const POOL_IDLE: Duration = Duration::from_secs(30);
/// For errors, tokens and small JSON.
pub(super) const SMALL_BODY: usize = 64 * 1024;
/// In-memory bodies are handed over in such pieces, so that progress shows.
const PIECE: usize = 64 * 1024;
/// Object stores hash a body before they answer; this is a slow one's speed.
const SLOWEST_HASHING: u64 = 8 * 1024 * 1024;

/// The sending side of one [`super::RegistryClient`].
pub(super) struct Transport {
    pub(super) tls: TlsSettings,
    pub(super) proxies: ProxyRules,
    pub(super) limiter: Option<Arc<RateLimiter>>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) stall: Duration,
    pub(super) http1_only: bool,
    /// Authorities whose certificate is not looked at.
    pub(super) tls_no_verify: Vec<String>,
    pub(super) clients: Mutex<HashMap<(String, bool), reqwest::Client>>,
}

/// A request body that can be sent again.
#[derive(Clone)]
pub(super) enum Payload<'a> {
    Empty,
    Bytes(Bytes),
    Source {
        source: &'a dyn BlobSource,
        from: u64,
        length: u64,
    },
}

impl Payload<'_> {
    fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Source { length, .. } => *length,
        }
    }
}

impl Transport {
    /// Sends one request and waits for the head of its answer. `registry`: set if the URL is at that registry
    /// itself, not at a host it pointed to.
    pub(super) async fn exchange(
        &self,
        url: &Url,
        method: Method,
        mut headers: HeaderMap,
        payload: &Payload<'_>,
        registry: Option<&Host>,
    ) -> Result<Answer, ErrorKind> {
        let client = self.client(url, registry.is_some())?;
        let length = payload.length();
        let has_body = method == Method::POST || method == Method::PUT || method == Method::PATCH;
        if has_body {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let watch = Arc::new(Transmission::new(length == 0));
        let mut request = client.request(method, url.clone()).headers(headers);
        if has_body && length > 0 {
            request = request.body(self.body(payload, &watch));
        }
        let outcome = tokio::select! {
            outcome = request.send() => outcome,
            stalled = watch.stalled(self.stall, length) => return Err(ErrorKind::Stalled(stalled)),
        };
        if let Some(error) = locked(&watch.source_error).take() {
            return Err(ErrorKind::Source(error));
        }
        let response = outcome.map_err(|error| classify(&error))?;
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            url: url.clone(),
            response,
            stall: self.stall,
            limiter: self.limiter.clone(),
            traffic: Arc::clone(&self.traffic),
            permit: None,
            proof_origin: None,
        })
    }

    fn client(&self, url: &Url, is_registry: bool) -> Result<reqwest::Client, ErrorKind> {
        let authority = authority(url);
        let key = (format!("{}://{authority}", url.scheme()), is_registry);
        let mut clients = locked(&self.clients);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(concat!("bundle/", env!("CARGO_PKG_VERSION")))
            .http2_adaptive_window(true)
            .tcp_nodelay(true);
        if self.http1_only {
            builder = builder.http1_only();
        }
        let proxy = self.proxies.proxy_for(url).map_err(ErrorKind::Configuration)?;
        if url.scheme() == "https" || proxy.as_ref().is_some_and(|proxy| proxy.scheme() == "https") {
            let verify = !self.tls_no_verify.contains(&authority);
            let config = self.tls.config(&authority, verify, is_registry, self.http1_only);
            builder = builder.tls_backend_preconfigured(config.map_err(ErrorKind::Configuration)?);
        } else {
            // Without this, reqwest would go and read the system's roots.
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| ErrorKind::Configuration(format!("TLS cannot be set up: {error}")))?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            builder = builder.tls_backend_preconfigured(config);
        }
        if let Some(proxy) = proxy {
            let refuse =
                |_| ErrorKind::Configuration("the proxy of the environment cannot be used".to_owned());
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(refuse)?);
        }
        let client = builder
            .build()
            .map_err(|error| ErrorKind::Configuration(innermost(&error)))?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn body(&self, payload: &Payload<'_>, watch: &Arc<Transmission>) -> reqwest::Body {
        let length = payload.length();
        let stream: BoxStream<'static, Result<Bytes, SourceError>> = match payload {
            Payload::Empty => futures_util::stream::empty().boxed(),
            Payload::Bytes(bytes) => {
                let pieces = futures_util::stream::unfold(bytes.clone(), |mut rest| async move {
                    let piece = rest.split_to(rest.len().min(PIECE));
                    (!piece.is_empty()).then_some((Ok(piece), rest))
                });
                pieces.boxed()
            }
            Payload::Source { source, from, length } => source.open(*from, *length),
        };
        let start = Sending {
            stream,
            left: length,
            watch: Arc::clone(watch),
            limiter: self.limiter.clone(),
            traffic: Arc::clone(&self.traffic),
        };
        reqwest::Body::wrap_stream(futures_util::stream::unfold(Some(start), |sending| async move {
            let mut sending = sending?;
            match sending.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(sending))),
                Ok(None) => None,
                Err(error) => {
                    // The body must end in an error, or the wire would see a complete request.
                    *locked(&sending.watch.source_error) = Some(error);
                    Some((Err(std::io::Error::other("upload source failed")), None))
                }
            }
        }))
    }
}

/// The state of a body on its way out.
struct Sending {
    stream: BoxStream<'static, Result<Bytes, SourceError>>,
    left: u64,
    watch: Arc<Transmission>,
    limiter: Option<Arc<RateLimiter>>,
    traffic: Arc<Traffic>,
}

impl Sending {
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            self.watch.enter(Phase::Source);
            let Some(bytes) = self.stream.next().await.transpose()? else {
                if self.left > 0 {
                    return Err(format!("the content ended {} bytes early", self.left).into());
                }
                self.watch.enter(Phase::Answer);
                return Ok(None);
            };
            let length = bytes.len() as u64;
            if length == 0 {
                continue;
            }
            self.left = self
                .left
                .checked_sub(length)
                .ok_or("the content is longer than stated")?;
            if let Some(limiter) = &self.limiter {
                limiter.take(bytes.len()).await;
            }
            self.traffic.sent.fetch_add(length, Ordering::Relaxed);
            // With the last byte out of our hands, what follows is the wait for the answer.
            self.watch.enter(if self.left == 0 {
                Phase::Answer
            } else {
                Phase::Network
            });
            return Ok(Some(bytes));
        }
    }
}

/// What a request is waiting for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For our own data: no fault of the network.
    Source,
    Network,
    Answer,
}

/// Watches a request for standing still.
struct Transmission {
    phase: Mutex<(Phase, Instant)>,
    source_error: Mutex<Option<SourceError>>,
}

impl Transmission {
    fn new(is_empty: bool) -> Self {
        let phase = if is_empty { Phase::Answer } else { Phase::Network };
        Self {
            phase: Mutex::new((phase, Instant::now())),
            source_error: Mutex::new(None),
        }
    }

    fn enter(&self, phase: Phase) {
        *locked(&self.phase) = (phase, Instant::now());
    }

    /// Returns when nothing has moved for too long.
    async fn stalled(&self, stall: Duration, length: u64) -> Duration {
        loop {
            let (phase, since) = *locked(&self.phase);
            let patience = match phase {
                Phase::Answer => stall + Duration::from_secs(length / SLOWEST_HASHING),
                Phase::Source | Phase::Network => stall,
            };
            sleep_until((since + patience).max(Instant::now() + Duration::from_millis(10))).await;
            if phase != Phase::Source && *locked(&self.phase) == (phase, since) {
                return patience;
            }
        }
    }
}

/// The answer to a request; its body is still to be read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The URL that answered.
    pub(super) url: Url,
    pub(super) permit: Option<Permit>,
    /// Where the credentials of the request came from, if it had any.
    pub(super) proof_origin: Option<String>,
    response: reqwest::Response,
    stall: Duration,
    limiter: Option<Arc<RateLimiter>>,
    traffic: Arc<Traffic>,
}

impl Answer {
    /// The next piece of the body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ErrorKind> {
        let chunk = timeout(self.stall, self.response.chunk())
            .await
            .map_err(|_| ErrorKind::Stalled(self.stall))?
            .map_err(|error| classify(&error))?;
        if let Some(bytes) = &chunk {
            self.traffic
                .received
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if let Some(limiter) = &self.limiter {
                limiter.take(bytes.len()).await;
            }
        }
        Ok(chunk)
    }

    /// The whole body, if it is not larger than `cap`.
    pub(super) async fn read(mut self, cap: usize) -> Result<Bytes, ErrorKind> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > cap {
                return Err(ErrorKind::Content(format!(
                    "the answer is larger than {cap} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The length the head of the answer states.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type, without parameters.
    pub(super) fn media_type(&self) -> Option<&str> {
        let value = self.header(CONTENT_TYPE.as_str())?;
        Some(value.split(';').next().unwrap_or(value).trim())
    }

    pub(super) fn is_html(&self) -> bool {
        self.media_type()
            .is_some_and(|t| t.eq_ignore_ascii_case("text/html"))
    }

    /// The error that an answer with an unwelcome status stands for.
    pub(super) async fn into_refusal(mut self, credentials_from: Option<String>) -> ErrorKind {
        let status = self.status.as_u16();
        let (retry_after, rate_limit) = (retry::retry_after(&self.headers), RateLimit::of(&self.headers));
        let url = masked(&self.url);
        let mut body = BytesMut::new();
        // What can be had of the explanation is enough; a failure here must not hide the status.
        while let Ok(Some(chunk)) = self.chunk().await {
            let room = SMALL_BODY - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() >= SMALL_BODY {
                break;
            }
        }
        let (code, text) = explanation(&body);
        ErrorKind::Status(StatusAnswer {
            status,
            code,
            text,
            url,
            retry_after,
            rate_limit,
            credentials_from,
        })
    }
}

/// The first error code and the words of an error body: registry JSON, an HTML page's title, or plain text.
pub(super) fn explanation(body: &[u8]) -> (Option<String>, String) {
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
        let first = value
            .get("errors")
            .and_then(|errors| errors.get(0))
            .unwrap_or(&value);
        let field = |key: &str| first.get(key).and_then(serde_json::Value::as_str);
        let code = field("code").filter(|code| {
            code.len() <= 64
                && code
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        });
        let words = field("message")
            .or_else(|| field("error_description"))
            .or_else(|| field("error"));
        let words = words.or_else(|| field("details")).unwrap_or_default();
        let detail = first
            .get("detail")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        return (code.map(str::to_owned), clean(&format!("{words} {detail}"), 300));
    }
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with('<') {
        return (
            None,
            page_title(&text).map_or(String::new(), |title| format!("HTML page {title:?}")),
        );
    }
    (None, clean(&text, 300))
}

/// `host` or `host:port`, as `certs.d` and `--tls-no-verify` name it.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn classify(error: &reqwest::Error) -> ErrorKind {
    if let Some(tls) = tls_error(error) {
        return match tls {
            rustls::Error::InvalidCertificate(why) => ErrorKind::Certificate(explain(why)),
            rustls::Error::InvalidMessage(_) => ErrorKind::NotTls,
            other => ErrorKind::Tls(clean(&other.to_string(), 200)),
        };
    }
    let why = innermost(error);
    if error.is_builder() {
        ErrorKind::Configuration(why)
    } else if error.is_connect() {
        ErrorKind::Connect(why)
    } else {
        ErrorKind::Broken(why)
    }
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut current: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = current {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An I/O error hides the error it wraps from `source`.
        if let Some(inner) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            && let Some(tls) = inner.downcast_ref::<rustls::Error>()
        {
            return Some(tls);
        }
        current = error.source();
    }
    None
}

/// The last cause, which is the one that tells something; outer ones repeat the URL.
fn innermost(error: &dyn StdError) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    clean(&current.to_string(), 200)
}
