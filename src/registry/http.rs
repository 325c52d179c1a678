//! Sends all requests: authentication, redirects, and the only decision on retries.
//!
//! Every request can be sent again, since its body is a factory. A permit of the host's pacer is held until the
//! answer's body is done with. Credentials stay with the origin they belong to; redirects are followed here.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION};
use url::Url;

use super::answer::Answer;
use super::auth::{Authenticator, asks_for_more};
use super::auth_state::Proof;
use super::authority::host_of;
use super::body::Payload;
use super::credentials::CredentialStore;
use super::error::RegistryError;
use super::error_kind::{About, ErrorKind, is_transient_status};
use super::host::Host;
use super::login_rules::{check_login_at, is_plain};
use super::options::ClientOptions;
use super::pace::locked;
use super::redact::masked;
use super::retry::{self, LONGEST_WAIT, RateLimit, backoff};
use super::scheme::base;
use super::sessions::Sessions;
use super::stats::RequestKind;
use super::token::Scope;
use super::transport::Transport;
use super::warnings::Warnings;
use crate::image::{Digest, HostName, Repository};

const MAX_REDIRECTS: usize = 10;
/// How often content that must exist is requested again after a 404.
pub(super) const ABSENCES: u32 = 2;

/// What all clones of a client share.
pub(super) struct Inner {
    pub(super) options: ClientOptions,
    pub(super) transport: Transport,
    pub(super) store: CredentialStore,
    pub(super) hosts: Mutex<HashMap<HostName, Arc<Host>>>,
    pub(super) warnings: Warnings,
    pub(super) sessions: OnceLock<Sessions>,
    /// Manifests that came from a registry.
    pub(super) fetched: Mutex<HashSet<(Repository, Digest)>>,
}

/// One request, which may be sent several times.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
pub(super) struct Call<'a> {
    pub(super) host: &'a Host,
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload<'a>,
    pub(super) scope: Scope,
    pub(super) kind: RequestKind,
    /// Whether the sender may repeat it; otherwise the caller decides.
    pub(super) retry: bool,
    /// Send user name and password instead of a token: for a registry's own API outside of `/v2/`.
    pub(super) by_password: bool,
    /// Never send a login.
    pub(super) anonymous: bool,
    /// A transfer that holds a permit may wait for it.
    pub(super) is_base: bool,
    /// What the request is about, for messages.
    pub(super) what: String,
    /// The same, for hints.
    pub(super) about: About,
}

/// Where a request goes.
#[derive(Clone)]
pub(super) enum Target {
    /// Below the registry's root: `/v2/…`.
    Path(String),
    /// A `Location` or `Link` from the registry.
    Url(Url),
}

impl<'a> Call<'a> {
    pub(super) fn new(host: &'a Host, method: Method, target: Target, what: impl Into<String>) -> Self {
        Self {
            host,
            method,
            target,
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            scope: Scope::default(),
            kind: RequestKind::Other,
            retry: true,
            by_password: false,
            anonymous: false,
            is_base: false,
            what: what.into(),
            about: About::default(),
        }
    }

    pub(super) fn error(&self, kind: ErrorKind) -> RegistryError {
        RegistryError::new(&self.host.name, self.what.clone(), kind)
    }

    /// The error for an answer this call cannot use.
    pub(super) async fn refusal(&self, answer: Answer) -> RegistryError {
        let origin = answer.proof_origin.clone();
        let is_upload = self.payload.length() > 0;
        let mut kind = answer.into_refusal(origin, is_upload).await;
        if let ErrorKind::Status(answer) = &mut kind {
            answer.about = self.about;
            answer.passed_over = self.host.auth.passed_over();
        }
        self.error(kind)
    }
}

/// The retry decision: which failures are repeated, how often and after what wait.
pub(super) struct Retries<'a> {
    inner: &'a Inner,
    host: &'a Host,
    failures: u32,
    tries: u32,
}

impl<'a> Retries<'a> {
    pub(super) fn new(inner: &'a Inner, host: &'a Host) -> Self {
        Self { inner, host, failures: 0, tries: inner.options.retries.max(1) }
    }

    /// The decision after `failures` that were counted elsewhere.
    pub(super) fn resumed(inner: &'a Inner, host: &'a Host, failures: u32) -> Self {
        Self { failures, ..Self::new(inner, host) }
    }

    /// Without further attempts, for a host that is known to fail.
    pub(super) fn none(inner: &'a Inner, host: &'a Host) -> Self {
        Self { tries: 1, ..Self::new(inner, host) }
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Waits for the next attempt, or returns the error if it is final.
    pub(super) async fn after(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        if error.is_transient() { self.after_any(error).await } else { Err(error) }
    }

    /// The same, for an error that the caller knows to be worth another attempt.
    pub(super) async fn after_any(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        note_overload(self.host, &error);
        self.failures += 1;
        if self.failures >= self.tries {
            let limited = error.status() == Some(429);
            return Err(if limited { rate_limited(self.host, &error) } else { error });
        }
        let wait = match error.retry_after() {
            Some(wait) if wait > LONGEST_WAIT => return Err(rate_limited(self.host, &error)),
            Some(wait) => wait.max(self.inner.options.backoff_base),
            None => backoff(self.inner.options.backoff_base, self.failures),
        };
        if matches!(error.status(), Some(429 | 503)) && error.retry_after().is_some() {
            self.host.pace.pause(wait);
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn note_overload(host: &Host, error: &RegistryError) {
    let overloaded = match error.kind() {
        ErrorKind::Status(answer) => answer.status == 429 || answer.status >= 500,
        ErrorKind::Stalled(_) => true,
        _ => false,
    };
    if overloaded {
        host.pace.slow_down();
    }
}

/// Describes a rate limit: when it ends, and whose it is.
fn rate_limited(host: &Host, error: &RegistryError) -> RegistryError {
    let quota = locked(&host.rate_limit).as_ref().map(|limit| {
        let window = limit.window.map(|window| format!(" per {} min", window.as_secs().div_ceil(60)));
        let source = limit.source.as_ref().map(|source| format!(", quota of {source}"));
        let (window, source) = (window.unwrap_or_default(), source.unwrap_or_default());
        format!("{} requests left{window}{source}", limit.remaining)
    });
    let kind = ErrorKind::RateLimited { wait: error.retry_after(), quota };
    RegistryError::new(&host.name, error.what(), kind)
}

impl Inner {
    pub(super) fn host(&self, name: &HostName) -> Arc<Host> {
        let mut hosts = locked(&self.hosts);
        let host = hosts.entry(name.clone()).or_insert_with(|| Arc::new(Host::new(name, self.options.jobs)));
        Arc::clone(host)
    }

    fn authenticator(&self) -> Authenticator<'_> {
        let Self { options, transport, store, warnings, .. } = self;
        Authenticator { options, transport, store, warnings }
    }

    /// Sends `call` until the answer is not a transient failure.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answer, RegistryError> {
        let mut retries = Retries::new(self, call.host);
        loop {
            let error = match self.attempt(call).await {
                Ok(answer) if is_transient_status(answer.status.as_u16()) => call.refusal(answer).await,
                Ok(answer) => {
                    call.host.pace.of(&call.method, call.is_base).went_well();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if !call.retry {
                note_overload(call.host, &error);
                return Err(error);
            }
            retries.after(error).await?;
        }
    }

    /// Sends `call` once, with a login if one is required, and follows redirects.
    pub(super) async fn attempt(&self, call: &Call<'_>) -> Result<Answer, RegistryError> {
        let base = base(&self.options, &self.transport, call.host).await?;
        let unusable = || call.error(ErrorKind::Protocol("a URL that cannot be used".to_owned()));
        let mut url = match &call.target {
            Target::Path(path) => base.join(path).map_err(|_| unusable())?,
            Target::Url(url) => url.clone(),
        };
        let mut method = call.method.clone();
        let mut proof = if url.origin() != base.origin() || call.anonymous {
            None
        } else if call.by_password {
            self.authenticator().basic(call.host, &call.scope, false).await?
        } else {
            self.authenticator().authorize(call.host, &call.scope).await?
        };
        // The origin that the login is for. The login is dropped when a redirect leads elsewhere.
        let mut proof_origin = base.origin();
        let (mut renewed, mut fresh, mut hops) = (call.by_password, false, 0);
        let permit = call.host.pace.of(&call.method, call.is_base).enter().await;
        loop {
            let mut headers = call.headers.clone();
            if let Some(proof) = proof.as_ref().filter(|_| url.origin() == proof_origin) {
                check_login_at(&self.options, &url, &call.host.name, &call.what)?;
                headers.insert(AUTHORIZATION, proof.header.clone());
            }
            call.host.requests[call.kind as usize].fetch_add(1, Ordering::Relaxed);
            let home = (url.origin() == base.origin()).then_some(call.host);
            let answer =
                self.transport.exchange(&url, method.clone(), headers, &call.payload, home.is_some()).await;
            let mut answer = answer.map_err(|kind| call.error(kind))?;
            answer.is_anonymous = call.anonymous;
            if home.is_none() {
                answer.elsewhere = host_of(&url);
            }
            self.note(call.host, &answer);
            let sent = proof.as_ref().filter(|_| url.origin() == proof_origin).cloned();
            if answer.status.as_u16() == 401 && !renewed {
                // A token that was fetched for this request is not renewed, unless its scope was too narrow.
                renewed = sent.is_some();
                if !(fresh && renewed) || asks_for_more(&answer.headers) {
                    let offered = self.offer(call, home, &answer, sent.as_ref()).await?;
                    if let Some(offered) = offered {
                        (proof, proof_origin, fresh) = (Some(offered), url.origin(), true);
                        continue;
                    }
                }
            }
            if let Some(next) = redirect(&answer) {
                hops += 1;
                if hops > MAX_REDIRECTS {
                    return Err(call.error(ErrorKind::Protocol("too many redirects".to_owned())));
                }
                let next = next.map_err(|why| call.error(ErrorKind::Protocol(why)))?;
                if next.scheme() == "http" && url.scheme() == "https" && !is_plain(&self.options, &next) {
                    let why = format!("a redirect from https to {}", masked(&next));
                    return Err(call.error(ErrorKind::Protocol(why)));
                }
                if answer.status.as_u16() == 303 && method != Method::HEAD {
                    method = Method::GET;
                }
                url = next;
                continue;
            }
            answer.proof_origin = sent.and_then(|proof| proof.origin);
            answer.permit = Some(permit);
            return Ok(answer);
        }
    }

    /// The login to answer a 401 with, of the registry itself or of a host that it redirected to.
    async fn offer(
        &self,
        call: &Call<'_>,
        home: Option<&Host>,
        answer: &Answer,
        refused: Option<&Proof>,
    ) -> Result<Option<Proof>, RegistryError> {
        if call.anonymous {
            return Ok(None);
        }
        // A challenge over plain HTTP gets no login, and its realm is not used either.
        check_login_at(&self.options, &answer.url, &call.host.name, &call.what)?;
        if let Some(home) = home {
            // Boxed, since it is rare and would make every request's future larger.
            return Box::pin(self.authenticator().answer_challenge(home, &call.scope, answer, refused)).await;
        }
        // The target of a redirect may require a login too, and only gets credentials of its own.
        let Some(name) = host_of(&answer.url) else {
            return Ok(None);
        };
        let host = self.host(&name);
        Box::pin(self.authenticator().answer_challenge(&host, &call.scope, answer, refused)).await
    }

    fn note(&self, host: &Host, answer: &Answer) {
        if let Some(limit) = RateLimit::of(&answer.headers) {
            *locked(&host.rate_limit) = Some(limit);
        }
        if let Some(ahead) = retry::clock_ahead(&answer.headers) {
            *locked(&host.clock_ahead) = Some(ahead);
        }
        for text in answer.warnings() {
            self.warn(&host.name, &text);
        }
    }

    /// Records a warning of a registry.
    pub(super) fn warn(&self, host: &HostName, text: &str) {
        self.warnings.add(format!("{host}: {text}"));
    }
}

/// The target of a redirect, if the answer is one.
fn redirect(answer: &Answer) -> Option<Result<Url, String>> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers.get(LOCATION)?;
    let target = answer.url.join(&String::from_utf8_lossy(location.as_bytes()));
    Some(match target {
        Ok(mut url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            // A login in the target of a redirect is not used.
            let is_bare = url.set_username("").and_then(|()| url.set_password(None));
            is_bare
                .map(|()| url)
                .map_err(|()| "a redirect to something that has no place for a login".to_owned())
        }
        _ => Err("a redirect to something that is not an http(s) URL".to_owned()),
    })
}
