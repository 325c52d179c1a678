//! How a registry is spoken to: https, or http where that is allowed.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::time::timeout;
use url::Url;

use super::body::Payload;
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use super::host::Host;
use super::options::ClientOptions;
use super::transport::Transport;
use crate::app::unusable::Unusable;

/// A loopback server that does not answer a TLS greeting by then speaks plain HTTP.
const PROBE: Duration = Duration::from_secs(5);

/// `https://<authority>/`, or `http://` where that is allowed: by name, or for loopback after TLS was tried.
pub(super) async fn base(
    options: &ClientOptions,
    transport: &Transport,
    host: &Host,
) -> Result<Url, RegistryError> {
    let scheme = host
        .scheme
        .get_or_try_init(|| async {
            if options.tls_only.contains(&host.name) {
                Ok("https")
            } else if options.plain_http.contains(&host.name) {
                Ok("http")
            } else if host.name.is_loopback() {
                probe(transport, host).await
            } else {
                Ok("https")
            }
        })
        .await?;
    origin(host, scheme)
}

async fn probe(transport: &Transport, host: &Host) -> Result<&'static str, RegistryError> {
    let ask = async |scheme| {
        let url = origin(host, scheme)?.join("/v2/");
        let url = url.map_err(|_| unusable(host))?;
        let exchange = transport.exchange(&url, Method::GET, HeaderMap::new(), &Payload::Empty, true);
        let outcome = timeout(PROBE, exchange).await.unwrap_or(Err(ErrorKind::Stalled(PROBE)));
        Ok::<_, RegistryError>(outcome.map(drop))
    };
    match ask("https").await? {
        Ok(()) => return Ok("https"),
        // The host speaks TLS. The request itself reports its errors, and there is no fallback to plain HTTP.
        Err(ErrorKind::Certificate(_) | ErrorKind::Tls(_) | ErrorKind::Configuration(_)) => {
            return Ok("https");
        }
        Err(_) => {}
    }
    match ask("http").await? {
        Ok(()) => Ok("http"),
        Err(kind) => Err(RegistryError::new(&host.name, format!("registry {}", host.name), kind)),
    }
}

fn origin(host: &Host, scheme: &str) -> Result<Url, RegistryError> {
    Url::parse(&format!("{scheme}://{}/", host.name.connect_authority())).map_err(|_| unusable(host))
}

fn unusable(host: &Host) -> RegistryError {
    let kind = ErrorKind::Configuration(Unusable::new("this host name cannot be part of a URL"));
    RegistryError::new(&host.name, format!("registry {}", host.name), kind)
}
