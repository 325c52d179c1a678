//! Images that a chart lists outside of its templates: in annotations, and the value paths for images.

use std::collections::BTreeMap;
use std::io;

use super::discovery::Discovery;
use super::documents::read;
use super::node::{self, Node};
use super::text::{Text, Watch};

/// Reads `Chart.yaml` and `values.yaml` of a chart and its sub-charts: paths below the chart, with their text. Of
/// values only the paths count: what they name is rendered or it is not.
pub fn read_chart(found: &mut Discovery, chart: &str, files: &[(&str, &[u8])]) -> io::Result<()> {
    let mut files: Vec<_> = files.iter().map(|(path, text)| (folders(path), *path, *text)).collect();
    files.sort_by_key(|(folders, path, _)| (folders.len(), (*path).to_owned()));
    let mut aliases: BTreeMap<Vec<String>, String> = BTreeMap::new();
    for (folders, path, text) in &files {
        if path.ends_with("Chart.yaml") {
            read(found, &format!("{chart}/{path}"), *text)?;
            for (name, alias) in renamed(text) {
                aliases.insert(folders.iter().cloned().chain([name]).collect(), alias);
            }
        }
    }
    for (folders, path, text) in files.iter().filter(|(_, path, _)| path.ends_with("values.yaml")) {
        let mut values = Discovery::default();
        read(&mut values, path, *text)?;
        let name = |depth: usize| aliases.get(&folders[..=depth]).unwrap_or(&folders[depth]).clone() + ".";
        let prefix: String = (0..folders.len()).map(name).collect();
        found.registry_override |= values.registry_override;
        for mut paths in values.value_paths {
            for path in paths.all_mut() {
                path.insert_str(0, &prefix);
            }
            if !found.value_paths.contains(&paths) {
                found.value_paths.push(paths);
            }
        }
    }
    Ok(())
}

/// Whether a file of a chart, by its path below it, is one that [`read_chart`] reads.
pub fn is_about_a_chart(path: &str) -> bool {
    let mut rest = path;
    while let Some((_, below)) = rest.strip_prefix("charts/").and_then(|after| after.split_once('/')) {
        rest = below;
    }
    matches!(rest, "Chart.yaml" | "values.yaml")
}

/// The sub-charts a path goes through: `charts/kafka/charts/common/values.yaml` goes through kafka and common.
fn folders(path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let charts = parts[..parts.len() - 1].chunks(2).filter(|pair| pair[0] == "charts");
    charts.filter_map(|pair| pair.get(1).map(|name| (*name).to_owned())).collect()
}

/// The dependencies that have another name in the values.
fn renamed(chart: &[u8]) -> Vec<(String, String)> {
    let (mut text, watch, mut found) = (Text::new(chart), Watch::default(), Vec::new());
    let Ok(Some(first)) = text.next_document(&watch) else { return found };
    // Errors in this file were reported when its annotations were read.
    let _ = node::read_document(&mut text, first, &watch, &mut |object| {
        for dependency in object.node.get("dependencies").and_then(Node::list).unwrap_or_default() {
            if let (Some(name), Some(alias)) = (dependency.text_of("name"), dependency.text_of("alias")) {
                found.push((name.to_owned(), alias.to_owned()));
            }
        }
    });
    found
}
