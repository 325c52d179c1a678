//! Reading a list line by line.

use std::collections::BTreeMap;

use super::columns::{has_source_and_target, is_head, mapped, several, single};
use super::listed::{Listed, plain, shown, unquoted};
use crate::catalog::contents::{Catalog, Variable};
use crate::catalog::document::RawEntry;
use crate::catalog::entry::Entry;
use crate::catalog::fields::{assemble, check_reference, template};
use crate::catalog::problem::Problem;
use crate::catalog::spelling::spelling;

/// Keys that `grep image` finds too, and that name no image.
const NO_IMAGES: [&str; 3] = ["imagepullpolicy", "imagepullsecrets", "imagepullsecret"];
/// A list's variables are those it uses, and each must be set.
pub(in crate::catalog) fn read(text: &str, problems: &mut Vec<Problem>) -> Catalog {
    let mut entries = Vec::new();
    let mut variables = BTreeMap::new();
    for (line, number) in text.lines().zip(1..) {
        let listed = match images_of(line) {
            Ok(listed) => listed,
            Err(why) => {
                problems.push(Problem::at(number, why));
                // What follows the head of a table is the table.
                if is_head(&line.split_whitespace().collect::<Vec<_>>()) {
                    break;
                }
                continue;
            }
        };
        for Listed { image, note } in listed {
            if let Some(image) = template(&spelling(&image), number, problems) {
                check_reference(&image, number, problems);
                variables.extend(image.variables().map(|name| (name.to_owned(), Variable::default())));
                let entry = assemble(RawEntry::default(), image, number, problems);
                entries.push(Entry { note, ..entry });
            }
        }
    }
    Catalog {
        name: None,
        version: None,
        variables,
        registry_override: None,
        values: Vec::new(),
        per_image_values: Vec::new(),
        entries,
    }
}

/// Whether every line with something in it is one that `grep image:` prints. Such a text looks like YAML and is none.
pub(in crate::catalog) fn is_output_of_grep(text: &str) -> bool {
    let mut lines =
        text.lines().map(content).filter(|line| !line.is_empty() && !is_separator(line)).peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            key_and_value(line).is_some_and(|(key, value)| {
                let key = key.to_ascii_lowercase();
                (key.ends_with("image") && !value.is_empty()) || NO_IMAGES.contains(&key.as_str())
            })
        })
}

/// Whether every line names a source, a target and a tag, as hangar's lists for mirroring do.
pub fn is_of_hangar(text: &str) -> bool {
    let mut lines = text.lines().map(content).filter(|line| !line.is_empty()).peekable();
    lines.peek().is_some()
        && lines.all(|line| has_source_and_target(&line.split_whitespace().collect::<Vec<_>>()))
}

/// The images of one line, or what is wrong with it.
fn images_of(line: &str) -> Result<Vec<Listed>, String> {
    let line = content(line);
    if line.is_empty() || is_separator(line) {
        return Ok(Vec::new());
    }
    if has_control(line) {
        // Named with its escapes, once, by the check that all texts of catalogs go through.
        return Ok(vec![plain(line)]);
    }
    let value = match key_and_value(line) {
        Some((key, value)) => match of_key(key, value)? {
            Some(value) => value,
            None => return Ok(Vec::new()),
        },
        None => line,
    };
    if value.contains("{{") {
        return Ok(vec![plain(value)]);
    }
    let mut columns: Vec<&str> =
        value.split([' ', '\t', ',', ';']).map(unquoted).filter(|part| !part.is_empty()).collect();
    if columns.len() > 1 && matches!(columns[0], "-" | "*" | "•") {
        columns.remove(0);
    }
    match columns[..] {
        // The head of a table with one column, as kubectl prints it.
        [] | ["IMAGE" | "IMAGES"] => Ok(Vec::new()),
        [one] => single(one).map(|one| vec![one]),
        [source, "->" | "=>" | "→", target] => mapped(source, target).map(|one| vec![one]),
        _ => several(&columns),
    }
}

/// A line without its comment and its blanks.
fn content(line: &str) -> &str {
    let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with(char::is_whitespace));
    let line = comment.map_or(line, |(at, _)| &line[..at]).trim();
    if line.starts_with('#') || line.starts_with("//") { "" } else { line }
}

/// What stands between the hits of grep, and between documents.
fn is_separator(line: &str) -> bool {
    matches!(line, "--" | "---" | "...")
}

fn has_control(text: &str) -> bool {
    text.contains(|c: char| c.is_control() && c != '\t')
}

/// A key with a colon and the text after it, as YAML and JSON have them. What grep puts before them (`file:12:`) is
/// left out.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let mut rest = line;
    loop {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start();
        let is_bullet = matches!(word, "-" | "*" | "{");
        if !is_bullet {
            let name = word.strip_suffix(':').map(|name| name.trim_matches(['"', '\'', '{', ',']));
            // `file.yaml:12:image`, and `file.yaml-12-` before the lines around a hit.
            let name = name.map(|name| name.rsplit([':', '"']).next().unwrap_or(name));
            let is_name = |name: &&str| {
                name.starts_with(|c: char| c.is_ascii_alphabetic())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
            };
            if let Some(name) = name.filter(is_name) {
                // Of JSON in one line. The braces of a template belong to it.
                let value = after.trim_end_matches(',');
                let value = if value.contains("{{") { value } else { value.trim_end_matches(['}', ',']) };
                return Some((name, value.trim_end()));
            }
            let is_place =
                word.ends_with([':', '-']) && word.contains(|c: char| c.is_ascii_digit() || ".:".contains(c));
            if !is_place {
                return None;
            }
        }
        if after.is_empty() {
            return None;
        }
        rest = after;
    }
}

/// The text that a key says is an image; none where it says another thing.
fn of_key<'t>(key: &str, value: &'t str) -> Result<Option<&'t str>, String> {
    let bare = key.to_ascii_lowercase();
    if NO_IMAGES.contains(&bare.as_str()) || (value.is_empty() && bare.ends_with("images")) {
        return Ok(None);
    }
    if bare.ends_with("image") && !value.is_empty() && !value.starts_with(['{', '[']) || value.contains("{{")
    {
        return Ok(Some(value));
    }
    let way = "render the chart and find its images: helm template … | bundle catalog discover - -o FILE";
    Err(match bare.as_str() {
        "image" | "repository" | "registry" | "tag" | "digest" => {
            format!("`{key}:` has only a part of an image on this line; {way}")
        }
        _ if bare.ends_with("image") => format!("`{key}:` does not have a whole image on this line; {way}"),
        _ if value.is_empty() => format!("`{key}:` is not an image"),
        _ => format!(
            "{:?} is a key and its value; an image has no blank before its tag",
            shown(&format!("{key}: {value}"))
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Vec<String>, String> {
        let shown = |one: Listed| match one.note {
            Some(note) => format!("{} ({note})", one.image),
            None => one.image,
        };
        images_of(line).map(|listed| listed.into_iter().map(shown).collect())
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn what_stands_beside_an_image_is_read_where_its_meaning_is_clear() {
        let pinned = format!("r.io/a:1 {DIGEST}");
        let apart = format!("r.io/a:1 @{DIGEST}");
        let pinned_image = format!("r.io/a:1@{DIGEST}");
        for (line, expected) in [
            ("r.io/a:1 r.io/b:2", &["r.io/a:1", "r.io/b:2"][..]),
            ("r.io/a:1,r.io/b:2", &["r.io/a:1", "r.io/b:2"]),
            ("nginx:1.25 redis:7 postgres:16", &["nginx:1.25", "redis:7", "postgres:16"]),
            ("'r.io/a:1', \"r.io/b:2\",", &["r.io/a:1", "r.io/b:2"]),
            ("r.io/a:1 linux/amd64", &["r.io/a:1 (linux/amd64)"]),
            ("r.io/a:1\tlinux/amd64,linux/arm/v7", &["r.io/a:1 (linux/amd64, linux/arm/v7)"]),
            ("r.io/a:1 arm64", &["r.io/a:1 (arm64)"]),
            (&pinned, &[&pinned_image]),
            (&apart, &[&pinned_image]),
            ("rancher/a:v1 chart:1.2", &["rancher/a:v1 (chart:1.2)"]),
            ("rancher/a:v1 one:100.1.0+up19.0.3,two:1.2", &["rancher/a:v1 (one:100.1.0+up19.0.3, two:1.2)"]),
            ("quay.io/x/a:1=r.local/mirror/x/a:1", &["quay.io/x/a:1 (listed for r.local/mirror/x/a:1)"]),
            ("nginx:1 -> r.local/nginx:1", &["nginx:1 (listed for r.local/nginx:1)"]),
            ("WORKER_IMAGE='r.io/a:1'", &["r.io/a:1"]),
            ("- r.io/a:1", &["r.io/a:1"]),
            ("* r.io/a:1", &["r.io/a:1"]),
            ("// old", &[]),
            ("--", &[]),
            ("r.io/x/$NAME:${TAG} r.io/y:$TAG", &["r.io/x/$NAME:${TAG}", "r.io/y:$TAG"]),
        ] {
            assert_eq!(read_line(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_grep_prints_is_read() {
        for (line, expected) in [
            ("        image: nginx:1.25", &["nginx:1.25"][..]),
            ("      - image: \"quay.io/a/b:1\"  # why", &["quay.io/a/b:1"]),
            ("          \"image\": \"r.io/a:1\",", &["r.io/a:1"]),
            ("templates/a.yaml:12:        image: r.io/a:1", &["r.io/a:1"]),
            ("a.yaml:image: r.io/a:1", &["r.io/a:1"]),
            ("12:    image: r.io/a:1", &["r.io/a:1"]),
            ("sidecarImage: r.io/a:1", &["r.io/a:1"]),
            ("        imagePullPolicy: Always", &[]),
            ("images:", &[]),
            ("IMAGE", &[]),
            ("    image: r.io/a:{{ .Values.tag }}", &["r.io/a:{{ .Values.tag }}"]),
        ] {
            assert_eq!(read_line(line).unwrap(), expected, "{line}");
        }
        assert!(is_output_of_grep("        image: nginx:1\n--\n      - image: r.io/a:1\n"));
        assert!(!is_output_of_grep("- image: nginx:1\n  source: r.io/nginx:1\n"));
        assert!(!is_output_of_grep("# nothing\n"));
    }

    #[test]
    fn what_is_not_clear_is_said_once() {
        let (first, second) = (format!("r.io/a@{DIGEST}"), DIGEST.replace("e3b0", "0000"));
        let lines = [
            "nginx 1.25",
            "nginx registry.local/library/nginx 1.25",
            "r.io/a:1 r.local/a:1",
            "r.io/a:1 redis",
            "r.io/a:1 used by the web",
            "Images used by the web",
            "web images",
            "nginx 1.25 a8758716bb6a 5 weeks ago 187MB",
            "REPOSITORY TAG SIZE",
            "quay.io/x/a:1=r.local/y/b:2",
            "quay.io/x/a:1=file://mirror/x",
            "image:",
            "image: {repository: a, tag: 1}",
            "repository: r.io/a",
            "nginx: 1.25",
            "name: web",
            &format!("{first} {second}"),
        ];
        let said = lines.map(|line| format!("{line}\n    {}", read_line(line).unwrap_err()));
        insta::assert_snapshot!(said.join("\n"));
    }
}
