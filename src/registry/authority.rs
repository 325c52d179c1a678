//! The authority of an address: the host, and the port where one is written.

use url::Url;

use crate::image::HostName;

/// `host` or `host:port`, as `certs.d` and `--tls-no-verify` name it.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The authority of an https URL to `host`, where the standard port is not written.
pub(super) fn tls_authority(host: &HostName) -> String {
    let authority = host.connect_authority();
    authority.strip_suffix(":443").unwrap_or(authority).to_owned()
}

/// The registry, or other server, that an address leads to.
pub(super) fn host_of(url: &Url) -> Option<HostName> {
    authority(url).parse().ok()
}
