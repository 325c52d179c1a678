//! Answers: read with a size limit and a stall timeout, and turned into errors with a hint.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::time::timeout;
use url::Url;

use super::error_kind::{About, ErrorKind, StatusAnswer};
use super::exchange_failure::classify;
use super::known::KnownSecrets;
use super::pace::{Permit, RateLimiter};
use super::redact::{clean, masked, masked_query, page_title};
use super::retry::{self, RateLimit};
use super::stats::Traffic;
use crate::app::foreign_text::GZIP;
use crate::image::{Digest, HostName};

/// For errors, tokens and small JSON.
pub(super) const SMALL_BODY: usize = 64 * 1024;

/// Maximum number of digests that are taken from an error body.
const MAX_DIGESTS: usize = 100;

/// The answer to a request; its body is still to be read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The URL that answered.
    pub(super) url: Url,
    pub(super) permit: Option<Permit>,
    /// Where the credentials of the request came from, if it had any.
    pub(super) proof_origin: Option<String>,
    /// The host that answered, where it is not the registry itself.
    pub(super) elsewhere: Option<HostName>,
    /// No login was sent, although the host may have asked for one.
    pub(super) is_anonymous: bool,
    response: reqwest::Response,
    stall: Duration,
    limiter: Option<Arc<RateLimiter>>,
    traffic: Arc<Traffic>,
    known: Arc<KnownSecrets>,
}

impl Answer {
    pub(super) fn new(
        url: &Url,
        response: reqwest::Response,
        stall: Duration,
        limiter: Option<Arc<RateLimiter>>,
        traffic: Arc<Traffic>,
        known: Arc<KnownSecrets>,
    ) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            url: url.clone(),
            permit: None,
            proof_origin: None,
            elsewhere: None,
            is_anonymous: false,
            response,
            stall,
            limiter,
            traffic,
            known,
        }
    }

    /// The next piece of the body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ErrorKind> {
        let chunk = timeout(self.stall, self.response.chunk())
            .await
            .map_err(|_| ErrorKind::Stalled(self.stall))?
            .map_err(|error| classify(&error))?;
        if let Some(bytes) = &chunk {
            self.traffic.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if let Some(limiter) = &self.limiter {
                limiter.take(bytes.len()).await;
            }
        }
        Ok(chunk)
    }

    /// The whole body, if it is not larger than `cap`. For text such as JSON: what a proxy on the way put into gzip though
    /// nobody asked for it is unpacked.
    pub(super) async fn read(self, cap: usize) -> Result<Bytes, ErrorKind> {
        let is_encoded = self.is_gzip();
        let body = self.read_as_sent(cap).await?;
        if is_encoded && body.starts_with(&GZIP) {
            return unpacked(&body, cap);
        }
        Ok(body)
    }

    /// The whole body as it comes, if it is not larger than `cap`.
    pub(super) async fn read_as_sent(mut self, cap: usize) -> Result<Bytes, ErrorKind> {
        let length = self.content_length();
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > cap {
                return Err(too_large(cap));
            }
            body.extend_from_slice(&chunk);
        }
        if length.is_some_and(|length| length != body.len() as u64) {
            return Err(ErrorKind::Broken("the answer ended early".to_owned()));
        }
        Ok(body.freeze())
    }

    /// Whether the answer says that its body is in gzip (RFC 9110, 8.4.1.3). Some say so of a layer that is stored in it.
    pub(super) fn is_gzip(&self) -> bool {
        let encoding = self.header("content-encoding").unwrap_or_default().trim();
        encoding.eq_ignore_ascii_case("gzip") || encoding.eq_ignore_ascii_case("x-gzip")
    }

    /// The length the head of the answer states.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type, without parameters.
    pub(super) fn media_type(&self) -> Option<&str> {
        let value = self.header(CONTENT_TYPE.as_str())?;
        Some(value.split(';').next().unwrap_or(value).trim())
    }

    pub(super) fn is_html(&self) -> bool {
        self.media_type().is_some_and(|t| t.eq_ignore_ascii_case("text/html"))
    }

    /// The texts of `Warning: 299 - "text"` headers (distribution-spec, "Warnings").
    pub(super) fn warnings(&self) -> Vec<String> {
        let text = |value: &HeaderValue| {
            let value = self.known.mask(&String::from_utf8_lossy(value.as_bytes()));
            let quoted = value.trim().strip_prefix("299 ")?.split_once('"')?.1.rsplit_once('"')?.0;
            Some(clean(&quoted.replace("\\\"", "\""), 300))
        };
        self.headers.get_all("warning").iter().filter_map(text).take(20).collect()
    }

    /// The error for an answer with an unexpected status.
    pub(super) async fn into_refusal(
        mut self,
        credentials_from: Option<String>,
        is_upload: bool,
    ) -> ErrorKind {
        let status = self.status.as_u16();
        let (retry_after, rate_limit) = (retry::retry_after(&self.headers), RateLimit::of(&self.headers));
        let url = masked(&self.url);
        let blocked = is_upload && self.is_html() && matches!(status, 403 | 406);
        let mut body = BytesMut::new();
        // What can be had of the explanation is enough; a failure here must not hide the status, nor a slow drip
        // keep it back.
        let stall = self.stall;
        let read = async {
            while let Ok(Some(chunk)) = self.chunk().await {
                let room = SMALL_BODY - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() >= SMALL_BODY {
                    break;
                }
            }
        };
        let _ = timeout(stall, read).await;
        if self.is_gzip() && body.starts_with(&GZIP) {
            body = unpacked(&body, SMALL_BODY).unwrap_or_default().into();
        }
        // Masked before it is cut to length, and after escapes are resolved.
        let mask = |text: &str| masked_query(&self.url, &self.known.mask(text));
        let body = mask(&String::from_utf8_lossy(&body));
        let (code, text) = explanation(body.as_bytes());
        let (text, digests) = (mask(&text), digests_in(&body));
        ErrorKind::Status(Box::new(StatusAnswer {
            status,
            code,
            text,
            digests,
            url,
            retry_after,
            rate_limit,
            credentials_from,
            blocked,
            elsewhere: self.elsewhere.take(),
            is_anonymous: self.is_anonymous,
            passed_over: None,
            about: About::default(),
        }))
    }
}

/// The content of `body`, which is gzip, if it is not larger than `cap`.
pub(super) fn unpacked(body: &[u8], cap: usize) -> Result<Bytes, ErrorKind> {
    let mut unpacked = Vec::new();
    let mut content = MultiGzDecoder::new(body).take(cap as u64 + 1);
    content.read_to_end(&mut unpacked).map_err(|error| {
        ErrorKind::Broken(format!("the answer came in gzip, which cannot be read: {error}"))
    })?;
    if unpacked.len() > cap { Err(too_large(cap)) } else { Ok(unpacked.into()) }
}

fn too_large(cap: usize) -> ErrorKind {
    ErrorKind::Content(format!("the answer is larger than {cap} bytes"))
}

/// The digests in `text`, each once.
fn digests_in(text: &str) -> Vec<Digest> {
    let mut found = Vec::new();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == ':';
    for digest in text.split(|c| !is_part(c)).filter_map(|word| word.parse().ok()) {
        if found.len() < MAX_DIGESTS && !found.contains(&digest) {
            found.push(digest);
        }
    }
    found
}

/// The first error code and the words of an error body: registry JSON, an HTML page's title, or plain text.
pub(super) fn explanation(body: &[u8]) -> (Option<String>, String) {
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
        let first = value.get("errors").and_then(|errors| errors.get(0)).unwrap_or(&value);
        let field = |key: &str| first.get(key).and_then(serde_json::Value::as_str);
        let code = field("code").filter(|code| {
            code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        });
        let words = field("message").or_else(|| field("error_description")).or_else(|| field("error"));
        let words = words.or_else(|| field("details")).unwrap_or_default();
        let detail = first.get("detail").and_then(serde_json::Value::as_str).unwrap_or_default();
        return (code.map(str::to_owned), clean(&format!("{words} {detail}"), 300));
    }
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with('<') {
        return (None, page_title(&text).map_or(String::new(), |title| format!("HTML page {title:?}")));
    }
    (None, clean(&text, 300))
}
