//! The Helm override file: one registry for all images, or every row's own registry, repository, tag and digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::app::failure::{ExitCode, Failure};
use crate::app::text::one_line;
use crate::archive::manifest::{CatalogRecord, EntryRecord};
use crate::archive::{BundleManifest, ImageRow};
use crate::cluster_config::assign::Conflict;
use crate::cluster_config::assign::Need;
use crate::cluster_config::assign::assign;
use crate::destination::{Destination, Mapping, NameError};
use crate::image::{Digest, Tag};

/// The value path charts commonly read a registry override from.
const COMMON_OVERRIDE: &str = "global.imageRegistry";

/// How the chart is pointed at the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ValuesStyle {
    /// Set every row's own paths rather than the one override.
    pub per_image: bool,
    /// Set digests too, where the chart can take them.
    pub pin: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValuesError {
    #[error("value path {0:?} is set both to a value and to further values below it")]
    Nested(String),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Conflicts(Vec<Conflict>),
    #[error("the values cannot be written as YAML: {0}")]
    Yaml(String),
}

/// How the first line of a file begins that [`helm_values`] made. The SHA-256 of all that follows the line ends it.
const MADE: &str = "# Made by bundle; nobody has edited it while this is the SHA-256 of the lines below: ";
/// How the line began in earlier versions.
const MADE_BEFORE: &str = "# Made by bundle; changed by nobody while the SHA-256 of the rest is ";

/// Whether `file` is a values file that was not changed since it was written.
pub(crate) fn is_as_made(file: &[u8]) -> bool {
    let Some(end) = file.iter().position(|byte| *byte == b'\n') else { return false };
    let (line, rest) = file.split_at(end);
    let stated = [MADE, MADE_BEFORE].iter().find_map(|made| line.strip_prefix(made.as_bytes()));
    stated.is_some_and(|stated| stated == Digest::sha256(&rest[1..]).hex().as_bytes())
}

/// The override file of the images of `bundle` whose names fit one of `only`, or of all of them.
pub(crate) fn bundle_values(
    bundle: &BundleManifest,
    destination: &Destination,
    mapping: Mapping,
    style: ValuesStyle,
    only: &[String],
) -> Result<String, Failure> {
    let images: Vec<_> =
        bundle.images.iter().filter(|image| crate::image::matches(only, &image.name)).collect();
    helm_values(&bundle.catalog, &images, destination, mapping, style).map_err(|error| {
        let failure = Failure::new(ExitCode::Failed, format!("the Helm values: {error}"));
        match error {
            ValuesError::Conflicts(_) => failure.hint(
                "give these rows value paths of their own in the catalog, or leave --per-image, --pin and --keep-host out",
            ),
            _ => failure,
        }
    })
}

/// The override file of `images`, which stand in `catalog`, as YAML. An image whose name does not fit there is left out,
/// which the file says.
pub(crate) fn helm_values(
    catalog: &CatalogRecord,
    images: &[&ImageRow],
    destination: &Destination,
    mapping: Mapping,
    style: ValuesStyle,
) -> Result<String, ValuesError> {
    let (mut rows, mut notes) = (Vec::new(), BTreeSet::new());
    for image in images {
        // Every image counts for the override, whether or not it has a row.
        let entries: Vec<_> =
            image.entries.iter().filter_map(|at| catalog.entries.get(*at as usize)).map(Some).collect();
        for entry in if entries.is_empty() { vec![None] } else { entries } {
            match Row::new(image, entry, destination, mapping) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    notes.insert(format!("{} is left out: {error}", image.name));
                }
            }
        }
    }
    let mut file = File { catalog, base: destination.to_string(), style, notes };
    let mut fixed = catalog.values.clone();
    let per_image = file.is_per_image(&rows, mapping);
    if per_image {
        fixed.extend(catalog.per_image_values.clone());
    }
    if let Some((path, registry)) = file.registry_override(&rows, per_image) {
        fixed.insert(path, registry);
    }
    let needs = file.needs(&rows, per_image);
    let set = assign(&needs, &fixed).map_err(ValuesError::Conflicts)?;
    file.written(&set)
}

/// One image in one row of the catalog, and where it is at the destination.
struct Row<'a> {
    image: &'a ImageRow,
    entry: &'a EntryRecord,
    /// The path component its source host is kept in, if it is.
    host: Option<String>,
    /// The rest of its path, without the destination's prefix.
    path: String,
    tag: Option<Tag>,
}

impl<'a> Row<'a> {
    fn new(
        image: &'a ImageRow,
        entry: Option<&'a EntryRecord>,
        destination: &Destination,
        mapping: Mapping,
    ) -> Result<Self, NameError> {
        static NO_ROW: EntryRecord = EntryRecord {
            chart: String::new(),
            component: String::new(),
            digest_path: None,
            registry_path: None,
            repository_path: None,
            tag_paths: Vec::new(),
        };
        let target = mapping.targets(&image.name, &image.digest).swap_remove(0);
        destination.repository(&target)?;
        let (host, path) = match target.path.split_once('/') {
            Some((host, path)) if mapping.keep_host => (Some(host.to_owned()), path.to_owned()),
            _ => (None, target.path.clone()),
        };
        Ok(Self { image, entry: entry.unwrap_or(&NO_ROW), host, path, tag: target.tag })
    }

    /// Whether a value says where the chart gets it.
    fn has_place(&self) -> bool {
        self.entry.registry_path.is_some() || self.entry.repository_path.is_some()
    }

    fn is_of_a_chart(&self) -> bool {
        self.has_place() || !self.entry.tag_paths.is_empty() || !self.entry.chart.is_empty()
    }

    fn need(&self, paths: Vec<String>, value: String) -> Need {
        let words =
            [self.entry.chart.as_str(), &self.entry.component].into_iter().filter(|word| !word.is_empty());
        let row = words.collect::<Vec<_>>().join(", ");
        let joint = if row.is_empty() { "" } else { ": " };
        Need { row: format!("{row}{joint}{}", self.image.name), paths, value }
    }
}

struct File<'a> {
    catalog: &'a CatalogRecord,
    /// The destination with its prefix.
    base: String,
    style: ValuesStyle,
    /// Notes for the reader of the file.
    notes: BTreeSet<String>,
}

impl File<'_> {
    /// Rows have paths of their own set when that is asked for, and where nothing else points the chart elsewhere.
    fn is_per_image(&self, rows: &[Row<'_>], mapping: Mapping) -> bool {
        let hosts: BTreeSet<_> = rows.iter().map(|row| &row.host).collect();
        let needs_paths = self.catalog.registry_override.is_none() || (mapping.keep_host && hosts.len() > 1);
        self.style.per_image || (needs_paths && rows.iter().any(Row::has_place))
    }

    /// The value that overrides every registry, and what to. With every row's own paths set it is left alone: charts
    /// differ in whether it goes before a repository that is set.
    fn registry_override(&mut self, rows: &[Row<'_>], per_image: bool) -> Option<(String, String)> {
        let homeless: Vec<_> = rows.iter().filter(|row| !row.has_place() && row.is_of_a_chart()).collect();
        if per_image && homeless.is_empty() {
            return None;
        }
        let hosts: BTreeSet<_> = if per_image {
            homeless.iter().map(|row| &row.host).collect()
        } else {
            rows.iter().map(|row| &row.host).collect()
        };
        let mut hosts = hosts.into_iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => {
                let path = self.catalog.registry_override.as_deref().unwrap_or(COMMON_OVERRIDE);
                Some((path.to_owned(), self.registry(host.as_ref())))
            }
            (None, _) => None,
            _ => {
                let note = "names keep their source hosts, so one registry cannot be set for all of them; use bundle mirrors instead";
                self.notes.insert(note.to_owned());
                None
            }
        }
    }

    fn registry(&self, host: Option<&String>) -> String {
        host.map_or_else(|| self.base.clone(), |host| format!("{}/{host}", self.base))
    }

    fn needs(&mut self, rows: &[Row<'_>], per_image: bool) -> Vec<Need> {
        let mut needs = Vec::new();
        // Where rows from several hosts share a registry path, the host goes before their repositories.
        let mut sharing: BTreeMap<&str, BTreeSet<&Option<String>>> = BTreeMap::new();
        for row in rows {
            if let Some(path) = &row.entry.registry_path {
                sharing.entry(path).or_default().insert(&row.host);
            }
        }
        for row in rows {
            if per_image {
                let is_shared =
                    |path: &String| sharing.get(path.as_str()).is_some_and(|hosts| hosts.len() > 1);
                let joins = row.entry.registry_path.as_ref().is_some_and(is_shared)
                    && row.entry.repository_path.is_some();
                self.place(row, joins, &mut needs);
            }
            self.version(row, per_image, &mut needs);
        }
        needs
    }

    fn place(&self, row: &Row<'_>, joins: bool, needs: &mut Vec<Need>) {
        let (before, host) = if joins { (row.host.as_ref(), None) } else { (None, row.host.as_ref()) };
        let path = before.map_or_else(|| row.path.clone(), |host| format!("{host}/{}", row.path));
        let registry = self.registry(host);
        let repository = match &row.entry.registry_path {
            Some(at) => {
                needs.push(row.need(vec![at.clone()], registry));
                path
            }
            // The chart's repository holds the registry too.
            None => format!("{registry}/{path}"),
        };
        needs.extend(
            row.entry.repository_path.iter().map(|at| row.need(vec![at.clone()], repository.clone())),
        );
    }

    fn version(&mut self, row: &Row<'_>, per_image: bool, needs: &mut Vec<Need>) {
        let EntryRecord { tag_paths, digest_path, .. } = row.entry;
        let digest = &row.image.digest;
        if let Some(path) = digest_path.as_ref().filter(|_| self.style.pin) {
            needs.push(row.need(vec![path.clone()], digest.to_string()));
        }
        let pins_tag = self.style.pin && digest_path.is_none();
        match &row.tag {
            Some(tag) if !tag_paths.is_empty() && (per_image || pins_tag) => {
                let value = if pins_tag { format!("{tag}@{digest}") } else { tag.to_string() };
                needs.push(row.need(tag_paths.clone(), value));
            }
            _ if pins_tag && row.is_of_a_chart() => {
                self.notes
                    .insert(format!("{} is not pinned: no value sets its tag or digest", row.image.name));
            }
            _ => {}
        }
    }

    fn written(&self, set: &BTreeMap<String, String>) -> Result<String, ValuesError> {
        let mut root = Map::new();
        for (path, value) in set {
            put(&mut root, path, Value::String(value.clone()))?;
        }
        let title = named(self.catalog);
        let title = one_line(&format!("Helm values: the images of {title} come from {}.", self.base));
        let mut text = format!("# {title}\n");
        for note in &self.notes {
            let _ = writeln!(text, "# {}", one_line(note));
        }
        if !root.is_empty() {
            let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
            let yaml = serde_saphyr::to_string_with_options(&Value::Object(root), options);
            text += &yaml.map_err(|error| ValuesError::Yaml(error.to_string()))?;
        }
        let text = if text.ends_with('\n') { text } else { text + "\n" };
        Ok(format!("{MADE}{}\n{text}", Digest::sha256(text.as_bytes()).hex()))
    }
}

fn named(catalog: &CatalogRecord) -> String {
    let name = if catalog.name.is_empty() { "this bundle" } else { &catalog.name };

    if catalog.version.is_empty() { name.to_owned() } else { format!("{name} {}", catalog.version) }
}

/// Sets a dotted path; a literal dot in a key is written `\.`, as in Helm's `--set`.
fn put(root: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), ValuesError> {
    let nested = || ValuesError::Nested(path.to_owned());
    let mut keys = split(path);
    let Some(last) = keys.pop() else {
        return Err(nested());
    };
    let mut place = root;
    for key in keys {
        let next = place.entry(key).or_insert_with(|| Value::Object(Map::new()));
        place = next.as_object_mut().ok_or_else(nested)?;
    }
    match place.insert(last, value) {
        Some(Value::Object(_)) => Err(nested()),
        _ => Ok(()),
    }
}

fn split(path: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match (c, keys.last_mut()) {
            ('.', _) => keys.push(String::new()),
            ('\\', Some(key)) => key.extend(chars.next()),
            (_, Some(key)) => key.push(c),
            (_, None) => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests;
