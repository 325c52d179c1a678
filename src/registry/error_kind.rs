//! What can go wrong with a registry, typed: retry, exit code and hint follow from the type, never from text.

use std::fmt;
use std::time::Duration;

use super::proxy::ProxyName;
use super::retry::RateLimit;
use crate::app::failure::{ExitCode, Explain};
use crate::app::unusable::Unusable;
use crate::image::{Algorithm, Digest, HostName};

/// What the source of an upload reports.
#[derive(Debug)]
pub struct SourceError(Box<dyn Explain + Send + Sync>);

impl<E: Explain + Send + Sync> From<E> for SourceError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl SourceError {
    /// The error itself.
    pub fn get(&self) -> &(dyn Explain + Send + Sync) {
        self.0.as_ref()
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A source gives another number of bytes than it said.
#[derive(Debug, thiserror::Error)]
pub(super) enum WrongLength {
    #[error("the content ended {0} bytes early")]
    Short(u64),
    #[error("the content is longer than stated")]
    Long,
}

impl Explain for WrongLength {
    fn calls_for(&self) -> Option<ExitCode> {
        None
    }
}

/// What kind of failure it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The registry answered, and refused.
    Status(Box<StatusAnswer>),
    /// The registry asks for a longer wait than this program makes.
    RateLimited { wait: Option<Duration>, quota: Option<String> },
    /// No connection: refused, no route, no such host.
    Connect(String),
    /// The peer does not speak TLS.
    NotTls,
    /// The proxy refuses or fails.
    Proxy { proxy: ProxyName, fault: ProxyFault },
    /// The certificate is not acceptable.
    Certificate(BadCertificate),
    /// Any other failure of the TLS handshake.
    Tls(String),
    /// The connection broke in the middle of an exchange.
    Broken(String),
    /// No data was transferred for this long.
    Stalled(Duration),
    /// Something else than a registry answered.
    NotARegistry(String),
    /// What arrived is not what its digest, size or format say.
    Content(String),
    /// A host that `--plain-http` does not name asks for a login over plain HTTP, at this address.
    PlainLogin(String),
    /// The answer breaks the protocol.
    Protocol(String),
    /// A credential file or helper cannot be used.
    Credentials(Unusable),
    /// An option of this client cannot be used: a CA file, a proxy URL.
    Configuration(Unusable),
    /// The content to upload could not be read, or is damaged.
    Source(SourceError),
}

/// How a proxy fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyFault {
    /// It asks for a user name and password (407): `given` ones are not the right ones.
    Login { given: bool },
    /// It is down, or its name is unknown.
    Unreachable(String),
    /// It opens no connection to the host.
    NoTunnel,
}

/// Why a certificate is not acceptable, with the kind of cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCertificate {
    pub why: String,
    pub cause: CertificateCause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateCause {
    /// Expired or not valid yet; or a clock is wrong.
    Time,
    Name,
    Issuer,
    Other,
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
    /// The answer to content is a web page, so a firewall or proxy in front of the registry inspects it.
    pub blocked: bool,
    /// The host that answered, where it is not the registry itself: a redirect or an address led there.
    pub elsewhere: Option<HostName>,
    /// No login was sent, because no image is pulled from this host.
    pub is_anonymous: bool,
    /// Why a login that is stored for the host was not sent.
    pub passed_over: Option<Unusable>,
    /// What the request was for.
    pub about: About,
}

/// The facts about a request that hints need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct About {
    /// It is part of an upload that the registry has accepted.
    pub within_upload: bool,
    /// It names content by a digest of this algorithm.
    pub algorithm: Option<Algorithm>,
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

impl ErrorClass {
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Denied => ExitCode::Denied,
            Self::Unreachable | Self::RateLimited => ExitCode::Unreachable,
            Self::NoSpace => ExitCode::NoSpace,
            Self::Content => ExitCode::Content,
            Self::NotFound | Self::NotARegistry | Self::Other => ExitCode::Failed,
        }
    }
}

impl ErrorKind {
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Status(answer) => is_transient_status(answer.status),
            Self::Connect(_) | Self::Broken(_) | Self::Stalled(_) => true,
            Self::Proxy { fault, .. } => !matches!(fault, ProxyFault::Login { .. }),
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
    pub(super) fn class(&self) -> ErrorClass {
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
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(answer) => answer.fmt(f),
            Self::RateLimited { wait, quota } => {
                f.write_str("rate limit reached")?;
                if let Some(wait) = wait {
                    write!(f, ", retry in {} min", wait.as_secs().div_ceil(60))?;
                }
                quota.iter().try_for_each(|quota| write!(f, " ({quota})"))
            }
            Self::Connect(why) => write!(f, "cannot connect: {why}"),
            Self::NotTls => f.write_str("the server does not speak TLS on this port"),
            Self::Proxy { proxy, fault } => match fault {
                ProxyFault::Login { given: true } => {
                    write!(f, "{proxy} does not accept the user name and password in {}", proxy.variable)
                }
                ProxyFault::Login { given: false } => write!(f, "{proxy} asks for a user name and password"),
                ProxyFault::Unreachable(why) => write!(f, "cannot connect to {proxy}: {why}"),
                ProxyFault::NoTunnel => write!(f, "{proxy} refuses to connect to this host"),
            },
            Self::Certificate(bad) => write!(f, "the server's certificate is not trusted: {}", bad.why),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::Stalled(time) => write!(f, "no data was transferred for {} s", time.as_secs_f32()),
            Self::NotARegistry(evidence) => write!(f, "this is not a container registry: {evidence}"),
            Self::Content(why) => f.write_str(why),
            Self::Credentials(unusable) | Self::Configuration(unusable) => unusable.fmt(f),
            Self::PlainLogin(url) => {
                write!(f, "{url} asks for a login over plain HTTP, which would send it in clear text")
            }
            Self::Protocol(why) => write!(f, "unusable answer: {why}"),
            Self::Source(_) => f.write_str("the content to upload could not be read"),
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
