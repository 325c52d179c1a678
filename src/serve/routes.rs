//! What a request asks for, and who answers it: OCI distribution-spec 1.1.
//!
//! Paths are read from the right, since repositories may have components called `blobs` or `manifests`.
//! Everything in a path or query is validated before it reaches the store.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{EXPECT, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{API_VERSION, Answer, Refusal, json_answer};
use super::auth::Users;
use super::lent::{forget, lend};
use super::limits::PaceLimits;
use super::notices::Notices;
use super::pace::Incoming;
use super::store::{RepositoryName, Store, StoreError, TagOrDigest, WritableStore};
use super::{blob_routes, list_routes, manifest_routes, upload_routes};
use crate::image::Digest;

/// The registry as a function from request to answer; cheap to clone.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
    read_only: bool,
    users: Option<Arc<Users>>,
    notices: Notices,
    pace: PaceLimits,
    parsing: Arc<Semaphore>,
}

/// Pushed manifests that are read from JSON at once.
const PARSED_AT_ONCE: usize = 4;

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("read_only", &self.read_only).finish_non_exhaustive()
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
        let parsing = Arc::new(Semaphore::new(PARSED_AT_ONCE));
        let (notices, pace) = (Notices::default(), PaceLimits::default());
        Self { store, read_only, users, notices, pace, parsing }
    }

    /// The same, with faults of the registry's own told to `notices`.
    #[must_use]
    pub fn telling(mut self, notices: Notices) -> Self {
        self.notices = notices;
        self
    }

    /// The same, for clients that are no slower than `pace` says.
    #[must_use]
    pub fn paced(mut self, pace: PaceLimits) -> Self {
        self.pace = pace;
        self
    }

    /// Waits for a turn to read a manifest from JSON.
    pub(super) async fn parsing(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = Arc::clone(&self.parsing).acquire_owned().await;
        permit.map_err(|_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the registry ends"))
    }

    /// The body of a request.
    pub(super) fn incoming(&self, body: Body) -> Incoming {
        Incoming::new(body, self.pace)
    }

    pub(super) fn notices(&self) -> &Notices {
        &self.notices
    }

    pub(super) fn has_parts(&self) -> bool {
        self.store.has_parts()
    }

    /// Answers any request; what goes wrong is in the answer.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        // Whoever expects a `100 Continue` has sent nothing yet, and asking for the rest would make them send it.
        let waits = request.headers().contains_key(EXPECT);
        let (head, body) = request.into_parts();
        let (body, returned) = lend(body);
        let mut response = match self.dispatch(Request::from_parts(head, body)).await {
            Ok(response) => response,
            Err(refusal) => {
                if refusal.status.is_server_error() {
                    self.notices.tell(&refusal.message);
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
        let query = Query(uri.query().unwrap_or_default());
        let route = Route::of(&path);
        let route =
            route.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such path"))?;
        match route {
            Route::Version => match *request.method() {
                Method::GET | Method::HEAD => Ok(json_answer("application/json", &json!({}))),
                _ => Err(Refusal::method("GET, HEAD")),
            },
            Route::Catalog => match *request.method() {
                Method::GET => list_routes::catalog(self, &query).await,
                _ => Err(Refusal::method("GET")),
            },
            Route::Tags(name) => match *request.method() {
                Method::GET => list_routes::tags(self, valid_name(name)?, &query).await,
                _ => Err(Refusal::method("GET")),
            },
            Route::Referrers(name, digest) => match *request.method() {
                Method::GET => {
                    list_routes::referrers(self, valid_name(name)?, valid_digest(digest)?, &query).await
                }
                _ => Err(Refusal::method("GET")),
            },
            Route::Manifest(name, reference) => {
                manifest_routes::answer(self, valid_name(name)?, reference, &query, request).await
            }
            Route::Blob(name, digest) => {
                blob_routes::answer(self, valid_name(name)?, valid_digest(digest)?, request).await
            }
            Route::Uploads(name) => match *request.method() {
                Method::POST => upload_routes::start(self, valid_name(name)?, &query, request).await,
                _ => Err(Refusal::method("POST")),
            },
            Route::Upload(name, upload) => {
                upload_routes::answer(self, valid_name(name)?, upload, &query, request).await
            }
        }
    }

    /// Runs `work` on a blocking thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(store.as_ref())).await;
        let failed = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the store failed");
        Ok(done.map_err(failed)??)
    }

    /// Lets the store drop what clients have abandoned, on a blocking thread.
    pub(super) fn tidy(&self) {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || store.writable().map(WritableStore::tidy));
    }

    /// Refuses where nothing may be written; asked before any body is read.
    pub(super) fn check_writable(&self) -> Result<(), Refusal> {
        if self.read_only || self.store.writable().is_none() {
            let mut refusal = Refusal::method("GET, HEAD");
            refusal = refusal.detail(json!("this registry is read-only"));
            return Err(refusal);
        }
        Ok(())
    }

    /// Runs `work` on a blocking thread, where writing is allowed.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn WritableStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.check_writable()?;
        self.read(move |store| match store.writable() {
            Some(store) => work(store),
            None => Err(std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem).into()),
        })
        .await
    }
}

/// The parameters of a request, read when asked for.
pub(super) struct Query<'a>(&'a str);

impl Query<'_> {
    pub(super) fn get(&self, key: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.find_map(|(name, value)| (name == key).then(|| value.into_owned()))
    }

    pub(super) fn digest(&self, key: &str) -> Result<Option<Digest>, Refusal> {
        self.get(key).map(|text| valid_digest(&text)).transpose()
    }
}

/// Undoes percent-encoding (clients send `sha256%3A…`); names and digests are checked afterwards.
fn decode(path: &str) -> Result<Cow<'_, str>, Refusal> {
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let bad = || Refusal::bad("NAME_INVALID", "the path is not valid");
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut nibble = || rest.next().and_then(|c| char::from(c).to_digit(16)).ok_or_else(bad);
        let value = nibble()? << 4 | nibble()?;
        decoded.push(u8::try_from(value).map_err(|_| bad())?);
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| bad())
}

fn valid_name(name: &str) -> Result<RepositoryName, Refusal> {
    name.parse().map_err(|e: crate::image::ReferenceError| Refusal::bad("NAME_INVALID", e.to_string()))
}

pub(super) fn valid_digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|e: crate::image::DigestError| Refusal::bad("DIGEST_INVALID", e.to_string()))
}

/// A tag, or a digest where there is a colon; the refusal of a bad tag has `status`.
pub(super) fn valid_reference(text: &str, status: StatusCode) -> Result<TagOrDigest, Refusal> {
    if text.contains(':') {
        return valid_digest(text).map(TagOrDigest::Digest);
    }
    let code = if status == StatusCode::NOT_FOUND { "MANIFEST_UNKNOWN" } else { "MANIFEST_INVALID" };
    let refuse = |e: crate::image::ReferenceError| Refusal::new(status, code, e.to_string());
    text.parse().map(TagOrDigest::Tag).map_err(refuse)
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

    #[test]
    fn escapes_are_undone_once_and_broken_ones_refused() {
        assert_eq!(decode("/v2/a/blobs/sha256%3Aab").unwrap(), "/v2/a/blobs/sha256:ab");
        assert_eq!(decode("%252e").unwrap(), "%2e");
        for path in ["%", "%2", "%zz", "%ff"] {
            assert!(decode(path).is_err(), "{path}");
        }
    }
}
