//! How a [`super::RegistryClient`] is set up.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::credentials::{CredentialProvider, GivenCredentials};
use super::environment::Environment;
use crate::image::HostName;

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The most requests under way at once per registry.
    pub jobs: usize,
    /// Tries per request.
    pub retries: u32,
    /// How long nothing may move before a request counts as failed.
    pub stall_timeout: Duration,
    /// The wait after the first failure; doubles from there.
    pub backoff_base: Duration,
    /// PEM files with authorities, in addition to the system's.
    pub ca_files: Vec<PathBuf>,
    /// Certificate and key (PEM) for registries that ask for one.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// Registries spoken to in plain HTTP.
    pub plain_http: Vec<HostName>,
    /// Registries spoken to in HTTPS whatever they are; others on loopback are tried in plain HTTP too.
    pub tls_only: Vec<HostName>,
    /// Registries whose certificate is not looked at.
    pub tls_no_verify: Vec<HostName>,
    /// Registries that images come from. An address in a manifest that leads to any other host gets no login.
    pub login_hosts: Vec<HostName>,
    /// The only credential file to look into.
    pub auth_file: Option<PathBuf>,
    /// Credentials from flags and variables; they come before any file.
    pub given: Vec<GivenCredentials>,
    /// Asked for credentials when no file has any.
    pub last_resort: Option<Arc<dyn CredentialProvider>>,
    /// Bytes per second, over all streams.
    pub limit_rate: Option<u64>,
    /// Offers HTTP/2 beside HTTP/1.1. With it all transfers share one connection, which takes 1.3 times as long.
    pub http2: bool,
    /// The largest manifest accepted, in bytes.
    pub max_manifest: usize,
    /// Addresses of names that are not asked for: (name, addresses). For tests.
    pub addresses: Vec<(String, Vec<SocketAddr>)>,
    pub environment: Environment,
}

/// The largest manifest accepted, in bytes.
pub const MAX_MANIFEST: usize = 4 << 20;

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            jobs: 6,
            retries: 6,
            stall_timeout: Duration::from_mins(1),
            backoff_base: Duration::from_millis(500),
            ca_files: Vec::new(),
            client_cert: None,
            plain_http: Vec::new(),
            tls_only: Vec::new(),
            tls_no_verify: Vec::new(),
            login_hosts: Vec::new(),
            auth_file: None,
            given: Vec::new(),
            last_resort: None,
            limit_rate: None,
            http2: false,
            max_manifest: MAX_MANIFEST,
            addresses: Vec::new(),
            environment: Environment::of_process(),
        }
    }
}
