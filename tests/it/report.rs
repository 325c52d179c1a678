//! Output for people and programs: `--report`, `--format`, `--progress`, without any secret in it.

use base64::Engine;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::cli::{Cli, Ran};
use crate::support::gap::{Gap, htpasswd};
use crate::support::images::{TestImage, image};
use crate::support::registry::{Effect, Fault, TestRegistry};

fn two() -> (Gap, [TestImage; 2]) {
    let mut gap = Gap::new();
    let images = [image(1), image(2)];
    gap.image("team/a", "1", &images[0]).image("team/b", "1", &images[1]);
    (gap, images)
}

fn report(gap: &Gap) -> Value {
    serde_json::from_slice(&gap.read("report.json")).unwrap()
}

/// The state of each image.
fn states(report: &Value) -> Vec<&str> {
    let images = report["images"].as_array().unwrap();
    images.iter().map(|image| image["state"].as_str().unwrap()).collect()
}

const REPORT: [&str; 2] = ["--report", "report.json"];

#[test]
fn a_report_says_what_became_of_each_image() {
    let (gap, images) = two();
    gap.export(&[&["-o", "out.tar.zst"][..], &REPORT].concat());
    let export = report(&gap);
    assert_eq!(states(&export), ["done", "done"]);
    assert_eq!(export["schemaVersion"], 1);
    assert_eq!(export["command"], "export");
    assert_eq!(export["exitCode"], 0);
    assert_eq!(export["error"], Value::Null);
    assert_eq!(export["images"][0]["digest"], images[0].digest.to_string());
    assert_eq!(export["images"][0]["name"], format!("{}/team/a:1", gap.source.host()));
    assert_eq!(export["bundle"]["size"], gap.read("out.tar.zst").len());

    gap.import("out.tar.zst", &[&["--only", "team/a*"][..], &REPORT].concat());
    let import = report(&gap);
    assert_eq!(states(&import), ["done", "skipped"]);
    assert_eq!(import["command"], "import");
    assert_eq!(import["images"][0]["target"], format!("{}/team/a:1", gap.destination.host()));
    assert_eq!(import["totals"]["uploadedBlobs"], 3);

    gap.import("out.tar.zst", &REPORT);
    assert_eq!(states(&report(&gap)), ["already-there", "done"]);

    let ran = gap.cli.run(&[&["verify", "out.tar.zst"][..], &REPORT].concat());
    assert_eq!(ran.code, 0);
    assert_eq!(states(&report(&gap)), ["done", "done"]);
    assert_eq!(report(&gap)["bundle"]["id"], export["bundle"]["id"]);
}

#[test]
fn a_report_is_written_when_a_run_fails() {
    let (mut gap, _) = two();
    gap.line(&format!("{}/team/none:1", gap.source.host()));
    let ran = gap.try_export(&[&["-o", "out.tar.zst"][..], &REPORT].concat());
    assert_eq!(ran.code, 1);
    let failed = report(&gap);
    assert_eq!(states(&failed), ["not-tried", "not-tried", "failed"]);
    assert_eq!(failed["exitCode"], 1);
    let reason = failed["images"][2]["reason"].as_str().unwrap();
    assert!(reason.contains("MANIFEST_UNKNOWN"), "{reason}");
    assert!(failed["error"].as_str().unwrap().contains("team/none"));

    let ran = gap.try_export(&[&["-o", "out.tar.zst", "--keep-going"][..], &REPORT].concat());
    assert_eq!(ran.code, 7);
    assert_eq!(states(&report(&gap)), ["done", "done", "failed"]);

    let mut bytes = gap.read("out.tar.zst");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(gap.path("out.tar.zst"), bytes).unwrap();
    let ran = gap.cli.run(&[&["verify", "out.tar.zst"][..], &REPORT].concat());
    assert_eq!(ran.code, 3);
    let damaged = report(&gap);
    assert_eq!(damaged["exitCode"], 3);
    assert!(states(&damaged).contains(&"failed"));
    assert_eq!(damaged["bundle"]["problems"].as_array().unwrap().len(), 1);
}

#[test]
fn a_report_is_written_when_a_run_is_interrupted() {
    let (gap, images) = two();
    gap.source.fault(Fault::on("GET", format!("/blobs/{}", images[1].layers()[0]), Effect::Stall(10)));
    let mut run = gap.spawn(&[&["export", "images.txt", "-o", "out.tar.zst"][..], &REPORT].concat());
    run.until("the silence", || gap.source.faulted() > 0);
    run.signal(Signal::INT);
    assert_eq!(run.wait().code, 130);
    let stopped = report(&gap);
    assert_eq!(stopped["exitCode"], 130);
    assert_eq!(states(&stopped), ["not-tried", "not-tried"]);
    assert!(stopped["error"].as_str().unwrap().contains("run the same command again"));
}

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}", ran.shown());
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
}

#[test]
fn results_are_one_json_value_on_request() {
    let (gap, images) = two();
    let as_json = ["--format", "json"];
    let export = json(&gap.export(&[&["-o", "out.tar.zst"][..], &as_json].concat()));
    assert_eq!(states(&export), ["done", "done"]);
    let inspect = json(&gap.cli.run(&[&["inspect", "out.tar.zst"][..], &as_json].concat()));
    assert_eq!(inspect["bundle"]["images"][1]["digest"], images[1].digest.to_string());
    let verify = json(&gap.cli.run(&[&["verify", "out.tar.zst"][..], &as_json].concat()));
    assert_eq!(verify["bundle"]["problems"], serde_json::json!([]));
    assert_eq!(verify["bundle"]["id"], export["bundle"]["id"]);
    let plan = json(&gap.import("out.tar.zst", &[&["--dry-run"][..], &as_json].concat()));
    assert_eq!(states(&plan), ["not-tried", "not-tried"]);
    assert!(gap.destination.manifest("team/a", "1").is_none());
    let import = json(&gap.import("out.tar.zst", &as_json));
    assert_eq!(states(&import), ["done", "done"]);
}

#[test]
fn progress_as_json_is_nothing_but_json_lines() {
    let (gap, images) = two();
    gap.export(&["-o", "out.tar.zst"]);
    gap.destination.put_image("team/a", "1", &images[1]);
    let ran = gap.import("out.tar.zst", &["--progress", "json", "-v"]);
    let events: Vec<Value> = ran
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(events.iter().all(|event| event["event"].is_string()));
    let told = |kind: &str, text: &str| {
        events.iter().any(|event| event["event"] == kind && event["text"].as_str().unwrap().contains(text))
    };
    assert!(told("message", "is replaced"), "{}", ran.stderr);
    assert!(told("detail", "team/b:1 has arrived"), "{}", ran.stderr);
    // The error at the end is one of them.
    let ran = gap.try_import("missing.tar.zst", &["--progress", "json"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    let last: Value = serde_json::from_str(ran.stderr.trim_end()).unwrap();
    assert_eq!((&last["event"], &last["exitCode"]), (&"error".into(), &1.into()));
    assert!(last["text"].as_str().unwrap().contains("missing.tar.zst"));
}

#[test]
fn no_progress_means_silence() {
    let (gap, images) = two();
    let none = ["--progress", "none"];
    let ran = gap.export(&[&["-o", "out.tar.zst"][..], &none].concat());
    assert_eq!(ran.stderr, "");
    gap.destination.put_image("team/a", "1", &images[1]);
    let ran = gap.import("out.tar.zst", &none);
    assert_eq!(ran.stderr, "");
    let ran = gap.cli.run(&[&["verify", "out.tar.zst"][..], &none].concat());
    assert_eq!(ran.stderr, "");
}

const PASSWORD: &str = "s3cr3t-pa55";

/// In none of what a run says, nor in any file it writes, is the password, plain or as it travels.
fn assert_kept(gap: &Gap, ran: &Ran) {
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("me:{PASSWORD}"));
    let mut said = vec![ran.stdout.clone(), ran.stderr.clone()];
    for name in gap.files() {
        said.push(String::from_utf8_lossy(&gap.read(&name)).into_owned());
    }
    for text in said {
        assert!(!text.contains(PASSWORD), "{text}");
        assert!(!text.contains(&encoded), "{text}");
    }
}

#[test]
fn a_password_typed_into_an_address_is_not_repeated() {
    let cli = Cli::new();
    let login = "me:s3cr3t-Pa55@r.example.com";
    let (source, image) = (format!("docker.io={login}"), format!("{login}/x:1"));
    let url = format!("https://{login}/x");
    for arguments in [
        vec!["export", "list.txt", "--source", &source],
        vec!["export", &image],
        vec!["export", &url, "-o", "x"],
        vec!["import", "x", "-d", login],
        vec!["import", "x", "-d", &url],
        vec!["import", "x", "-d", "r.io", "--name", &image],
        vec!["import", "x", "-d", "r.io", "--plain-http", login],
        vec!["import", "x", "-d", "r.io", "--jobs", login],
        vec!["import", "x", login, "-d", "r.io"],
        vec!["login", login],
        vec!["verify", &image],
        vec!["values", "x", "-d", login],
        vec![login],
    ] {
        let ran = cli.run(&arguments);
        assert!(ran.code == 1 || ran.code == 2, "{}", ran.shown());
        assert!(!ran.shown().contains("s3cr3t"), "{arguments:?}: {}", ran.shown());
    }
}

/// Ways to hand over a password: environment, arguments, stdin.
type Way = (Vec<(&'static str, &'static str)>, Vec<&'static str>, &'static str);

#[test]
fn a_password_is_never_shown_however_it_came() {
    let ways: [Way; 3] = [
        (vec![], vec!["-u", "me", "--password-stdin"], PASSWORD),
        (vec![("DST_REGISTRY_USERNAME", "me"), ("DST_REGISTRY_PASSWORD", PASSWORD)], vec![], ""),
        (vec![], vec!["--auth-file", ".auth/auth.json"], ""),
    ];
    let folder = tempfile::tempdir().unwrap();
    let users = htpasswd(folder.path(), "me", PASSWORD);
    for (environment, arguments, stdin) in ways {
        let (mut gap, _) = two();
        for (key, value) in environment {
            let cli = std::mem::replace(&mut gap.cli, Cli::new());
            gap.cli = cli.env(key, value);
        }
        gap.export(&["-o", "out.tar.zst"]);
        gap.destination = TestRegistry::start_with_users(&users);
        let host = gap.destination.host();
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("me:{PASSWORD}"));
        let auth = serde_json::json!({ "auths": { &host: { "auth": encoded } } });
        std::fs::create_dir(gap.path(".auth")).unwrap();
        std::fs::write(gap.path(".auth/auth.json"), auth.to_string()).unwrap();
        let command =
            ["import", "out.tar.zst", "-d", &host, "-vv", "--retries", "1", "--report", "report.json"];
        let command = [&command[..], &arguments].concat();

        // A registry that repeats the request, as some proxies do.
        let echo = serde_json::json!({ "errors": [{
            "code": "DENIED", "message": format!("not today, me with {PASSWORD} ({encoded})"), "detail": PASSWORD,
        }] });
        // Each of these comes after the registry has received the secret.
        for (method, status, place) in
            [("PATCH", 500, "/blobs/"), ("PUT", 401, "/blobs/"), ("PUT", 403, "/manifests/")]
        {
            let warning = vec![("warning", format!("299 - \"{PASSWORD}\""))];
            let answer = Effect::Answer(status, warning, echo.to_string());
            gap.destination.fault(Fault::on(method, place, answer).always());
            let ran = gap.fed(&command, stdin.as_bytes());
            assert_ne!(ran.code, 0, "{}", ran.shown());
            assert!(ran.stderr.contains("not today"), "{}", ran.shown());
            assert_kept(&gap, &ran);
            gap.destination.heal();
        }
        let ran = gap.fed(&command, stdin.as_bytes());
        assert_eq!(ran.code, 0, "{}", ran.shown());
        assert_kept(&gap, &ran);
    }
}
