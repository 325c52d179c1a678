//! One upload session: opened, fed, committed or cancelled (distribution-spec, "Pushing blobs").
//!
//! The newest `Location` counts, whatever form it has. Every request states its length. What the registry says
//! it holds is compared with what was sent.

use std::fmt;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION};
use url::Url;

use super::answer::Answer;
use super::body::Payload;
use super::error::RegistryError;
use super::error_kind::{About, ErrorKind};
use super::http::{Call, Retries, Target};
use super::location::{resolve, with_query};
use super::stats::RequestKind;
use super::token::Scope;
use super::{BlobSource, RegistryClient};
use crate::image::{Algorithm, Digest, Repository};

/// An upload in progress, for data that cannot be read again. [`RegistryClient::push_blob`] is for all other data.
pub struct Upload {
    client: RegistryClient,
    repository: Repository,
    location: Url,
    algorithm: Algorithm,
    /// Bytes the registry has confirmed.
    offset: u64,
}

/// The status of a session at the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionStatus {
    /// This many bytes, certainly.
    Holds(u64),
    /// No bytes, or one: the answers for both are the same.
    Nothing,
    /// The session does not exist any more, or the answer does not say.
    Unknown,
}

/// The result of a request to mount a blob.
pub(super) enum MountAnswer {
    Mounted,
    /// The registry requires an upload, and has opened a session for it.
    Session(Upload),
    Refused,
}

impl Upload {
    /// Opens a session for a blob whose digest is by `algorithm`. Registries may compute the digest while they read, and
    /// have to know which one (distribution-spec 1.2, "Pushing blobs").
    pub async fn begin(
        client: &RegistryClient,
        repository: &Repository,
        algorithm: Algorithm,
    ) -> Result<Self, RegistryError> {
        let host = client.0.host(repository.host());
        let named = named(algorithm).map(|named| format!("?{named}")).unwrap_or_default();
        let path = format!("/v2/{}/blobs/uploads/{named}", repository.path());
        let mut call = Call::new(&host, Method::POST, Target::Path(path), format!("upload to {repository}"));
        (call.scope, call.kind) = (Scope::push(repository.path()), RequestKind::BlobPush);
        call.about.algorithm = Some(algorithm);
        let answer = client.0.send(&call).await?;
        if !matches!(answer.status.as_u16(), 201 | 202) {
            if answer.is_html() {
                let kind = ErrorKind::NotARegistry("it answers an upload with an HTML page".to_owned());
                return Err(call.error(kind));
            }
            return Err(call.refusal(answer).await);
        }
        Self::of(client, repository, algorithm, &answer).ok_or_else(|| {
            call.error(ErrorKind::Protocol("an upload was opened without a usable location".to_owned()))
        })
    }

    fn of(
        client: &RegistryClient,
        repository: &Repository,
        algorithm: Algorithm,
        answer: &Answer,
    ) -> Option<Self> {
        Some(Self::at(client, repository, algorithm, new_location(answer)?))
    }

    /// Asks to take a blob over from another repository of the same registry.
    pub(super) async fn mount(
        client: &RegistryClient,
        repository: &Repository,
        digest: &Digest,
        from: &Repository,
    ) -> Result<MountAnswer, RegistryError> {
        let host = client.0.host(repository.host());
        let named = named(digest.algorithm()).map(|named| format!("&{named}")).unwrap_or_default();
        let (path, from_path) = (repository.path(), from.path());
        let path = format!("/v2/{path}/blobs/uploads/?mount={digest}&from={from_path}{named}");
        let mut call =
            Call::new(&host, Method::POST, Target::Path(path), format!("mount {digest} to {repository}"));
        call.scope = Scope { from: Some(from.path().to_owned()), ..Scope::push(repository.path()) };
        (call.kind, call.retry) = (RequestKind::BlobPush, false);
        // If mounting fails, an upload may still succeed, and reports its own errors.
        let Ok(answer) = client.0.send(&call).await else {
            return Ok(MountAnswer::Refused);
        };
        Ok(match answer.status.as_u16() {
            201 => MountAnswer::Mounted,
            202 => Self::of(client, repository, digest.algorithm(), &answer)
                .map_or(MountAnswer::Refused, MountAnswer::Session),
            _ => MountAnswer::Refused,
        })
    }

    /// Bytes the registry has confirmed so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Sends the next bytes. After a break, it asks how many arrived before it sends the rest.
    pub async fn append(&mut self, bytes: Bytes) -> Result<(), RegistryError> {
        let start = self.offset;
        let end = start + bytes.len() as u64;
        let client = self.client.clone();
        let host = client.0.host(self.repository.host());
        let mut retries = Retries::new(&client.0, &host);
        while self.offset < end {
            let done = usize::try_from(self.offset - start).unwrap_or(bytes.len());
            let rest = bytes.slice(done..);
            let Err(error) = self.patch(Payload::Bytes(rest), end - self.offset, true).await else {
                continue;
            };
            // At the start of the upload everything is still in memory, so a new session can be opened.
            let anew = start == 0 && (error.is_transient() || error.is_lost_session());
            if anew || error.is_out_of_order() {
                retries.after_any(error).await
            } else {
                retries.after(error).await
            }?;
            match self.status().await {
                SessionStatus::Holds(held) if (self.offset..=end).contains(&held) => self.offset = held,
                _ if anew => *self = Self::begin(&client, &self.repository, self.algorithm).await?,
                _ => {
                    let kind = ErrorKind::Broken("the registry lost what was sent so far".to_owned());
                    return Err(RegistryError::new(self.repository.host(), self.what(), kind));
                }
            }
        }
        Ok(())
    }

    /// Commits what was sent as `digest`; the registry checks it.
    pub async fn finish(mut self, digest: &Digest) -> Result<(), RegistryError> {
        let client = self.client.clone();
        let host = client.0.host(self.repository.host());
        self.settle(digest, false, &mut Retries::new(&client.0, &host)).await
    }

    /// The same with retries, as long as the registry still has everything that was sent. In a resumed session, a server
    /// error is final.
    pub(super) async fn settle(
        &mut self,
        digest: &Digest,
        resumed: bool,
        retries: &mut Retries<'_>,
    ) -> Result<(), RegistryError> {
        let client = self.client.clone();
        while let Err(error) = self.commit(digest, Payload::Empty).await {
            // The answer may be lost while the blob is there.
            if let Ok(Some(_)) = client.has_blob(&self.repository, digest).await {
                break;
            }
            if resumed && error.is_server_fault() {
                return Err(error);
            }
            let (what, offset) = (self.what(), self.offset);
            retries.after(error).await?;
            if self.status().await != SessionStatus::Holds(offset) {
                let kind = ErrorKind::Broken("the registry lost what was sent".to_owned());
                return Err(RegistryError::new(self.repository.host(), what, kind));
            }
        }
        Ok(())
    }

    /// Cancels the session. Errors are ignored, because registries remove old sessions by themselves.
    pub async fn cancel(self) {
        let host = self.client.0.host(self.repository.host());
        let mut call = self.call(&host, Method::DELETE, self.location.clone());
        call.retry = false;
        let _ = self.client.0.send(&call).await;
    }

    /// Sends the bytes of `source` from the confirmed offset up to `end` in one request. Without `ranged` it is
    /// the plain form that nearly all registries are tested with.
    pub(super) async fn send_until(
        &mut self,
        source: &dyn BlobSource,
        end: u64,
        ranged: bool,
    ) -> Result<(), RegistryError> {
        let (from, length) = (self.offset, end - self.offset);
        self.patch(Payload::Source { source, from, length }, length, ranged).await
    }

    async fn patch(&mut self, payload: Payload<'_>, length: u64, ranged: bool) -> Result<(), RegistryError> {
        let end = self.offset + length;
        let client = self.client.clone();
        let host = client.0.host(self.repository.host());
        let mut call = self.call(&host, Method::PATCH, self.location.clone());
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if ranged && let Ok(range) = HeaderValue::try_from(format!("{}-{}", self.offset, end - 1)) {
            call.headers.insert(CONTENT_RANGE, range);
        }
        (call.payload, call.retry) = (payload, false);
        let answer = client.0.send(&call).await?;
        if !matches!(answer.status.as_u16(), 201 | 202 | 204) {
            return Err(call.refusal(answer).await);
        }
        if let Some(location) = new_location(&answer) {
            self.location = location;
        }
        // Some registries append any chunk, and only the reported range shows that it was misplaced.
        if let Some(held) = held(&answer)
            && held != end
        {
            let why = format!("the registry holds {held} bytes of the upload where {end} were sent");
            return Err(call.error(ErrorKind::Broken(why)));
        }
        self.offset = end;
        Ok(())
    }

    /// Commits the session; `payload` is the whole blob in the form that sends it with the commit.
    pub(super) async fn commit(
        &mut self,
        digest: &Digest,
        payload: Payload<'_>,
    ) -> Result<(), RegistryError> {
        let client = self.client.clone();
        let host = client.0.host(self.repository.host());
        let url = with_query(&self.location, "digest", &digest.to_string());
        let mut call = self.call(&host, Method::PUT, url);
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        (call.payload, call.retry) = (payload, false);
        let answer = client.0.send(&call).await?;
        match answer.status.as_u16() {
            200 | 201 | 202 | 204 => Ok(()),
            _ => Err(call.refusal(answer).await),
        }
    }

    /// A session that was opened before.
    pub(super) fn at(
        client: &RegistryClient,
        repository: &Repository,
        algorithm: Algorithm,
        location: Url,
    ) -> Self {
        Self { client: client.clone(), repository: repository.clone(), location, algorithm, offset: 0 }
    }

    /// Where the session is now.
    pub(super) fn location(&self) -> &Url {
        &self.location
    }

    /// How many bytes the registry holds; the session may have moved meanwhile.
    pub(super) async fn status(&mut self) -> SessionStatus {
        let client = self.client.clone();
        let host = client.0.host(self.repository.host());
        let call = self.call(&host, Method::GET, self.location.clone());
        let Ok(answer) = client.0.send(&call).await else {
            return SessionStatus::Unknown;
        };
        let status = answer.status.as_u16();
        // A range cannot express that a session has no bytes; Gitea sends none then (distribution-spec #578).
        let is_empty = status == 204 && answer.header("range").is_none();
        let held = held(&answer).or_else(|| is_empty.then_some(0));
        let Some(held) = held.filter(|_| matches!(status, 200 | 202 | 204)) else {
            return SessionStatus::Unknown;
        };
        if let Some(location) = new_location(&answer) {
            self.location = location;
        }
        // `0-0` is one byte by the book, and none at many registries.
        if held > 1 { SessionStatus::Holds(held) } else { SessionStatus::Nothing }
    }

    /// Sets the offset that [`Upload::status`] returned.
    pub(super) fn resume_at(&mut self, offset: u64) {
        self.offset = offset;
    }

    fn call<'a>(&self, host: &'a super::host::Host, method: Method, url: Url) -> Call<'a> {
        let mut call = Call::new(host, method, Target::Url(url), self.what());
        (call.scope, call.kind) = (Scope::push(self.repository.path()), RequestKind::BlobPush);
        call.about = About { within_upload: true, algorithm: Some(self.algorithm) };
        call
    }

    fn what(&self) -> String {
        format!("upload to {}", self.repository)
    }
}

/// The parameter that names `algorithm`, where it is not the usual one.
fn named(algorithm: Algorithm) -> Option<String> {
    (algorithm != Algorithm::Sha256).then(|| format!("digest-algorithm={}", algorithm.name()))
}

fn new_location(answer: &Answer) -> Option<Url> {
    let location = answer.headers.get(LOCATION)?;
    resolve(&answer.url, &String::from_utf8_lossy(location.as_bytes()))
}

/// The length a `Range: 0-1023` header reports.
fn held(answer: &Answer) -> Option<u64> {
    let text = answer.header("range")?.trim();
    let (start, last) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    (start.trim() == "0").then_some(last.checked_add(1)?)
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The location carries the registry's signed state.
        f.debug_struct("Upload")
            .field("repository", &self.repository)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
