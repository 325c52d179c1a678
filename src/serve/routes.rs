//! Routing: the endpoints of OCI distribution-spec 1.1.
//!
//! Paths are read from the right, since repositories may have components called `blobs` or `manifests`.
//! Everything in a path or query is validated before it reaches the store.

use std::fmt;
use std::sync::Arc;

use http::header::{EXPECT, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::answer::{API_VERSION, Answer, Refusal, json_answer};
use super::auth::Users;
use super::backend::Backend;
use super::body::Body;
use super::drain_on_drop::{forget, lend};
use super::limits::PaceLimits;
use super::notices::Notices;
use super::request::{Query, decode, valid_digest, valid_name};
use super::store::Store;
use super::{blob_routes, list_routes, manifest_routes, upload_routes};

/// The registry as a function from request to answer; cheap to clone.
#[derive(Clone)]
pub struct Registry {
    backend: Backend,
    users: Option<Arc<Users>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Version,
    Catalog,
    Tags(&'a str),
    Referrers(&'a str, &'a str),
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Uploads(&'a str),
    Upload(&'a str, &'a str),
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2")?;
        if rest.is_empty() || rest == "/" {
            return Some(Self::Version);
        }
        let rest = rest.strip_prefix('/')?;
        if rest == "_catalog" {
            return Some(Self::Catalog);
        }
        let (before, last) = rest.rsplit_once('/')?;
        let (name, kind) = before.rsplit_once('/').unwrap_or(("", before));
        let upload_of = |folder: &'a str| folder.strip_suffix("/blobs");
        match (kind, last) {
            ("tags", "list") => Some(Self::Tags(name)),
            ("manifests", reference) => Some(Self::Manifest(name, reference)),
            ("referrers", digest) => Some(Self::Referrers(name, digest)),
            ("blobs", "uploads") => Some(Self::Uploads(name)),
            ("blobs", digest) => Some(Self::Blob(name, digest)),
            ("uploads", "") => upload_of(name).map(Self::Uploads),
            ("uploads", upload) => upload_of(name).map(|name| Self::Upload(name, upload)),
            _ => None,
        }
    }
}

impl Registry {
    pub fn new(store: Arc<dyn Store>, read_only: bool, users: Option<Arc<Users>>) -> Self {
        Self { backend: Backend::new(store, read_only), users }
    }

    /// The same, with faults of the registry reported to `notices`.
    #[must_use]
    pub fn telling(mut self, notices: Notices) -> Self {
        self.backend.notices = notices;
        self
    }

    /// The same, for clients that are no slower than `pace` says.
    #[must_use]
    pub fn paced(mut self, pace: PaceLimits) -> Self {
        self.backend.pace = pace;
        self
    }

    /// Answers any request; what goes wrong is in the answer.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        // A client that expects `100 Continue` has not sent its body. Draining would request it.
        let waits = request.headers().contains_key(EXPECT);
        let (head, body) = request.into_parts();
        let (body, returned) = lend(body);
        let mut response = match self.dispatch(Request::from_parts(head, body)).await {
            Ok(response) => response,
            Err(refusal) => {
                if refusal.status.is_server_error() {
                    self.backend.notices.tell(&refusal.message);
                }
                if !waits {
                    forget(returned).await;
                }
                refusal.into_response()
            }
        };
        response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        response
    }

    /// Lets the store remove abandoned uploads, on a blocking thread.
    pub(super) fn tidy(&self) {
        self.backend.tidy();
    }

    async fn dispatch(&self, request: Request<Body>) -> Answer {
        if let Some(users) = &self.users
            && !users.clone().admits(request.headers()).await
        {
            let challenge = HeaderValue::from_static("Basic realm=\"bundle\", charset=\"UTF-8\"");
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required")
                .with(WWW_AUTHENTICATE, challenge));
        }
        let uri = request.uri().clone();
        let path = decode(uri.path())?;
        let query = Query::of(&uri);
        let route = Route::of(&path);
        let route =
            route.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such path"))?;
        match route {
            Route::Version => match *request.method() {
                Method::GET | Method::HEAD => Ok(json_answer("application/json", &json!({}))),
                _ => Err(Refusal::method("GET, HEAD")),
            },
            Route::Catalog => match *request.method() {
                Method::GET => list_routes::catalog(&self.backend, &query).await,
                _ => Err(Refusal::method("GET")),
            },
            Route::Tags(name) => match *request.method() {
                Method::GET => list_routes::tags(&self.backend, valid_name(name)?, &query).await,
                _ => Err(Refusal::method("GET")),
            },
            Route::Referrers(name, digest) => match *request.method() {
                Method::GET => {
                    list_routes::referrers(&self.backend, valid_name(name)?, valid_digest(digest)?, &query)
                        .await
                }
                _ => Err(Refusal::method("GET")),
            },
            Route::Manifest(name, reference) => {
                manifest_routes::answer(&self.backend, valid_name(name)?, reference, &query, request).await
            }
            Route::Blob(name, digest) => {
                blob_routes::answer(&self.backend, valid_name(name)?, valid_digest(digest)?, request).await
            }
            Route::Uploads(name) => match *request.method() {
                Method::POST => upload_routes::start(&self.backend, valid_name(name)?, &query, request).await,
                _ => Err(Refusal::method("POST")),
            },
            Route::Upload(name, upload) => {
                upload_routes::answer(&self.backend, valid_name(name)?, upload, &query, request).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_the_right() {
        for (path, route) in [
            ("/v2", Route::Version),
            ("/v2/", Route::Version),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/b/tags/list", Route::Tags("a/b")),
            ("/v2/a/manifests/v1", Route::Manifest("a", "v1")),
            ("/v2/a/blobs/uploads/manifests/v1", Route::Manifest("a/blobs/uploads", "v1")),
            ("/v2/manifests/manifests/manifests", Route::Manifest("manifests", "manifests")),
            ("/v2/a/manifests/blobs/sha256:0", Route::Blob("a/manifests", "sha256:0")),
            ("/v2/a/blobs/uploads/", Route::Uploads("a")),
            ("/v2/a/blobs/uploads", Route::Uploads("a")),
            ("/v2/a/blobs/blobs/uploads/id", Route::Upload("a/blobs", "id")),
            ("/v2/a/referrers/x", Route::Referrers("a", "x")),
        ] {
            assert_eq!(Route::of(path), Some(route), "{path}");
        }
        for path in ["/", "/v1/", "/v2x", "/v2/a", "/v2/a/b", "/v2/uploads/x", "/v2/x/uploads/"] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
