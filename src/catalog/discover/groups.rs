//! Groups of texts whose keys name parts of the same image.

use std::collections::{BTreeMap, HashSet};

use super::words::{Part, Role};

/// A text and its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'n> {
    pub(super) key: &'n str,
    pub(super) text: &'n str,
    pub(super) line: u64,
}

/// The parts of the image with one stem.
#[derive(Debug, Default)]
pub(super) struct Group<'n> {
    pub(super) said: Vec<(Part, Said<'n>)>,
    /// A key has the word image in it.
    pub(super) says_image: bool,
}

/// All parts at one level, by their stems.
#[derive(Debug, Default)]
pub(super) struct Groups<'n> {
    pub(super) by_stem: BTreeMap<String, Group<'n>>,
    /// Parts for all images: `global.imageRegistry`, as one key.
    pub(super) global: Group<'n>,
    seen: HashSet<&'n str>,
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

    /// The first text of a part that is not empty.
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

    /// The text that may be the image's name. A repository with a scheme is one of Git or Helm.
    pub(super) fn names(&self, part: Part) -> impl Iterator<Item = Said<'n>> {
        let fits = |text: &str| {
            says_something(text)
                && !text.contains("://")
                && (!text.contains(char::is_whitespace) || text.contains("{{"))
        };
        self.said.iter().filter(move |(one, said)| *one == part && fits(said.text)).map(|(_, said)| *said)
    }

    pub(super) fn named(&self, part: Part) -> Option<Said<'n>> {
        self.names(part).next()
    }

    /// Whether it names an image, as far as it can be seen from here.
    pub(super) fn has_name(&self) -> bool {
        self.named(Part::Image).is_some()
            || (self.named(Part::Repository).is_some() && self.namespace().is_none())
    }

    pub(super) fn has_parts(&self) -> bool {
        [Part::Registry, Part::Hub, Part::Tag, Part::Digest].into_iter().any(|part| self.has(part))
    }
}

/// The empty text, and words that mean the same.
fn says_something(text: &str) -> bool {
    !matches!(text, "" | "null" | "~" | "true" | "false" | "none")
}
