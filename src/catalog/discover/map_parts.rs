//! Reads the parts of images from the maps that contain them.

use std::collections::HashSet;

use super::groups::{Group, Groups};
use super::guess;
use super::lists;
use super::node::{Node, Value};
use super::parts::{Around, Settable, Stand, ValuePaths, put_together};
use super::under::Under;
use super::walk::Walk;
use super::words::Part;
use crate::image::Reference;

/// Keys under which a repository is one of Git or Helm, and keys that appear next to such a repository.
const SOURCES: [&str; 6] = ["git", "vcs", "chart", "charts", "helm", "source"];
const BESIDE_SOURCES: [&str; 5] = ["branch", "revision", "gitRef", "targetRevision", "chart"];

/// Reads the images that texts of `node` make up; returns the keys that are read with them. What the node says
/// for those below it counts from now on.
pub(super) fn parts<'n>(walk: &mut Walk<'_>, node: &'n Node, under: Under<'_>) -> HashSet<&'n str> {
    let is_map = lists::is_map_of_images(under);
    let mut groups = Groups::default();
    let mut has_others = false;
    node.each_pair(&mut |pair| {
        walk.steps += 1;
        has_others |= matches!(pair.key.as_str(), "global" | "image" | "images");
        if let Value::Text(scalar) = &pair.value.value {
            let is_image = is_map && lists::may_be_named(&pair.key, &scalar.text);
            groups.add(&pair.key, &scalar.text, pair.value.line, is_image);
        }
    });
    let defaults = walk.defaults.below(node, under.key, &groups, has_others);
    let has_repository = groups.by_stem.values().any(|group| group.has(Part::Repository));
    let is_source = has_repository
        && (SOURCES.contains(&under.key.to_ascii_lowercase().as_str())
            || BESIDE_SOURCES.iter().any(|key| node.get(key).is_some()));
    let around = Around {
        says_image: guess::is_image_key(under.key),
        stand: if under.is_item { Stand::Item } else { Stand::Map },
        is_source,
        defaults: &defaults,
    };
    let path_of_others = groups.by_stem.get("").and_then(Group::namespace);
    let mut used: HashSet<&str> = path_of_others.map(|said| said.key).into_iter().collect();
    for (stem, group) in &groups.by_stem {
        let Some(whole) = put_together(group, stem, &around) else { continue };
        used.extend(whole.keys.iter().copied());
        let length = walk.path.len();
        if let Some(settable) = whole.settable.as_ref().filter(|_| walk.is_in_values()) {
            remember(walk, settable, whole.name.key);
        }
        if !stem.is_empty() {
            walk.enter(whole.name.key);
        }
        walk.whole(&whole);
        walk.path.truncate(length);
    }
    walk.defaults = defaults;
    used
}

fn remember(walk: &mut Walk<'_>, settable: &Settable<'_>, name_key: &str) {
    let Ok(reference) = settable.full.parse::<Reference>() else { return };
    let base = walk.path.clone();
    let path = |key: &str| if base.is_empty() { key.to_owned() } else { format!("{base}.{key}") };
    let paths = ValuePaths {
        repository: reference.repository().clone(),
        registry_path: settable.registry_key.map(path),
        repository_path: path(name_key),
        tag_path: settable.tag_key.map(path),
    };
    walk.out.value_paths.push(paths);
}
