//! Looking through an object's values: where Kubernetes names images, and where people hide them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::rc::Rc;

use super::Rank;
use super::guess::{self, Guess};
use super::lists::{Meaning, is_not_wanted};
use super::node::{self, Node, Object, Pair, Scalar, Value};
use super::object::{Sort, Walk};
use super::scan;
use super::siblings;
use super::text::{Text, Watch};
use crate::image::Reference;

/// Values looked at in one object; only aliases of aliases make more of them than the object has.
const MAX_STEPS: usize = 1_000_000;
/// Deeper than the parser lets anything nest, but for aliases.
const MAX_DEPTH: usize = 600;
/// Manifests in texts in manifests.
const MAX_EMBEDDED: usize = 2;
/// Longer texts are not searched for words.
const MAX_TEXT: usize = 2 << 20;
/// What names no image, or only repeats what is said elsewhere.
const SKIPPED: [&str; 9] = [
    "apiVersion",
    "kind",
    "description",
    // A query, as Prometheus has them.
    "expr",
    "labels",
    "matchLabels",
    "managedFields",
    "ownerReferences",
    "kubectl.kubernetes.io/last-applied-configuration",
];
/// The value that many charts let override every registry.
pub(super) const OVERRIDE: &str = "global.imageRegistry";
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// Stands for the services of a Compose file; no key is called so.
const COMPOSED: &str = "services of compose";

/// What a value stands under.
#[derive(Clone, Copy)]
pub(super) struct Under<'k> {
    pub(super) key: &'k str,
    /// It is an item of the list under the key.
    pub(super) is_item: bool,
}

impl Under<'static> {
    pub(super) const NOTHING: Self = Self { key: "", is_item: false };
}

impl<'k> Under<'k> {
    fn key(key: &'k str) -> Self {
        Self { key, is_item: false }
    }

    fn item(self) -> Self {
        Self { is_item: true, ..self }
    }
}

impl Walk<'_> {
    /// Anything, under what it stands under.
    pub(super) fn any(&mut self, node: &Node, under: Under<'_>, depth: usize) {
        self.steps += 1;
        if self.is_over(node, depth) {
            return;
        }
        match &node.value {
            Value::Text(_) if self.is_in_values() && self.path == OVERRIDE => {
                self.out.registry_override = true;
            }
            Value::Text(scalar) => self.text(scalar, node.line, under.key),
            Value::List(items) if siblings::are_named(items) => self.named_values(items, depth),
            Value::List(items) => self.each(items, |walk, item| walk.any(item, under.item(), depth + 1)),
            Value::Map(pairs) => self.pairs(node, pairs.iter(), under, depth),
        }
    }

    /// Whether more was looked at than any object has; says so once.
    fn is_over(&mut self, node: &Node, depth: usize) -> bool {
        let is_over = self.steps > MAX_STEPS || depth > MAX_DEPTH;
        if is_over && !std::mem::replace(&mut self.is_exhausted, true) {
            self.unclear(node.line, "its aliases stand for more than can be looked at".to_owned(), true);
        }
        is_over
    }

    pub(super) fn pairs<'n>(
        &mut self,
        node: &Node,
        pairs: impl Iterator<Item = &'n Pair>,
        under: Under<'_>,
        depth: usize,
    ) {
        if self.is_over(node, depth) {
            return;
        }
        self.steps += node.size();
        let meaning = Meaning::of(node, under);
        if meaning.is_listed && self.special_item(node, meaning.source) {
            return;
        }
        let is_pulled = self.is_pulled_as_it_is(under);
        let defaults = self.defaults.clone();
        let used = if is_pulled { HashSet::new() } else { self.parts(node, under) };
        for pair in
            pairs.filter(|pair| !SKIPPED.contains(&pair.key.as_str()) && !used.contains(&pair.key.as_str()))
        {
            let (key, value) = (pair.key.as_str(), &*pair.value);
            // What Ceph calls an image is a disk.
            let is_disk = key == "image" && under.key == "rbd";
            if is_disk || is_not_wanted(key) || meaning.is_target(key) {
                continue;
            }
            if key == "<<" {
                self.any(value, under, depth + 1);
                continue;
            }
            let length = self.path.len();
            self.enter(key);
            // `images: {quay.io/a/b:1: …}`; and what reads as YAML by chance has words before its colon.
            if key.contains(['/', '@']) {
                scan::within(key, false, &mut |_, _, guess| self.guess(guess, value.line, ""));
            }
            let was_loose = self.is_loose;
            self.is_loose |= matches!(key, "annotations" | "env" | "args" | "command");
            match (key, value.list()) {
                (key, Some(items)) if self.sort == Sort::Workload && CONTAINERS.contains(&key) => {
                    self.each(items, |walk, item| walk.container(item, depth + 1));
                }
                ("volumes", Some(items)) => self.each(items, |walk, item| walk.volume(item, depth + 1)),
                ("env", Some(items)) => self.named_values(items, depth + 1),
                ("args" | "command", Some(items)) => self.arguments(items, depth + 1),
                ("image", None) if is_pulled && value.text().is_some() => {
                    self.pulled(value.text().unwrap_or_default(), value.line);
                }
                ("services", None) if self.sort == Sort::Compose && depth == 1 => {
                    self.services(value, depth + 1);
                }
                _ => self.any(value, Under::key(meaning.key_of(pair, under)), depth + 1),
            }
            self.is_loose = was_loose;
            self.path.truncate(length);
        }
        self.defaults = defaults;
    }

    /// Whether the `image` of what stands here goes into a pod as it is, so that a name without a tag is `latest`.
    fn is_pulled_as_it_is(&self, Under { key, is_item }: Under<'_>) -> bool {
        let key = key.to_ascii_lowercase();
        if is_item {
            key.ends_with("containers") || matches!(key.as_str(), "steps" | "sidecars" | COMPOSED)
        } else {
            let is_of_workflow = matches!(key.as_str(), "container" | "script" | "steptemplate");
            key == "containerdisk" || (self.sort == Sort::Workflow && is_of_workflow)
        }
    }

    /// The image of a container that is not a workload's own.
    fn pulled(&mut self, text: &str, line: u64) {
        match guess::whole(text, true) {
            Guess::Untagged(reference) => self.image(reference, Rank::Probable, line),
            guess => self.guess(guess, line, "image"),
        }
    }

    /// The services of a Compose file, whose images are pulled as they are named.
    fn services(&mut self, node: &Node, depth: usize) {
        let Value::Map(pairs) = &node.value else { return self.any(node, Under::NOTHING, depth) };
        for pair in pairs {
            let length = self.path.len();
            self.enter(&pair.key);
            match (&pair.value.value, pair.value.get("build")) {
                (Value::Map(pairs), Some(_)) => {
                    let why =
                        "it is built from sources, so its image is in no registry but where it is pushed to";
                    self.unclear(pair.value.line, why.to_owned(), true);
                    let others = pairs.iter().filter(|pair| !matches!(pair.key.as_str(), "build" | "image"));
                    self.pairs(&pair.value, others, Under::key(COMPOSED).item(), depth);
                }
                _ => self.any(&pair.value, Under::key(COMPOSED).item(), depth),
            }
            self.path.truncate(length);
        }
    }

    pub(super) fn each(&mut self, items: &[Rc<Node>], mut look: impl FnMut(&mut Self, &Node)) {
        let length = self.path.len();
        for (at, item) in items.iter().enumerate() {
            let _ = write!(self.path, "[{at}]");
            look(self, item);
            self.path.truncate(length);
        }
    }

    pub(super) fn enter(&mut self, key: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.extend(key.chars().filter(|c| !c.is_control()).take(100));
    }

    /// A container of a workload: its `image` is what will be pulled.
    fn container(&mut self, node: &Node, depth: usize) {
        let Value::Map(pairs) = &node.value else { return self.any(node, Under::NOTHING, depth) };
        if self.is_over(node, depth) {
            return;
        }
        let mut images = pairs.iter().filter(|pair| pair.key == "image").peekable();
        if images.peek().is_none() {
            match node.get("image") {
                Some(merged) => self.certain(merged, node),
                None => self.unclear(node.line, "the container has no image".to_owned(), true),
            }
        }
        for pair in images {
            self.certain(&pair.value, node);
        }
        let others = pairs.iter().filter(|pair| pair.key != "image");
        let known = node.get("env").and_then(Node::list).map(siblings::known).unwrap_or_default();
        let known = std::mem::replace(&mut self.known, known);
        self.pairs(node, others, Under::key(CONTAINERS[0]).item(), depth);
        self.known = known;
    }

    fn certain(&mut self, image: &Node, container: &Node) {
        let length = self.path.len();
        self.enter("image");
        let text = image.text().unwrap_or_default().trim();
        let is_injected =
            text == "auto" && container.text_of("name").is_some_and(|name| name.starts_with("istio"));
        if is_injected {
            self.unclear(image.line, "Istio puts the image of its proxy here".to_owned(), false);
        } else {
            match text.parse::<Reference>() {
                Ok(reference) => self.image(reference, Rank::Certain, image.line),
                Err(error) => self.unclear(image.line, error.to_string(), true),
            }
        }
        self.path.truncate(length);
    }

    /// A volume that is an image (`image.reference`).
    fn volume(&mut self, node: &Node, depth: usize) {
        let image = node.get("image").and_then(|image| image.get("reference"));
        let Some(reference) = image.filter(|_| self.sort == Sort::Workload) else {
            return self.any(node, Under::NOTHING, depth);
        };
        let length = self.path.len();
        self.enter("image.reference");
        match reference.text().unwrap_or_default().trim().parse::<Reference>() {
            Ok(found) => self.image(found, Rank::Certain, reference.line),
            Err(error) => self.unclear(reference.line, error.to_string(), true),
        }
        self.path.truncate(length);
    }

    /// A text under `key`: one word, many of them, or a manifest of its own.
    pub(super) fn text(&mut self, scalar: &Scalar, line: u64, key: &str) {
        if scalar.is_nothing() {
            return;
        }
        let text = scalar.text.trim();
        if !text.contains(char::is_whitespace) && !text.starts_with(['{', '[']) || text.starts_with("{{") {
            return self.word(text, line, key);
        }
        if self.embedded < MAX_EMBEDDED && self.embedded(scalar, line) {
            return;
        }
        if text.len() > MAX_TEXT {
            return self.unclear(line, "the text is too long to be looked through".to_owned(), false);
        }
        let first = scalar.first_line;
        self.many_words(&scalar.text, false, |number| first.map_or(line, |first| first + number));
    }

    /// A text without blanks under `key`: an image, or several with commas and the like between them.
    pub(super) fn word(&mut self, text: &str, line: u64, key: &str) {
        let is_image = guess::is_image_key(key.rsplit('/').next().unwrap_or(key));
        // `old=new:1` among the images of Kustomize; `name=image:1` of others.
        let text = match text.split_once('=').filter(|_| is_image) {
            Some((old, new)) if !guess::has_version(old) && !old.contains([',', ';']) => new,
            _ => text,
        };
        match guess::whole(text, is_image) {
            Guess::Nothing | Guess::Unclear(_)
                if text.contains([',', ';', '=', '|']) && !text.contains("{{") =>
            {
                self.many_words(text, is_image, |_| line);
            }
            guess => self.guess(guess, line, key),
        }
    }

    /// Looks through a text that is YAML or JSON itself; false where it turns out to be neither.
    pub(super) fn embedded(&mut self, scalar: &Scalar, line: u64) -> bool {
        let (mut text, watch) = (Text::new(scalar.text.as_bytes()), Watch::default());
        let mut objects = Vec::new();
        while let Ok(Some(first)) = text.next_document(&watch) {
            if node::read_document(&mut text, first, &watch, &mut |object| objects.push(object)).is_err() {
                return false;
            }
        }
        let is_data = |object: &Object| {
            !matches!(object.node.value, Value::Text(_))
                && !object.is_too_large
                && !object.has_lost_alias
                && object.odd_key.is_none()
        };
        if objects.is_empty() || !objects.iter().all(is_data) {
            return false;
        }
        let lines = (self.before, self.is_in_one_line);
        if !self.is_in_one_line {
            self.before += scalar.first_line.unwrap_or(line).saturating_sub(1);
            self.is_in_one_line = scalar.first_line.is_none();
        }
        let sort = std::mem::replace(&mut self.sort, Sort::Other);
        let was_loose = std::mem::replace(&mut self.is_loose, false);
        let defaults = std::mem::take(&mut self.defaults);
        self.embedded += 1;
        let length = self.path.len();
        for object in objects {
            self.path.push_str(": ");
            self.path.push_str(&object.place);
            self.any(&object.node, Under::NOTHING, 1);
            self.path.truncate(length);
        }
        self.embedded -= 1;
        self.sort = sort;
        self.is_loose = was_loose;
        self.defaults = defaults;
        (self.before, self.is_in_one_line) = lines;
        true
    }

    /// Records what a text under `key` was taken for.
    pub(super) fn guess(&mut self, guess: Guess, line: u64, key: &str) {
        match guess {
            Guess::Image(reference) => self.image(reference, Rank::Probable, line),
            Guess::Untagged(reference) => {
                let why = format!("{} has neither tag nor digest here", reference.repository());
                self.unclear(line, why, !self.is_loose);
            }
            Guess::Artifact(why) => self.unclear(line, why, false),
            // What the key `image` itself names is pulled; other keys only sound like it.
            Guess::Unclear(why) => self.unclear(line, why, key == "image"),
            Guess::Nothing => {}
        }
    }
}
