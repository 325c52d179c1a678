//! Images that are told in parts: `registry`, `repository` and `tag`, under whatever names and in whatever places.
//!
//! Parts of one image have one stem: nothing in `repository` and `tag`, `worker` in `workerImage` and `workerImageTag`.
//! What they leave open is never filled in: an image without a version is unclear.

use std::collections::{BTreeMap, HashSet};

use super::guess;
use super::scope::Defaults;
use super::words::{Part, Role};
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

/// A text and the key it stands under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'n> {
    pub(super) key: &'n str,
    pub(super) text: &'n str,
    pub(super) line: u64,
}

/// What is said of the image with one stem.
#[derive(Debug, Default)]
pub(super) struct Group<'n> {
    said: Vec<(Part, Said<'n>)>,
    /// A key has the word image in it.
    says_image: bool,
}

/// All parts that stand side by side, by their stems.
#[derive(Debug, Default)]
pub(super) struct Groups<'n> {
    pub(super) by_stem: BTreeMap<String, Group<'n>>,
    /// What is said of all images: `global.imageRegistry`, as one key.
    pub(super) global: Group<'n>,
    seen: HashSet<&'n str>,
}

/// How parts stand beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Map,
    /// In an item of a list, where a name is often only a label.
    Item,
    /// Among variables or arguments, where all parts of all images stand side by side.
    Flat,
}

/// What stands around the parts of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    /// The key above says that an image stands under it.
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

impl<'n> Groups<'n> {
    /// Takes in a text, if its key names a part, or `is_image`, whatever the key says. Of a key that comes again only
    /// the first counts.
    pub(super) fn add(&mut self, key: &'n str, text: &'n str, line: u64, is_image: bool) {
        let named = || Role { part: Part::Image, stem: key.to_ascii_lowercase(), says_image: true };
        let Some(role) = Role::of(key).or_else(|| is_image.then(named)) else { return };
        if !self.seen.insert(key) {
            return;
        }
        let is_global = key.starts_with("global.") && role.stem.is_empty();
        let own = || self.by_stem.entry(role.stem).or_default();
        let group = if is_global { &mut self.global } else { own() };
        group.says_image |= role.says_image;
        group.said.push((role.part, Said { key, text: text.trim(), line }));
    }
}

impl Groups<'_> {
    pub(super) fn have_a_registry_or_tag(&self) -> bool {
        let parts = [Part::Registry, Part::Hub, Part::Tag];
        let is_one = |group: &Group<'_>| parts.into_iter().any(|part| group.has(part));
        self.by_stem.get("").is_some_and(is_one) || is_one(&self.global)
    }
}

impl<'n> Group<'n> {
    pub(super) fn has(&self, part: Part) -> bool {
        self.said.iter().any(|(one, _)| *one == part)
    }

    /// The first text of a part that says something.
    pub(super) fn of(&self, part: Part) -> Option<Said<'n>> {
        self.said.iter().find(|(one, said)| *one == part && says_something(said.text)).map(|(_, said)| *said)
    }

    /// The registry, without a scheme.
    pub(super) fn registry(&self) -> Option<Said<'n>> {
        let said = self.of(Part::Registry).or_else(|| self.of(Part::Hub))?;
        let text = said.text.split_once("://").map_or(said.text, |(_, after)| after).trim_end_matches('/');
        Some(Said { text, ..said })
    }

    /// A repository that is the first part of others' names: Strimzi's `defaultImageRepository`.
    pub(super) fn namespace(&self) -> Option<Said<'n>> {
        let said = self.of(Part::Repository)?;
        let is_default = said.key.to_ascii_lowercase().starts_with("default");
        (is_default && self.registry().is_some() && !said.text.contains('/')).then_some(said)
    }

    /// What may be the image's name. A repository with a scheme is one of Git or Helm.
    fn names(&self, part: Part) -> impl Iterator<Item = Said<'n>> {
        let fits = |text: &str| {
            says_something(text)
                && !text.contains("://")
                && (!text.contains(char::is_whitespace) || text.contains("{{"))
        };
        self.said.iter().filter(move |(one, said)| *one == part && fits(said.text)).map(|(_, said)| *said)
    }

    fn named(&self, part: Part) -> Option<Said<'n>> {
        self.names(part).next()
    }

    /// Whether it names an image, as far as it can be seen from here.
    pub(super) fn has_name(&self) -> bool {
        self.named(Part::Image).is_some()
            || (self.named(Part::Repository).is_some() && self.namespace().is_none())
    }

    fn has_parts(&self) -> bool {
        [Part::Registry, Part::Hub, Part::Tag, Part::Digest].into_iter().any(|part| self.has(part))
    }

    /// The image; none where this is none, or where one text says all of it.
    pub(super) fn put_together(&self, stem: &str, around: &Around<'_>) -> Option<Whole<'n>> {
        let base = self.base(around)?;
        let (part, name, text) = match &base {
            Base::Plain(part, said) => (Some(*part), *said, said.text),
            Base::Joined(text, said) => (None, *said, text.as_str()),
            Base::Doubtful(one, other) => {
                let why = format!("{:?} and {:?} may be one name or two", one.text, other.text);
                let keys = self.said.iter().map(|(_, said)| said.key).collect();
                return Some(Whole { name: *one, keys, result: Err(why), settable: None });
            }
        };
        // Istio takes a name with a path as it is.
        let is_istio = part == Some(Part::Image)
            && text.contains('/')
            && self.registry().is_none()
            && around.defaults.registry_is_a_hub();
        let bare = Defaults::default();
        let around = &Around { defaults: if is_istio { &bare } else { around.defaults }, ..*around };
        let registry = self.choose_registry(part, text, around.defaults);
        let is_whole = guess::has_version(text);
        let says_image = around.says_image || self.says_image;
        let is_told = match part {
            Some(Part::Repository) => {
                // Beside other variables, a repository and a tag may be those of anything.
                let is_alone = stem.is_empty() && around.stand != Stand::Flat;
                let is_ours = !around.is_source && (is_alone || self.registry().is_some());
                says_image || (self.has_parts() && is_ours)
            }
            Some(Part::Image) if is_whole => {
                let is_pinned = self.of(Part::Digest).is_some() && !text.contains('@');
                registry.is_some() || is_pinned || self.contradicts(text).is_some()
            }
            Some(Part::Image) => {
                self.has_parts() || self.of(Part::Version).is_some() || around.defaults.say_something()
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
        let is_its_version = !is_plain || self.has_parts() || part.is_none();
        let result = if is_lone && registry.is_none() {
            Err(format!("{:?} has no registry and no path here", guess::short(text)))
        } else {
            self.versioned(&full, is_its_version, around.defaults)
                .and_then(|whole| whole.parse::<Reference>().map_err(|error| error.to_string()))
        };
        // A registry that stands elsewhere is none that the chart can be told for this image alone.
        let is_settable = part.is_some()
            && !is_whole
            && (registry.is_none() || self.has(Part::Registry) || around.defaults.overrides());
        let key = |part| self.said.iter().find(|(one, _)| *one == part).map(|(_, said)| said.key);
        let settable = Settable {
            full,
            registry_key: key(Part::Registry),
            tag_key: key(Part::Tag).or(key(Part::Version)),
        };
        // Another text that names an image is looked at by itself.
        let is_read = |said: &Said<'_>| said.key == name.key || said.text == name.text;
        let keys = self.said.iter().filter(|(part, said)| *part != Part::Image || is_read(said));
        let keys = keys.map(|(_, said)| said.key).collect();
        Some(Whole { name, keys, result, settable: is_settable.then_some(settable) })
    }

    /// Which of the keys that name things make up the image's name.
    fn base(&self, around: &Around<'_>) -> Option<Base<'n>> {
        // A text that says all of an image needs no parts of others.
        let image = self.names(Part::Image).find(|said| !guess::has_version(said.text));
        let image = image.or_else(|| self.named(Part::Image));
        let repository = self.named(Part::Repository).filter(|_| self.namespace().is_none());
        let name = self.named(Part::Name);
        let registry = self.registry().map(|said| said.text).or(around.defaults.registry());
        match (repository, image, name) {
            (Some(repository), Some(image), _) => Some(joined(repository, image, registry)),
            (Some(repository), None, Some(name)) if around.says_image || registry.is_some() => {
                Some(labelled(repository, name, registry, around))
            }
            (Some(repository), ..) => Some(Base::Plain(Part::Repository, repository)),
            (None, Some(image), _) => Some(Base::Plain(Part::Image, image)),
            (None, None, Some(name)) => {
                let has_registry = self.has(Part::Registry) || self.has(Part::Hub);
                let has_version = self.has(Part::Tag) || self.has(Part::Digest);
                let is_one = if around.says_image {
                    let is_alone = around.stand == Stand::Map && name.text.contains('/');
                    let has_more = has_registry || has_version || self.has(Part::Version);
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
        let own = self.registry().map(|said| said.text.to_owned());
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

    /// A tag that is told beside a text that has another one.
    fn contradicts(&self, text: &str) -> Option<Said<'n>> {
        let (_, own) = text.split('@').next()?.rsplit('/').next()?.split_once(':')?;
        self.of(Part::Tag).filter(|tag| tag.text != own)
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
        if let Some(affix) = self.of(Part::Affix) {
            let value = guess::short(affix.text);
            return Err(format!(
                "{shown:?} is changed by {} {value:?}, in a way that only the chart knows",
                affix.key
            ));
        }
        let digest = self.digest()?.filter(|_| !full.contains('@'));
        let version = self.of(Part::Version);
        let mut tag = None;
        if !guess::has_version(full) {
            let own = self.of(Part::Tag).or(version.filter(|_| is_its_version)).map(|said| said.text);
            // Where a chart can put something before or after the tag, the tag of others is not all of it.
            let is_changed = self.has(Part::Affix) && !self.has(Part::Tag);
            tag = own.or_else(|| defaults.tag().filter(|_| !is_changed));
            if tag.is_none() && digest.is_none() {
                return Err(match version {
                    Some(version) => format!(
                        "{shown:?} has neither tag nor digest here, and {} {:?} may be that of something else",
                        version.key,
                        guess::short(version.text)
                    ),
                    None => format!("{shown:?} has neither tag nor digest here"),
                });
            }
        }
        // Some write a digest where a tag is asked for.
        let joint = |tag: &str| if tag.starts_with("sha256:") { '@' } else { ':' };
        let tag = tag.map(|tag| format!("{}{tag}", joint(tag))).unwrap_or_default();
        let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        Ok(format!("{full}{tag}{digest}"))
    }

    fn digest(&self) -> Result<Option<String>, String> {
        let is_off = self.said.iter().any(|(part, said)| *part == Part::UseDigest && said.text == "false");
        let Some(said) = self.of(Part::Digest).filter(|_| !is_off) else { return Ok(None) };
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

/// A `name` beside a repository is its last part, as in Strimzi's charts, or the label of an item.
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

/// Nothing, and words that stand for it.
fn says_something(text: &str) -> bool {
    !matches!(text, "" | "null" | "~" | "true" | "false" | "none")
}
