//! Likely problems in a valid catalog.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::Serialize;

use super::{Catalog, Entry, Template};
use crate::image::{Reference, Tag};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// An export, an import or the chart will fail.
    Error,
    /// It works now, but may fail later.
    Warning,
    Note,
}

/// One finding about a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// The line in the catalog, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The name of the rule, which does not change.
    pub rule: &'static str,
    pub message: String,
}

/// Tags that are expected to move.
const MOVING: [&str; 24] = [
    "latest",
    "stable",
    "main",
    "master",
    "edge",
    "nightly",
    "dev",
    "devel",
    "develop",
    "development",
    "snapshot",
    "rolling",
    "current",
    "lts",
    "canary",
    "testing",
    "beta",
    "alpha",
    "head",
    "trunk",
    "next",
    "unstable",
    "release",
    "staging",
];

/// All findings about `catalog`, with `set` over its defaults, that need no registry.
pub fn lint(catalog: &Catalog, set: &[(String, String)]) -> Vec<Finding> {
    let mut lint = Lint { catalog, values: catalog.known_values(set), findings: Vec::new() };
    lint.variables(set);
    lint.title();
    lint.tags();
    lint.rows();
    lint.value_paths();
    lint.findings.sort_by_key(|finding| (finding.line, finding.level));
    lint.findings
}

struct Lint<'a> {
    catalog: &'a Catalog,
    values: BTreeMap<String, String>,
    findings: Vec<Finding>,
}

impl Lint<'_> {
    fn find(&mut self, level: Level, line: Option<u64>, rule: &'static str, message: String) {
        self.findings.push(Finding { level, line, rule, message });
    }

    fn variables(&mut self, set: &[(String, String)]) {
        let catalog = self.catalog;
        for (name, _) in set.iter().filter(|(name, _)| !catalog.variables.contains_key(name)) {
            self.find(Level::Error, None, "unknown-variable", format!("the catalog has no variable {name}"));
        }
        let used: BTreeSet<&str> = catalog.templates().flat_map(Template::variables).collect();
        for (name, variable) in &catalog.variables {
            if !used.contains(name.as_str()) {
                self.find(
                    Level::Warning,
                    None,
                    "unused-variable",
                    format!("nothing uses the variable {name}"),
                );
            } else if !self.values.contains_key(name) {
                let message = format!("variable {name} has no default: every export needs --set {name}=…");
                self.find(Level::Error, None, "unset-variable", message);
            } else if variable.secret
                && catalog.entries.iter().any(|e| e.image.variables().any(|n| n == name))
            {
                let message =
                    format!("the secret {name} is part of a name, and names are shown and recorded");
                self.find(Level::Error, None, "secret-in-name", message);
            }
        }
    }

    /// Variables are filled into images, sources and values, and nowhere else.
    fn title(&mut self) {
        let catalog = self.catalog;
        for (field, text) in [("name", &catalog.name), ("version", &catalog.version)] {
            let template = text.as_deref().and_then(|text| text.parse::<Template>().ok());
            if let Some(variable) = template.as_ref().and_then(|template| template.variables().next()) {
                let message = format!(
                    "${variable} is not filled into the catalog's {field}, which stays as it is written"
                );
                self.find(Level::Warning, None, "variable-in-title", message);
            }
        }
    }

    fn tags(&mut self) {
        let (mut images, mut unpinned) = (0, 0);
        for entry in &self.catalog.entries {
            let line = Some(entry.line);
            let Some(parsed) = self.reference(entry) else { continue };
            let reference = match parsed {
                Ok(reference) => reference,
                Err(error) => {
                    self.find(Level::Error, line, "bad-reference", error);
                    continue;
                }
            };
            images += 1;
            if reference.digest().is_some() {
                continue;
            }
            unpinned += 1;
            let Some(tag) = reference.tag() else { continue };
            let spelled = entry.image.fill(&self.values);
            let has_tag = spelled.rsplit('/').next().is_some_and(|last| last.contains(':'));
            if !has_tag {
                let spelled = self.shown(entry);
                let message = format!("{spelled} has no tag; that means latest, which moves");
                self.find(Level::Warning, line, "mutable-tag", message);
            } else if let Some((level, why)) = moves(tag) {
                self.find(level, line, "mutable-tag", format!("{}: {why}", self.shown(entry)));
            }
        }
        if unpinned > 0 {
            let message = format!(
                "rows with a tag and no digest: {unpinned} of {images}; bundle catalog lock records their digests"
            );
            self.find(Level::Note, None, "unpinned", message);
        }
    }

    fn rows(&mut self) {
        let mut seen = HashMap::new();
        let catalog = self.catalog;
        for entry in &catalog.entries {
            let key = (
                entry.image.fill(&self.values),
                entry.chart.as_ref(),
                entry.component.as_ref(),
                entry.tag_paths.first(),
            );
            if let Some(first) = seen.get(&key) {
                let image = self.shown(entry);
                let message =
                    format!("{image} is in line {first} already, with the same chart and component");
                self.find(Level::Warning, Some(entry.line), "duplicate-row", message);
            } else {
                seen.insert(key, entry.line);
            }
        }
    }

    /// Rows of a chart that no value can point at another registry.
    fn value_paths(&mut self) {
        let catalog = self.catalog;
        for entry in catalog.entries.iter().filter(|entry| entry.is_of_a_chart()) {
            let (image, line) = (self.shown(entry), Some(entry.line));
            let has_place = entry.registry_path.is_some() || entry.repository_path.is_some();
            if !has_place && catalog.registry_override.is_none() {
                let message =
                    format!("{image}: no value says where the chart gets it (registry, repository)");
                self.find(Level::Warning, line, "missing-value-path", message);
            } else if !has_place {
                let message =
                    format!("{image}: only the registry override points the chart at another registry");
                self.find(Level::Note, line, "missing-value-path", message);
            }
            if entry.tag_paths.is_empty() {
                let message =
                    format!("{image}: no value sets its tag, so the chart's default must be this tag");
                self.find(Level::Warning, line, "missing-value-path", message);
            }
        }
    }

    /// A row's image for messages, without its secrets.
    fn shown(&self, entry: &Entry) -> String {
        let secret = |name: &String| self.catalog.variables.get(name).is_some_and(|variable| variable.secret);
        let open = self.values.iter().filter(|(name, _)| !secret(name));
        entry.image.fill(&open.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The reference of a row; none while a variable of it has no value.
    fn reference(&self, entry: &Entry) -> Option<Result<Reference, String>> {
        let complete = entry.image.variables().all(|name| self.values.contains_key(name));
        complete.then(|| self.catalog.filled(&entry.image, &entry.image.fill(&self.values)))
    }
}

/// Why a tag is likely to move, if it is.
fn moves(tag: &Tag) -> Option<(Level, &'static str)> {
    let text = tag.as_str().to_ascii_lowercase();
    let is_moving = |word: &str| text == word || text.ends_with(&format!("-{word}"));
    if MOVING.iter().any(|word| is_moving(word)) {
        return Some((Level::Warning, "this tag is expected to move"));
    }
    let version = text.strip_prefix('v').unwrap_or(&text);
    let parts: Vec<&str> = version.split('.').collect();
    let numeric =
        |part: &&str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
    if !parts.iter().all(numeric) {
        return None;
    }
    match parts.len() {
        1 => Some((Level::Warning, "a tag of a major version moves with every release")),
        2 => Some((Level::Note, "a tag of two numbers often moves with every patch release")),
        _ => None,
    }
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_finds_what_it_is_for() {
        let text = "\
version: 1-$VERSION
variables:
  VERSION:
  OLD: { default: x }
  TOKEN: { default: s3cret, secret: true }
images:
  - image: r.io/a:latest
    chart: shop
  - image: r.io/b
  - image: r.io/c:3
  - image: r.io/c:3.1
  - image: r.io/c:3.1.4
    chart: shop
    registry: c.registry
    tag: c.tag
  - image: r.io/c:3.1.4
    chart: shop
    tag: c.tag
  - image: r.io/$VERSION:$VERSION
  - image: r.io/x-edge:1.2.3-nightly
  - image: r.io/$TOKEN:latest
    chart: shop
  - image: r.io/$TOKEN:latest
    chart: shop
  - image: r.io/d@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
";
        let catalog = crate::catalog::parse(text.as_bytes(), None).unwrap();
        let show = |findings: Vec<Finding>| {
            let line =
                |f: Finding| format!("{:?} {} {}: {}", f.line.unwrap_or(0), f.level, f.rule, f.message);
            findings.into_iter().map(line).collect::<Vec<_>>().join("\n")
        };
        let found = show(lint(&catalog, &[]));
        assert!(!found.contains("s3cret"), "{found}");
        insta::assert_snapshot!(found);
        let set = [("VERSION".to_owned(), "+".to_owned()), ("NO".to_owned(), String::new())];
        let found = show(lint(&catalog, &set));
        assert!(found.contains("bad-reference") && found.contains("unknown-variable"), "{found}");
    }

    #[test]
    fn versions_are_told_from_tags_that_move() {
        let level = |tag: &str| moves(&tag.parse().unwrap()).map(|(level, _)| level);
        for tag in ["latest", "v1", "16", "1.2-stable", "Main", "foo-SNAPSHOT"] {
            assert_eq!(level(tag), Some(Level::Warning), "{tag}");
        }
        for tag in ["1.25", "v3.0"] {
            assert_eq!(level(tag), Some(Level::Note), "{tag}");
        }
        for tag in ["1.2.3", "sts-v4.1.4", "2.9.2-java11", "20240101", "a1b2c3d", "mainline2", "1.2.3.4"] {
            assert_eq!(level(tag), None, "{tag}");
        }
    }
}
