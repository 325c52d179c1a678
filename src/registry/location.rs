//! `Location` and `Link`, in the forms that registries and the proxies in front of them send.

use url::Url;

/// The URL that `location` means in an answer of `answered`.
///
/// A proxy that does not know its outside often names the same host with another scheme, or without the port;
/// then those of the request are kept. Another host is taken as given. The query is not touched.
pub(super) fn resolve(answered: &Url, location: &str) -> Option<Url> {
    let mut url = answered.join(location.trim()).ok()?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return None;
    }
    let same_host = url.host_str() == answered.host_str();
    let downgraded = answered.scheme() == "https" && url.scheme() == "http";
    if same_host && (downgraded || url.port().is_none()) {
        url.set_scheme(answered.scheme()).ok()?;
        url.set_port(answered.port()).ok()?;
    }
    Some(url)
}

/// The URL with one more query parameter; what is there already is not encoded anew.
pub(super) fn with_query(url: &Url, name: &str, value: &str) -> Url {
    let mut url = url.clone();
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&{name}={value}"),
        _ => format!("{name}={value}"),
    };
    url.set_query(Some(&query));
    url
}

/// The target of `Link: <…>; rel="next"`.
pub(super) fn next_page(answered: &Url, link: &str) -> Option<Url> {
    let target = link.split(',').find(|part| part.contains("rel=\"next\"") || part.contains("rel=next"))?;
    let inside = target.trim().strip_prefix('<')?.split_once('>')?.0;
    resolve(answered, inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved_as_sent() {
        let base = "https://reg:5000/v2/a/blobs/uploads/";
        for (answered, location, expected) in [
            (
                base,
                "/v2/a/blobs/uploads/1?_state=a%2Fb%3D",
                "https://reg:5000/v2/a/blobs/uploads/1?_state=a%2Fb%3D",
            ),
            (base, "uuid", "https://reg:5000/v2/a/blobs/uploads/uuid"),
            (base, "?x=1", "https://reg:5000/v2/a/blobs/uploads/?x=1"),
            (base, "//other/p", "https://other/p"),
            (base, "https://other:8443/p", "https://other:8443/p"),
            (base, "http://other/p", "http://other/p"),
            (base, "http://reg/p", "https://reg:5000/p"),
            (base, "http://reg:5000/p", "https://reg:5000/p"),
            (base, "https://reg/p", "https://reg:5000/p"),
            (base, "https://reg:8443/p", "https://reg:8443/p"),
            ("http://reg:5000/v2/", "https://reg/p", "http://reg:5000/p"),
        ] {
            let url = resolve(&Url::parse(answered).unwrap(), location).unwrap();
            assert_eq!(url.as_str(), expected, "{location}");
        }
        assert!(resolve(&Url::parse(base).unwrap(), "ftp://x/").is_none());
    }

    #[test]
    fn the_query_grows_by_one_parameter() {
        let url = Url::parse("https://r/u?_state=a%2Fb+c").unwrap();
        assert_eq!(with_query(&url, "digest", "sha256:00").query(), Some("_state=a%2Fb+c&digest=sha256:00"));
        let url = Url::parse("https://r/u").unwrap();
        assert_eq!(with_query(&url, "digest", "sha256:00").query(), Some("digest=sha256:00"));
    }

    #[test]
    fn links_are_followed_by_relation() {
        let base = Url::parse("https://r/v2/a/tags/list?n=2").unwrap();
        let next = next_page(&base, "</v2/a/tags/list?n=2&last=b>; rel=\"next\"").unwrap();
        assert_eq!(next.as_str(), "https://r/v2/a/tags/list?n=2&last=b");
        assert!(next_page(&base, "</x>; rel=\"prev\"").is_none());
    }
}
