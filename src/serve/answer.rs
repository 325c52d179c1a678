//! Answers of the registry: refusals with the distribution-spec's error envelope, and small successes.

use std::io;

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::Body;
use super::store::StoreError;

pub(super) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(super) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
pub(super) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

pub(super) type Answer = Result<Response<Body>, Refusal>;

/// An error answer: status, code of the distribution-spec ("Error Codes"), and a message for people.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    code: &'static str,
    pub(super) message: String,
    detail: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: Value::Null, headers: Vec::new() }
    }

    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn method(allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported")
            .with(ALLOW, HeaderValue::from_static(allowed))
    }

    pub(super) fn detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The connection ends with this answer.
    pub(super) fn closing(self) -> Self {
        self.with(CONNECTION, HeaderValue::from_static("close"))
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut error = json!({ "code": self.code, "message": self.message });
        if !self.detail.is_null() {
            error["detail"] = self.detail;
        }
        let mut response = json_answer("application/json", &json!({ "errors": [error] }));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let mut message = error.to_string();
        let (status, code) = match &error {
            StoreError::NameUnknown(_) => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            StoreError::ManifestUnknown(_) => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            StoreError::BlobUnknown(_) => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            StoreError::Missing(_) => (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"),
            // As other registries answer; the distribution-spec's suite knows no other status either.
            StoreError::InUse { .. } => (StatusCode::METHOD_NOT_ALLOWED, "DENIED"),
            StoreError::UploadUnknown => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            StoreError::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            StoreError::OutOfOrder { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
            StoreError::TooManyUploads { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            StoreError::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            StoreError::Io(error) if is_no_space(error) => {
                message = format!("the registry has no space left: {error}");
                (StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN")
            }
            StoreError::Io(_) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        };
        let refusal = Self::new(status, code, message);
        match error {
            StoreError::TooManyUploads { .. } | StoreError::Busy { .. } => {
                refusal.with(RETRY_AFTER, HeaderValue::from_static("30"))
            }
            StoreError::Missing(digests) => refusal.detail(json!({ "digests": digests })),
            StoreError::InUse { .. } => refusal.with(ALLOW, HeaderValue::from_static("GET, HEAD")),
            _ => refusal,
        }
    }
}

/// Whether the disk is full, or the file as large as the system lets it be.
fn is_no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    // A 204 carries no Content-Length (RFC 9110, 8.6).
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

pub(super) fn json_answer(media_type: &'static str, value: &Value) -> Response<Body> {
    let text = value.to_string();
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// A header value of text that may come from outside: what cannot stand in a header is left out.
pub(super) fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
