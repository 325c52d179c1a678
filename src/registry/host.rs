//! What is known of one registry host: how to speak to it, its pace, its tokens, what it has refused before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use url::Url;

use super::auth::AuthState;
use super::body::Payload;
use super::error::{ErrorKind, RegistryError};
use super::http::Inner;
use super::pace::Pace;
use super::retry::RateLimit;
use super::stats::RequestKind;
use crate::app::unusable::Unusable;
use crate::image::{Digest, HostName};

/// A loopback server that does not answer a TLS greeting by then speaks plain HTTP.
const PROBE: Duration = Duration::from_secs(5);

/// One registry.
pub(super) struct Host {
    pub(super) name: HostName,
    pub(super) pace: Pace,
    pub(super) auth: AuthState,
    pub(super) requests: [AtomicU64; RequestKind::COUNT],
    pub(super) rate_limit: Mutex<Option<RateLimit>>,
    /// Seconds by which its clock is ahead of ours, as its last answer told.
    pub(super) clock_ahead: Mutex<Option<i64>>,
    /// The form of upload that worked last, an index into the upload ladder.
    pub(super) upload_rung: AtomicUsize,
    /// Uploads that were given up since the last one that worked.
    pub(super) lost_uploads: AtomicU32,
    /// A GET has confirmed a 404 that HEAD gave, so later ones are believed.
    pub(super) head_tells_absence: AtomicBool,
    /// Repositories, by path, where the referrers API is not to be had: a registry may route them to several servers.
    pub(super) without_referrers: Mutex<HashSet<String>>,
    /// One at a time writes the list of a repository's and subject's referrers.
    pub(super) fallback_lists: Mutex<HashMap<(String, Digest), FallbackList>>,
    scheme: OnceCell<&'static str>,
}

type FallbackList = Arc<tokio::sync::Mutex<()>>;

impl Host {
    pub(super) fn new(name: &HostName, jobs: usize) -> Self {
        Self {
            name: name.clone(),
            pace: Pace::new(jobs),
            auth: AuthState::default(),
            requests: Default::default(),
            rate_limit: Mutex::default(),
            clock_ahead: Mutex::default(),
            upload_rung: AtomicUsize::new(0),
            lost_uploads: AtomicU32::new(0),
            head_tells_absence: AtomicBool::new(false),
            without_referrers: Mutex::default(),
            fallback_lists: Mutex::default(),
            scheme: OnceCell::new(),
        }
    }

    /// An address of it says how it is spoken to: that need not be found out.
    pub(super) fn speaks(&self, url: &Url) {
        let _ = self.scheme.set(if url.scheme() == "https" { "https" } else { "http" });
    }
}

impl Inner {
    /// `https://<authority>/`, or `http://` where that is allowed: by name, or for loopback after TLS was tried.
    pub(super) async fn base(&self, host: &Host) -> Result<Url, RegistryError> {
        let scheme = host
            .scheme
            .get_or_try_init(|| async {
                if self.options.tls_only.contains(&host.name) {
                    Ok("https")
                } else if self.options.plain_http.contains(&host.name) {
                    Ok("http")
                } else if host.name.is_loopback() {
                    self.probe(host).await
                } else {
                    Ok("https")
                }
            })
            .await?;
        origin(host, scheme)
    }

    async fn probe(&self, host: &Host) -> Result<&'static str, RegistryError> {
        let ask = async |scheme| {
            let url = origin(host, scheme)?.join("/v2/");
            let url = url.map_err(|_| unusable(host))?;
            let exchange =
                self.transport.exchange(&url, Method::GET, HeaderMap::new(), &Payload::Empty, Some(host));
            let outcome = timeout(PROBE, exchange).await.unwrap_or(Err(ErrorKind::Stalled(PROBE)));
            Ok::<_, RegistryError>(outcome.map(drop))
        };
        match ask("https").await? {
            Ok(()) => return Ok("https"),
            // It speaks TLS. What is wrong with it is told by the request itself; never fall back from here.
            Err(ErrorKind::Certificate(_) | ErrorKind::Tls(_) | ErrorKind::Configuration(_)) => {
                return Ok("https");
            }
            Err(_) => {}
        }
        match ask("http").await? {
            Ok(()) => Ok("http"),
            Err(kind) => Err(RegistryError::new(&host.name, format!("registry {}", host.name), kind)),
        }
    }
}

fn origin(host: &Host, scheme: &str) -> Result<Url, RegistryError> {
    Url::parse(&format!("{scheme}://{}/", host.name.connect_authority())).map_err(|_| unusable(host))
}

fn unusable(host: &Host) -> RegistryError {
    let kind = ErrorKind::Configuration(Unusable::new("this host name cannot be part of a URL"));
    RegistryError::new(&host.name, format!("registry {}", host.name), kind)
}
