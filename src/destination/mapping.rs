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
    /// Give images without a tag none at the destination either.
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
    pub fn repository(&self, target: &Target) -> Result<Repository, ReferenceError> {
        self.path(&target.path)
    }

    /// The repository of a target's path.
    pub fn path(&self, path: &str) -> Result<Repository, ReferenceError> {
        let joint = if self.prefix.is_empty() { "" } else { "/" };
        Repository::new(self.host.clone(), &format!("{}{joint}{path}", self.prefix))
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let (plain_http, tls) = (text.starts_with("http://"), text.starts_with("https://"));
        let rest = text.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(DestinationError::Empty(text.to_owned()));
        }
        if host.contains('@') {
            return Err(DestinationError::Login);
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
        for text in ["", "https://", "reg.local/a:1", "reg.local/A", "user@reg.local", "reg local"] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
