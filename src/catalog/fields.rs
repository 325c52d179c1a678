//! The fields of one image, with the checks of each text.

use super::document::{OneOrMany, RawEntry, Text};
use super::entry::Entry;
use super::problem::Problem;
use super::spelling::spelling;
use super::template::{Template, TemplateError};
use crate::image::Reference;

pub(super) fn template(text: &str, line: u64, problems: &mut Vec<Problem>) -> Option<Template> {
    if let Some(problem) = unprintable(text, line) {
        problems.push(problem);
        return None;
    }
    // A Helm template: the error of the reference parser is the clearest.
    if text.contains("{{") {
        problems.extend(text.parse::<Reference>().err().map(|e| Problem::at(line, e.to_string())));
        return None;
    }
    text.parse().map_err(|e: TemplateError| problems.push(Problem::at(line, e.to_string()))).ok()
}

/// Checks a text without variables at once.
pub(super) fn check_reference(image: &Template, line: u64, problems: &mut Vec<Problem>) {
    if image.variables().next().is_none()
        && let Err(error) = image.as_str().parse::<Reference>()
    {
        problems.push(Problem::at(line, error.to_string()));
    }
}

/// One image with its fields.
pub(super) fn assemble(raw: RawEntry, image: Template, line: u64, problems: &mut Vec<Problem>) -> Entry {
    let mut sources = Vec::new();
    for source in raw.source.0 {
        let line = line_of(&source, line);
        if let Some(source) = template(&spelling(&source.value), line, problems) {
            check_reference(&source, line, problems);
            sources.push(source);
        }
    }
    if raw.archive.is_some() && !sources.is_empty() {
        problems.push(Problem::at(line, "an image comes from an archive or from a source, not from both"));
    }
    let many = |OneOrMany(texts): OneOrMany| texts.into_iter().map(Some);
    Entry {
        line,
        image,
        sources,
        tag_paths: many(raw.tag).filter_map(|path| value_path(path, line, problems)).collect(),
        labels: many(raw.labels).filter_map(|label| printable(label, line, problems)).collect(),
        archive: printable(raw.archive, line, problems),
        chart: printable(raw.chart, line, problems),
        component: printable(raw.component, line, problems),
        registry_path: value_path(raw.registry, line, problems),
        digest_path: value_path(raw.digest, line, problems),
        repository_path: value_path(raw.repository, line, problems),
        note: printable(raw.note, line, problems),
    }
}

pub(super) fn line_of(text: &Text, otherwise: u64) -> u64 {
    match text.referenced.line() {
        0 => otherwise,
        line => line,
    }
}

/// Catalogs are shown in terminals and written into other files, so nothing in them moves a cursor.
fn unprintable(text: &str, line: u64) -> Option<Problem> {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = || text.chars().take(80).collect::<String>();
    text.contains(hidden).then(|| Problem::at(line, format!("{:?} has a control character", shown())))
}

pub(super) fn printable(text: Option<Text>, line: u64, problems: &mut Vec<Problem>) -> Option<String> {
    let text = text?;
    let problem = unprintable(text.value.trim_end(), line_of(&text, line));
    let is_fine = problem.is_none();
    problems.extend(problem);
    is_fine.then(|| text.value.trim_end().to_owned())
}

pub(super) fn value_path(text: Option<Text>, line: u64, problems: &mut Vec<Problem>) -> Option<String> {
    let text = text?;
    let valid = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    if text.value.split('.').all(valid) {
        return Some(text.value);
    }
    let shown: String = text.value.chars().take(80).collect();
    let message = format!("{shown:?} is not a value path (names joined by dots)");
    problems.push(Problem::at(line_of(&text, line), message));
    None
}
