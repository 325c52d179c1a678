//! Images in parts: `registry`, `repository` and `tag`, under various keys and in various places.
//!
//! Parts of one image have one stem: nothing in `repository` and `tag`, `worker` in `workerImage` and `workerImageTag`.
//! What they leave open is never filled in: an image without a version is unclear.

use super::groups::{Group, Said};
use super::guess;
use super::scope::Defaults;
use super::words::Part;
use crate::image::{Digest, Reference, Repository};

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

/// How the parts of an image are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Map,
    /// In an item of a list, where a name is often only a label.
    Item,
    /// Among variables or arguments, where all parts of all images stand side by side.
    Flat,
}

/// The context of the parts of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    /// The key of the enclosing map says that it is an image.
    pub(super) says_image: bool,
    pub(super) stand: Stand,
    /// It is about a repository of Git or Helm.
    pub(super) is_source: bool,
    pub(super) defaults: &'a Defaults,
}

/// What parts come to.
#[derive(Debug)]
pub(super) struct Whole<'n> {
    /// What says the image's name.
    pub(super) name: Said<'n>,
    /// The keys that are read with it.
    pub(super) keys: Vec<&'n str>,
    pub(super) result: Result<Reference, String>,
    /// Registry and name together, and the keys that change them, where each has one of its own.
    pub(super) settable: Option<Settable<'n>>,
}

#[derive(Debug)]
pub(super) struct Settable<'n> {
    pub(super) full: String,
    pub(super) registry_key: Option<&'n str>,
    pub(super) tag_key: Option<&'n str>,
}

/// What an image is called, before registry and tag.
enum Base<'n> {
    /// By the value of one key.
    Plain(Part, Said<'n>),
    /// By the values of two, joined.
    Joined(String, Said<'n>),
    /// The two may belong together or not.
    Doubtful(Said<'n>, Said<'n>),
}

/// The parts of one image, to be put together.
struct Assembly<'g, 'n> {
    group: &'g Group<'n>,
}

/// The image that `group` makes; none where it makes none, or where one text says all of it.
pub(super) fn put_together<'n>(group: &Group<'n>, stem: &str, around: &Around<'_>) -> Option<Whole<'n>> {
    Assembly { group }.put_together(stem, around)
}

impl<'n> Assembly<'_, 'n> {
    /// The image; none where this is none, or where one text says all of it.
    fn put_together(&self, stem: &str, around: &Around<'_>) -> Option<Whole<'n>> {
        let base = self.base(around)?;
        let (part, name, text) = match &base {
            Base::Plain(part, said) => (Some(*part), *said, said.text),
            Base::Joined(text, said) => (None, *said, text.as_str()),
            Base::Doubtful(one, other) => {
                let why = format!("{:?} and {:?} may be one name or two names", one.text, other.text);
                let keys = self.group.said.iter().map(|(_, said)| said.key).collect();
                return Some(Whole { name: *one, keys, result: Err(why), settable: None });
            }
        };
        // Istio takes a name with a path as it is.
        let is_istio = part == Some(Part::Image)
            && text.contains('/')
            && self.group.registry().is_none()
            && around.defaults.registry_is_a_hub();
        let bare = Defaults::default();
        let around = &Around { defaults: if is_istio { &bare } else { around.defaults }, ..*around };
        let registry = self.choose_registry(part, text, around.defaults);
        let is_whole = guess::has_version(text);
        let says_image = around.says_image || self.group.says_image;
        let is_told = match part {
            Some(Part::Repository) => {
                // Beside other variables, a repository and a tag may be those of anything.
                let is_alone = stem.is_empty() && around.stand != Stand::Flat;
                let is_ours = !around.is_source && (is_alone || self.group.registry().is_some());
                says_image || (self.group.has_parts() && is_ours)
            }
            Some(Part::Image) if is_whole => {
                let is_pinned = self.group.of(Part::Digest).is_some() && !text.contains('@');
                registry.is_some() || is_pinned || self.contradicts(text).is_some()
            }
            Some(Part::Image) => {
                self.group.has_parts()
                    || self.group.of(Part::Version).is_some()
                    || around.defaults.say_something()
            }
            _ => true,
        };
        if !is_told {
            return None;
        }
        // One word alone may belong to a registry that the chart knows.
        let is_lone = part == Some(Part::Name) && around.stand == Stand::Map && !text.contains('/');
        let full = match &registry {
            Some(registry) if !text.starts_with(&format!("{registry}/")) => format!("{registry}/{text}"),
            _ => text.to_owned(),
        };
        // Many objects have an image and a version of something else.
        let is_plain = name.key.trim_start_matches('-').eq_ignore_ascii_case("image");
        let is_its_version = !is_plain || self.group.has_parts() || part.is_none();
        let result = if is_lone && registry.is_none() {
            Err(format!("{:?} has no registry and no path here", guess::short(text)))
        } else {
            self.versioned(&full, is_its_version, around.defaults)
                .and_then(|whole| whole.parse::<Reference>().map_err(|error| error.to_string()))
        };
        // A registry in another place cannot be set for this image alone.
        let is_settable = part.is_some()
            && !is_whole
            && (registry.is_none() || self.group.has(Part::Registry) || around.defaults.overrides());
        let key = |part| self.group.said.iter().find(|(one, _)| *one == part).map(|(_, said)| said.key);
        let settable = Settable {
            full,
            registry_key: key(Part::Registry),
            tag_key: key(Part::Tag).or(key(Part::Version)),
        };
        // Another text that names an image is looked at by itself.
        let is_read = |said: &Said<'_>| said.key == name.key || said.text == name.text;
        let keys = self.group.said.iter().filter(|(part, said)| *part != Part::Image || is_read(said));
        let keys = keys.map(|(_, said)| said.key).collect();
        Some(Whole { name, keys, result, settable: is_settable.then_some(settable) })
    }

    /// Which of the keys that name things make up the image's name.
    fn base(&self, around: &Around<'_>) -> Option<Base<'n>> {
        // A text that says all of an image needs no parts of others.
        let image = self.group.names(Part::Image).find(|said| !guess::has_version(said.text));
        let image = image.or_else(|| self.group.named(Part::Image));
        let repository = self.group.named(Part::Repository).filter(|_| self.group.namespace().is_none());
        let name = self.group.named(Part::Name);
        let registry = self.group.registry().map(|said| said.text).or(around.defaults.registry());
        match (repository, image, name) {
            (Some(repository), Some(image), _) => Some(joined(repository, image, registry)),
            (Some(repository), None, Some(name)) if around.says_image || registry.is_some() => {
                Some(labelled(repository, name, registry, around))
            }
            (Some(repository), ..) => Some(Base::Plain(Part::Repository, repository)),
            (None, Some(image), _) => Some(Base::Plain(Part::Image, image)),
            (None, None, Some(name)) => {
                let has_registry = self.group.has(Part::Registry) || self.group.has(Part::Hub);
                let has_version = self.group.has(Part::Tag) || self.group.has(Part::Digest);
                let is_one = if around.says_image {
                    let is_alone = around.stand == Stand::Map && name.text.contains('/');
                    let has_more = has_registry || has_version || self.group.has(Part::Version);
                    has_more || is_alone || around.defaults.say_something()
                } else {
                    has_registry && has_version
                };
                is_one.then_some(Base::Plain(Part::Name, name))
            }
            (None, None, None) => None,
        }
    }

    fn choose_registry(&self, part: Option<Part>, text: &str, defaults: &Defaults) -> Option<String> {
        let is_absolute = guess::is_absolute(text);
        let own = self.group.registry().map(|said| said.text.to_owned());
        match defaults.overriding().filter(|_| !is_absolute) {
            Some(registry) => Some(registry.to_owned()),
            None => own.or_else(|| {
                let registry = defaults.registry().filter(|_| !is_absolute)?;
                let is_bare = !text.contains('/') && part != Some(Part::Repository);
                let path = defaults.namespace().filter(|_| is_bare);
                Some(path.map_or_else(|| registry.to_owned(), |path| format!("{registry}/{path}")))
            }),
        }
    }

    /// A separate tag, next to a text that has another one.
    fn contradicts(&self, text: &str) -> Option<Said<'n>> {
        let (_, own) = text.split('@').next()?.rsplit('/').next()?.split_once(':')?;
        self.group.of(Part::Tag).filter(|tag| tag.text != own)
    }

    /// `full` with tag and digest, or why they are not known.
    fn versioned(&self, full: &str, is_its_version: bool, defaults: &Defaults) -> Result<String, String> {
        let shown = guess::short(full);
        if let Some(tag) = self.contradicts(full) {
            return Err(format!(
                "{shown:?} has a tag of its own, and {} says {:?}",
                tag.key,
                guess::short(tag.text)
            ));
        }
        if let Some(affix) = self.group.of(Part::Affix) {
            let value = guess::short(affix.text);
            return Err(format!(
                "{shown:?} is changed by {} {value:?}, in a way that only the chart knows",
                affix.key
            ));
        }
        let digest = self.digest()?.filter(|_| !full.contains('@'));
        let version = self.group.of(Part::Version);
        let mut tag = None;
        if !guess::has_version(full) {
            let own = self.group.of(Part::Tag).or(version.filter(|_| is_its_version)).map(|said| said.text);
            // Where a chart can put something before or after the tag, the tag of others is not all of it.
            let is_changed = self.group.has(Part::Affix) && !self.group.has(Part::Tag);
            tag = own.or_else(|| defaults.tag().filter(|_| !is_changed));
            if tag.is_none() && digest.is_none() {
                return Err(match version {
                    Some(version) => format!(
                        "{shown:?} has neither tag nor digest here, and {} {:?} may belong to something else",
                        version.key,
                        guess::short(version.text)
                    ),
                    None => format!("{shown:?} has neither tag nor digest here"),
                });
            }
        }
        // Some charts have a digest in the place of a tag.
        let joint = |tag: &str| if tag.starts_with("sha256:") { '@' } else { ':' };
        let tag = tag.map(|tag| format!("{}{tag}", joint(tag))).unwrap_or_default();
        let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        Ok(format!("{full}{tag}{digest}"))
    }

    fn digest(&self) -> Result<Option<String>, String> {
        let is_off =
            self.group.said.iter().any(|(part, said)| *part == Part::UseDigest && said.text == "false");
        let Some(said) = self.group.of(Part::Digest).filter(|_| !is_off) else { return Ok(None) };
        let is_bare = said.text.len() == 64 && said.text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let text = if is_bare { format!("sha256:{}", said.text) } else { said.text.to_owned() };
        // What is not filled in yet is named with the whole reference.
        if !text.contains(['{', '$'])
            && let Err(error) = text.parse::<Digest>()
        {
            return Err(format!("{} {error}", said.key));
        }
        Ok(Some(text))
    }
}

/// `repository: nvcr.io/acme` and `image: exporter` are one name; others only stand side by side.
fn joined<'n>(repository: Said<'n>, image: Said<'n>, registry: Option<&str>) -> Base<'n> {
    let (path, name) = (repository.text.trim_end_matches('/'), image.text);
    let is_rooted = guess::is_absolute(&format!("{path}/")) || registry.is_some();
    let last = path.rsplit('/').next().unwrap_or_default();
    if guess::is_absolute(name) || name == path || (guess::has_version(name) && !is_rooted) {
        return Base::Plain(Part::Repository, repository);
    }
    if name.starts_with(&format!("{path}/")) {
        return Base::Plain(Part::Image, image);
    }
    if last == name || guess::has_version(path) || (!is_rooted && path.contains('/')) {
        return Base::Doubtful(repository, image);
    }
    Base::Joined(format!("{path}/{name}"), image)
}

/// A `name` next to a repository is its last part, as in Strimzi's charts, or the label of an item.
fn labelled<'n>(
    repository: Said<'n>,
    name: Said<'n>,
    registry: Option<&str>,
    around: &Around<'_>,
) -> Base<'n> {
    let plain = Base::Plain(Part::Repository, repository);
    let is_label = around.stand == Stand::Item && (registry.is_none() || repository.text.contains('/'));
    if is_label || repository.text.rsplit('/').next() == Some(name.text) {
        return plain;
    }
    match registry {
        Some(registry) if !repository.text.contains('/') => {
            let hub = ["docker.io", "index.docker.io", "registry-1.docker.io"];
            // There, one word alone is the name of an official image.
            if hub.contains(&registry) {
                return Base::Doubtful(repository, name);
            }
            Base::Joined(format!("{}/{}", repository.text, name.text), name)
        }
        _ if around.says_image => Base::Doubtful(repository, name),
        _ => plain,
    }
}
