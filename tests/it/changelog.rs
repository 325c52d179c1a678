//! The changelog names every version of a format that the code writes or reads.

use std::path::Path;

use crate::support::sources::rust_files;

/// Versions in the code, as the changelog writes them: the files that have one, and how it stands there.
const NUMBERS: [(&str, &str, &str); 9] = [
    ("bundle.rs", "pub const SCHEMA_VERSION: u32 = ", "| `bundle.json` in the bundle | `schemaVersion` "),
    (
        "bundle.rs",
        "pub const FORMAT_REVISION: u32 = ",
        "| `bundle.json` in the bundle | `schemaVersion` 1, `formatRevision` ",
    ),
    ("mod.rs", "pub const REVISION: u32 = ", "| `compact.json` in a compact bundle | `revision` "),
    ("list.rs", "const SCHEMA_VERSION: u32 = ", "| `FILE.volumes.json` | `schemaVersion` "),
    ("base.rs", "const SCHEMA_VERSION: u32 = ", "| inventory, `bundle inspect -d` | `schemaVersion` "),
    ("salvage.rs", "const SCHEMA_VERSION: u32 = ", "| request, `import --salvage` | `schemaVersion` "),
    ("run_report.rs", "const SCHEMA_VERSION: u32 = ", "| report, `--report` | `schemaVersion` "),
    ("lock.rs", "const VERSION: u32 = ", "| lock, `catalog.lock` | `lockVersion` "),
    ("journal.rs", "const VERSION: u32 = ", "| journal of an unfinished export | version "),
];

fn changelog() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md")).unwrap()
}

/// The digits that follow `before` in `text`.
fn number<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    let rest = &text[text.find(before)? + before.len()..];
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    (digits > 0).then(|| &rest[..digits])
}

#[test]
fn every_version_number_in_the_code_is_in_the_changelog() {
    let (page, sources) = (changelog(), rust_files("src"));
    let mut counted = 0;
    for (file, constant, entry) in NUMBERS {
        // Files move; a constant keeps its name and its file's name.
        let (_, text) = sources
            .iter()
            .find(|(path, text)| path.ends_with(file) && text.contains(constant))
            .unwrap_or_else(|| panic!("{file} with {constant}: name its new place in this test"));
        let (code, written) = (number(text, constant), number(&page, entry));
        assert_eq!(code, written, "{file}: {constant} and the changelog's line {entry}");
        counted += 1;
    }
    let versions = |(_, text): &(_, String)| {
        let lines = text.lines().map(str::trim_start);
        lines
            .filter(|line| {
                line.contains("const ") && line.contains("VERSION: u32") || line.contains("REVISION: u32")
            })
            .count()
    };
    let found: usize = sources.iter().map(versions).sum();
    assert_eq!(found, counted, "a constant for a version that this test does not know");
}

/// Media types and predicates have their version in their name.
#[test]
fn every_named_format_in_the_code_is_in_the_changelog() {
    let page = changelog();
    let mut named = 0;
    for (path, text) in rust_files("src") {
        for part in text.split('"').filter(|part| {
            part.starts_with("urn:airgap-bundle:")
                || part.starts_with("application/vnd.airgap.") && part.ends_with("+json")
        }) {
            assert!(page.contains(&format!("`{part}`")), "{}: {part} is not in CHANGELOG.md", path.display());
            named += 1;
        }
    }
    assert!(named >= 7, "{named}");
    let marker = "airgap-bundle registry 1";
    assert!(page.contains(&format!("`{marker}`")));
    let is_written = rust_files("src")
        .iter()
        .any(|(path, text)| path.ends_with("serve/marker.rs") && text.contains(marker));
    assert!(is_written, "the marker of a registry's folder is another one");
}
