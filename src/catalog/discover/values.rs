//! Searches an object's values: the fields in which Kubernetes names images, and all other places.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::rc::Rc;

use super::discovery::Rank;
use super::guess::{self, Guess};
use super::lists::{self, Meaning, is_not_wanted};
use super::map_parts;
use super::node::{self, Node, Object, Pair, Scalar, Value};
use super::scan;
use super::siblings::{self, Named, assigned, filled, named_value};
use super::text::{Text, Watch};
use super::under::Under;
use super::walk::{COMPOSED, Sort, Walk};
use crate::image::Reference;

/// How deeply manifests may be nested in texts of manifests.
const MAX_EMBEDDED: usize = 2;
/// Longer texts are not searched for words.
const MAX_TEXT: usize = 2 << 20;
/// Keys whose values never name an image, or only repeat one.
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

/// Searches any value in its context.
pub(super) fn any(walk: &mut Walk<'_>, node: &Node, under: Under<'_>, depth: usize) {
    walk.steps += 1;
    if walk.is_over(node, depth) {
        return;
    }
    match &node.value {
        Value::Text(_) if walk.is_in_values() && walk.path == OVERRIDE => {
            walk.out.registry_override = true;
        }
        Value::Text(scalar) => text(walk, scalar, node.line, under.key),
        Value::List(items) if siblings::are_named(items) => named_values(walk, items, depth),
        Value::List(items) => walk.each(items, |walk, item| any(walk, item, under.item(), depth + 1)),
        Value::Map(pairs) => map(walk, node, pairs.iter(), under, depth),
    }
}

/// The pairs of a map, or those of them that are looked at.
pub(super) fn map<'n>(
    walk: &mut Walk<'_>,
    node: &Node,
    pairs: impl Iterator<Item = &'n Pair>,
    under: Under<'_>,
    depth: usize,
) {
    if walk.is_over(node, depth) {
        return;
    }
    walk.steps += node.size();
    let meaning = Meaning::of(node, under);
    if meaning.is_listed && lists::special_item(walk, node, meaning.source) {
        return;
    }
    let is_pulled = walk.is_pulled_as_it_is(under);
    let defaults = walk.defaults.clone();
    let used = if is_pulled { HashSet::new() } else { map_parts::parts(walk, node, under) };
    for pair in
        pairs.filter(|pair| !SKIPPED.contains(&pair.key.as_str()) && !used.contains(&pair.key.as_str()))
    {
        let (key, value) = (pair.key.as_str(), &*pair.value);
        // In Ceph, an image is a disk.
        let is_disk = key == "image" && under.key == "rbd";
        if is_disk || is_not_wanted(key) || meaning.is_target(key) {
            continue;
        }
        if key == "<<" {
            any(walk, value, under, depth + 1);
            continue;
        }
        let length = walk.path.len();
        walk.enter(key);
        // `images: {quay.io/a/b:1: …}`; and what reads as YAML by chance has words before its colon.
        if key.contains(['/', '@']) {
            scan::within(key, false, &mut |_, _, guess| walk.guess(guess, value.line, ""));
        }
        let was_loose = walk.is_loose;
        walk.is_loose |= matches!(key, "annotations" | "env" | "args" | "command");
        match (key, value.list()) {
            (key, Some(items)) if walk.sort == Sort::Workload && CONTAINERS.contains(&key) => {
                walk.each(items, |walk, item| container(walk, item, depth + 1));
            }
            ("volumes", Some(items)) => walk.each(items, |walk, item| volume(walk, item, depth + 1)),
            ("env", Some(items)) => named_values(walk, items, depth + 1),
            ("args" | "command", Some(items)) => arguments(walk, items, depth + 1),
            ("image", None) if is_pulled && value.text().is_some() => {
                walk.pulled(value.text().unwrap_or_default(), value.line);
            }
            ("services", None) if walk.sort == Sort::Compose && depth == 1 => {
                services(walk, value, depth + 1);
            }
            _ => any(walk, value, Under::key(meaning.key_of(pair, under)), depth + 1),
        }
        walk.is_loose = was_loose;
        walk.path.truncate(length);
    }
    walk.defaults = defaults;
}

/// The services of a Compose file, whose images are pulled as they are named.
fn services(walk: &mut Walk<'_>, node: &Node, depth: usize) {
    let Value::Map(pairs) = &node.value else { return any(walk, node, Under::NOTHING, depth) };
    for pair in pairs {
        let length = walk.path.len();
        walk.enter(&pair.key);
        match (&pair.value.value, pair.value.get("build")) {
            (Value::Map(pairs), Some(_)) => {
                let why =
                    "it is built from source, so its image is only in the registry that it is pushed to";
                walk.unclear(pair.value.line, why.to_owned(), true);
                let others = pairs.iter().filter(|pair| !matches!(pair.key.as_str(), "build" | "image"));
                map(walk, &pair.value, others, Under::key(COMPOSED).item(), depth);
            }
            _ => any(walk, &pair.value, Under::key(COMPOSED).item(), depth),
        }
        walk.path.truncate(length);
    }
}

/// A container of a workload: its `image` is what will be pulled.
fn container(walk: &mut Walk<'_>, node: &Node, depth: usize) {
    let Value::Map(pairs) = &node.value else { return any(walk, node, Under::NOTHING, depth) };
    if walk.is_over(node, depth) {
        return;
    }
    let mut images = pairs.iter().filter(|pair| pair.key == "image").peekable();
    if images.peek().is_none() {
        match node.get("image") {
            Some(merged) => walk.certain(merged, node),
            None => walk.unclear(node.line, "the container has no image".to_owned(), true),
        }
    }
    for pair in images {
        walk.certain(&pair.value, node);
    }
    let others = pairs.iter().filter(|pair| pair.key != "image");
    let known = node.get("env").and_then(Node::list).map(siblings::known).unwrap_or_default();
    let known = std::mem::replace(&mut walk.known, known);
    map(walk, node, others, Under::key(CONTAINERS[0]).item(), depth);
    walk.known = known;
}

/// A volume that is an image (`image.reference`).
fn volume(walk: &mut Walk<'_>, node: &Node, depth: usize) {
    let image = node.get("image").and_then(|image| image.get("reference"));
    let Some(reference) = image.filter(|_| walk.sort == Sort::Workload) else {
        return any(walk, node, Under::NOTHING, depth);
    };
    let length = walk.path.len();
    walk.enter("image.reference");
    match reference.text().unwrap_or_default().trim().parse::<Reference>() {
        Ok(found) => walk.image(found, Rank::Certain, reference.line),
        Err(error) => walk.unclear(reference.line, error.to_string(), true),
    }
    walk.path.truncate(length);
}

/// Items with a name and a value each: the name is the key of the value.
pub(super) fn named_values<'n>(walk: &mut Walk<'_>, items: &'n [Rc<Node>], depth: usize) {
    let values = siblings::values(items, &mut HashMap::new());
    let named = |((at, item), text): ((usize, &'n Rc<Node>), Option<Cow<'n, str>>)| {
        let (name, node, _) = named_value(item)?;
        let path = format!("[{at}] {}", guess::short(name));
        Some((at, Named { key: name.into(), text: text?, line: node.line, path }))
    };
    let named = items.iter().enumerate().zip(values).filter_map(named);
    let (places, named): (Vec<usize>, Vec<Named<'_>>) = named.unzip();
    let read = siblings::side_by_side(walk, &named);
    let read: HashMap<usize, bool> = places.iter().copied().zip(read).collect();
    let texts: HashMap<usize, &Named<'_>> = places.into_iter().zip(&named).collect();
    let mut at = 0;
    walk.each(items, |walk, item| {
        let (here, is_read) = (texts.get(&at), read.get(&at).copied().unwrap_or(false));
        at += 1;
        let (Some(named), Some((name, node, scalar))) = (here, named_value(item)) else {
            return any(walk, item, Under::NOTHING, depth + 1);
        };
        let length = walk.path.len();
        let _ = write!(walk.path, " {}", guess::short(name));
        if !is_read && named.text == scalar.text {
            text(walk, scalar, node.line, name);
        } else if !is_read {
            word(walk, named.text.trim(), node.line, name);
        }
        walk.path.truncate(length);
        if let Value::Map(pairs) = &item.value {
            let others = pairs
                .iter()
                .filter(|pair| !matches!(pair.key.as_str(), "name" | "key" | "value" | "default"));
            map(walk, item, others, Under::NOTHING, depth + 1);
        }
    });
}

/// Arguments: `--key=value`, or `--key` and the value after it.
pub(super) fn arguments(walk: &mut Walk<'_>, items: &[Rc<Node>], depth: usize) {
    let (mut named, mut flags, mut flag) = (Vec::new(), Vec::new(), "");
    for (at, item) in items.iter().enumerate() {
        let before = std::mem::take(&mut flag);
        flags.push((before, named.len()));
        let Value::Text(scalar) = &item.value else { continue };
        let text = scalar.text.trim();
        if text.starts_with('-') && !text.contains('=') {
            flag = text;
        }
        if !text.contains(char::is_whitespace) && flag.is_empty() {
            let text = filled(text, &walk.known);
            named.extend(assigned(before, &text).into_iter().map(|(key, value)| Named {
                key: key.into(),
                text: value.into(),
                line: item.line,
                path: format!("[{at}]"),
            }));
        }
    }
    flags.push(("", named.len()));
    let read = siblings::side_by_side(walk, &named);
    let mut at = 0;
    walk.each(items, |walk, item| {
        let (before, first) = flags[at];
        let own = first..flags[at + 1].1;
        at += 1;
        let Value::Text(scalar) = &item.value else { return any(walk, item, Under::NOTHING, depth) };
        if own.is_empty() {
            return text(walk, scalar, item.line, before);
        }
        for one in own.filter(|one| !read[*one]) {
            word(walk, &named[one].text, named[one].line, &named[one].key);
        }
    });
}

/// A text under `key`: one word, many of them, or a manifest of its own.
pub(super) fn text(walk: &mut Walk<'_>, scalar: &Scalar, line: u64, key: &str) {
    if scalar.is_nothing() {
        return;
    }
    let text = scalar.text.trim();
    if !text.contains(char::is_whitespace) && !text.starts_with(['{', '[']) || text.starts_with("{{") {
        return word(walk, text, line, key);
    }
    if walk.embedded < MAX_EMBEDDED && embedded(walk, scalar, line) {
        return;
    }
    if text.len() > MAX_TEXT {
        return walk.unclear(line, "the text is too long to be searched".to_owned(), false);
    }
    let first = scalar.first_line;
    siblings::many_words(walk, &scalar.text, false, |number| first.map_or(line, |first| first + number));
}

/// A text without blanks under `key`: an image, or several with commas and the like between them.
pub(super) fn word(walk: &mut Walk<'_>, text: &str, line: u64, key: &str) {
    let is_image = guess::is_image_key(key.rsplit('/').next().unwrap_or(key));
    // `old=new:1` among the images of Kustomize; `name=image:1` of others.
    let text = match text.split_once('=').filter(|_| is_image) {
        Some((old, new)) if !guess::has_version(old) && !old.contains([',', ';']) => new,
        _ => text,
    };
    match guess::whole(text, is_image) {
        Guess::Nothing | Guess::Unclear(_) if text.contains([',', ';', '=', '|']) && !text.contains("{{") => {
            siblings::many_words(walk, text, is_image, |_| line);
        }
        guess => walk.guess(guess, line, key),
    }
}

/// Looks through a text that is YAML or JSON itself; false where it turns out to be neither.
pub(super) fn embedded(walk: &mut Walk<'_>, scalar: &Scalar, line: u64) -> bool {
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
    let lines = (walk.before, walk.is_in_one_line);
    if !walk.is_in_one_line {
        walk.before += scalar.first_line.unwrap_or(line).saturating_sub(1);
        walk.is_in_one_line = scalar.first_line.is_none();
    }
    let sort = std::mem::replace(&mut walk.sort, Sort::Other);
    let was_loose = std::mem::replace(&mut walk.is_loose, false);
    let defaults = std::mem::take(&mut walk.defaults);
    walk.embedded += 1;
    let length = walk.path.len();
    for object in objects {
        walk.path.push_str(": ");
        walk.path.push_str(&object.place);
        any(walk, &object.node, Under::NOTHING, 1);
        walk.path.truncate(length);
    }
    walk.embedded -= 1;
    walk.sort = sort;
    walk.is_loose = was_loose;
    walk.defaults = defaults;
    (walk.before, walk.is_in_one_line) = lines;
    true
}
