//! One object: what it is, and whether what its containers name is certain.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::foreign::Foreign;
use super::guess;
use super::node::{Node, Object, Value};
use super::scope::Defaults;
use super::walk::Under;
use super::{Discovery, Place, Rank};
use crate::app::text::typed;
use crate::image::Reference;

/// Lists in lists.
const MAX_LISTS: usize = 4;

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

/// What an object is, as far as that says which images are pulled as they are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A workload of Kubernetes itself: what its containers name is certain.
    Workload,
    /// A workflow or task, which has containers of its own kind.
    Workflow,
    /// A Compose file.
    Compose,
    Other,
}

impl Sort {
    /// A Compose file has services, and each says what it is run from.
    pub(super) fn is_compose(node: &Node) -> bool {
        let Some(Value::Map(services)) = node.get("services").map(|services| &services.value) else {
            return false;
        };
        !services.is_empty()
            && services.iter().all(|service| {
                ["image", "build", "extends"].iter().any(|key| service.value.get(key).is_some())
            })
    }
}

/// Looking through the objects of a document.
pub(super) struct Walk<'a> {
    pub(super) out: &'a mut Discovery,
    file: &'a Arc<str>,
    object: Arc<str>,
    chart: Option<Arc<str>>,
    pub(super) path: String,
    pub(super) sort: Sort,
    /// A variable, an argument, an annotation or configuration: a name without a tag may be completed by the program
    /// that reads it, so it does not say that an image is missing.
    pub(super) is_loose: bool,
    /// What enclosing maps say for the images in them.
    pub(super) defaults: Rc<Defaults>,
    /// Variables of the container that is looked at.
    pub(super) known: HashMap<String, String>,
    pub(super) steps: usize,
    /// It was said already that not all of the object is looked at.
    pub(super) is_exhausted: bool,
    pub(super) embedded: usize,
    /// Lines before an embedded text.
    pub(super) before: u64,
    /// The embedded text has no lines of its own in the file: all of it is in the one after `before`.
    pub(super) is_in_one_line: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(out: &'a mut Discovery, file: &'a Arc<str>) -> Self {
        Self {
            out,
            file,
            object: "".into(),
            chart: None,
            path: String::new(),
            sort: Sort::Other,
            is_loose: false,
            defaults: Rc::default(),
            known: HashMap::new(),
            steps: 0,
            is_exhausted: false,
            embedded: 0,
            before: 0,
            is_in_one_line: false,
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
        if let Some(line) = object.odd_key {
            let why = "a key is no text, as where a template ({{ … }}) was not rendered";
            self.unclear(line, why.to_owned(), true);
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
            Some(items) if depth < MAX_LISTS => {
                for item in items {
                    let (version, kind) = version_and_kind(item, None);
                    self.describe(item, &kind);
                    self.one(item, &version, &kind, depth + 1);
                }
                return;
            }
            _ => self.out.objects += 1,
        }
        if let Some(foreign) = Foreign::of_object(node, version, kind).filter(|foreign| !foreign.is_whole()) {
            let why =
                format!("it is {}, which is not looked into; {}", foreign.what(), foreign.way(self.file));
            self.unclear(node.line, why, true);
            return;
        }
        let group = version.split('/').next().unwrap_or_default();
        self.sort = if matches!(group, "v1" | "apps" | "batch" | "extensions") && WORKLOADS.contains(&kind) {
            Sort::Workload
        } else if matches!(group, "argoproj.io" | "tekton.dev") && !kind.starts_with("Application") {
            Sort::Workflow
        } else if kind.is_empty() && Sort::is_compose(node) {
            Sort::Compose
        } else {
            Sort::Other
        };
        self.is_loose = kind == "ConfigMap";
        if kind.is_empty() && self.is_chart(node, version) {
            return self.chart_annotations(node);
        }
        // It is told which repository to watch; what is pulled stands in other objects.
        if kind == "ImageRepository" && group == "image.toolkit.fluxcd.io" {
            return;
        }
        let is_kustomize =
            group == "kustomize.config.k8s.io" && matches!(kind, "Kustomization" | "Component");
        if is_kustomize || (kind.is_empty() && is_kustomization(self.file)) {
            let folder = typed(Path::new(folder_of(self.file)));
            let why = format!(
                "a kustomization takes what it deploys from other files and changes it; render it: kubectl kustomize \
                 {folder} | bundle catalog discover -"
            );
            self.unclear(node.line, why, true);
        }
        if kind == "ConfigMap" && node.get("binaryData").is_some() {
            self.unclear(node.line, "its binaryData is not looked into".to_owned(), false);
        }
        match &node.value {
            Value::Map(pairs) => {
                // What an object's status names is what it has pulled, not what it will.
                let demands = pairs.iter().filter(|pair| kind.is_empty() || pair.key != "status");
                self.pairs(node, demands, Under::NOTHING, 1);
            }
            _ => self.any(node, Under::NOTHING, 1),
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
            line: if self.is_in_one_line { self.before + 1 } else { self.before + line },
            object: self.object.clone(),
            path: self.path.clone(),
            chart: self.chart.clone(),
        }
    }

    /// Whether this is neither an object nor inside of one, but a chart's values.
    pub(super) fn is_in_values(&self) -> bool {
        self.object.is_empty() && self.embedded == 0
    }
}

fn version_and_kind(node: &Node, list: Option<&(String, String)>) -> (String, String) {
    let own = |key: &str| node.text_of(key).map(str::to_owned);
    let listed = list.cloned().unwrap_or_default();
    (own("apiVersion").unwrap_or(listed.0), own("kind").unwrap_or(listed.1))
}

/// The names that Kustomize looks for.
pub fn is_kustomization(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

/// What a file is called in a command. What comes from no file is called by a word.
pub(super) fn file_of(name: &str) -> &str {
    if name.contains(['.', '/']) || is_kustomization(name) { name } else { "FILE" }
}

/// The folder of a file.
pub(super) fn folder_of(file: &str) -> &str {
    match file_of(file).rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None if file_of(file) == "FILE" => "DIR",
        None => ".",
    }
}

/// `shop/charts/kafka/templates/x.yaml` is a template of kafka.
fn chart_of(source: &str) -> Option<&str> {
    let (before, _) = source.split_once("/templates/")?;
    let name = before.rsplit('/').next()?;
    (!name.is_empty() && !name.contains(char::is_control)).then_some(name)
}
