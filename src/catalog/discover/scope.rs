//! Parts that apply to many images: a registry or a tag of an enclosing map, or under `global`.

use std::rc::Rc;

use super::groups::{Group, Groups};
use super::guess;
use super::node::{Node, Value};
use super::words::Part;

/// Registry, path and tag of the images that do not say their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    registry: Option<String>,
    registry_is_a_hub: bool,
    /// Counts even for images that say their own: `global.imageRegistry`.
    overriding: Option<String>,
    namespace: Option<String>,
    tag: Option<String>,
}

impl Defaults {
    pub(super) fn registry(&self) -> Option<&str> {
        self.overriding().or(self.registry.as_deref())
    }

    pub(super) fn registry_is_a_hub(&self) -> bool {
        self.registry_is_a_hub
    }

    pub(super) fn overriding(&self) -> Option<&str> {
        self.overriding.as_deref()
    }

    pub(super) fn overrides(&self) -> bool {
        self.overriding.is_some()
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    pub(super) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub(super) fn say_something(&self) -> bool {
        self.registry().is_some() || self.tag.is_some()
    }

    /// What counts below `node`, whose own texts are `groups`; `has_others` where it has maps that speak for others.
    pub(super) fn below(
        self: &Rc<Self>,
        node: &Node,
        key: &str,
        groups: &Groups<'_>,
        has_others: bool,
    ) -> Rc<Self> {
        if !has_others && !groups.have_a_registry_or_tag() {
            return self.clone();
        }
        let is_login = node.get("password").is_some();
        let mut own_says = Self::of(groups, matches!(key, "global" | "images"), is_login);
        let mut more = Self::default();
        node.each_pair(&mut |pair| match pair.key.as_str() {
            "global" => more.take_global(&pair.value),
            // The tag next to it may belong to an image that the chart itself names.
            "image" | "images" => more.take_map(&pair.value, false),
            _ => {}
        });
        own_says.fill(&more);
        if own_says == Self::default() {
            return self.clone();
        }
        own_says.fill(self);
        Rc::new(own_says)
    }

    /// What variables and arguments say of each other.
    pub(super) fn flat(groups: &Groups<'_>) -> Self {
        Self::of(groups, true, false)
    }

    fn of(groups: &Groups<'_>, with_tag: bool, is_login: bool) -> Self {
        let mut defaults = Self::default();
        if let Some(own) = groups.by_stem.get("").filter(|_| !is_login) {
            defaults.take(own, with_tag);
        }
        let overriding = groups
            .global
            .of(Part::Registry)
            .filter(|said| said.key.to_ascii_lowercase().contains("image") && guess::is_a_word(said.text));
        defaults.overriding = overriding.map(|said| said.text.to_owned());
        defaults.take(&groups.global, true);
        defaults
    }

    /// Takes what `group` says for others: nothing where it names an image of its own, or a login.
    fn take(&mut self, group: &Group<'_>, with_tag: bool) {
        if group.has_name() {
            return;
        }
        let registry = [Part::Registry, Part::Hub].into_iter().find_map(|part| group.of(part));
        let registry =
            registry.filter(|said| !said.text.contains("://") && !said.text.contains(char::is_whitespace));
        if self.registry.is_none()
            && let Some(said) = registry
        {
            self.registry = Some(said.text.trim_end_matches('/').to_owned());
            self.registry_is_a_hub = group.of(Part::Registry).is_none();
            self.namespace = group.namespace().map(|said| said.text.to_owned());
        }
        if self.tag.is_none() && (with_tag || registry.is_some()) {
            self.tag = group.of(Part::Tag).map(|said| said.text.to_owned());
        }
    }

    fn take_map(&mut self, node: &Node, with_tag: bool) {
        let mut groups = Groups::default();
        let mut is_login = false;
        node.each_pair(&mut |pair| {
            is_login |= matches!(pair.key.as_str(), "username" | "password");
            if let Value::Text(scalar) = &pair.value.value
                && !scalar.is_nothing()
            {
                groups.add(&pair.key, &scalar.text, pair.value.line, false);
            }
        });
        if let Some(group) =
            groups.by_stem.get("").filter(|group| !is_login && group.of(Part::Name).is_none())
        {
            self.take(group, with_tag);
        }
    }

    fn take_global(&mut self, global: &Node) {
        let mut more = Self::default();
        let says = |key: &str| global.text_of(key).map(str::trim).filter(|text| !text.contains("://"));
        let of_image = || {
            let image = global.get("image").filter(|image| image.get("repository").is_none())?;
            image.text_of("registry")
        };
        let overriding = says("imageRegistry").or_else(of_image).filter(|text| guess::is_a_word(text));
        self.overriding = overriding.map(|text| text.trim_end_matches('/').to_owned());
        more.take_map(global, true);
        for key in ["image", "images", "cattle"] {
            if let Some(node) = global.get(key) {
                more.take_map(node, true);
            }
        }
        self.fill(&more);
    }

    /// Takes from `other` what is not said yet.
    fn fill(&mut self, other: &Self) {
        if self.registry.is_none() {
            self.registry.clone_from(&other.registry);
            self.registry_is_a_hub = other.registry_is_a_hub;
            self.namespace.clone_from(&other.namespace);
        }
        let or = |own: &mut Option<String>, other: &Option<String>| {
            if own.is_none() {
                own.clone_from(other);
            }
        };
        or(&mut self.overriding, &other.overriding);
        or(&mut self.tag, &other.tag);
    }
}
