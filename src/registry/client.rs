//! The client: its options, and the state that all its registries share. Each kind of request has a file of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use url::Url;

use super::auth_file;
use super::authority::tls_authority;
use super::credentials::CredentialStore;
use super::error_kind::ErrorKind;
use super::http::Inner;
use super::options::ClientOptions;
use super::pace::{RateLimiter, locked};
use super::proxy::ProxyRules;
use super::sessions::Sessions;
use super::stats::{Stats, Traffic};
use super::tls::TlsSettings;
use super::transport::Transport;
use super::warnings::Warnings;
use crate::app::unusable::Unusable;
use crate::image::HostName;

/// A client for any number of registries. Clones share connections, tokens, pace and counters.
#[derive(Clone)]
pub struct RegistryClient(pub(super) Arc<Inner>);

impl RegistryClient {
    /// A client with `options`. Reads no file and sends nothing yet.
    pub fn new(options: ClientOptions) -> Self {
        let (environment, warnings) = (&options.environment, Warnings::default());
        let transport = Transport {
            tls: TlsSettings::new(
                options.ca_files.clone(),
                options.client_cert.clone(),
                environment,
                warnings.clone(),
            ),
            proxies: ProxyRules::from_environment(environment, &warnings),
            limiter: options.limit_rate.map(|rate| Arc::new(RateLimiter::new(rate))),
            traffic: Arc::new(Traffic::default()),
            known: Arc::default(),
            stall: options.stall_timeout,
            http2: options.http2,
            tls_no_verify: options.tls_no_verify.iter().map(tls_authority).collect(),
            addresses: options.addresses.clone(),
            clients: Mutex::default(),
        };
        for given in &options.given {
            transport.known.add(&given.password);
        }
        let store = CredentialStore::new(
            options.given.clone(),
            options.auth_file.clone(),
            options.last_resort.clone(),
            environment.clone(),
        );
        let hosts = Mutex::new(HashMap::new());
        let sessions = std::sync::OnceLock::new();
        Self(Arc::new(Inner {
            options,
            transport,
            store,
            hosts,
            warnings,
            sessions,
            fetched: Mutex::default(),
        }))
    }

    /// Whether the settings that matter for `hosts` can be used: certificate authorities, client certificates, the
    /// credentials file that was named, proxies. Reads files and sends nothing.
    pub fn check_settings(&self, hosts: &[HostName]) -> Result<(), Unusable> {
        let Inner { options, transport, .. } = &*self.0;
        transport.tls.check()?;
        if let Some(file) = &options.auth_file {
            auth_file::read(file)?;
        }
        for host in hosts.iter().filter(|host| !host.is_loopback()) {
            let scheme = if options.plain_http.contains(host) { "http" } else { "https" };
            // If this is not a URL, the request reports it.
            if let Ok(url) = Url::parse(&format!("{scheme}://{}/", host.connect_authority()))
                && let Err(ErrorKind::Configuration(unusable)) = transport.route(&url, true)
            {
                return Err(unusable);
            }
        }
        Ok(())
    }

    /// Records large uploads in `sessions`, and resumes the recorded ones. Only the first call has an effect.
    pub fn keep_sessions(&self, sessions: Sessions) {
        let _ = self.0.sessions.set(sessions);
    }

    /// All uploads are done, so there is nothing to resume.
    pub fn uploads_finished(&self) {
        if let Some(sessions) = self.0.sessions.get() {
            sessions.finished();
        }
    }

    /// Maximum rate over all streams, in bytes per second.
    pub fn limit_rate(&self) -> Option<u64> {
        self.0.options.limit_rate
    }

    /// What has gone over the wire so far.
    pub fn stats(&self) -> Stats {
        let traffic = &self.0.transport.traffic;
        let mut hosts: Vec<_> = locked(&self.0.hosts).values().map(|host| host.stats()).collect();
        hosts.sort_by(|a, b| a.host.cmp(&b.host));
        Stats {
            bytes_sent: traffic.sent.load(Ordering::Relaxed),
            bytes_received: traffic.received.load(Ordering::Relaxed),
            hosts,
        }
    }

    /// The distinct warnings about registries and settings since the last call.
    pub fn take_warnings(&self) -> Vec<String> {
        self.0.warnings.take()
    }
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryClient").field("options", &self.0.options).finish_non_exhaustive()
    }
}
