//! The rules of the house: decisions touch neither network nor files, nothing depends upwards, and no files of one
//! folder use each other in a circle.

mod circles;
mod source_graph;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::sources::rust_files;

/// What each module may name, beside itself. A module that is missing here has no place in the house yet.
const MAY_USE: [(&str, &[&str]); 30] = [
    ("app", &[]),
    ("image", &[]),
    ("catalog", &["app", "image"]),
    ("registry", &["app", "image", "secret"]),
    ("archive", &["app", "compact", "image", "signing"]),
    ("destination", &["app", "image", "registry", "report", "secret"]),
    ("remote", &["archive", "destination", "image", "registry"]),
    // Raw bytes in, compressed bytes out.
    ("encoders", &["image"]),
    // The compact form of a blob: bytes in, bytes out.
    ("compact", &["encoders"]),
    // Cannot be shown.
    ("secret", &[]),
    // Takes messages, and uses no other module.
    ("report", &[]),
    // Text, and the forms it is read in.
    ("manual", &[]),
    ("signing", &["image", "secret"]),
    ("plan", &["app", "archive", "compact", "destination", "image", "signing"]),
    ("provenance", &["archive", "image", "plan", "signing"]),
    ("facts", &["archive", "image"]),
    ("policy", &["app", "archive", "facts", "image", "report"]),
    ("review", &["app", "archive", "destination", "facts", "image", "policy", "report"]),
    ("cluster_config", &["app", "archive", "destination", "image", "secret"]),
    ("serve", &["app", "archive", "destination", "image"]),
    ("cli", &["app", "catalog", "image", "report"]),
    // What a run is handed and leaves behind: it knows neither export nor import.
    ("session", &["app", "archive", "cli", "provenance", "image", "registry", "report", "signing"]),
    // What a run reads before it begins.
    (
        "inputs",
        &[
            "app",
            "archive",
            "cli",
            "compact",
            "destination",
            "image",
            "plan",
            "policy",
            "registry",
            "report",
            "secret",
            "session",
            "signing",
            "remote",
        ],
    ),
    (
        "request",
        &[
            "app",
            "archive",
            "catalog",
            "cli",
            "provenance",
            "image",
            "inputs",
            "plan",
            "registry",
            "report",
            "session",
            "signing",
        ],
    ),
    // The two engines, which know nothing of each other.
    (
        "export",
        &[
            "app",
            "archive",
            "cli",
            "compact",
            "encoders",
            "provenance",
            "image",
            "inputs",
            "plan",
            "registry",
            "report",
            "request",
            "session",
            "signing",
        ],
    ),
    (
        "import",
        &[
            "app",
            "archive",
            "cli",
            "provenance",
            "destination",
            "cluster_config",
            "image",
            "inputs",
            "plan",
            "policy",
            "registry",
            "report",
            "session",
            "signing",
        ],
    ),
    // Lists the errors that explain themselves, and knows nothing else.
    ("error_text", &["app", "archive", "destination", "export", "import", "plan", "registry"]),
    (
        "commands",
        &[
            "app",
            "archive",
            "catalog",
            "cli",
            "compact",
            "provenance",
            "destination",
            "export",
            "error_text",
            "cluster_config",
            "image",
            "import",
            "inputs",
            "manual",
            "plan",
            "policy",
            "registry",
            "report",
            "request",
            "review",
            "secret",
            "serve",
            "session",
            "signing",
        ],
    ),
    ("main", &[]),
    ("lib", &[]),
];

const LINES: usize = 450;

struct Source {
    /// Below `src`.
    path: PathBuf,
    module: String,
    /// Without comments, and without tests.
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    // Tests of a module may stand on anything.
    let is_live = |path: &PathBuf| path.components().all(|part| part.as_os_str() != "tests");
    let mut found = Vec::new();
    for (path, text) in rust_files("src").into_iter().filter(|(path, _)| is_live(path)) {
        let module = path.components().next().unwrap().as_os_str().to_str().unwrap();
        let live = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = live.lines().map(|line| line.split("//").next().unwrap());
        found.push(Source {
            module: module.trim_end_matches(".rs").to_owned(),
            code: code.collect::<Vec<_>>().join("\n"),
            lines: text.lines().count(),
            path,
        });
    }
    assert!(found.len() > 50, "these are not all sources");
    found
}

/// The modules named after `crate::`.
fn used(code: &str) -> BTreeSet<String> {
    assert!(!code.contains("crate::{"), "one `use` per module, so that this test can read them");
    let names = code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest[..end].to_owned()
    });
    names.collect()
}

/// Whether `code` names `word`, not as part of a longer one.
fn names(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

#[test]
fn nothing_depends_upwards() {
    let mut wrong = Vec::new();
    for source in sources() {
        let allowed = MAY_USE.iter().find(|(module, _)| *module == source.module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("src/{} has no place", source.path.display()));
        for name in used(&source.code) {
            if name != source.module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("src/{} uses {name}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn decisions_touch_neither_network_nor_files() {
    let hands = [
        "std::fs",
        "File",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "UnixStream",
        "tokio",
        "reqwest",
        "hyper",
        "axum",
        "Command",
        "stdin",
        "stdout",
        "SystemTime",
        "Instant",
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        if ["image", "catalog", "provenance", "manual", "plan", "policy", "signing"]
            .contains(&source.module.as_str())
        {
            let held = hands.iter().filter(|hand| names(&source.code, hand));
            wrong.extend(held.map(|hand| format!("src/{} names {hand}", source.path.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn http_is_sent_by_registry_and_the_format_is_known_to_archive_alone() {
    let mut wrong = Vec::new();
    for source in sources() {
        let at = source.path.display();
        if source.module != "registry" && names(&source.code, "reqwest") {
            wrong.push(format!("src/{at} names reqwest"));
        }
        for format in ["tar::", "zstd::", "zeekstd"] {
            // Members of the compact form are compressed too.
            let knows = source.module == "archive" || (source.module == "compact" && format == "zstd::");
            if !knows && names(&source.code, format.trim_end_matches(':')) && source.code.contains(format) {
                wrong.push(format!("src/{at} names {format}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_are_short_enough_to_read() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.lines > LINES)
        .map(|source| format!("src/{}: {} lines", source.path.display(), source.lines))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn the_rules_can_be_broken() {
    let code = "use crate::commands::x;\nfn f() { crate::report::bytes(std::fs::read(p)) }";
    assert_eq!(used(code), ["commands", "report"].map(str::to_owned).into());
    assert!(names(code, "std::fs") && !names(code, "std::f") && !names("MyFile", "File"));
}

#[test]
fn the_pages_about_tests_and_trust_name_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("tests/README.md")).unwrap();
    let files = ["src", "tests"].into_iter().flat_map(rust_files);
    let code: String = files.map(|(_, text)| text).collect();
    let (_, rules) = page.split_once("## The rules").unwrap();
    let named = rules.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(3));
    let named: Vec<&str> = named.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 50);
    let trust = std::fs::read_to_string(root.join("TRUST.md")).unwrap();
    let claims: Vec<&str> =
        trust.lines().filter(|line| line.starts_with("| ") && !line.contains("kept by")).collect();
    assert!(claims.len() > 25);
    let kept: Vec<&str> = claims
        .iter()
        .filter_map(|line| line.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let bare: Vec<_> =
        claims.iter().filter(|line| !line.split('|').nth(2).is_some_and(|cell| cell.contains('`'))).collect();
    assert!(bare.is_empty(), "claims that no test keeps: {bare:#?}");
    let named = [named, kept].concat();
    let missing: Vec<_> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
