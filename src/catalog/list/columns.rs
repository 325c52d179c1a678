//! What stands in a line beside its first image: more images, a digest, a platform, a target, a note.

use super::listed::{Listed, plain, shown, unquoted};
use crate::catalog::spelling::spelling;
use crate::image::Reference;

const SYSTEMS: [&str; 4] = ["linux", "windows", "darwin", "freebsd"];
const ARCHITECTURES: [&str; 10] =
    ["amd64", "arm64", "arm", "armhf", "386", "s390x", "ppc64le", "riscv64", "x86_64", "aarch64"];
/// What a column after the image says.
enum Column {
    Digest,
    Note,
    Image,
    Other,
}

/// A line of one word: an image, or one behind `=`.
pub(super) fn single(word: &str) -> Result<Listed, String> {
    let Some((before, after)) = word.split_once('=') else { return Ok(plain(word)) };
    let is_variable = before.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_variable && before.to_ascii_lowercase().ends_with("image") {
        return Ok(plain(unquoted(after)));
    }
    mapped(before, after)
}

/// An image and where it is copied to. A target that only stands in another registry says nothing that `import -d`
/// does not.
pub(super) fn mapped(source: &str, target: &str) -> Result<Listed, String> {
    let parse = |text: &str| spelling(text).parse::<Reference>().ok();
    if let (Some(from), Some(to)) = (parse(source), parse(target)) {
        let (path, place) = (from.repository().path(), to.repository().path());
        let short = path.strip_prefix("library/").unwrap_or(path);
        let keeps = |path: &str| place == path || place.ends_with(&format!("/{path}"));
        let same_tag = from.tag() == to.tag() || (has_digest_only(&from) && !has_version(target));
        if (keeps(path) || keeps(short)) && same_tag {
            return Ok(Listed { image: source.to_owned(), note: Some(format!("listed for {target}")) });
        }
    }
    Err(format!(
        "{:?} stands before a target, {:?}; a list says only what to export, and `bundle import -d` places it. Leave \
         the target out, or rename the image in a YAML catalog (image: NEW, source: OLD)",
        shown(source),
        shown(target)
    ))
}

fn has_digest_only(reference: &Reference) -> bool {
    reference.tag().is_none()
}

fn has_version(text: &str) -> bool {
    text.contains('@') || text.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// A line of several words.
pub(super) fn several(columns: &[&str]) -> Result<Vec<Listed>, String> {
    let first = columns[0];
    let line = shown(&columns.join(" "));
    if is_head(columns) {
        return Err(format!(
            "{line:?} is the head of a table; a list has nothing but images, as this prints it: docker images \
             --format '{{{{.Repository}}}}:{{{{.Tag}}}}'"
        ));
    }
    if !first.contains('$') && spelling(first).parse::<Reference>().is_err() {
        return Err(format!("{line:?} is not an image; write other text after a #"));
    }
    let is_tag = |word: &str| !word.contains(['/', ':', '@', '=']);
    match columns {
        [name, tag, ..] if !has_version(name) && is_tag(tag) && is_version(tag) => {
            return Err(format!(
                "{line:?} is not an image; a name and its tag are joined with a colon: {name}:{tag}"
            ));
        }
        [source, _, tag] if has_source_and_target(columns) => {
            return Err(format!(
                "{line:?} names a source, a target and a tag; a list says only what to export: {source}:{tag}"
            ));
        }
        [one, other] if is_copy(one, other) => {
            return Err(format!(
                "{line:?} may be two images, or one and its target; write each image on a line of its own"
            ));
        }
        _ => {}
    }
    let mut listed = vec![single(first)?];
    let mut notes: Vec<&str> = Vec::new();
    for word in &columns[1..] {
        match column(first, word) {
            Column::Digest => pin(&mut listed, word.trim_start_matches('@'))?,
            Column::Note => notes.push(word),
            Column::Image => listed.push(single(word)?),
            Column::Other => {
                return Err(format!(
                    "{line:?} has more than an image in it, and what {word:?} means is not clear; write notes after \
                     a # and each image on a line of its own"
                ));
            }
        }
    }
    if !notes.is_empty() {
        let note = listed[0].note.take().into_iter().chain([notes.join(", ")]).collect::<Vec<_>>().join(", ");
        listed[0].note = Some(note);
    }
    Ok(listed)
}

fn column(first: &str, word: &str) -> Column {
    if ["sha256:", "sha512:"].iter().any(|start| word.trim_start_matches('@').starts_with(start)) {
        return Column::Digest;
    }
    if is_platform(word) {
        return Column::Note;
    }
    let is_image = |word: &str| word.contains('$') || spelling(word).parse::<Reference>().is_ok();
    if !has_version(word) || !has_version(first) || !is_image(word) {
        // Versions of charts may have a `+`, which no tag has.
        return if is_chart(word) && first.contains('/') { Column::Note } else { Column::Other };
    }
    if is_chart(word) && first.contains('/') { Column::Note } else { Column::Image }
}

/// `nginx registry.local/nginx 1.25`: two names without versions, and a tag.
pub(super) fn has_source_and_target(columns: &[&str]) -> bool {
    match columns {
        [source, target, tag] => {
            let is_name = |name: &str| !has_version(name) && spelling(name).parse::<Reference>().is_ok();
            let is_tag = !tag.contains(['/', ':', '@', '=']) && (target.contains('/') || is_version(tag));
            is_name(source) && is_name(target) && is_tag
        }
        _ => false,
    }
}

/// The first line of what a tool prints as a table.
pub(super) fn is_head(columns: &[&str]) -> bool {
    columns.len() > 1 && columns.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// `1.25`, `v2`, `latest`.
fn is_version(word: &str) -> bool {
    let number = word.strip_prefix('v').unwrap_or(word);
    word == "latest" || (number.starts_with(|c: char| c.is_ascii_digit()) && !is_platform(word))
}

/// `linux/amd64`, `arm64`, `arm/v7`.
fn is_platform(word: &str) -> bool {
    let parts: Vec<&str> = word.split('/').collect();
    let is_architecture = |part: &str| ARCHITECTURES.contains(&part) || part == "all";
    match parts[..] {
        [architecture] => is_architecture(architecture),
        [first, second] => {
            is_architecture(first) && second.starts_with('v')
                || SYSTEMS.contains(&first) && is_architecture(second)
        }
        [system, architecture, _] => SYSTEMS.contains(&system) && is_architecture(architecture),
        _ => false,
    }
}

/// `chart:1.2`: a name without a registry, and a version of numbers.
fn is_chart(word: &str) -> bool {
    word.split_once(':').is_some_and(|(name, version)| {
        let version = version.strip_prefix('v').unwrap_or(version);
        !name.contains('/') && version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.')
    })
}

/// The same image in another registry.
fn is_copy(one: &str, other: &str) -> bool {
    let parse = |text: &str| spelling(text).parse::<Reference>().ok();
    let (Some(one), Some(other)) = (parse(one), parse(other)) else { return false };
    let last = |reference: &Reference| reference.repository().path().rsplit('/').next().map(str::to_owned);
    one.host() != other.host() && last(&one) == last(&other) && one.tag() == other.tag()
}

/// Pins the last image of a line.
fn pin(listed: &mut [Listed], digest: &str) -> Result<(), String> {
    let Some(last) = listed.last_mut() else { return Ok(()) };
    match last.image.split_once('@') {
        Some((_, own)) if own == digest => {}
        Some(_) => {
            return Err(format!("{:?} has another digest than {digest:?} beside it", shown(&last.image)));
        }
        None => last.image = format!("{}@{digest}", last.image.trim_end_matches('/')),
    }
    Ok(())
}
