//! Reading catalogs: YAML, JSON, or plain text with one image per line; all problems at once.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use super::contents::{Catalog, Variable};
use super::document::{self, Document, Pairs, RawVariable, Text};
use super::fields::{assemble, check_reference, line_of, printable, template, value_path};
use super::list;
use super::problem::{CatalogErrors, Problem};
use super::spelling::spelling;
use super::template::{Template, is_variable_name};
use crate::app::foreign_text::{self, NotText};

const MAX_BYTES: usize = 4 << 20;
const MAX_IMAGES: usize = 10_000;

/// How a catalog is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML, or JSON, which is YAML too.
    Yaml,
    /// One image per line.
    List,
}

impl Format {
    /// What `text` looks like. A list's lines have no blank after a colon, and YAML's keys have one.
    pub fn sniff(text: &str) -> Self {
        let text = foreign_text::without_mark(text);
        if list::is_output_of_grep(text) {
            return Self::List;
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut lines = lines.peekable();
        // A marker of YAML before what is no YAML does not make it one.
        let is_marked = lines.next_if(|line| *line == "---").is_some();
        let Some(first) = lines.next().filter(|first| !is_marked || !first.contains(char::is_whitespace))
        else {
            return if is_marked { Self::Yaml } else { Self::List };
        };
        if is_marked && !first.ends_with(':') && first.contains(['/', ':', '@']) {
            return Self::List;
        }
        let key = first.trim_matches('"').split(':').next().unwrap_or_default();
        let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        let after = first.split_once(':').map(|(_, after)| after);
        // `registry.local:5000:` is a key too.
        let keyed = is_key
            && after.is_some_and(|after| after.is_empty() || after.starts_with(' ') || after.ends_with(':'));
        let marked = first.starts_with(['{', '[', '%']) && !first.starts_with("{{");
        if marked || keyed || is_marked || first.starts_with("- ") { Self::Yaml } else { Self::List }
    }
}

/// Reads a catalog; without a `format`, by the look of it.
pub fn parse(bytes: &[u8], format: Option<Format>) -> Result<Catalog, CatalogErrors> {
    let fail = |problem| Err(CatalogErrors(vec![problem]));
    if bytes.len() > MAX_BYTES {
        return fail(Problem::general(format!("a catalog has at most {MAX_BYTES} bytes")));
    }
    let text = match foreign_text::text(bytes) {
        Ok(text) => text,
        Err(NotText::NotUtf8) => {
            let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
            let line = bytes[..valid].split(|byte| *byte == b'\n').count();
            return fail(Problem::at(line as u64, "the text is not UTF-8"));
        }
        Err(error) => return fail(Problem::general(error.to_string())),
    };
    let mut problems = Vec::new();
    let catalog = match format.unwrap_or_else(|| Format::sniff(text)) {
        Format::List => list::read(text, &mut problems),
        Format::Yaml => match document::read(text) {
            Ok(document) => build(document, &mut problems),
            Err(problem) => return fail(problem),
        },
    };
    if catalog.entries.len() > MAX_IMAGES {
        return fail(Problem::general(format!("a catalog has at most {MAX_IMAGES} images")));
    }
    if catalog.entries.is_empty() && problems.is_empty() {
        problems.push(Problem::general("the catalog has no images"));
    }
    CatalogErrors::check(problems)?;
    Ok(catalog)
}

fn build(document: Document, problems: &mut Vec<Problem>) -> Catalog {
    problems.extend(document.problems);
    problems.extend(document.variables.problems);
    let mut variables = BTreeMap::new();
    for (name, raw) in document.variables.items {
        if !is_variable_name(&name.value) {
            let message = format!("{:?} is not a name for a variable (letters, digits and _)", name.value);
            problems.push(Problem::at(name.referenced.line(), message));
        }
        let variable = build_variable(raw, problems);
        variables.insert(name.value, variable);
    }
    let values = build_values(document.values, &variables, problems);
    let per_image_values = build_values(document.per_image_values, &variables, problems);
    let mut entries = Vec::new();
    for Spanned { value: mut raw, referenced, .. } in document.images {
        let line = referenced.line();
        problems.append(&mut raw.problems);
        let Some(image) = raw.image.take() else {
            problems.push(Problem::at(line, "the image has no \"image\""));
            continue;
        };
        let at = line_of(&image, line);
        if let Some(image) = template(&spelling(&image.value), at, problems) {
            check_reference(&image, at, problems);
            let entry = assemble(raw, image, line, problems);
            for template in entry.sources.iter().chain([&entry.image]) {
                check_variables(template, at, &variables, problems);
            }
            entries.push(entry);
        }
    }
    let registry_override = document.registry_override;
    Catalog {
        name: printable(document.name, 0, problems),
        version: printable(document.version, 0, problems),
        registry_override: value_path(registry_override, 0, problems),
        variables,
        values,
        per_image_values,
        entries,
    }
}

fn build_values(
    raw: Pairs<Text>,
    variables: &BTreeMap<String, Variable>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Template)> {
    problems.extend(raw.problems);
    let mut values = Vec::new();
    for (path, value) in raw.items {
        let line = path.referenced.line();
        let path = value_path(Some(path), line, problems);
        if let (Some(path), Some(value)) = (path, template(&value.value, value.referenced.line(), problems)) {
            check_variables(&value, line, variables, problems);
            let secret = |name: &&str| variables.get(*name).is_some_and(|variable| variable.secret);
            if let Some(name) = value.variables().find(secret) {
                let message =
                    format!("values are recorded in the bundle, so they must not contain the secret {name}");
                problems.push(Problem::at(line, message));
            }
            values.push((path, value));
        }
    }
    values
}

fn build_variable(raw: RawVariable, problems: &mut Vec<Problem>) -> Variable {
    problems.extend(raw.problems);
    Variable {
        default: printable(raw.default, 0, problems),
        secret: raw.secret.unwrap_or(false),
        description: printable(raw.description, 0, problems),
    }
}

fn check_variables(
    template: &Template,
    line: u64,
    known: &BTreeMap<String, Variable>,
    problems: &mut Vec<Problem>,
) {
    for name in template.variables().filter(|name| !known.contains_key(*name)) {
        problems.push(Problem::at(line, format!("variable {name} is not declared under \"variables\"")));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[ \\n:\"'#$@/a-z0-9.{}\\[\\]&*!|>-]{0,80}") {
            for format in [None, Some(Format::Yaml), Some(Format::List)] {
                if let Ok(catalog) = parse(text.as_bytes(), format) {
                    let _ = catalog.resolve(&[]);
                }
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, None);
        }
    }
}
