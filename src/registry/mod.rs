//! Registries: the only module that sends HTTP (OCI distribution-spec, as real registries speak it).
//!
//! It moves bytes and says what happened; what to move is decided elsewhere. Passing failures are repeated here
//! and nowhere else. Refused: content that is not what its digest or size says, credentials over a less safe
//! connection than the registry's, and anything unbounded. Invariants: a secret is never shown, a blob or
//! manifest that fails its own check is never committed, and no request is under way without a permit.

mod answer;
mod auth;
mod auth_file;
mod auth_state;
mod authority;
mod blob_source;
mod blobs;
mod body;
mod certificates;
mod challenge;
mod client;
mod credentials;
mod environment;
mod error;
mod error_kind;
mod exchange_failure;
mod fetched_manifest;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod helper;
mod hint;
mod host;
mod http;
mod known;
mod listing;
mod location;
mod login;
mod login_rules;
mod manifests;
mod operator;
mod options;
mod pace;
mod ping;
mod proxy;
mod push;
mod redact;
mod referrers;
mod retry;
mod scheme;
mod sessions;
mod stats;
mod tls;
mod token;
mod transport;
mod upload;
mod warnings;

#[cfg(test)]
mod tests;

pub use blob_source::BlobSource;
pub use blobs::{BlobPlace, BlobStream};
pub use client::RegistryClient;
pub use credentials::{CredentialProvider, GivenCredentials};
pub use environment::Environment;
pub use error::RegistryError;
pub use error_kind::{
    About, BadCertificate, CertificateCause, ErrorClass, ErrorKind, ProxyFault, SourceError, StatusAnswer,
};
pub use fetched_manifest::FetchedManifest;
pub use login::{StoreError, remove_login, store_login};
pub use manifests::{GivenOut, ManifestTarget, PutManifest};
pub use options::{ClientOptions, MAX_MANIFEST};
pub use pace::HEADS_PER_JOB;
pub use ping::PingOutcome;
pub use proxy::ProxyName;
pub use push::Pushed;
pub use referrers::Referrers;
pub use retry::RateLimit;
pub use sessions::Sessions;
pub use stats::{HostStats, Stats};
pub use upload::Upload;
