//! Where a login may be sent.

use url::Url;

use super::authority::host_of;
use super::error::RegistryError;
use super::error_kind::ErrorKind;
use super::options::ClientOptions;
use super::redact::masked;
use crate::image::HostName;

/// Whether the host of `url` was named as one that is spoken to in plain HTTP.
pub(super) fn is_plain(options: &ClientOptions, url: &Url) -> bool {
    host_of(url).is_some_and(|name| options.plain_http.contains(&name))
}

/// Whether a login may be sent to `url`, whatever led there: over plain HTTP only to loopback, and to hosts that were
/// named for it.
pub(super) fn may_log_in_at(options: &ClientOptions, url: &Url) -> bool {
    url.scheme() == "https"
        || host_of(url).is_some_and(|name| name.is_loopback() || options.plain_http.contains(&name))
}

/// An error that names the host of `url`, else `host`, where no login may be sent to it.
pub(super) fn check_login_at(
    options: &ClientOptions,
    url: &Url,
    host: &HostName,
    what: &str,
) -> Result<(), RegistryError> {
    if may_log_in_at(options, url) {
        return Ok(());
    }
    let name = host_of(url).unwrap_or_else(|| host.clone());
    Err(RegistryError::new(&name, what, ErrorKind::PlainLogin(masked(url))))
}
