//! The embedded registry: OCI distribution-spec 1.1 over a [`Store`].
//!
//! Owns the HTTP side: connections, TLS, logins, routes. What is stored, and where, is the store's. Memory is bounded
//! by connections × a few chunks, whatever the size of the blobs.

mod answer;
mod auth;
mod backend;
mod blob_routes;
mod body;
mod bundle;
mod directory;
mod drain_on_drop;
mod heads;
mod limits;
mod list_routes;
mod listing;
mod manifest_routes;
mod marker;
mod needs;
mod notices;
mod pace;
mod registry_folder;
mod request;
mod room;
mod routes;
mod server;
mod store;
mod tree;
mod upload_routes;
mod uploads;

pub use auth::{HtpasswdError, Users};
pub use body::{Body, BodyError};
pub use bundle::BundleStore;
pub use directory::{DirectoryError, DirectoryStore};
pub use limits::{CHUNK, Limits, PaceLimits, Peer, UploadLimits};
pub use listing::{Listed, Page, Referrers};
pub use notices::Notices;
pub use routes::Registry;
pub use server::{ServeError, ServeOptions, Server, bind};
pub use store::{MAX_MANIFEST, Needed, RepositoryName, Store, StoreError, TagOrDigest, WritableStore};
pub use uploads::Clock;
