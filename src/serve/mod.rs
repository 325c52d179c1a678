//! The embedded registry: OCI distribution-spec 1.1 over a [`Store`].
//!
//! Owns the HTTP side: connections, TLS, logins, routes. What is stored, and where, is the store's. Memory is bounded
//! by connections × a few chunks, whatever the size of the blobs.

mod answer;
mod auth;
mod blob_routes;
mod bundle;
mod directory;
mod lent;
mod limits;
mod list_routes;
mod manifest_routes;
mod marker;
mod needs;
mod notices;
mod patient;
mod routes;
mod server;
mod store;
mod tree;
mod upload_routes;
mod uploads;

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::StreamExt as _;

use answer::Refusal;
pub use auth::{HtpasswdError, Users};
pub use bundle::BundleStore;
pub use directory::{DirectoryError, DirectoryStore};
pub use limits::{Peer, UploadLimits};
pub use notices::Notices;
pub use routes::Registry;
pub use server::{ServeError, ServeOptions, Server, bind};
pub use store::{MAX_MANIFEST, Needed, RepositoryName, Store, StoreError, TagOrDigest, WritableStore};
pub use uploads::Clock;

/// Bytes of a blob that are in memory at once, per request.
pub const CHUNK: usize = 256 << 10;

/// A client that sends nothing, or takes nothing, for so long in the middle of a body is gone.
const STALLED: Duration = Duration::from_secs(5 * 60);

/// The next piece of a request's body.
async fn next_frame(frames: &mut BodyDataStream) -> Result<Option<Bytes>, Refusal> {
    match tokio::time::timeout(STALLED, frames.next()).await {
        Ok(Some(Ok(frame))) => Ok(Some(frame)),
        Ok(None) => Ok(None),
        Ok(Some(Err(_))) => Err(Refusal::bad("BLOB_UPLOAD_INVALID", "the request's body broke off")),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "BLOB_UPLOAD_INVALID",
            "the request's body stalled",
        )),
    }
}
