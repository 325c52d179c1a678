//! A registry's own API beside `/v2/`, where it has one (Harbor's projects), and HTTP for the services of its operator.
//!
//! Both share trust, proxies and credentials with the registry itself.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use url::Url;

use super::RegistryClient;
use super::answer::SMALL_BODY;
use super::body::Payload;
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use super::exchange_failure::classify;
use super::http::{Call, Target};
use crate::app::unusable::Unusable;
use crate::image::HostName;

/// Far above any answer of the services that are asked.
const SERVICE_BODY: usize = 8 << 20;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl RegistryClient {
    /// Sends `body` (JSON, for a POST; none for a GET) to `path` at `host` with the registry's user name and password.
    /// The status and up to 64 KiB of the answer come back, whatever the status.
    pub async fn operator_api(
        &self,
        host: &HostName,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(u16, Bytes), RegistryError> {
        let state = self.0.host(host);
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut call = Call::new(&state, method, Target::Path(path.to_owned()), format!("{host}{path}"));
        call.by_password = true;
        call.headers.insert(ACCEPT, JSON);
        if let Some(body) = body {
            call.headers.insert(CONTENT_TYPE, JSON);
            call.payload = Payload::Bytes(body.to_string().into());
        }
        let answer = self.0.send(&call).await?;
        let status = answer.status.as_u16();
        match answer.read(SMALL_BODY).await {
            Ok(body) => Ok((status, body)),
            // What a web page says in its first 64 KiB is enough to know it is one.
            Err(ErrorKind::Content(_)) => Ok((status, Bytes::new())),
            Err(kind) => Err(call.error(kind)),
        }
    }

    /// Sends `request` to a service of a registry's operator (a cloud's API), as it is: the same authorities and proxies,
    /// no redirects, no credentials of ours, no retries.
    pub async fn service(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, ErrorKind> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string());
        let url =
            url.map_err(|_| ErrorKind::Configuration(Unusable::new("a service's address is not a URL")))?;
        let route = self.0.transport.route(&url, false)?;
        let sent = route.client.request(head.method, url).headers(head.headers).body(body).send().await;
        let mut answer = sent.map_err(|error| route.classify(&error))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| classify(&error))? {
            if bytes.len() + chunk.len() > SERVICE_BODY {
                return Err(ErrorKind::Content(format!("the answer is larger than {SERVICE_BODY} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(bytes);
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }
}
