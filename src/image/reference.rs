//! Image references: repository, tag, digest; with [`HostName`] the only parser of names.
//!
//! Follows `distribution/reference` (its grammar, and Docker Hub's short forms), but keeps a tag that stands
//! before a digest, and keeps IPv6 hosts. Every value is canonical: `nginx`, `docker.io/nginx` and
//! `registry-1.docker.io/library/nginx` parse to one [`Reference`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::host::HostName;
use super::reference_error::{ReferenceError, shown};
use super::{Digest, DigestError};

/// Clients cap host, slash and path together at this many characters.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A repository in a registry, without tag or digest. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    host: HostName,
    path: Arc<str>,
}

impl Repository {
    /// The repository `path` at `host`, checked; one-component paths on Docker Hub get `library/`.
    pub fn new(host: HostName, path: &str) -> Result<Self, ReferenceError> {
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(shown(path)));
        }
        if !path.split('/').all(is_path_component) {
            return Err(ReferenceError::Path(shown(path)));
        }
        let path: Arc<str> = if host.is_docker_hub() && !path.contains('/') {
            format!("library/{path}").into()
        } else {
            path.into()
        };
        if host.as_str().len() + 1 + path.len() > MAX_NAME {
            return Err(ReferenceError::TooLong(shown(&format!("{host}/{path}"))));
        }
        Ok(Self { host, path })
    }

    pub fn host(&self) -> &HostName {
        &self.host
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The reference to `digest` in this repository.
    pub fn at(&self, digest: Digest) -> Reference {
        Reference { repository: self.clone(), tag: None, digest: Some(digest) }
    }

    /// The reference to `tag` in this repository.
    pub fn tagged(&self, tag: Tag) -> Reference {
        Reference { repository: self.clone(), tag: Some(tag), digest: None }
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    /// `<host>/<path>`, as it is printed; short forms are for [`Reference`].
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (host, path) = text.split_once('/').ok_or_else(|| ReferenceError::RegistryOnly(shown(text)))?;
        Self::new(host.parse()?, path)
    }
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-` (distribution-spec, "Pulling manifests").
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !alphanumeric(first) || !alphanumeric(last) {
        return false;
    }
    bytes
        .split(alphanumeric)
        .filter(|joint| !joint.is_empty())
        .all(|joint| matches!(joint, b"." | b"_" | b"__") || joint.iter().all(|b| *b == b'-'))
}

/// A valid tag.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn latest() -> Self {
        Self("latest".to_owned())
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains('+') {
            return Err(ReferenceError::TagPlus(shown(text)));
        }
        let valid = text.len() <= MAX_TAG
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            && !matches!(text.as_bytes().first(), None | Some(b'.' | b'-'));
        if valid { Ok(Self(text.to_owned())) } else { Err(ReferenceError::Tag(shown(text))) }
    }
}

/// A canonical image reference. At least one of tag and digest is set: without both, the tag is `latest`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    pub fn host(&self) -> &HostName {
        &self.repository.host
    }

    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest the reference pins, if it pins one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same tag and digest in another repository.
    #[must_use]
    pub fn moved_to(&self, repository: Repository) -> Self {
        Self { repository, ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.contains("{{") || text.contains("}}") || text.contains('$') {
            return Err(ReferenceError::Unrendered(shown(text)));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (host, rest) = match name.split_once('/') {
            Some((first, rest)) if names_a_host(first) => (first.parse::<HostName>()?, rest),
            _ => (HostName::docker_hub(), name),
        };
        if rest.is_empty() || (rest == name && is_host_with_port(name)) {
            return Err(ReferenceError::RegistryOnly(shown(text)));
        }
        let last_slash = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match rest[last_slash..].find(':') {
            Some(colon) => {
                (&rest[..last_slash + colon], Some(rest[last_slash + colon + 1..].parse::<Tag>()?))
            }
            None => (rest, None),
        };
        if digest.is_none()
            && tag.is_none()
            && path.len() == 64
            && path.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return Err(DigestError::ImageId(shown(path)).into());
        }
        let repository = Repository::new(host, path)?;
        let tag = tag.or_else(|| digest.is_none().then(Tag::latest));
        Ok(Self { repository, tag, digest })
    }
}

/// Whether the first component of a name is a registry: it has `.`, `:` or uppercase letters, or is `localhost`.
fn names_a_host(first: &str) -> bool {
    first == "localhost"
        || first.starts_with('[')
        || first.contains(['.', ':'])
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

/// `localhost:5000` or `registry.local:5000` without a path: a registry; `foo:5000` is an image and its tag.
fn is_host_with_port(name: &str) -> bool {
    let Some((host, port)) = name.rsplit_once(':') else {
        return name.starts_with('[');
    };
    (host == "localhost" || host.starts_with('[') || host.contains('.'))
        && port.bytes().all(|b| b.is_ascii_digit())
        && name.parse::<HostName>().is_ok()
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.to_string();
        if names_a_host(&host) {
            return write!(f, "{host}/{}", self.path);
        }
        // Read again, `foo/x` would be a namespace of Docker Hub; `Foo/x` is the registry that was meant.
        let (before, after) = host.split_at(host.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0));
        let (letter, after) = after.split_at(1);
        write!(f, "{before}{}{after}/{}", letter.to_ascii_uppercase(), self.path)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

macro_rules! text_value {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
text_value!(HostName, Repository, Tag, Reference);

macro_rules! parsed_value {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
parsed_value!(Repository, Tag, Reference);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn spellings_of_one_image_are_one_reference() {
        for (text, canonical) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/nginx:1", "docker.io/library/nginx:1"),
            ("registry-1.docker.io/library/nginx", "docker.io/library/nginx:latest"),
            ("bitnami/kafka:2", "docker.io/bitnami/kafka:2"),
            ("foo:5000", "docker.io/library/foo:5000"),
            ("myreg/x", "docker.io/myreg/x:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("Foo/x", "Foo/x:latest"),
            ("1fOO/x", "1Foo/x:latest"),
            ("QUAY.io:443/a/b/c:T", "quay.io:443/a/b/c:T"),
            ("[::1]:5000/x:1", "[::1]:5000/x:1"),
            ("[2001:DB8::1]/x:1", "[2001:db8::1]/x:1"),
            ("a__b/c-d.e---f:1", "docker.io/a__b/c-d.e---f:1"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn a_tag_before_a_digest_is_kept() {
        let reference: Reference = format!("r.io/x:v1@sha256:{HEX}").parse().unwrap();
        assert_eq!(reference.tag().unwrap().as_str(), "v1");
        assert_eq!(reference.digest().unwrap().hex(), HEX);
        let pinned: Reference = format!("r.io/x@sha256:{HEX}").parse().unwrap();
        assert_eq!(pinned.tag(), None);
    }

    #[test]
    fn refusals_name_the_fault() {
        let long_tag = format!("x:{}", "t".repeat(129));
        let long_name = format!("r.io/{}", "a/".repeat(130) + "a");
        for (text, says) in [
            ("", "empty"),
            ("localhost:5000", "no image"),
            ("quay.io/", "no image"),
            ("reg.local:5000", "no image"),
            ("r.io/A/b", "lowercase"),
            ("r.io/a..b", "not valid"),
            ("r.io/a___b", "not valid"),
            ("r.io/-a", "not valid"),
            ("r.io/a//b", "not valid"),
            ("r.io/a/../b", "not valid"),
            ("x:1.0+build", "'_'"),
            ("x:", "tag"),
            ("x:-a", "tag"),
            (&long_tag, "tag"),
            (&long_name, "255"),
            ("r.io/{{ .Values.image }}:1", "never filled in"),
            ("r.io/x:$TAG", "never filled in"),
            ("::1/x", "brackets"),
            ("[::1%eth0]:5000/x", "zone"),
            ("[::1:5000/x", "closed"),
            ("r.io:0/x", "port"),
            ("r.io:99999/x", "port"),
            (HEX, "image ID"),
            ("x@sha256:00", "64"),
            ("x@md5:00", "not supported"),
            ("r.io/x y", "not valid"),
        ] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_itself(
            host in "([a-z][a-z0-9]{0,8}\\.[a-z]{2,4}|[0-9]?[A-Za-z][a-z]{1,3}[A-Z]|localhost|\\[::1\\])(:[1-9][0-9]{0,3})?",
            path in "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,6}){0,3}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
            pinned in any::<bool>(),
        ) {
            let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            let digest = if pinned { format!("@sha256:{HEX}") } else { String::new() };
            let text = format!("{host}/{path}{tag}{digest}");
            let reference: Reference = text.parse().unwrap();
            prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
            let _ = text.parse::<Reference>();
        }
    }
}
