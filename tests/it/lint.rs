//! `bundle catalog lint`: its exit codes, what it says about destinations, and what registries answer.

use crate::support::cli::Ran;
use crate::support::gap::{Gap, nobody};
use crate::support::images::image;
use crate::support::registry::Fault;

fn lint(gap: &Gap, arguments: &[&str]) -> Ran {
    gap.cli.run(&[&["catalog", "lint"], arguments].concat())
}

#[test]
fn the_shipped_catalog_has_no_errors() {
    let gap = Gap::new();
    let ran = lint(&gap, &[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(lint(&gap, &["--strict"]).code, 3);
}

#[test]
fn names_that_clash_or_do_not_fit_are_found_without_a_registry() {
    let gap = Gap::new();
    let long = "x".repeat(180);
    let text = format!(
        "variables:\n  TAG:\nimages:\n  - quay.io/team/app:1.2.3\n  - docker.io/team/app:1.2.3\n  - r.io/{long}:1.2.3\n"
    );
    std::fs::write(gap.path("app.yaml"), &text).unwrap();
    let ran = lint(&gap, &["app.yaml"]);
    assert_eq!(ran.code, 0);
    gap.snapshot("lint", "names", &ran.shown());
    assert!(!lint(&gap, &["app.yaml", "--keep-host"]).stdout.contains("name-clash"));
    // With a destination the names are those that an import would use.
    let prefix = format!("registry.local/{}", "p".repeat(70));
    let ran = lint(&gap, &["app.yaml", "-d", &prefix]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stdout.contains("longer than 255"), "{}", ran.stdout);
    assert_eq!(lint(&gap, &["app.yaml", "-d", "a b"]).code, 2);
    std::fs::write(gap.path("open.yaml"), text.replace("app:1.2.3", "app:$TAG")).unwrap();
    let ran = lint(&gap, &["open.yaml"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stdout.contains("--set TAG="), "{}", ran.stdout);
    // What is no catalog is not linted.
    std::fs::write(gap.path("bad.yaml"), "images: [r.io/A:1]\n").unwrap();
    assert_eq!(lint(&gap, &["bad.yaml"]).code, 2);
}

#[test]
fn rows_that_want_one_value_to_be_two_things_are_found() {
    let gap = Gap::new();
    let lint = |rows: [(&str, &str); 2]| {
        let row = |(name, (repository, tag)): (&str, (&str, &str))| {
            format!("- {{ chart: a, image: 'r.io/{name}:1.2.3', repository: {repository}, tag: {tag} }}\n")
        };
        let rows: String = ["one", "two"].into_iter().zip(rows).map(row).collect();
        std::fs::write(gap.path("app.yaml"), format!("images:\n{rows}")).unwrap();
        lint(&gap, &["app.yaml", "--strict"])
    };
    assert_eq!(lint([("one.repo", "one.tag"), ("two.repo", "two.tag")]).code, 0);
    let ran = lint([("repo", "one.tag"), ("repo", "two.tag")]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.stdout.contains("[value-conflict]") && ran.stdout.contains("a: r.io/two:1.2.3"),
        "{}",
        ran.stdout
    );
    let ran = lint([("one", "one.tag"), ("two.repo", "two.tag")]);
    assert!(ran.stdout.contains("set both to a value and to further values"), "{}", ran.stdout);
}

#[test]
fn images_that_cannot_be_had_are_found_online() {
    let mut gap = Gap::new();
    let (host, dead) = (gap.source.host(), nobody());
    gap.image("team/app", "1.2.3", &image(1));
    let twin = crate::support::registry::TestRegistry::start();
    let same = twin.put_image("team/app", "1.2.3", &image(1));
    gap.line(&same).line(&format!("{host}/team/none:1.2.3"));
    gap.line(&format!("{host}/team/closed:1.2.3")).line(&format!("{dead}/x/y:1.2.3"));
    gap.source.fault(Fault::status("*", "/team/closed/", 401).always());
    let ran = lint(&gap, &["images.txt", "--online", "--retries", "1", "--format", "json"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let found: Vec<(u64, &str)> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["level"] == "error")
        .map(|finding| (finding["line"].as_u64().unwrap(), finding["rule"].as_str().unwrap()))
        .collect();
    // The same content under one name is no clash, and only a registry knows that.
    assert_eq!(found, [(3, "unreachable"), (4, "unreachable"), (5, "unreachable")], "{}", ran.stdout);
    assert!(!ran.stdout.contains("name-clash"), "{}", ran.stdout);
    let other = twin.put_image("team/app", "1.2.3", &image(2));
    assert_eq!(other, same);
    let ran = lint(&gap, &["images.txt", "--online", "--retries", "1"]);
    assert!(
        ran.stdout.contains("images.txt:2: error") && ran.stdout.contains("[name-clash]"),
        "{}",
        ran.stdout
    );
    assert_eq!(gap.source.count("GET", "/blobs/"), 0);
}
