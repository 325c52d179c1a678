//! What can go wrong with a registry, typed: retry, exit code and hint follow from the type, never from text.
//!
//! Every message names registry and object. URLs are masked and server text is cleaned before it gets here.

use std::fmt;
use std::time::Duration;

use super::retry::RateLimit;
use crate::image::{Digest, HostName};

/// What the source of an upload reports.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A failed conversation with a registry.
pub struct RegistryError {
    host: HostName,
    what: String,
    kind: Box<ErrorKind>,
}

/// What kind of failure it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The registry answered, and refused.
    Status(Box<StatusAnswer>),
    /// The registry asks for a longer wait than we grant.
    RateLimited { wait: Option<Duration>, quota: Option<String> },
    /// No connection: refused, no route, no such host.
    Connect(String),
    /// The peer does not speak TLS.
    NotTls,
    /// The certificate is not acceptable.
    Certificate(String),
    /// Any other failure of the TLS handshake.
    Tls(String),
    /// The connection broke in the middle of an exchange.
    Broken(String),
    /// Nothing moved for this long.
    Stalled(Duration),
    /// Something else than a registry answered.
    NotARegistry(String),
    /// What arrived is not what its digest, size or format say.
    Content(String),
    /// A login is asked for over plain HTTP, at this address, by a host that was not named for it.
    PlainLogin(String),
    /// The answer breaks the protocol.
    Protocol(String),
    /// A credential file or helper cannot be used.
    Credentials(String),
    /// An option of this client cannot be used: a CA file, a proxy URL.
    Configuration(String),
    /// What was to be uploaded could not be read, or is damaged.
    Source(SourceError),
    /// What is on this machine and needs no registry could not be read, or is damaged.
    Held(SourceError),
}

/// An answer with an error status.
#[derive(Debug, Clone)]
pub struct StatusAnswer {
    pub status: u16,
    /// The first error code of the registry's JSON: `MANIFEST_UNKNOWN`.
    pub code: Option<String>,
    /// What the server said, cleaned.
    pub text: String,
    /// The digests its body names, each once.
    pub digests: Vec<Digest>,
    /// Masked.
    pub url: String,
    pub retry_after: Option<Duration>,
    pub rate_limit: Option<RateLimit>,
    /// Where the refused credentials came from; none were sent if unset.
    pub credentials_from: Option<String>,
    /// A web page in answer to content: something that inspects it stands before the registry.
    pub blocked: bool,
    /// The host that answered, where it is not the registry itself: a redirect or an address led there.
    pub elsewhere: Option<HostName>,
    /// No login was offered, since the host is none of those that images are pulled from.
    pub is_anonymous: bool,
}

/// Failures by what the caller does about them; exit codes derive from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    NotFound,
    Denied,
    Unreachable,
    RateLimited,
    NoSpace,
    Content,
    NotARegistry,
    Other,
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

    /// Whether the registry failed by itself: no proxy before it, no lack of room, and nothing that a wait would mend.
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

    /// What the source of an upload said, if it was the source that failed.
    pub fn source_error(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        match &*self.kind {
            ErrorKind::Source(error) | ErrorKind::Held(error) => Some(error.as_ref()),
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
            | ErrorKind::Stalled(_) => ErrorClass::Unreachable,
            ErrorKind::NotARegistry(_) => ErrorClass::NotARegistry,
            ErrorKind::Content(_) => ErrorClass::Content,
            ErrorKind::Credentials(_) | ErrorKind::PlainLogin(_) => ErrorClass::Denied,
            ErrorKind::Protocol(_)
            | ErrorKind::Configuration(_)
            | ErrorKind::Source(_)
            | ErrorKind::Held(_) => ErrorClass::Other,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let host = &self.host;
        Some(match &*self.kind {
            ErrorKind::Status(answer) => return answer.hint(answer.elsewhere.as_ref().unwrap_or(host)),
            ErrorKind::PlainLogin(_) => {
                format!("if the network up to {host} is trusted, allow it: --plain-http {host}")
            }
            ErrorKind::RateLimited { .. } => {
                "log in (authenticated users have a higher limit) or run the same command again later: \
                 what is done is kept"
                    .to_owned()
            }
            ErrorKind::Connect(_) => {
                format!("check the name, the port and the proxy settings (HTTPS_PROXY, NO_PROXY) for {host}")
            }
            ErrorKind::NotTls => format!("if {host} speaks plain HTTP, say so: --plain-http {host}"),
            ErrorKind::Certificate(_) => {
                format!(
                    "give the certificate authority with --ca-file FILE, or accept any: --tls-no-verify {host}"
                )
            }
            ErrorKind::NotARegistry(_) => format!(
                "check the address of {host}: a proxy, a login page or another service may be answering"
            ),
            ErrorKind::Stalled(_) => "a slower network needs a longer --timeout".to_owned(),
            _ => return None,
        })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match &*self.kind {
            ErrorKind::Status(answer) => answer.retry_after,
            ErrorKind::RateLimited { wait, .. } => *wait,
            _ => None,
        }
    }
}

impl ErrorKind {
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Status(answer) => is_transient_status(answer.status),
            Self::Connect(_) | Self::Broken(_) | Self::Stalled(_) => true,
            _ => false,
        }
    }
}

/// Statuses that a proxy or an overloaded registry gives to requests with nothing wrong in them. 499 and 522
/// are nginx's and Cloudflare's.
pub(super) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

impl StatusAnswer {
    fn class(&self) -> ErrorClass {
        match self.status {
            _ if self.blocked => ErrorClass::Other,
            401 | 403 | 407 => ErrorClass::Denied,
            404 | 410 => ErrorClass::NotFound,
            429 => ErrorClass::RateLimited,
            507 => ErrorClass::NoSpace,
            408 | 499 | 502 | 503 | 504 | 522 => ErrorClass::Unreachable,
            _ => ErrorClass::Other,
        }
    }

    fn hint(&self, host: &HostName) -> Option<String> {
        if self.blocked {
            return Some(format!(
                "a firewall or proxy before {host} does not let this content pass: ask for an exception"
            ));
        }
        // What is sent was checked while it was read, so it is not the sender's content that is wrong.
        if matches!(self.code.as_deref(), Some("DIGEST_INVALID" | "SIZE_INVALID")) {
            return Some(format!(
                "what is sent reaches {host} altered: look at proxies and the link on the way"
            ));
        }
        Some(match self.status {
            401 | 403 if self.is_anonymous => format!(
                "{host} is not one of the registries that images come from, so no login is sent to it; leave such \
                 layers where they are with --foreign-layers keep-urls"
            ),
            401 if self.credentials_from.is_none() => {
                format!("no credentials for {host}: bundle login {host}")
            }
            401 | 403 => format!("check that the account may do this, or log in again: bundle login {host}"),
            404 if self.code.as_deref() == Some("NAME_UNKNOWN") => {
                "create the repository or project first, or correct its name".to_owned()
            }
            405 => format!("{host} may be in read-only mode"),
            407 => "the proxy wants credentials: put them into the proxy URL (user:password@)".to_owned(),
            413 => format!("{host}, or a proxy before it, limits the size of requests: raise that limit"),
            415 => format!("{host} does not accept this media type: its settings can allow it"),
            507 => format!("make room on {host}, then run the same command again"),
            _ => return None,
        })
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
            ErrorKind::Source(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(answer) => answer.fmt(f),
            Self::RateLimited { wait, quota } => {
                f.write_str("rate limit reached")?;
                if let Some(wait) = wait {
                    write!(f, ", free again in {} min", wait.as_secs().div_ceil(60))?;
                }
                quota.iter().try_for_each(|quota| write!(f, " ({quota})"))
            }
            Self::Connect(why) => write!(f, "cannot connect: {why}"),
            Self::NotTls => f.write_str("the server does not speak TLS on this port"),
            Self::Certificate(why) => write!(f, "the server's certificate is not trusted: {why}"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::Stalled(time) => write!(f, "nothing moved for {} s", time.as_secs_f32()),
            Self::NotARegistry(evidence) => write!(f, "this is not a container registry: {evidence}"),
            Self::Content(why) | Self::Credentials(why) | Self::Configuration(why) => f.write_str(why),
            Self::PlainLogin(url) => {
                write!(f, "{url} asks for a login over plain HTTP, which would send it in clear text")
            }
            Self::Protocol(why) => write!(f, "unusable answer: {why}"),
            Self::Source(_) => f.write_str("the content to upload could not be read"),
            Self::Held(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for StatusAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the registry answered {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if !self.text.is_empty() {
            write!(f, " ({})", self.text)?;
        }
        write!(f, " at {}", self.url)?;
        self.credentials_from.iter().try_for_each(|from| write!(f, ", with credentials from {from}"))
    }
}
