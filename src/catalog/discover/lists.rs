//! Lists of images: the key of the image in an item, and images that Kustomize replaces.

use super::discovery::Rank;
use super::guess;
use super::node::{Node, Pair, Value};
use super::under::Under;
use super::walk::Walk;
use super::words::{Part, Role};
use crate::image::Reference;

/// Keys of the image that is copied, in an item; the first one counts.
const SOURCES: [&str; 8] = ["source", "src", "from", "ref", "reference", "url", "uri", "name"];
/// Keys of the place that it is copied to.
const TARGETS: [&str; 7] = ["target", "dst", "dest", "destination", "to", "rewrite", "mirror"];
/// Keys of images that are not pulled: `blockedImages`, `ignoreImages`.
const NOT_WANTED: [&str; 6] = ["block", "exclude", "ignore", "skip", "deny", "denied"];
/// Keys of several tags of one item.
const MAX_TAGS: usize = 1000;

/// Whether the items of a list under `key` are images.
fn is_image_list(key: &str) -> bool {
    let bare = key.to_ascii_lowercase();
    let bare = bare.strip_suffix("list").map_or(bare.as_str(), |rest| rest.trim_end_matches(['_', '-']));
    guess::is_image_key(bare)
}

/// Whether each value below `key` is an image: `images: {server: r.io/server:1}`.
pub(super) fn is_map_of_images(under: Under<'_>) -> bool {
    !under.is_item && under.key.to_ascii_lowercase().ends_with("images")
}

/// Whether `text` under `key` of such a map may be an image.
pub(super) fn may_be_named(key: &str, text: &str) -> bool {
    text.contains(['/', ':']) && !key.to_ascii_lowercase().starts_with("pull") && Role::of(key).is_none()
}

/// Whether the value of `key` is a list of images that are not pulled.
pub(super) fn is_not_wanted(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.ends_with("images") && NOT_WANTED.iter().any(|word| key.starts_with(word))
}

/// The meaning of the keys of one map, where it depends on more than one key.
pub(super) struct Meaning<'n> {
    /// It is an item of a list of images.
    pub(super) is_listed: bool,
    /// The key under which such an item says which image it is.
    pub(super) source: Option<&'static str>,
    has_name: bool,
    /// The last part of the path that a JSON patch changes: `{op: replace, path: /spec/image, value: …}`.
    patched: Option<&'n str>,
    /// What OpenShift imports or builds from.
    is_docker_image: bool,
}

impl<'n> Meaning<'n> {
    pub(super) fn of(node: &'n Node, under: Under<'_>) -> Self {
        let is_listed = under.is_item && is_image_list(under.key);
        let (mut has_name, mut has_operation, mut path, mut is_docker_image) = (false, false, None, false);
        let names_it =
            |key: &str| Role::of(key).is_some_and(|role| matches!(role.part, Part::Image | Part::Repository));
        node.each_pair(&mut |pair| match (pair.key.as_str(), pair.value.text()) {
            ("op", Some(_)) => has_operation = true,
            ("path", text) => path = path.or(text),
            ("kind", Some(kind)) => is_docker_image |= kind == "DockerImage",
            (key, Some(_)) if is_listed => has_name |= names_it(key),
            _ => {}
        });
        let source = SOURCES.into_iter().filter(|_| is_listed && !has_name);
        let source = source.into_iter().find(|key| node.text_of(key).is_some());
        let last = path.and_then(|path| path.rsplit('/').next()).filter(|last| !last.is_empty());
        // An image that is pushed need not exist before.
        let is_docker_image = is_docker_image && under.key != "to";
        Self { is_listed, source, has_name, patched: last.filter(|_| has_operation), is_docker_image }
    }

    /// Whether `key` of an item says where the image is copied to.
    pub(super) fn is_target(&self, key: &str) -> bool {
        self.is_listed && (self.has_name || self.source.is_some()) && TARGETS.contains(&key)
    }

    /// The key that gives the value of `pair` its meaning.
    pub(super) fn key_of<'k>(&'k self, pair: &'k Pair, under: Under<'_>) -> &'k str {
        let key = pair.key.as_str();
        if self.source == Some(key) {
            return "image";
        }
        if is_map_of_images(under) {
            return match &pair.value.value {
                Value::Map(_) => "image",
                Value::Text(scalar) if may_be_named(key, &scalar.text) => "images",
                _ => key,
            };
        }
        match (key, self.patched) {
            ("value", Some(last)) => last,
            ("name", _) if self.is_docker_image => "image",
            _ => key,
        }
    }
}

/// An item of a list of images that is more than one text: of Kustomize, or with several tags. Whether it is such.
pub(super) fn special_item(walk: &mut Walk<'_>, node: &Node, source: Option<&str>) -> bool {
    if node.get("newName").is_some() || node.get("newTag").is_some() {
        renamed(walk, node);
        return true;
    }
    let tags = node.get("tags").and_then(Node::list).filter(|tags| !tags.is_empty());
    let names = || ["image", "repository"].into_iter().find(|key| node.text_of(key).is_some());
    let name = source.or_else(names);
    let (Some(tags), Some(name)) = (tags, name.and_then(|key| node.text_of(key))) else { return false };
    for tag in tags.iter().take(MAX_TAGS) {
        let whole = match &tag.value {
            Value::Text(scalar) => format!("{name}:{}", scalar.text),
            _ => name.to_owned(),
        };
        let guess = guess::whole(&whole, true);
        walk.guess(guess, tag.line, "image");
    }
    true
}

/// The image with which Kustomize replaces images called `name`.
fn renamed(walk: &mut Walk<'_>, node: &Node) {
    let text = |key: &str| node.text_of(key).map(str::trim).filter(|text| !text.is_empty());
    let Some(name) = text("newName").or_else(|| text("name")) else { return };
    let (tag, digest) = (text("newTag"), text("digest"));
    if tag.is_none() && digest.is_none() && !guess::has_version(name) {
        let old = guess::short(text("name").unwrap_or_default());
        let why = format!("{:?} gets its tag from the manifests that name {old:?}", guess::short(name));
        return walk.unclear(node.line, why, true);
    }
    let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
    match format!("{name}{tag}{digest}").parse::<Reference>() {
        Ok(reference) => walk.image(reference, Rank::Probable, node.line),
        Err(error) => walk.unclear(node.line, error.to_string(), true),
    }
}
