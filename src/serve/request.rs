//! Parsing of the path and the query of a request.

use std::borrow::Cow;

use http::{StatusCode, Uri};

use super::answer::Refusal;
use super::store::{RepositoryName, TagOrDigest};
use crate::image::Digest;

/// The parameters of a request, parsed on demand.
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(super) fn of(uri: &'a Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.find_map(|(name, value)| (name == key).then(|| value.into_owned()))
    }

    pub(super) fn digest(&self, key: &str) -> Result<Option<Digest>, Refusal> {
        self.get(key).map(|text| valid_digest(&text)).transpose()
    }
}

/// Undoes percent-encoding (clients send `sha256%3A…`); names and digests are checked afterwards.
pub(super) fn decode(path: &str) -> Result<Cow<'_, str>, Refusal> {
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

pub(super) fn valid_name(name: &str) -> Result<RepositoryName, Refusal> {
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
    fn escapes_are_undone_once_and_broken_ones_refused() {
        assert_eq!(decode("/v2/a/blobs/sha256%3Aab").unwrap(), "/v2/a/blobs/sha256:ab");
        assert_eq!(decode("%252e").unwrap(), "%2e");
        for path in ["%", "%2", "%zz", "%ff"] {
            assert!(decode(path).is_err(), "{path}");
        }
    }
}
