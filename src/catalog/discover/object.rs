//! One object: what it is, and whether what its containers name is certain.

use std::path::Path;

use super::file_names::{folder_of, is_kustomization};
use super::foreign::Foreign;
use super::guess;
use super::node::{Node, Object, Value};
use super::under::Under;
use super::values::{any, embedded, map};
use super::walk::{Sort, Walk};
use crate::app::text::typed;

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

/// Looks through `object`, of which Helm says that it comes from `source`.
pub(super) fn look_through(walk: &mut Walk<'_>, object: &Object, source: Option<&str>) {
    walk.chart = source.and_then(chart_of).map(Into::into);
    walk.path.clone_from(&object.place);
    walk.object = "".into();
    (walk.steps, walk.is_exhausted) = (0, false);
    let node = &object.node;
    let (version, kind) = version_and_kind(node, object.list.as_ref());
    describe(walk, node, &kind);
    for (line, key) in &object.repeated {
        let why = format!("key {key:?} appears twice here; both values are used");
        walk.unclear(*line, why, false);
    }
    if object.is_too_large {
        walk.unclear(node.line, "it is too large to be searched".to_owned(), true);
        return;
    }
    if object.has_lost_alias {
        walk.unclear(
            node.line,
            "an alias (*name) in it refers to a part that is no longer in memory".to_owned(),
            true,
        );
    }
    if let Some(line) = object.odd_key {
        let why = "a key is not text; probably a template ({{ … }}) was not rendered";
        walk.unclear(line, why.to_owned(), true);
    }
    if let Value::Text(scalar) = &node.value {
        let why = format!("expected an object here, not a text: {:?}", guess::short(scalar.text.trim()));
        walk.unclear(node.line, why, true);
        return;
    }
    one(walk, node, &version, &kind, 0);
}

fn one(walk: &mut Walk<'_>, node: &Node, version: &str, kind: &str, depth: usize) {
    if kind == "Secret" && version == "v1" {
        walk.out.secrets += 1;
        return;
    }
    match node.get("items").and_then(Node::list).filter(|_| kind.ends_with("List")) {
        // Items at the top have been looked at one by one; these are of a list in a list.
        Some(items) if depth < MAX_LISTS => {
            for item in items {
                let (version, kind) = version_and_kind(item, None);
                describe(walk, item, &kind);
                one(walk, item, &version, &kind, depth + 1);
            }
            return;
        }
        _ => walk.out.objects += 1,
    }
    if let Some(foreign) = Foreign::of_object(node, version, kind).filter(|foreign| !foreign.is_whole()) {
        let why = format!("it is {}, which is not searched; {}", foreign.what(), foreign.way(walk.file));
        walk.unclear(node.line, why, true);
        return;
    }
    let group = version.split('/').next().unwrap_or_default();
    walk.sort = if matches!(group, "v1" | "apps" | "batch" | "extensions") && WORKLOADS.contains(&kind) {
        Sort::Workload
    } else if matches!(group, "argoproj.io" | "tekton.dev") && !kind.starts_with("Application") {
        Sort::Workflow
    } else if kind.is_empty() && Sort::is_compose(node) {
        Sort::Compose
    } else {
        Sort::Other
    };
    walk.is_loose = kind == "ConfigMap";
    if kind.is_empty() && is_chart(walk, node, version) {
        return chart_annotations(walk, node);
    }
    // It names a repository to watch; other objects name the image that is pulled.
    if kind == "ImageRepository" && group == "image.toolkit.fluxcd.io" {
        return;
    }
    let is_kustomize = group == "kustomize.config.k8s.io" && matches!(kind, "Kustomization" | "Component");
    if is_kustomize || (kind.is_empty() && is_kustomization(walk.file)) {
        let folder = typed(Path::new(folder_of(walk.file)));
        let why = format!(
            "a kustomization takes what it deploys from other files and changes it; render it: kubectl kustomize \
             {folder} | bundle catalog discover -"
        );
        walk.unclear(node.line, why, true);
    }
    if kind == "ConfigMap" && node.get("binaryData").is_some() {
        walk.unclear(node.line, "its binaryData is not searched".to_owned(), false);
    }
    match &node.value {
        Value::Map(pairs) => {
            // What an object's status names is what it has pulled, not what it will.
            let demands = pairs.iter().filter(|pair| kind.is_empty() || pair.key != "status");
            map(walk, node, demands, Under::NOTHING, 1);
        }
        _ => any(walk, node, Under::NOTHING, 1),
    }
}

fn describe(walk: &mut Walk<'_>, node: &Node, kind: &str) {
    let metadata = node.get("metadata");
    let text = |key: &str| metadata.and_then(|metadata| metadata.text_of(key));
    let name = text("name").or_else(|| text("generateName")).unwrap_or_default();
    let space = text("namespace").map(|space| format!("{space}/")).unwrap_or_default();
    let joint = if kind.is_empty() || name.is_empty() { "" } else { " " };
    let name =
        format!("{kind}{joint}{}", if name.is_empty() { String::new() } else { format!("{space}{name}") });
    walk.object = name.chars().filter(|c| !c.is_control()).take(200).collect::<String>().into();
}

/// `Chart.yaml` says no kind.
fn is_chart(walk: &mut Walk<'_>, node: &Node, version: &str) -> bool {
    let (Some(name), Some(number)) = (node.text_of("name"), node.text_of("version")) else {
        return false;
    };
    let is_chart = matches!(version, "v1" | "v2");
    if is_chart {
        walk.out.charts.push((name.to_owned(), number.to_owned()));
        walk.object = format!("chart {}", guess::short(name)).into();
    }
    is_chart
}

/// The images a chart lists: `artifacthub.io/images`, and `images` as Bitnami has it.
fn chart_annotations(walk: &mut Walk<'_>, node: &Node) {
    let Some(annotations) = node.get("annotations") else { return };
    for key in ["artifacthub.io/images", "images"] {
        if let Some(Node { line, value: Value::Text(scalar) }) = annotations.get(key) {
            let length = walk.path.len();
            walk.enter(&format!("annotations[{key}]"));
            embedded(walk, scalar, *line);
            walk.path.truncate(length);
        }
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
