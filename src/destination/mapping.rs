//! Names at the destination: which repository and tag each image gets.
//!
//! The source host is dropped, as `global.imageRegistry` needs; `keep_host` keeps it as a path component. Two
//! digests never meet on one target: [`collisions`] finds them before any byte moves, at export already.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::image::{Digest, HostName, Reference, ReferenceError, Repository, Tag};

/// How names are mapped. Recorded in the bundle when it is not the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Keep the source host: `<dest>/quay.io/a/b`.
    pub keep_host: bool,
    /// Do not create `digest-…` tags for untagged images.
    pub no_synthetic_tags: bool,
}

/// A repository path and tag at a destination, without its registry and prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    pub path: String,
    /// None only where synthetic tags are switched off.
    pub tag: Option<Tag>,
}

impl Mapping {
    /// The path component that stands for a source host, where hosts are kept. A port's colon and an IPv6 address's
    /// brackets cannot stand in a path.
    pub fn host_folder(self, host: &HostName) -> Option<String> {
        self.keep_host.then(|| host.as_str().replace([':', '[', ']'], "-").trim_matches('-').to_owned())
    }

    /// The targets of `name`, the main one first. A one-component Docker Hub image has two: what a containerd mirror
    /// asks for (`library/busybox`) and what a chart with an overridden registry asks for (`busybox`).
    pub fn targets(&self, name: &Reference, digest: &Digest) -> Vec<Target> {
        let repository = name.repository();
        let tag = match name.tag() {
            Some(tag) => Some(tag.clone()),
            None if self.no_synthetic_tags => None,
            None => synthetic_tag(digest),
        };
        self.paths(repository).into_iter().map(|path| Target { path, tag: tag.clone() }).collect()
    }

    /// The paths of those targets.
    pub fn paths(&self, repository: &Repository) -> Vec<String> {
        if let Some(host) = self.host_folder(repository.host()) {
            return vec![format!("{host}/{}", repository.path())];
        }
        let short = repository.path().strip_prefix("library/").filter(|_| repository.host().is_docker_hub());
        [repository.path()].into_iter().chain(short).map(str::to_owned).collect()
    }
}

/// The tag of an image that came without one, so that the destination's garbage collection spares it.
fn synthetic_tag(digest: &Digest) -> Option<Tag> {
    format!("digest-{}", &digest.hex()[..16]).parse().ok()
}

/// Two digests that would land on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    pub target: Target,
    pub names: Vec<(Reference, Digest)>,
}

/// Every target on which different digests meet.
pub fn collisions<'a>(
    mapping: Mapping,
    images: impl IntoIterator<Item = (&'a Reference, &'a Digest)>,
) -> Vec<Collision> {
    let mut by_target: BTreeMap<Target, Vec<(Reference, Digest)>> = BTreeMap::new();
    for (name, digest) in images {
        for target in mapping.targets(name, digest).into_iter().filter(|target| target.tag.is_some()) {
            by_target.entry(target).or_default().push((name.clone(), *digest));
        }
    }
    by_target
        .into_iter()
        .filter(|(_, names)| names.iter().any(|(_, digest)| *digest != names[0].1))
        .map(|(target, names)| Collision { target, names })
        .collect()
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<destination>/{} would be", self.target)?;
        for (name, digest) in &self.names {
            write!(f, "\n    {name} ({})", digest.short())?;
        }
        Ok(())
    }
}

/// What `-d` names: a registry, with a path that goes before every repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    host: HostName,
    prefix: String,
    /// `http://` was written before it.
    pub plain_http: bool,
    /// `https://` was written before it.
    pub tls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    #[error("destination {0:?} names no registry")]
    Empty(String),
    #[error(
        "destination {0:?} has a tag or digest; give a registry and, if need be, a path: host[:port][/prefix]"
    )]
    NotARegistry(String),
    #[error(
        "user names and passwords do not belong in a destination; give --username, or store them with bundle login"
    )]
    Login,
    #[error("destination {text:?}: {error}")]
    Reference { text: String, error: ReferenceError },
    #[error("destination {text:?}: {scheme}:// is not supported for registries; write -d {form}")]
    Scheme { text: String, scheme: String, form: String },
    #[error(
        "destination {text:?}: /{version} is where a registry's API begins, not part of a name; write -d {form}"
    )]
    Api { text: String, version: String, form: String },
}

/// Why an image has no name at a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error("Docker Hub has repositories of two parts only (NAMESPACE/NAME), and this is {0:?}")]
    TooDeep(String),
}

impl NameError {
    /// The hint.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Reference(_) => "use a shorter path with -d",
            Self::TooDeep(_) => {
                "use -d docker.io without a path where the images have two parts already, or another registry"
            }
        }
    }
}

impl Destination {
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// The path before every repository; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The repository of `target`, checked against the limits of names.
    pub fn repository(&self, target: &Target) -> Result<Repository, NameError> {
        self.path(&target.path)
    }

    /// The repository of a target's path.
    pub fn path(&self, path: &str) -> Result<Repository, NameError> {
        let joint = if self.prefix.is_empty() { "" } else { "/" };
        let repository = Repository::new(self.host.clone(), &format!("{}{joint}{path}", self.prefix))?;
        if self.host.is_docker_hub() && repository.path().matches('/').count() > 1 {
            return Err(NameError::TooDeep(repository.path().to_owned()));
        }
        Ok(repository)
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let (scheme, rest) =
            text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let scheme = scheme.map(str::to_ascii_lowercase);
        let rest = rest.trim_end_matches('/');
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(DestinationError::Empty(text.to_owned()));
        }
        if host.contains('@') {
            return Err(DestinationError::Login);
        }
        // `docker://` and `oci://` are how skopeo and helm write it, and say nothing of how the registry is reached.
        let (plain_http, tls) = match scheme.as_deref() {
            None | Some("docker" | "oci") => (false, false),
            Some("http") => (true, false),
            Some("https") => (false, true),
            Some(other) => {
                let (text, scheme) = (text.to_owned(), other.to_owned());
                return Err(DestinationError::Scheme { text, scheme, form: rest.to_owned() });
            }
        };
        let (version, inside) = prefix.split_once('/').unwrap_or((prefix, ""));
        if matches!(version, "v1" | "v2") {
            let scheme = if plain_http { "http://" } else { "" };
            let inside = if inside.starts_with('_') { "" } else { inside };
            let joint = if inside.is_empty() { "" } else { "/" };
            let (text, version) = (text.to_owned(), version.to_owned());
            let form = format!("{scheme}{host}{joint}{inside}");
            return Err(DestinationError::Api { text, version, form });
        }
        if prefix.contains([':', '@']) {
            return Err(DestinationError::NotARegistry(text.to_owned()));
        }
        let wrap = |error| DestinationError::Reference { text: text.to_owned(), error };
        let host: HostName = host.parse().map_err(wrap)?;
        if !prefix.is_empty() {
            let probe: HostName = "registry.invalid".parse().map_err(wrap)?;
            Repository::new(probe, prefix).map_err(wrap)?;
        }
        Ok(Self { host, prefix: prefix.to_owned(), plain_http, tls })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host.as_str())?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(mapping: Mapping, name: &str) -> Vec<String> {
        let digest = Digest::sha256(b"x");
        mapping.targets(&name.parse().unwrap(), &digest).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hosts_are_dropped_and_hub_images_get_both_names() {
        let plain = Mapping::default();
        assert_eq!(targets(plain, "quay.io/stackstate/server:1"), ["stackstate/server:1"]);
        assert_eq!(targets(plain, "busybox:1"), ["library/busybox:1", "busybox:1"]);
        assert_eq!(targets(plain, "r.io/library/busybox:1"), ["library/busybox:1"]);
        let pinned = format!("r.io/x@{}", Digest::sha256(b"x"));
        assert_eq!(targets(plain, &pinned), ["x:digest-2d711642b726b044"]);
        let kept = Mapping { keep_host: true, ..plain };
        assert_eq!(targets(kept, "busybox:1"), ["docker.io/library/busybox:1"]);
        assert_eq!(targets(kept, "localhost:5000/x:1"), ["localhost-5000/x:1"]);
        let bare = Mapping { no_synthetic_tags: true, ..plain };
        assert_eq!(targets(bare, &pinned), ["x"]);
    }

    #[test]
    fn only_different_digests_collide() {
        let name = |text: &str| text.parse::<Reference>().unwrap();
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let (one, two, hub) = (name("quay.io/x/y:1"), name("docker.io/x/y:1"), name("busybox:1"));
        let other = name("r.io/busybox:1");
        assert!(collisions(Mapping::default(), [(&one, &a), (&two, &a)]).is_empty());
        let found = collisions(Mapping::default(), [(&one, &a), (&two, &b), (&hub, &a), (&other, &b)]);
        let found: Vec<_> = found.iter().map(|c| c.target.to_string()).collect();
        assert_eq!(found, ["busybox:1", "x/y:1"]);
        assert!(
            collisions(Mapping { keep_host: true, ..Mapping::default() }, [(&one, &a), (&two, &b)])
                .is_empty()
        );
    }

    #[test]
    fn docker_hub_has_two_levels() {
        let place = |destination: &str, path: &str| {
            destination.parse::<Destination>().unwrap().path(path).map(|place| place.to_string())
        };
        assert_eq!(place("docker.io", "acme/app"), Ok("docker.io/acme/app".to_owned()));
        assert_eq!(place("docker.io/acme", "app"), Ok("docker.io/acme/app".to_owned()));
        assert_eq!(place("r.io/acme", "team/app"), Ok("r.io/acme/team/app".to_owned()));
        for (destination, path) in [("docker.io/acme", "team/app"), ("index.docker.io", "acme/team/app")] {
            assert_eq!(place(destination, path), Err(NameError::TooDeep("acme/team/app".to_owned())));
        }
    }

    #[test]
    fn destinations_in_all_their_forms() {
        for (text, host, prefix, http) in [
            ("reg.local", "reg.local", "", false),
            ("localhost:5000", "localhost:5000", "", false),
            ("reg.local:5000/a/b/", "reg.local:5000", "a/b", false),
            ("https://reg.local/a", "reg.local", "a", false),
            ("http://reg.local", "reg.local", "", true),
            ("[::1]:5000/x", "[::1]:5000", "x", false),
        ] {
            let destination: Destination = text.parse().unwrap();
            let parts = (destination.host().as_str(), destination.prefix(), destination.plain_http);
            assert_eq!(parts, (host, prefix, http), "{text}");
            assert_eq!(destination.tls, text.starts_with("https://"), "{text}");
        }
        for (text, expected) in [
            ("docker://reg.local/a", "reg.local/a"),
            ("oci://reg.local:5000", "reg.local:5000"),
            ("HTTPS://reg.local/a/", "reg.local/a"),
        ] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), expected, "{text}");
        }
        for (text, form) in [
            ("reg.local/v2/", "reg.local"),
            ("https://reg.local:5000/v2", "reg.local:5000"),
            ("http://reg.local/v2/", "http://reg.local"),
            ("reg.local/v2/_catalog", "reg.local"),
            ("reg.local/v1/team/a", "reg.local/team/a"),
            ("ftp://reg.local/a", "reg.local/a"),
            ("docker-daemon://reg.local", "reg.local"),
        ] {
            let error = text.parse::<Destination>().unwrap_err().to_string();
            assert!(error.ends_with(&format!("write -d {form}")), "{error}");
        }
        assert_eq!("reg.local/v2app".parse::<Destination>().unwrap().prefix(), "v2app");
        for text in ["", "https://", "reg.local/a:1", "reg.local/A", "user@reg.local", "reg local"] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
