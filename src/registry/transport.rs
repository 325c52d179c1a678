//! One HTTP exchange: client per origin, request bodies that can be watched, answers that are read with bounds.
//!
//! No redirects, no retries, no authentication here. There is no total timeout; what is watched is progress.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use super::answer::Answer;
use super::authority::authority;
use super::body::{Payload, Transmission};
use super::error_kind::{ErrorKind, ProxyFault};
use super::exchange_failure::{classify, innermost, tunnel_error};
use super::known::KnownSecrets;
use super::pace::{RateLimiter, locked};
use super::proxy::{Proxy, ProxyRules};
use super::stats::Traffic;
use super::tls::TlsSettings;
use crate::app::unusable::Unusable;

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
    pub(super) clients: Mutex<HashMap<(String, bool), Route>>,
}

/// The way to one origin.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) client: reqwest::Client,
    proxy: Option<Arc<Proxy>>,
}

impl Route {
    /// What a failed exchange was: of the proxy, where there is one and it came to nothing there.
    pub(super) fn classify(&self, error: &reqwest::Error) -> ErrorKind {
        match (&self.proxy, classify(error)) {
            (Some(proxy), ErrorKind::Connect(why)) => {
                let fault = match tunnel_error(error).as_deref() {
                    Some("proxy authorization required") => ProxyFault::Login { given: proxy.has_login },
                    Some("unsuccessful") => ProxyFault::NoTunnel,
                    _ => ProxyFault::Unreachable(why),
                };
                ErrorKind::Proxy { proxy: proxy.name.clone(), fault }
            }
            (_, kind) => kind,
        }
    }

    /// What an answer is that comes from the proxy and not from where the request was for.
    fn refusal(&self, status: StatusCode) -> Option<ErrorKind> {
        let proxy = self.proxy.as_ref().filter(|_| status == StatusCode::PROXY_AUTHENTICATION_REQUIRED)?;
        let fault = ProxyFault::Login { given: proxy.has_login };
        Some(ErrorKind::Proxy { proxy: proxy.name.clone(), fault })
    }
}

impl Transport {
    /// Sends one request and waits for the head of its answer. `is_registry`: the URL is at that registry
    /// itself, not at a host it pointed to.
    pub(super) async fn exchange(
        &self,
        url: &Url,
        method: Method,
        mut headers: HeaderMap,
        payload: &Payload<'_>,
        is_registry: bool,
    ) -> Result<Answer, ErrorKind> {
        let route = self.route(url, is_registry)?;
        let length = payload.length();
        let has_body = method == Method::POST || method == Method::PUT || method == Method::PATCH;
        if has_body {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(authorization) = headers.get(AUTHORIZATION) {
            self.known.add_header(authorization);
        }
        let watch = Arc::new(Transmission::new(length == 0));
        let mut request = route.client.request(method, url.clone()).headers(headers);
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
        let response = outcome.map_err(|error| route.classify(&error))?;
        if let Some(kind) = route.refusal(response.status()) {
            return Err(kind);
        }
        let (traffic, known) = (Arc::clone(&self.traffic), Arc::clone(&self.known));
        Ok(Answer::new(url, response, self.stall, self.limiter.clone(), traffic, known))
    }

    /// The way to `url`; settings that cannot be used are an [`ErrorKind::Configuration`].
    pub(super) fn route(&self, url: &Url, is_registry: bool) -> Result<Route, ErrorKind> {
        let refuse = |why: String| ErrorKind::Configuration(Unusable::new(why));
        let authority = authority(url);
        let key = (format!("{}://{authority}", url.scheme()), is_registry);
        let mut clients = locked(&self.clients);
        if let Some(route) = clients.get(&key) {
            return Ok(route.clone());
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
        if url.scheme() == "https" || proxy.as_ref().is_some_and(|proxy| proxy.url.scheme() == "https") {
            let verify = !self.tls_no_verify.contains(&authority);
            let config = self.tls.config(&authority, verify, is_registry, self.http2);
            builder = builder.tls_backend_preconfigured(config.map_err(ErrorKind::Configuration)?);
        } else {
            // Without this, reqwest would go and read the system's roots.
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| refuse(format!("TLS cannot be set up: {error}")))?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            builder = builder.tls_backend_preconfigured(config);
        }
        if let Some(proxy) = &proxy {
            let through = reqwest::Proxy::all(proxy.url.clone());
            builder = builder.proxy(through.map_err(|_| refuse(format!("{} cannot be used", proxy.name)))?);
        }
        let client = builder.build().map_err(|error| refuse(innermost(&error)))?;
        let route = Route { client, proxy };
        clients.insert(key, route.clone());
        Ok(route)
    }
}
