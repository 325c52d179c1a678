//! Images that are told in parts: `registry`, `repository` and `tag`, as values files have them.

use super::Rank;
use super::guess;
use super::node::Node;
use super::object::Walk;
use crate::image::{Reference, Repository};

/// Where a chart's values tell an image in parts, for those who want to set them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePaths {
    /// What the values say now.
    pub repository: Repository,
    pub registry_path: Option<String>,
    pub repository_path: String,
    pub tag_path: Option<String>,
}

impl ValuePaths {
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut String> {
        self.registry_path.iter_mut().chain([&mut self.repository_path]).chain(self.tag_path.iter_mut())
    }
}

/// The names people give to each part. The first that is there counts.
const REGISTRY: [&str; 2] = ["registry", "imageRegistry"];
const REPOSITORY: [&str; 6] = ["repository", "imageRepository", "repo", "imageName", "baseImage", "image"];
const TAG: [&str; 4] = ["tag", "imageTag", "imageVersion", "version"];
const DIGEST: [&str; 3] = ["digest", "imageDigest", "sha"];

impl Walk<'_> {
    /// Reads the image that the parts in `node` make up, if they do; returns the keys that are read with it.
    pub(super) fn image_in_parts(&mut self, node: &Node, parent: &str) -> Vec<&'static str> {
        let has = |keys: &[&'static str]| {
            keys.iter().copied().find(|key| node.get(key).is_some_and(|n| n.text().is_some()))
        };
        let text = |key: Option<&'static str>| key.and_then(|key| node.text_of(key)).map(str::trim);
        let Some(name_key) = has(&REPOSITORY) else { return Vec::new() };
        let (registry_key, tag_key, digest_key) = (has(&REGISTRY), has(&TAG), has(&DIGEST));
        let name = text(Some(name_key)).unwrap_or_default();
        let is_whole = name.rsplit('/').next().is_some_and(|last| last.contains(':')) || name.contains('@');
        let says_image =
            guess::is_image_key(parent) || name_key.starts_with("image") || name_key == "baseImage";
        let has_parts =
            registry_key.is_some() || digest_key.is_some() || tag_key.is_some_and(|key| key != "version");
        // `image: x` alone is a whole image; `repository: x` alone may be Git's or Helm's.
        if name.is_empty()
            || name.contains("://")
            || is_whole
            || !(has_parts || says_image && name_key != "image")
        {
            return Vec::new();
        }
        let line = node.get(name_key).map_or(node.line, |node| node.line);
        let used = [Some(name_key), registry_key, tag_key, digest_key].into_iter().flatten().collect();
        let registry = text(registry_key).map(|registry| registry.trim_end_matches('/'));
        let full = match registry {
            Some(registry) if !name.starts_with(&format!("{registry}/")) => format!("{registry}/{name}"),
            _ => name.to_owned(),
        };
        let tag = text(tag_key).filter(|tag| !matches!(*tag, "null" | "~"));
        let digest = text(digest_key).filter(|digest| digest.contains(':'));
        if self.is_in_values() {
            self.remember(&full, name_key, registry_key, tag_key);
        }
        let mut whole = full.clone();
        if let Some(tag) = tag {
            whole = format!("{whole}:{tag}");
        }
        if let Some(digest) = digest {
            whole = format!("{whole}@{digest}");
        }
        if tag.is_none() && digest.is_none() {
            let why = format!("{:?} is told without a tag: a chart fills it in", guess::short(&full));
            self.unclear(line, why, false);
            return used;
        }
        match whole.parse::<Reference>() {
            Ok(reference) => self.image(reference, Rank::Probable, line),
            Err(error) => self.unclear(line, error.to_string(), false),
        }
        used
    }

    fn remember(&mut self, full: &str, name_key: &str, registry_key: Option<&str>, tag_key: Option<&str>) {
        let Ok(reference) = full.parse::<Reference>() else { return };
        let base = self.path.clone();
        let path = |key: &str| if base.is_empty() { key.to_owned() } else { format!("{base}.{key}") };
        let paths = ValuePaths {
            repository: reference.repository().clone(),
            registry_path: registry_key.map(path),
            repository_path: path(name_key),
            tag_path: tag_key.map(path),
        };
        self.out.value_paths.push(paths);
    }
}
