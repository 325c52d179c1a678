//! What web servers and object stores give out by ranges, for a library that asks for it itself.
//!
//! Trust, proxies, the rate limit and the watch over what stands still are those of registries. Nothing is repeated here.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH};
use url::Url;

use super::RegistryClient;
use super::answer::SMALL_BODY;
use super::body::Payload;
use super::error::{ErrorKind, RegistryError};
use super::http::{Call, Target};
use crate::image::HostName;

impl RegistryClient {
    /// Sends a request without a body to `name`, once. What is signed already goes as it is; for anything else a server
    /// gets its login, from where those of registries are, and redirects are followed like theirs. Of an answer up to
    /// `cap` bytes are taken; one that is all of a file where a part was asked for comes without its body. Plain HTTP is
    /// for loopback, and for hosts that were named for it.
    pub async fn file(
        &self,
        name: &HostName,
        request: http::Request<()>,
        cap: usize,
    ) -> Result<http::Response<Bytes>, RegistryError> {
        let (head, ()) = request.into_parts();
        let unusable = |why: String| RegistryError::new(name, "file", ErrorKind::Configuration(why));
        let url = Url::parse(&head.uri.to_string());
        let url = url.map_err(|_| unusable("this address cannot be used".to_owned()))?;
        let may_be_plain = name.is_loopback() || self.0.options.plain_http.contains(name);
        if url.scheme() != "https" && !may_be_plain {
            return Err(unusable(format!("plain HTTP to {name} is not allowed without --plain-http")));
        }
        let host = self.0.host(name);
        host.speaks(&url);
        let mut call = Call::new(&host, head.method, Target::Url(url.clone()), "file");
        call.headers = head.headers;
        let answer = if call.headers.contains_key(AUTHORIZATION) {
            let (method, headers) = (call.method.clone(), call.headers.clone());
            let answer = self.0.transport.exchange(&url, method, headers, &Payload::Empty, None).await;
            answer.map_err(|kind| call.error(kind))?
        } else {
            self.0.attempt(&call).await?
        };
        if answer.status.is_success() {
            host.pace.of(&call.method).went_well();
        }
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers.clone();
        *response.body_mut() = if answer.status == StatusCode::PARTIAL_CONTENT {
            let body = answer.read(cap).await.map_err(|kind| call.error(kind))?;
            // Of an answer in chunks the length is not stated, and the library wants it.
            response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
            body
        } else if answer.status.is_success() {
            Bytes::new()
        } else {
            // What can be had of the explanation is enough.
            answer.read(SMALL_BODY).await.unwrap_or_default()
        };
        Ok(response)
    }
}
