//! Destinations that need something created before the first push: Amazon ECR's repositories, Harbor's projects.

#[cfg(feature = "ecr")]
mod ecr;

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::image;
use crate::support::registry::{Effect, Fault};

fn answer(status: u16, body: &str) -> Effect {
    Effect::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

/// Two images in two projects; the destination says it is a Harbor.
fn harbor() -> Gap {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1)).image("other/tool", "1", &image(2));
    gap.destination.fault(Fault::on("GET", "/api/v2.0/ping", answer(200, "Pong")).always());
    let there = r#"[{"name":"team-of-others"},{"name":"team"}]"#;
    gap.destination.fault(Fault::on("GET", "/api/v2.0/projects?name=team", answer(200, there)).always());
    gap.destination.fault(Fault::on("GET", "/api/v2.0/projects?name=other", answer(200, "[]")).always());
    gap.export(&["-o", "out.tar.zst"]);
    gap
}

#[test]
fn missing_harbor_projects_are_made_on_request() {
    let gap = harbor();
    gap.destination.fault(Fault::on("POST", "/api/v2.0/projects", answer(201, "")));
    let dry = gap.import("out.tar.zst", &["--create-projects", "--dry-run"]);
    assert!(dry.stdout.contains("Harbor projects to create:\n  other\n"), "{}", dry.shown());
    assert_eq!(gap.destination.count("POST", ""), 0);
    let ran = gap.import("out.tar.zst", &["--create-projects"]);
    assert!(ran.stderr.contains("created Harbor project other"), "{}", ran.shown());
    assert_eq!(gap.destination.count("POST", "/api/v2.0/projects"), 1);
    assert_whole(&gap.destination, "other/tool", "1", &image(2));
}

#[test]
fn a_missing_harbor_project_is_named_before_anything_is_sent() {
    let gap = harbor();
    let refused = r#"{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized to access repository"}]}"#;
    gap.destination.fault(Fault::on("POST", "/v2/other/tool/blobs/uploads/", answer(401, refused)).always());
    let ran = gap.try_import("out.tar.zst", &[]);
    assert_eq!(ran.code, 4, "{}", ran.shown());
    let hint = "create these Harbor projects, or let --create-projects create them:\n    other\n";
    assert!(ran.stderr.contains(hint), "{}", ran.shown());
    assert_eq!(gap.destination.count("PATCH", "") + gap.destination.count("PUT", ""), 0);
}

#[test]
fn an_account_that_may_not_make_projects_is_told_so() {
    let gap = harbor();
    let refused = r#"{"errors":[{"code":"FORBIDDEN","message":"no right\u001b[31m"}]}"#;
    gap.destination.fault(Fault::on("POST", "/api/v2.0/projects", answer(403, refused)));
    let ran = gap.try_import("out.tar.zst", &["--create-projects"]);
    assert_eq!(ran.code, 4, "{}", ran.shown());
    assert!(
        ran.stderr.contains("creating project other") && ran.stderr.contains("no right"),
        "{}",
        ran.shown()
    );
    assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.shown());
    let elsewhere = Gap::new();
    let to = elsewhere.destination.host();
    let bundle = gap.path("out.tar.zst");
    let ran = elsewhere.cli.run(&["import", bundle.to_str().unwrap(), "-d", &to, "--create-projects"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("has no Harbor API"), "{}", ran.shown());
}

#[test]
fn repositories_a_registry_wants_created_are_listed_together() {
    let gap = harbor();
    gap.destination.heal();
    let unknown = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository does not exist"}]}"#;
    gap.destination.fault(Fault::on("POST", "/blobs/uploads/", answer(404, unknown)).always());
    let ran = gap.try_import("out.tar.zst", &[]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    let (host, shown) = (gap.destination.host(), ran.shown());
    assert!(ran.stderr.contains(&format!("\n      the same for {host}/team/app\n")), "{shown}");
    assert!(ran.stderr.contains("that they begin with: other, team\n"), "{shown}");
    assert_eq!(gap.destination.count("PATCH", "") + gap.destination.count("PUT", ""), 0);
}
