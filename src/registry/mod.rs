//! Registries: the only module that sends HTTP (OCI distribution-spec, as real registries speak it).
//!
//! It moves bytes and says what happened; what to move is decided elsewhere. Passing failures are repeated here
//! and nowhere else. Refused: content that is not what its digest or size says, credentials over a less safe
//! connection than the registry's, and anything unbounded. Invariants: a secret is never shown, a blob or
//! manifest that fails its own check is never committed, and no request is under way without a permit.

mod answer;
mod auth;
mod auth_file;
mod blobs;
mod body;
mod certificates;
mod challenge;
mod credentials;
mod environment;
mod error;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod held;
mod helper;
mod hint;
mod host;
mod http;
mod known;
mod listing;
mod location;
mod login;
mod manifests;
mod operator;
mod options;
mod pace;
mod ping;
mod proxy;
mod push;
mod redact;
mod referrers;
mod retry;
mod sessions;
mod stats;
mod tls;
mod token;
mod transport;
mod upload;
mod warnings;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

pub use blobs::{BlobPlace, BlobStream};
pub use credentials::{CredentialProvider, GivenCredentials};
pub use environment::Environment;
pub use error::{
    About, BadCertificate, CertificateCause, ErrorClass, ErrorKind, ProxyFault, RegistryError, SourceError,
    StatusAnswer,
};
pub use held::{Held, HeldContent, HeldStore};
pub use login::{StoreError, remove_login, store_login};
pub use manifests::{FetchedManifest, GivenOut, ManifestTarget, PutManifest};
pub use options::ClientOptions;
pub use pace::HEADS_PER_JOB;
pub use ping::PingOutcome;
pub use proxy::ProxyName;
pub use push::Pushed;
pub use referrers::Referrers;
pub use retry::RateLimit;
pub use sessions::Sessions;
pub use stats::{HostStats, Stats};
pub use upload::Upload;

use crate::app::unusable::Unusable;
use crate::image::{Digest, HostName};
use credentials::CredentialStore;
use http::Inner;
use pace::{RateLimiter, locked};
use proxy::ProxyRules;
use stats::Traffic;
use tls::TlsSettings;
use transport::Transport;
use warnings::Warnings;

/// Where the bytes of an upload come from; it can be opened again as often as the network needs it.
///
/// The stream yields an error *instead of* its last chunk when the content is not what its digest says: a
/// request that ends in an error is never complete, so nothing wrong is ever committed.
pub trait BlobSource: Send + Sync {
    /// The `length` bytes from `from` on.
    fn open(&self, from: u64, length: u64) -> BoxStream<'static, Result<Bytes, SourceError>>;
}

/// A client for any number of registries. Clones share connections, tokens, pace and counters.
#[derive(Clone)]
pub struct RegistryClient(Arc<Inner>);

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
            tls_no_verify: options.tls_no_verify.iter().map(transport::tls_authority).collect(),
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
            // Where this is not a URL, the request will say so.
            if let Ok(url) = Url::parse(&format!("{scheme}://{}/", host.connect_authority()))
                && let Err(ErrorKind::Configuration(unusable)) = transport.route(&url, true)
            {
                return Err(unusable);
            }
        }
        Ok(())
    }

    /// Keeps note of large uploads in `sessions`, and goes on with those that are there. For the first caller.
    pub fn keep_sessions(&self, sessions: Sessions) {
        let _ = self.0.sessions.set(sessions);
    }

    /// All uploads are done: there is nothing to go on with.
    pub fn uploads_finished(&self) {
        if let Some(sessions) = self.0.sessions.get() {
            sessions.finished();
        }
    }

    /// Whether `digest` is on this machine already and no registry is asked for it.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.0.options.held.contains(digest)
    }

    /// Whether no registry is asked for anything.
    pub fn is_offline(&self) -> bool {
        self.0.options.held.is_all()
    }

    /// Bytes per second, over all streams, that are not to be exceeded.
    pub fn limit_rate(&self) -> Option<u64> {
        self.0.options.limit_rate
    }

    /// What has gone over the wire so far.
    pub fn stats(&self) -> Stats {
        let traffic = &self.0.transport.traffic;
        let mut hosts: Vec<_> = locked(&self.0.hosts).values().map(|host| HostStats::of(host)).collect();
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
