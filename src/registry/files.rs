//! Range requests to web servers and object stores, for a library that builds the requests itself.
//!
//! Trust, proxies, rate limit and stall timeout are those of registries. Requests are not repeated here.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};
use url::Url;

use super::RegistryClient;
use super::answer::{Answer, SMALL_BODY};
use super::body::Payload;
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use super::http::{Call, Target};
use super::login_rules::may_log_in_at;
use crate::app::unusable::Unusable;
use crate::image::HostName;

impl RegistryClient {
    /// Sends a request without a body to `name`, once. What is signed already goes as it is; for anything else a server
    /// gets its login, from where those of registries are, and redirects are followed like theirs. Of an answer up to
    /// `cap` bytes are taken; one that is all of a longer file comes without its body. Plain HTTP is for loopback, and for
    /// hosts that were named for it.
    pub async fn file(
        &self,
        name: &HostName,
        request: http::Request<()>,
        cap: usize,
    ) -> Result<http::Response<Bytes>, RegistryError> {
        let (head, ()) = request.into_parts();
        let unusable =
            |why: String| RegistryError::new(name, "file", ErrorKind::Configuration(Unusable::new(why)));
        let url = Url::parse(&head.uri.to_string());
        let url = url.map_err(|_| unusable("this address cannot be used".to_owned()))?;
        if !may_log_in_at(&self.0.options, &url) {
            return Err(unusable(format!("plain HTTP to {name} is not allowed without --plain-http")));
        }
        let host = self.0.host(name);
        host.speaks(&url);
        let mut call = Call::new(&host, head.method, Target::Url(url.clone()), "file");
        call.headers = head.headers;
        let answer = if call.headers.contains_key(AUTHORIZATION) {
            let (method, headers) = (call.method.clone(), call.headers.clone());
            let answer = self.0.transport.exchange(&url, method, headers, &Payload::Empty, false).await;
            answer.map_err(|kind| call.error(kind))?
        } else {
            self.0.attempt(&call).await?
        };
        if answer.status.is_success() {
            host.pace.of(&call.method, call.is_base).went_well();
        }
        taken(&call, answer, cap).await.map_err(|kind| call.error(kind))
    }
}

/// The answer with its body, if that is the part that was asked for, or says why there is none. All of a file that is not
/// longer than the part is the part: Apache gives it out as such.
async fn taken(call: &Call<'_>, answer: Answer, cap: usize) -> Result<http::Response<Bytes>, ErrorKind> {
    let (mut status, mut headers) = (answer.status, answer.headers.clone());
    let from_start = call.headers.get(RANGE).is_some_and(|range| range.as_bytes().starts_with(b"bytes=0-"));
    let is_small = answer.content_length().is_some_and(|length| length <= cap as u64);
    let body = match status {
        StatusCode::PARTIAL_CONTENT => answer.read_as_sent(cap).await?,
        StatusCode::OK if from_start && is_small => {
            let body = answer.read_as_sent(cap).await?;
            let range = body.len().checked_sub(1).map(|last| format!("bytes 0-{last}/{}", body.len()));
            if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
                headers.insert(CONTENT_RANGE, range);
                status = StatusCode::PARTIAL_CONTENT;
            }
            body
        }
        status if status.is_success() => Bytes::new(),
        // An incomplete explanation is enough.
        _ => answer.read(SMALL_BODY).await.unwrap_or_default(),
    };
    if status == StatusCode::PARTIAL_CONTENT {
        // An answer in chunks states no length, but the library needs one.
        headers.insert(CONTENT_LENGTH, body.len().into());
    }
    let mut response = http::Response::new(body);
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}
