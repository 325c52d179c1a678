//! Texts that stand side by side and belong together by their names: variables, arguments, named values, and the
//! words of a text. `WORKER_IMAGE` and `WORKER_IMAGE_TAG` are one image.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::groups::Groups;
use super::node::{Node, Scalar, Value};
use super::parts::{Around, Stand, put_together};
use super::scan;
use super::scope::Defaults;
use super::walk::Walk;
use super::words::Part;

/// No reference is longer, so longer values of variables are not inserted into others.
const MAX_VALUE: usize = 512;

/// One of several texts.
pub(super) struct Named<'n> {
    pub(super) key: Cow<'n, str>,
    pub(super) text: Cow<'n, str>,
    pub(super) line: u64,
    /// What comes after the path of them all.
    pub(super) path: String,
}

/// Whether each of these says a name and the value it has: parameters of Argo CD, variables.
pub(super) fn are_named(items: &[Rc<Node>]) -> bool {
    !items.is_empty() && items.iter().all(|item| named_value(item).is_some())
}

/// The values of a container's variables.
pub(super) fn known(items: &[Rc<Node>]) -> HashMap<String, String> {
    let mut known = HashMap::new();
    values(items, &mut known);
    known
}

/// The value of each of these, with those before it filled in as Kubernetes does: `$(REGISTRY)/tool`.
pub(super) fn values<'n>(
    items: &'n [Rc<Node>],
    known: &mut HashMap<String, String>,
) -> Vec<Option<Cow<'n, str>>> {
    let mut values = Vec::new();
    for item in items {
        let named = named_value(item);
        let value = named.map(|(_, _, scalar)| filled(&scalar.text, known));
        if let (Some((name, ..)), Some(value)) = (named, &value)
            && value.len() <= MAX_VALUE
            && !value.contains("$(")
        {
            known.insert(name.to_owned(), value.clone().into_owned());
        }
        values.push(value);
    }
    values
}

/// `text` with the variables that are known, where all of them are.
pub(super) fn filled<'t>(text: &'t str, known: &HashMap<String, String>) -> Cow<'t, str> {
    let (mut rest, mut whole) = (text, String::new());
    while let Some((before, after)) = rest.split_once("$(") {
        let value = after.split_once(')').and_then(|(name, after)| Some((known.get(name)?, after)));
        let Some((value, after)) = value.filter(|_| whole.len() <= MAX_VALUE) else { return text.into() };
        whole.push_str(before);
        whole.push_str(value);
        rest = after;
    }
    if rest.len() == text.len() { text.into() } else { (whole + rest).into() }
}

/// The name an item has, and its value, or the one it has by default.
pub(super) fn named_value(item: &Node) -> Option<(&str, &Node, &Scalar)> {
    let name = item.text_of("name").or_else(|| item.text_of("key"))?;
    let node = item.get("value").or_else(|| item.get("default"))?;
    match &node.value {
        Value::Text(scalar) => Some((name, node, scalar)),
        _ => None,
    }
}

/// A text of many words; `line_of` says where its lines are, counted from 0.
pub(super) fn many_words(walk: &mut Walk<'_>, text: &str, is_image: bool, line_of: impl Fn(u64) -> u64) {
    let was_loose = std::mem::replace(&mut walk.is_loose, true);
    let mut read: HashSet<(u64, String)> = HashSet::new();
    for group in scan::values(text).into_iter().filter(|group| group.len() > 1) {
        let named = |one: &scan::Value| Named {
            key: one.key.clone().into(),
            text: one.text.clone().into(),
            line: line_of(one.line),
            path: String::new(),
        };
        let named: Vec<_> = group.iter().map(named).collect();
        let is_read = side_by_side(walk, &named);
        let done = group.into_iter().zip(is_read).filter(|(_, is_read)| *is_read);
        read.extend(done.map(|(one, _)| (one.line, one.text)));
    }
    scan::within(text, is_image, &mut |number, word, guess| {
        if read.is_empty() || !read.contains(&(number, word.to_owned())) {
            walk.guess(guess, line_of(number), "");
        }
    });
    walk.is_loose = was_loose;
}

/// Puts the parts among `named` together; says of each of them whether it was read so.
pub(super) fn side_by_side(walk: &mut Walk<'_>, named: &[Named<'_>]) -> Vec<bool> {
    let (mut groups, mut places, mut repeated) = (Groups::default(), HashMap::new(), HashSet::new());
    for (at, one) in named.iter().enumerate() {
        walk.steps += 1;
        if let Some(other) = places.insert(&*one.key, at)
            && named[other].text != one.text
        {
            repeated.insert(&*one.key);
        }
        groups.add(&one.key, &one.text, one.line, false);
    }
    let defaults = Defaults::flat(&groups);
    let around = Around { says_image: false, stand: Stand::Flat, is_source: false, defaults: &defaults };
    let mut read = vec![false; named.len()];
    for (stem, group) in &groups.by_stem {
        let Some(whole) = put_together(group, stem, &around) else { continue };
        // Which tag belongs to which name is not known where several stand side by side.
        if whole.keys.iter().any(|key| repeated.contains(key)) {
            continue;
        }
        // A name alone is judged in its own place, which shows whether it is built from something, or not an image.
        if whole.result.is_err()
            && !group.has(Part::Tag)
            && !group.has(Part::Digest)
            && !group.has(Part::Version)
        {
            continue;
        }
        for (at, one) in named.iter().enumerate() {
            read[at] |= whole.keys.contains(&&*one.key);
        }
        let length = walk.path.len();
        if let Some(at) = places.get(whole.name.key) {
            walk.path.push_str(&named[*at].path);
        }
        walk.whole(&whole);
        walk.path.truncate(length);
    }
    read
}

/// What an argument assigns: `--key=value`, `-Dkey=value`, several of them with commas between (`--set a=1,b=2`), or
/// the value of the flag before it.
pub(super) fn assigned(flag: &str, text: &str) -> Vec<(String, String)> {
    let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let (own, value) = match text.split_once('=').filter(|_| text.starts_with('-')) {
        Some((own, value)) => (own, value),
        None => (flag, text),
    };
    let is_key = |key: &str| !key.contains(['/', ':', '$']);
    let pieces = value.split(',').map(|piece| piece.split_once('=').filter(|(key, _)| is_key(key)));
    let pieces: Option<Vec<_>> = pieces.collect();
    match pieces {
        Some(pieces) => pieces.into_iter().map(pair).collect(),
        None => vec![pair((own, value))],
    }
}
