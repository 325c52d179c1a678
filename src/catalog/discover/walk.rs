//! Looking through an object's values: where Kubernetes names images, and where people hide them.

use std::fmt::Write as _;
use std::rc::Rc;

use super::Rank;
use super::guess::{self, Guess};
use super::node::{self, Node, Object, Pair, Scalar, Value};
use super::object::Walk;
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
const SKIPPED: [&str; 8] = [
    "apiVersion",
    "kind",
    "description",
    "labels",
    "matchLabels",
    "managedFields",
    "ownerReferences",
    "kubectl.kubernetes.io/last-applied-configuration",
];
/// The value that many charts let override every registry.
pub(super) const OVERRIDE: &str = "global.imageRegistry";
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

impl Walk<'_> {
    /// Anything: `key` is what it stands under.
    pub(super) fn any(&mut self, node: &Node, key: &str, depth: usize) {
        self.steps += 1;
        if self.steps > MAX_STEPS || depth > MAX_DEPTH {
            if !std::mem::replace(&mut self.is_exhausted, true) {
                self.unclear(node.line, "its aliases stand for more than can be looked at".to_owned(), true);
            }
            return;
        }
        match &node.value {
            Value::Text(_) if self.is_in_values() && self.path == OVERRIDE => {
                self.out.registry_override = true;
            }
            Value::Text(scalar) => self.text(scalar, node.line, key),
            Value::List(items) => self.each(items, |walk, item| walk.any(item, key, depth + 1)),
            Value::Map(pairs) => self.pairs(node, pairs.iter(), key, depth),
        }
    }

    pub(super) fn pairs<'n>(
        &mut self,
        node: &Node,
        pairs: impl Iterator<Item = &'n Pair>,
        parent: &str,
        depth: usize,
    ) {
        let used = self.image_in_parts(node, parent);
        for pair in
            pairs.filter(|pair| !SKIPPED.contains(&pair.key.as_str()) && !used.contains(&pair.key.as_str()))
        {
            let (key, value) = (pair.key.as_str(), &*pair.value);
            if key == "<<" {
                self.any(value, parent, depth + 1);
                continue;
            }
            let length = self.path.len();
            self.enter(key);
            // `images: {quay.io/a/b:1: …}`; and what reads as YAML by chance has words before its colon.
            if key.contains(['/', '@']) {
                guess::within(key, &mut |_, guess| self.guess(guess, value.line));
            }
            match (key, value.list()) {
                (key, Some(items)) if self.is_workload && CONTAINERS.contains(&key) => {
                    self.each(items, |walk, item| walk.container(item, depth + 1));
                }
                ("volumes", Some(items)) => self.each(items, |walk, item| walk.volume(item, depth + 1)),
                ("env", Some(items)) => self.each(items, |walk, item| walk.variable(item, depth + 1)),
                ("args" | "command", Some(items)) => self.arguments(items, depth + 1),
                _ => self.any(value, key, depth + 1),
            }
            self.path.truncate(length);
        }
    }

    fn each(&mut self, items: &[Rc<Node>], mut look: impl FnMut(&mut Self, &Node)) {
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
        let Value::Map(pairs) = &node.value else { return self.any(node, "", depth) };
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
        self.pairs(node, pairs.iter().filter(|pair| pair.key != "image"), "", depth);
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
        let Some(reference) = image.filter(|_| self.is_workload) else { return self.any(node, "", depth) };
        let length = self.path.len();
        self.enter("image.reference");
        match reference.text().unwrap_or_default().trim().parse::<Reference>() {
            Ok(found) => self.image(found, Rank::Certain, reference.line),
            Err(error) => self.unclear(reference.line, error.to_string(), true),
        }
        self.path.truncate(length);
    }

    /// An environment variable: its own name is the key of its value.
    fn variable(&mut self, node: &Node, depth: usize) {
        match (node.text_of("name"), node.get("value")) {
            (Some(name), Some(Node { line, value: Value::Text(scalar) })) => {
                let length = self.path.len();
                let _ = write!(self.path, " {}", guess::short(name));
                self.text(scalar, *line, name);
                self.path.truncate(length);
            }
            _ => self.any(node, "", depth),
        }
    }

    /// Arguments: `--key=value`, or `--key` and the value after it.
    fn arguments(&mut self, items: &[Rc<Node>], depth: usize) {
        let mut flag = String::new();
        self.each(items, |walk, item| {
            let Value::Text(scalar) = &item.value else { return walk.any(item, "", depth) };
            match scalar.text.strip_prefix('-').and_then(|rest| rest.split_once('=')) {
                Some((key, value)) if !value.contains(char::is_whitespace) => {
                    walk.guess(guess::whole(value, guess::is_image_key(key)), item.line);
                }
                _ => walk.text(scalar, item.line, &flag),
            }
            flag.clear();
            if scalar.text.starts_with('-') && !scalar.text.contains('=') {
                flag.clone_from(&scalar.text);
            }
        });
    }

    /// A text under `key`: one word, many of them, or a manifest of its own.
    fn text(&mut self, scalar: &Scalar, line: u64, key: &str) {
        if scalar.is_nothing() {
            return;
        }
        let text = scalar.text.trim();
        if !text.contains(char::is_whitespace) && !text.starts_with(['{', '[']) || text.starts_with("{{") {
            return self
                .guess(guess::whole(text, guess::is_image_key(key.rsplit('/').next().unwrap_or(key))), line);
        }
        if self.embedded < MAX_EMBEDDED && self.embedded(scalar, line) {
            return;
        }
        if text.len() > MAX_TEXT {
            return self.unclear(line, "the text is too long to be looked through".to_owned(), false);
        }
        guess::within(&scalar.text, &mut |number, guess| {
            self.guess(guess, scalar.first_line.map_or(line, |first| first + number));
        });
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
        let was_workload = std::mem::replace(&mut self.is_workload, false);
        self.embedded += 1;
        let length = self.path.len();
        for object in objects {
            self.path.push_str(": ");
            self.path.push_str(&object.place);
            self.any(&object.node, "", 1);
            self.path.truncate(length);
        }
        self.embedded -= 1;
        self.is_workload = was_workload;
        (self.before, self.is_in_one_line) = lines;
        true
    }

    fn guess(&mut self, guess: Guess, line: u64) {
        match guess {
            Guess::Image(reference) => self.image(reference, Rank::Probable, line),
            Guess::Unclear(why) => self.unclear(line, why, false),
            Guess::Nothing => {}
        }
    }
}
