//! The configuration table of a catalog: which values of the chart say where each image comes from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Catalog, Entry};
use crate::app::text::{markdown as escaped, markdown_code as code, one_line};

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    Text,
    Json,
    Markdown,
}

const COLUMNS: [&str; 6] =
    ["Chart", "Component", "Image", "Value for registry", "Value for repository", "Value for tag"];

/// The table of all entries, one row each, ending in a newline.
pub fn render(catalog: &Catalog, format: TableFormat) -> String {
    match format {
        TableFormat::Text => text(catalog),
        TableFormat::Json => json_table(catalog),
        TableFormat::Markdown => markdown(catalog),
    }
}

/// The image with its variables, but for those that default to nothing.
fn image(catalog: &Catalog, entry: &Entry) -> String {
    let empty = catalog.variables.iter().filter(|(_, variable)| variable.default.as_deref() == Some(""));
    let empty: BTreeMap<String, String> = empty.map(|(name, _)| (name.clone(), String::new())).collect();
    entry.image.fill(&empty)
}

fn cells(catalog: &Catalog, entry: &Entry) -> [String; 6] {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        or_empty(&entry.chart),
        or_empty(&entry.component),
        image(catalog, entry),
        or_empty(&entry.registry_path),
        or_empty(&entry.repository_path),
        entry.tag_paths.join(" → "),
    ]
}

fn text(catalog: &Catalog) -> String {
    let header = COLUMNS.map(str::to_uppercase);
    let rows: Vec<[String; 6]> =
        std::iter::once(header).chain(catalog.entries.iter().map(|entry| cells(catalog, entry))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut table = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{:width$}  ", one_line(cell));
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    let overridden = catalog.registry_override.iter().map(|path| format!("{path} overrides every registry."));
    let notes = catalog.entries.iter().filter_map(|entry| {
        let note = entry.note.as_ref()?;
        Some(one_line(&format!("{}: {note}", image(catalog, entry))))
    });
    let after: Vec<String> = overridden.chain(notes).collect();
    if !after.is_empty() {
        let _ = write!(table, "\n{}\n", after.join("\n"));
    }
    table
}

fn markdown(catalog: &Catalog) -> String {
    let mut columns = COLUMNS.map(str::to_owned);
    if let Some(path) = &catalog.registry_override {
        let _ = write!(columns[3], " (can be overridden with {})", code(path));
    }
    let mut table = format!("| {} |\n|{}\n", columns.join(" | "), " :--- |".repeat(COLUMNS.len()));
    for entry in &catalog.entries {
        let [chart, component, image, registry, repository, _] = cells(catalog, entry);
        let (own, fallbacks) = entry.tag_paths.split_first().map_or(("", &[][..]), |(own, rest)| (own, rest));
        let mut tag = code(own);
        for fallback in fallbacks {
            let _ = write!(tag, " (defaults to {})", code(fallback));
        }
        let row =
            [escaped(&chart), escaped(&component), code(&image), code(&registry), code(&repository), tag];
        let _ = writeln!(table, "| {} |", row.join(" | "));
    }
    let noted =
        catalog.entries.iter().filter_map(|entry| Some((image(catalog, entry), entry.note.as_ref()?)));
    for (index, (image, note)) in noted.enumerate() {
        let space = if index == 0 { "\n" } else { "" };
        let _ = writeln!(table, "{space}- {}: {}", code(&image), escaped(note));
    }
    table
}

fn json_table(catalog: &Catalog) -> String {
    let row = |entry: &Entry| {
        json!({
            "chart": entry.chart,
            "component": entry.component,
            "image": image(catalog, entry),
            "registry": entry.registry_path,
            "repository": entry.repository_path,
            "tag": entry.tag_paths.first(),
            "digest": entry.digest_path,
            "tagFallbacks": entry.tag_paths.get(1..).unwrap_or_default(),
            "note": entry.note,
        })
    };
    let rows: Vec<Value> = catalog.entries.iter().map(row).collect();
    let table = json!({
        "catalog": catalog.name,
        "version": catalog.version,
        "registryOverride": catalog.registry_override,
        "images": rows,
    });
    format!("{table:#}\n")
}
