//! The kind of a failed exchange, from the causes of the HTTP library's error.

use std::error::Error as StdError;

use super::error_kind::ErrorKind;
use super::redact::clean;
use super::tls::explain;
use crate::app::unusable::Unusable;

/// The kind of a failed exchange.
pub(super) fn classify(error: &reqwest::Error) -> ErrorKind {
    if let Some(tls) = tls_error(error) {
        return match tls {
            rustls::Error::InvalidCertificate(why) => ErrorKind::Certificate(explain(why)),
            rustls::Error::InvalidMessage(_) => ErrorKind::NotTls,
            other => ErrorKind::Tls(clean(&other.to_string(), 200)),
        };
    }
    let why = innermost(error);
    if error.is_builder() {
        ErrorKind::Configuration(Unusable::new(why))
    } else if error.is_connect() {
        ErrorKind::Connect(why)
    } else {
        ErrorKind::Broken(why)
    }
}

/// The TLS failure among the causes of `error`. An I/O error hides what it wraps from `source`, and may wrap
/// another I/O error.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
        && let Some(tls) = tls_error(inner)
    {
        return Some(tls);
    }
    error.source().and_then(tls_error)
}

/// What a proxy made of the request for a connection through it. The type of the error is not public, so that its words are
/// what there is to go by; a test has both of them.
pub(super) fn tunnel_error(error: &(dyn StdError + 'static)) -> Option<String> {
    let own = error.to_string().strip_prefix("tunnel error: ").map(str::to_owned);
    own.or_else(|| error.source().and_then(tunnel_error))
}

/// The last cause, which has the information; outer ones repeat the URL.
pub(super) fn innermost(error: &dyn StdError) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    clean(&current.to_string(), 200)
}
