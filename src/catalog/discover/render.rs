//! What was found as a catalog that `bundle export` takes.

use std::fmt::Write as _;

use serde::Serialize;

use super::discovery::{Discovery, Found, Rank};
use super::parts::ValuePaths;
use super::values::OVERRIDE;
use crate::app::text::one_line;
use crate::image::Reference;

/// Lines of what is unclear that go into the catalog.
const MAX_LINES: usize = 50;

/// What the catalog is called, where that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Title {
    pub name: Option<String>,
    pub version: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_override: Option<&'a str>,
    images: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    chart: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    component: String,
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'static str>,
    note: String,
}

/// The result as a catalog in YAML, certain images first. Unclear places are comments at its end.
pub fn to_catalog(found: &Discovery, title: &Title) -> Result<String, String> {
    let of = |rank| found.images.iter().filter(move |(_, image)| image.rank == rank);
    let rows = of(Rank::Certain).chain(of(Rank::Probable)).map(|(name, image)| row(found, name, image));
    let document = Document {
        name: title.name.as_deref().map(shown),
        version: title.version.as_deref().map(shown),
        registry_override: found.registry_override.then_some(OVERRIDE),
        images: rows.collect(),
    };
    let mut text = format!(
        "# Found by `bundle catalog discover`: {} certain, {} probable.\n\
         # Certain: a workload's container names it. Probable: it was found elsewhere, as the note says; an export\n\
         # leaves those out with --skip-label probable.\n",
        found.count(Rank::Certain),
        found.count(Rank::Probable)
    );
    text += &crate::catalog::document::to_yaml(&document)?;
    if !found.unclear.is_empty() {
        let _ = writeln!(text, "# Not understood ({}):", found.unclear_count);
        for unclear in found.unclear.iter().take(MAX_LINES) {
            let line = one_line(&unclear.to_string());
            let _ = writeln!(text, "#   {line}");
        }
        if found.unclear_count > MAX_LINES {
            let _ = writeln!(text, "#   and {} more", found.unclear_count - MAX_LINES);
        }
    }
    Ok(text)
}

fn row<'a>(discovery: &'a Discovery, name: &Reference, found: &'a Found) -> Row<'a> {
    let first = found.places.first();
    let paths = paths_of(discovery, name);
    Row {
        chart: first.and_then(|place| place.chart.as_deref()).map(shown),
        component: first.map_or_else(String::new, |place| shown(&place.object)),
        image: name.to_string(),
        registry: paths.and_then(|paths| paths.registry_path.as_deref()),
        repository: paths.map(|paths| paths.repository_path.as_str()),
        tag: paths.and_then(|paths| paths.tag_path.as_deref()),
        labels: (found.rank == Rank::Probable).then_some("probable"),
        note: note(found),
    }
}

/// The value paths of an image, where values tell of its repository in one place and no other.
fn paths_of<'a>(found: &'a Discovery, name: &Reference) -> Option<&'a ValuePaths> {
    let mut fitting = found.value_paths.iter().filter(|paths| paths.repository == *name.repository());
    fitting.next().filter(|_| fitting.next().is_none())
}

/// The first place, and how many others there are.
fn note(found: &Found) -> String {
    let Some(place) = found.places.first() else { return String::new() };
    let path = if place.path.is_empty() { String::new() } else { format!("{}, ", place.path) };
    let more = match found.count - 1 {
        0 => String::new(),
        1 => " and 1 more place".to_owned(),
        more => format!(" and {more} more places"),
    };
    shown(&format!("{path}{}:{}{more}", place.file, place.line))
}

/// Text of others as a catalog may have it: names of objects and files can hold anything.
fn shown(text: &str) -> String {
    one_line(text).trim_end().to_owned()
}
