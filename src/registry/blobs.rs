//! Downloads of blobs: presence, and a byte stream that resumes by itself after a break.
//!
//! Only bytes that the server proves to belong at an offset are spliced there; else the blob is read again from
//! its start and what is known already is dropped. Hashing is the caller's.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT_ENCODING, HeaderValue, RANGE};
use url::Url;

use super::RegistryClient;
use super::answer::{Answer, unpacked};
use super::authority::host_of;
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use super::host::Host;
use super::http::{ABSENCES, Call, Retries, Target};
use super::redact::masked;
use super::stats::RequestKind;
use super::token::Scope;
use crate::app::foreign_text::GZIP;
use crate::image::{Digest, HostName, Repository};

/// Blobs up to this many bytes are held in memory where only the whole content shows what was sent.
const SMALL_BLOB: u64 = 4 << 20;

impl RegistryClient {
    /// The size of a blob, if the repository has it.
    pub async fn has_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, RegistryError> {
        let host = self.0.host(repository.host());
        let mut call = blob_call(&host, Method::HEAD, repository, digest);
        call.kind = RequestKind::BlobHead;
        let answer = self.0.send(&call).await?;
        match answer.status.as_u16() {
            200 => return present(&call, &answer).map(Some),
            404 => return Ok(None),
            _ => drop(answer),
        }
        // HEAD is refused, or refused without a reason: a GET has one, and its body need not be read.
        call.method = Method::GET;
        let answer = self.0.send(&call).await?;
        match answer.status.as_u16() {
            200 => present(&call, &answer).map(Some),
            404 => Ok(None),
            _ => Err(call.refusal(answer).await),
        }
    }

    /// The bytes of a blob from `from` on, up to `size`, which must be what the descriptor says.
    pub async fn blob(
        &self,
        place: &BlobPlace,
        digest: &Digest,
        size: u64,
        from: u64,
    ) -> Result<BlobStream, RegistryError> {
        self.open_blob(place, digest, size, from, false).await
    }

    /// A blob from which another is made while that one is transferred: it does not count as one of the transfers that may
    /// be under way at once, since one of them waits for it.
    pub async fn base(
        &self,
        place: &BlobPlace,
        digest: &Digest,
        size: u64,
    ) -> Result<BlobStream, RegistryError> {
        self.open_blob(place, digest, size, 0, true).await
    }

    async fn open_blob(
        &self,
        place: &BlobPlace,
        digest: &Digest,
        size: u64,
        from: u64,
        is_base: bool,
    ) -> Result<BlobStream, RegistryError> {
        let mut stream = BlobStream {
            client: self.clone(),
            host: self.0.host(place.host()),
            place: place.clone(),
            digest: *digest,
            size,
            is_base,
            offset: from.min(size),
            answer: None,
            skip: 0,
            ranges_refused: false,
            failures: 0,
            absences: 0,
            refetched: 0,
            unpacked: None,
        };
        if stream.offset < size {
            stream.open().await?;
        }
        Ok(stream)
    }
}

/// Where a blob can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobPlace {
    Repository(Repository),
    /// Outside of registries, as a foreign layer's descriptor says; with the host it is at.
    Elsewhere(Url, HostName),
}

impl BlobPlace {
    /// A place outside of registries; none if `url` is not an http(s) URL.
    pub fn elsewhere(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let host = host_of(&url)?;
        Some(Self::Elsewhere(url, host))
    }

    fn host(&self) -> &HostName {
        match self {
            Self::Repository(repository) => repository.host(),
            Self::Elsewhere(_, host) => host,
        }
    }
}

impl From<&Repository> for BlobPlace {
    fn from(repository: &Repository) -> Self {
        Self::Repository(repository.clone())
    }
}

impl fmt::Display for BlobPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(repository) => repository.fmt(f),
            Self::Elsewhere(url, _) => f.write_str(&masked(url)),
        }
    }
}

/// A blob being read.
pub struct BlobStream {
    client: RegistryClient,
    host: Arc<Host>,
    place: BlobPlace,
    digest: Digest,
    size: u64,
    is_base: bool,
    /// The position of the next byte to hand out.
    offset: u64,
    answer: Option<Answer>,
    /// Bytes of the current answer that were returned before.
    skip: u64,
    ranges_refused: bool,
    /// Breaks since the last byte of progress.
    failures: u32,
    /// Number of 404 answers.
    absences: u32,
    refetched: u64,
    /// What came in gzip and was unpacked, or nothing once it was handed out.
    unpacked: Option<Bytes>,
}

impl BlobStream {
    /// The next bytes; `None` after exactly as many as were announced.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            if let Some(unpacked) = &mut self.unpacked {
                let piece = std::mem::take(unpacked);
                return Ok((!piece.is_empty()).then_some(piece));
            }
            if self.offset >= self.size {
                return self.finish().await;
            }
            let chunk = match &mut self.answer {
                None => {
                    self.open().await?;
                    continue;
                }
                Some(answer) => answer.chunk().await,
            };
            match chunk {
                Ok(Some(bytes)) => {
                    if let Some(bytes) = self.accept(bytes)? {
                        return Ok(Some(bytes));
                    }
                }
                Ok(None) => {
                    let why = format!("the blob ended after {} of {} bytes", self.offset, self.size);
                    self.broken(ErrorKind::Broken(why)).await?;
                }
                Err(kind) => self.broken(kind).await?,
            }
        }
    }

    /// The position of the next byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that came over the wire more than once, since the server would not continue at an offset.
    pub fn refetched_bytes(&self) -> u64 {
        self.refetched
    }

    fn accept(&mut self, mut bytes: Bytes) -> Result<Option<Bytes>, RegistryError> {
        if self.skip > 0 {
            let known = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            let _ = bytes.split_to(known);
            self.skip -= known as u64;
            self.refetched += known as u64;
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() as u64 > self.size - self.offset {
            return Err(self.wrong_size("more"));
        }
        self.offset += bytes.len() as u64;
        self.failures = 0;
        Ok(Some(bytes))
    }

    /// Everything is there: what still comes would be too much. The connection is read to its end, so that it
    /// can be used again.
    async fn finish(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let Some(mut answer) = self.answer.take() else {
            return Ok(None);
        };
        match answer.chunk().await {
            Ok(Some(bytes)) if !bytes.is_empty() => Err(self.wrong_size("more")),
            _ => Ok(None),
        }
    }

    async fn broken(&mut self, kind: ErrorKind) -> Result<(), RegistryError> {
        self.answer = None;
        self.failures += 1;
        let error = RegistryError::new(self.place.host(), self.what(), kind);
        // `Retries` counts from what happened since the last progress.
        let mut retries = Retries::resumed(&self.client.0, &self.host, self.failures - 1);
        retries.after(error).await
    }

    async fn open(&mut self) -> Result<(), RegistryError> {
        let host = Arc::clone(&self.host);
        let mut call = match &self.place {
            BlobPlace::Repository(repository) => blob_call(&host, Method::GET, repository, &self.digest),
            BlobPlace::Elsewhere(url, name) => {
                let mut call = outside_call(&host, url, self.what());
                call.anonymous = !self.client.0.options.login_hosts.contains(name);
                call
            }
        };
        call.is_base = self.is_base;
        let ranged = self.offset > 0 && !self.ranges_refused;
        if ranged {
            let range = format!("bytes={}-{}", self.offset, self.size - 1);
            call.headers.insert(RANGE, HeaderValue::try_from(range).map_err(|_| self.wrong_size("other"))?);
        }
        let answer = self.client.0.send(&call).await?;
        self.skip = 0;
        match answer.status.as_u16() {
            206 if ranged && self.continues(&answer) => {}
            206 | 416 if ranged => {
                // A correct 416 means that the blob is shorter than announced; reading it from the start shows that.
                self.ranges_refused = true;
                return Box::pin(self.open()).await;
            }
            200 if answer.is_gzip() && self.size <= SMALL_BLOB => {
                match decided(self.digest, self.size, answer).await {
                    Ok(bytes) => {
                        let rest = bytes
                            .slice(usize::try_from(self.offset).unwrap_or(usize::MAX).min(bytes.len())..);
                        self.unpacked = Some(rest);
                    }
                    Err(kind) => self.broken(kind).await?,
                }
                return Ok(());
            }
            200 if answer.is_html() && self.size_contradicts(&answer) => {
                let kind = ErrorKind::NotARegistry("it answers a blob request with an HTML page".to_owned());
                return Err(call.error(kind));
            }
            200 if self.size_contradicts(&answer) => {
                let length = answer.content_length().unwrap_or(0);
                let encoded = if answer.is_gzip() { ", in content-encoding gzip" } else { "" };
                let why = format!(
                    "the registry has {length} bytes{encoded} where the descriptor says {}",
                    self.size
                );
                return Err(call.error(ErrorKind::Content(why)));
            }
            200 => self.skip = self.offset,
            404 if self.absences < ABSENCES => {
                // A manifest refers to the blob, so a cache may have it a moment later.
                let error = call.refusal(answer).await;
                let mut retries = Retries::resumed(&self.client.0, &host, self.absences);
                self.absences += 1;
                retries.after_any(error).await?;
                return Box::pin(self.open()).await;
            }
            _ => return Err(call.refusal(answer).await),
        }
        self.answer = Some(answer);
        Ok(())
    }

    fn size_contradicts(&self, answer: &Answer) -> bool {
        answer.content_length().is_some_and(|length| length != self.size)
    }

    /// Whether a 206 starts at the byte that is wanted, of a blob of the right size.
    fn continues(&self, answer: &Answer) -> bool {
        let parsed = answer.header("content-range").and_then(|text| {
            let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
            let start: u64 = range.split_once('-')?.0.trim().parse().ok()?;
            Some((start, total.trim().parse::<u64>().ok()))
        });
        matches!(parsed, Some((start, total)) if start == self.offset && total.is_none_or(|t| t == self.size))
    }

    fn what(&self) -> String {
        format!("blob {} of {}", self.digest, self.place)
    }

    fn wrong_size(&self, found: &str) -> RegistryError {
        let why = format!("the registry sends {found} than the {} bytes the descriptor says", self.size);
        self.error(ErrorKind::Content(why))
    }

    fn error(&self, kind: ErrorKind) -> RegistryError {
        RegistryError::new(self.place.host(), self.what(), kind)
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream")
            .field("digest", &self.digest)
            .field("offset", &self.offset)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// A small blob of which the answer says that it is in gzip: as it came where that has the digest, else unpacked.
async fn decided(digest: Digest, size: u64, answer: Answer) -> Result<Bytes, ErrorKind> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    // What cannot be made smaller gets larger by so little.
    let came = answer.read_as_sent(size + size / 100 + 1024).await?;
    let is_it = |bytes: &[u8]| Digest::of(digest.algorithm(), bytes) == digest;
    if is_it(&came) {
        return Ok(came);
    }
    let unpacked = if came.starts_with(&GZIP) { unpacked(&came, size)? } else { came };
    if is_it(&unpacked) {
        return Ok(unpacked);
    }
    let why = "the registry sends other content, and says that it is in gzip";
    Err(ErrorKind::Content(why.to_owned()))
}

/// The size that a positive answer states. A web server that answers 200 to everything must not pass as a registry.
fn present(call: &Call<'_>, answer: &Answer) -> Result<u64, RegistryError> {
    if answer.is_html() {
        let evidence = "it answers the question for a blob with an HTML page".to_owned();
        return Err(call.error(ErrorKind::NotARegistry(evidence)));
    }
    Ok(answer.content_length().unwrap_or(0))
}

fn blob_call<'a>(host: &'a Host, method: Method, repository: &Repository, digest: &Digest) -> Call<'a> {
    let path = format!("/v2/{}/blobs/{digest}", repository.path());
    let mut call = Call::new(host, method, Target::Path(path), format!("blob {digest} of {repository}"));
    call.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    call.scope = Scope::pull(repository.path());
    call.kind = RequestKind::BlobGet;
    call.about.algorithm = Some(digest.algorithm());
    call
}

fn outside_call<'a>(host: &'a Host, url: &Url, what: String) -> Call<'a> {
    let mut call = Call::new(host, Method::GET, Target::Url(url.clone()), what);
    call.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    call.kind = RequestKind::BlobGet;
    call
}
