//! Where images may come from: `registry.example.com`, `docker.io/library/*`.

use crate::image::{Repository, glob};

/// A registry and a repository in it, with `*` and `?` as in a shell. A `*` in the registry never reaches into the
/// path, so that `*.example.com` is no `evil.org/x.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourcePattern {
    host: String,
    path: String,
}

impl SourcePattern {
    /// Without a path it is all of a registry.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, path) = text.split_once('/').unwrap_or((text, "*"));
        if text.contains("//") || text.contains(char::is_whitespace) {
            return Err("write a registry and a repository, such as docker.io/library/*");
        }
        if path.contains([':', '@']) {
            return Err("it has a tag or digest, and this rule is about registries and repositories");
        }
        if text.contains(|c: char| c.is_control() || c.is_uppercase() || "[]{}!\\".contains(c)) {
            return Err("names are lowercase, and only * and ? stand for others");
        }
        // As in a reference: what has no dot and no port is no registry.
        if host != "localhost" && !host.contains(['.', ':', '*', '[']) {
            return Err("it has to begin with a registry, such as docker.io/library/*");
        }
        if path.is_empty() {
            return Err("there is nothing after the registry; leave the slash out for all of it");
        }
        Ok(Self { host: host.to_owned(), path: path.to_owned() })
    }

    pub(super) fn allows(&self, repository: &Repository) -> bool {
        glob(&self.host, repository.host().as_str()) && glob(&self.path, repository.path())
    }
}
