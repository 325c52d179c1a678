//! Support for tests: a registry with faults, images made in code, the program's own command line.
// Every helper is for whichever test needs it next.
#![allow(dead_code, unreachable_pub)]

#[cfg(feature = "ecr")]
pub mod aws;
pub mod bundles;
pub mod cli;
mod faults;
pub mod gap;
pub mod images;
pub mod liar;
pub mod link;
pub mod pages;
pub mod rebuilt;
pub mod registry;
pub mod sources;

use std::sync::Once;

/// An HTTP client that trusts nothing but what the test says.
pub fn client() -> reqwest::Client {
    client_builder().build().unwrap()
}

pub fn client_builder() -> reqwest::ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).tls_certs_only([])
}
