//! Looking through one object: where Kubernetes names images, and where people hide them.

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use super::guess::{self, Guess};
use super::node::{Node, Object, Pair, Scalar, Value};
use super::text::{Text, Watch};
use super::{Discovery, Place, Rank, node};
use crate::image::Reference;

/// Values looked at in one object; only aliases of aliases make more of them than the object has.
const MAX_STEPS: usize = 1_000_000;
/// Deeper than the parser lets anything nest, but for aliases.
const MAX_DEPTH: usize = 600;
/// Manifests in texts in manifests.
const MAX_EMBEDDED: usize = 2;
/// Longer texts are not searched for words.
const MAX_TEXT: usize = 2 << 20;

/// Kinds of the `apps`, `batch` and core groups that hold a pod.
const WORKLOADS: [&str; 9] = [
    "Pod",
    "PodTemplate",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
];
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

pub(super) struct Walk<'a> {
    out: &'a mut Discovery,
    file: &'a Arc<str>,
    object: Arc<str>,
    chart: Option<Arc<str>>,
    path: String,
    /// A workload of Kubernetes itself: what its containers name is certain.
    is_workload: bool,
    steps: usize,
    /// It was said already that not all of the object is looked at.
    is_exhausted: bool,
    embedded: usize,
    /// Lines before an embedded text.
    before: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(out: &'a mut Discovery, file: &'a Arc<str>) -> Self {
        Self {
            out,
            file,
            object: "".into(),
            chart: None,
            path: String::new(),
            is_workload: false,
            steps: 0,
            is_exhausted: false,
            embedded: 0,
            before: 0,
        }
    }

    /// Looks through `object`, of which Helm says that it comes from `source`.
    pub(super) fn object(&mut self, object: &Object, source: Option<&str>) {
        self.chart = source.and_then(chart_of).map(Into::into);
        self.path.clone_from(&object.place);
        self.object = "".into();
        (self.steps, self.is_exhausted) = (0, false);
        let node = &object.node;
        let (version, kind) = version_and_kind(node, object.list.as_ref());
        self.describe(node, &kind);
        for (line, key) in &object.repeated {
            let why = format!("key {key:?} comes twice here; both are taken");
            self.unclear(*line, why, false);
        }
        if object.is_too_large {
            self.unclear(node.line, "it is too large to be looked into".to_owned(), true);
            return;
        }
        if object.has_lost_alias {
            self.unclear(
                node.line,
                "an alias (*name) in it names what is no longer at hand".to_owned(),
                true,
            );
        }
        if let Value::Text(scalar) = &node.value {
            let why = format!("a text stands where an object should: {:?}", guess::short(scalar.text.trim()));
            self.unclear(node.line, why, true);
            return;
        }
        self.one(node, &version, &kind, 0);
    }

    fn one(&mut self, node: &Node, version: &str, kind: &str, depth: usize) {
        if kind == "Secret" && version == "v1" {
            self.out.secrets += 1;
            return;
        }
        match node.get("items").and_then(Node::list).filter(|_| kind.ends_with("List")) {
            // Items at the top have been looked at one by one; these are of a list in a list.
            Some(items) if depth < MAX_EMBEDDED => {
                for item in items {
                    let (version, kind) = version_and_kind(item, None);
                    self.describe(item, &kind);
                    self.one(item, &version, &kind, depth + 1);
                }
                return;
            }
            _ => self.out.objects += 1,
        }
        let group = version.split('/').next().unwrap_or_default();
        self.is_workload =
            matches!(group, "v1" | "apps" | "batch" | "extensions") && WORKLOADS.contains(&kind);
        if kind.is_empty() && self.is_chart(node, version) {
            return self.chart_annotations(node);
        }
        if kind == "ConfigMap" && node.get("binaryData").is_some() {
            self.unclear(node.line, "its binaryData is not looked into".to_owned(), false);
        }
        match &node.value {
            Value::Map(pairs) => {
                // What an object's status names is what it has pulled, not what it will.
                let demands = pairs.iter().filter(|pair| kind.is_empty() || pair.key != "status");
                self.pairs(node, demands, "", 1);
            }
            _ => self.any(node, "", 1),
        }
    }

    fn describe(&mut self, node: &Node, kind: &str) {
        let metadata = node.get("metadata");
        let text = |key: &str| metadata.and_then(|metadata| metadata.text_of(key));
        let name = text("name").or_else(|| text("generateName")).unwrap_or_default();
        let space = text("namespace").map(|space| format!("{space}/")).unwrap_or_default();
        let joint = if kind.is_empty() || name.is_empty() { "" } else { " " };
        let name = format!(
            "{kind}{joint}{}",
            if name.is_empty() { String::new() } else { format!("{space}{name}") }
        );
        self.object = name.chars().filter(|c| !c.is_control()).take(200).collect::<String>().into();
    }

    /// `Chart.yaml` says no kind.
    fn is_chart(&mut self, node: &Node, version: &str) -> bool {
        let (Some(name), Some(number)) = (node.text_of("name"), node.text_of("version")) else {
            return false;
        };
        let is_chart = matches!(version, "v1" | "v2");
        if is_chart {
            self.out.charts.push((name.to_owned(), number.to_owned()));
            self.object = format!("chart {}", guess::short(name)).into();
        }
        is_chart
    }

    /// The images a chart lists: `artifacthub.io/images`, and `images` as Bitnami has it.
    fn chart_annotations(&mut self, node: &Node) {
        let Some(annotations) = node.get("annotations") else { return };
        for key in ["artifacthub.io/images", "images"] {
            if let Some(Node { line, value: Value::Text(scalar) }) = annotations.get(key) {
                let length = self.path.len();
                self.enter(&format!("annotations[{key}]"));
                self.embedded(scalar, *line);
                self.path.truncate(length);
            }
        }
    }

    /// Anything: `key` is what it stands under.
    fn any(&mut self, node: &Node, key: &str, depth: usize) {
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

    fn pairs<'n>(&mut self, node: &Node, pairs: impl Iterator<Item = &'n Pair>, parent: &str, depth: usize) {
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

    fn enter(&mut self, key: &str) {
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
        let is_file = [".yaml", ".yml", ".json"].iter().any(|ending| key.ends_with(ending));
        if (is_file || text.starts_with(['{', '[']))
            && self.embedded < MAX_EMBEDDED
            && self.embedded(scalar, line)
        {
            return;
        }
        if text.len() > MAX_TEXT {
            return self.unclear(line, "the text is too long to be looked through".to_owned(), false);
        }
        let line = if scalar.is_block { line + 1 } else { line };
        guess::within(&scalar.text, &mut |number, guess| self.guess(guess, line + number));
    }

    /// Looks through a text that is YAML or JSON itself; false where it turns out to be neither.
    fn embedded(&mut self, scalar: &Scalar, line: u64) -> bool {
        let (mut text, watch) = (Text::new(scalar.text.as_bytes()), Watch::default());
        let mut objects = Vec::new();
        while let Ok(Some(first)) = text.next_document(&watch) {
            if node::read_document(&mut text, first, &watch, &mut |object| objects.push(object)).is_err() {
                return false;
            }
        }
        let is_data = |object: &Object| !matches!(object.node.value, Value::Text(_)) && !object.is_too_large;
        if objects.is_empty() || !objects.iter().all(is_data) {
            return false;
        }
        let before = self.before;
        self.before += line - u64::from(!scalar.is_block);
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
        self.before = before;
        true
    }

    fn guess(&mut self, guess: Guess, line: u64) {
        match guess {
            Guess::Image(reference) => self.image(reference, Rank::Probable, line),
            Guess::Unclear(why) => self.unclear(line, why, false),
            Guess::Nothing => {}
        }
    }

    pub(super) fn image(&mut self, reference: Reference, rank: Rank, line: u64) {
        let place = self.place(line);
        self.out.image(reference, rank, place);
    }

    pub(super) fn unclear(&mut self, line: u64, why: String, hides: bool) {
        let place = self.place(line);
        self.out.unclear(place, why, hides);
    }

    fn place(&self, line: u64) -> Place {
        Place {
            file: self.file.clone(),
            line: self.before + line,
            object: self.object.clone(),
            path: self.path.clone(),
            chart: self.chart.clone(),
        }
    }

    /// The path of what is looked at.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether this is neither an object nor inside of one, but a chart's values.
    pub(super) fn is_in_values(&self) -> bool {
        self.object.is_empty() && self.embedded == 0
    }

    pub(super) fn out(&mut self) -> &mut Discovery {
        self.out
    }
}

fn version_and_kind(node: &Node, list: Option<&(String, String)>) -> (String, String) {
    let own = |key: &str| node.text_of(key).map(str::to_owned);
    let listed = list.cloned().unwrap_or_default();
    (own("apiVersion").unwrap_or(listed.0), own("kind").unwrap_or(listed.1))
}

/// `shop/charts/kafka/templates/x.yaml` is a template of kafka.
fn chart_of(source: &str) -> Option<&str> {
    let (before, _) = source.split_once("/templates/")?;
    let name = before.rsplit('/').next()?;
    (!name.is_empty() && !name.contains(char::is_control)).then_some(name)
}
