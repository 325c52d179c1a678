//! One HTTP exchange: client per origin, request bodies that can be watched, answers that are read with bounds.
//!
//! No redirects, no retries, no authentication here. There is no total timeout; what is watched is progress.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use url::Url;

use super::answer::Answer;
use super::body::{Payload, Transmission};
use super::error::ErrorKind;
use super::host::Host;
use super::known::KnownSecrets;
use super::pace::{RateLimiter, locked};
use super::proxy::ProxyRules;
use super::redact::clean;
use super::stats::Traffic;
use super::tls::{TlsSettings, explain};
use crate::image::HostName;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const POOL_IDLE: Duration = Duration::from_secs(30);

/// The sending side of one [`super::RegistryClient`].
pub(super) struct Transport {
    pub(super) tls: TlsSettings,
    pub(super) proxies: ProxyRules,
    pub(super) limiter: Option<Arc<RateLimiter>>,
    pub(super) traffic: Arc<Traffic>,
    /// What must not be shown when a server repeats it.
    pub(super) known: Arc<KnownSecrets>,
    pub(super) stall: Duration,
    pub(super) http2: bool,
    /// Authorities whose certificate is not looked at.
    pub(super) tls_no_verify: Vec<String>,
    /// Addresses of names that are known already.
    pub(super) addresses: Vec<(String, Vec<SocketAddr>)>,
    pub(super) clients: Mutex<HashMap<(String, bool), reqwest::Client>>,
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
        if let Some(authorization) = headers.get(AUTHORIZATION) {
            self.known.add_header(authorization);
        }
        let watch = Arc::new(Transmission::new(length == 0));
        let mut request = client.request(method, url.clone()).headers(headers);
        if has_body && length > 0 {
            request = request.body(payload.body(&watch, self.limiter.clone(), Arc::clone(&self.traffic)));
        }
        let outcome = tokio::select! {
            outcome = request.send() => outcome,
            stalled = watch.stalled(self.stall, length) => return Err(ErrorKind::Stalled(stalled)),
        };
        if let Some(error) = locked(&watch.source_error).take() {
            return Err(ErrorKind::Source(error));
        }
        let response = outcome.map_err(|error| classify(&error))?;
        let (traffic, known) = (Arc::clone(&self.traffic), Arc::clone(&self.known));
        Ok(Answer::new(url, response, self.stall, self.limiter.clone(), traffic, known))
    }

    pub(super) fn client(&self, url: &Url, is_registry: bool) -> Result<reqwest::Client, ErrorKind> {
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
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(concat!("bundle/", env!("CARGO_PKG_VERSION")))
            .http2_adaptive_window(true)
            // A dead HTTP/2 connection would be chosen again for every retry.
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_nodelay(true);
        for (name, addresses) in &self.addresses {
            builder = builder.resolve_to_addrs(name, addresses);
        }
        if !self.http2 {
            builder = builder.http1_only();
        }
        let proxy = self.proxies.proxy_for(url).map_err(ErrorKind::Configuration)?;
        if url.scheme() == "https" || proxy.as_ref().is_some_and(|proxy| proxy.scheme() == "https") {
            let verify = !self.tls_no_verify.contains(&authority);
            let config = self.tls.config(&authority, verify, is_registry, self.http2);
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
        let client = builder.build().map_err(|error| ErrorKind::Configuration(innermost(&error)))?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

/// `host` or `host:port`, as `certs.d` and `--tls-no-verify` name it.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The authority of an https URL to `host`, where the standard port is not written.
pub(super) fn tls_authority(host: &HostName) -> String {
    let authority = host.connect_authority();
    authority.strip_suffix(":443").unwrap_or(authority).to_owned()
}

/// What a failed exchange was.
pub(super) fn classify(error: &reqwest::Error) -> ErrorKind {
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

/// The TLS failure among the causes of `error`. An I/O error hides what it wraps from `source`, and may wrap
/// another I/O error.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
        && let Some(tls) = tls_error(inner)
    {
        return Some(tls);
    }
    error.source().and_then(tls_error)
}

/// The last cause, which is the one that tells something; outer ones repeat the URL.
fn innermost(error: &dyn StdError) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    clean(&current.to_string(), 200)
}
