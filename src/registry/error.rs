//! A failed conversation with a registry: which registry, what about, and what kind of failure.
//!
//! Every message names registry and object. URLs are masked and server text is cleaned before it gets here.

use std::fmt;
use std::time::Duration;

use super::error_kind::{ErrorClass, ErrorKind, ProxyFault};
use super::hint;
use crate::app::failure::{ExitCode, Explain};
use crate::image::{Algorithm, Digest, HostName};

/// A failed conversation with a registry.
pub struct RegistryError {
    host: HostName,
    what: String,
    kind: Box<ErrorKind>,
}

impl RegistryError {
    pub(super) fn new(host: &HostName, what: impl Into<String>, kind: ErrorKind) -> Self {
        Self { host: host.clone(), what: what.into(), kind: Box::new(kind) }
    }

    pub fn host(&self) -> &HostName {
        &self.host
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }

    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The HTTP status, where the registry gave one.
    pub fn status(&self) -> Option<u16> {
        match &*self.kind {
            ErrorKind::Status(answer) => Some(answer.status),
            _ => None,
        }
    }

    /// The registry's own error code, such as `MANIFEST_UNKNOWN`.
    pub fn code(&self) -> Option<&str> {
        match &*self.kind {
            ErrorKind::Status(answer) => answer.code.as_deref(),
            _ => None,
        }
    }

    /// Whether the same request may well succeed later.
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }

    /// Whether an upload session is gone: restarted or overloaded registries forget them.
    pub(super) fn is_lost_session(&self) -> bool {
        self.status() == Some(404)
            || matches!(self.code(), Some("BLOB_UPLOAD_UNKNOWN" | "BLOB_UPLOAD_INVALID"))
    }

    /// Whether the registry itself failed: not a proxy, not a lack of space, and nothing that waiting resolves.
    pub(super) fn is_server_fault(&self) -> bool {
        self.status().is_some_and(|status| status >= 500 && !matches!(status, 502 | 503 | 504 | 507 | 522))
    }

    /// Whether a chunk was refused for where it starts (distribution-spec, "Pushing a blob in chunks"). A registry that
    /// was still reading what a broken connection had under way when it was asked holds more by the next request.
    pub(super) fn is_out_of_order(&self) -> bool {
        self.status() == Some(416)
    }

    /// Whether a manifest was refused because the registry does not see what it refers to (distribution-spec, "Error
    /// codes": `code-1`; `code-13` from some).
    pub fn lacks_content(&self) -> bool {
        matches!(self.status(), Some(400 | 404))
            && matches!(self.code(), Some("MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN"))
    }

    /// The digests that the registry's answer names.
    pub fn digests(&self) -> &[Digest] {
        match &*self.kind {
            ErrorKind::Status(answer) => &answer.digests,
            _ => &[],
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.class() == ErrorClass::NotFound
    }

    /// The error of the source of an upload, if the source failed.
    pub fn source_error(&self) -> Option<&(dyn Explain + Send + Sync)> {
        match &*self.kind {
            ErrorKind::Source(error) => Some(error.get()),
            _ => None,
        }
    }

    pub fn class(&self) -> ErrorClass {
        match &*self.kind {
            ErrorKind::Status(answer) => answer.class(),
            ErrorKind::RateLimited { .. } => ErrorClass::RateLimited,
            ErrorKind::Connect(_)
            | ErrorKind::NotTls
            | ErrorKind::Certificate(_)
            | ErrorKind::Tls(_)
            | ErrorKind::Broken(_)
            | ErrorKind::Stalled(_)
            | ErrorKind::Proxy { fault: ProxyFault::Unreachable(_) | ProxyFault::NoTunnel, .. } => {
                ErrorClass::Unreachable
            }
            ErrorKind::NotARegistry(_) => ErrorClass::NotARegistry,
            ErrorKind::Content(_) => ErrorClass::Content,
            ErrorKind::Credentials(_)
            | ErrorKind::PlainLogin(_)
            | ErrorKind::Proxy { fault: ProxyFault::Login { .. }, .. } => ErrorClass::Denied,
            ErrorKind::Protocol(_) | ErrorKind::Configuration(_) | ErrorKind::Source(_) => ErrorClass::Other,
        }
    }

    /// The hint.
    pub fn hint(&self) -> Option<String> {
        hint::of(&self.host, &self.kind)
    }

    /// Whether the registry gave the same answer to another request of the same kind.
    pub fn is_like(&self, other: &Self) -> bool {
        match (&*self.kind, &*other.kind) {
            (ErrorKind::Status(one), ErrorKind::Status(other)) => {
                (one.status, &one.code, &one.text) == (other.status, &other.code, &other.text)
            }
            _ => self.kind.to_string() == other.kind.to_string(),
        }
    }

    /// Whether the request named content by an algorithm that not every registry knows.
    pub(super) fn is_of_rare_digest(&self) -> bool {
        match &*self.kind {
            ErrorKind::Status(answer) => answer.about.algorithm.is_some_and(|one| one != Algorithm::Sha256),
            _ => false,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match &*self.kind {
            ErrorKind::Status(answer) => answer.retry_after,
            ErrorKind::RateLimited { wait, .. } => *wait,
            _ => None,
        }
    }
}

impl Explain for RegistryError {
    /// The error of the content to upload, if that is the cause.
    fn calls_for(&self) -> Option<ExitCode> {
        let source = self.source_error().and_then(Explain::calls_for);
        Some(source.unwrap_or_else(|| self.class().exit_code()))
    }

    fn hints(&self) -> Vec<String> {
        self.hint().into_iter().collect()
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.kind)
    }
}

impl fmt::Debug for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryError")
            .field("what", &self.what)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for RegistryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.kind {
            ErrorKind::Source(error) => Some(error.get()),
            _ => None,
        }
    }
}
