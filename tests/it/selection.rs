//! `--only…`, `--skip…` and `--add`: which images of a catalog are exported, and which in addition.

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{artifact, image};
use crate::support::registry::Fault;

/// A catalog of four rows and three images.
fn shop() -> Gap {
    let mut gap = Gap::new();
    for (seed, name) in (1..).zip(["server", "worker", "debug"]) {
        gap.image(&format!("shop/{name}"), "1", &image(seed));
    }
    let host = gap.source.host();
    let text = format!(
        "name: shop\nversion: 1\nimages:\n\
         - {{ chart: shop, component: Server, image: '{host}/shop/server:1', tag: server.tag }}\n\
         - {{ chart: shop, component: Worker, image: '{host}/shop/worker:1', tag: worker.tag }}\n\
         - {{ chart: tools, component: Server, image: '{host}/shop/server:1', tag: tools.tag, labels: [optional, old] }}\n\
         - {{ chart: tools, component: Debug, image: '{host}/shop/debug:1', labels: optional }}\n"
    );
    std::fs::write(gap.path("shop.yaml"), text).unwrap();
    gap
}

/// The images of an export with `arguments`, without their host, and the charts of its rows.
fn exported(gap: &Gap, arguments: &[&str]) -> (Vec<String>, Vec<String>) {
    let ran = gap.cli.run(&[&["export", "shop.yaml", "-o", "out.tar.zst", "--force"], arguments].concat());
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.shown());
    let ran = gap.cli.run(&["inspect", "out.tar.zst", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let images = json["bundle"]["images"].as_array().unwrap();
    let names = images.iter().map(|image| text(&image["name"]).split_once('/').unwrap().1.to_owned());
    let rows = json["bundle"]["catalog"]["entries"].as_array().unwrap().iter();
    for image in images {
        let entries = image["entries"].as_array().unwrap();
        assert!(
            !entries.is_empty() && entries.iter().all(|at| at.as_u64().unwrap() < rows.len() as u64),
            "{json:#}"
        );
    }
    (names.collect(), rows.map(|row| text(&row["chart"])).collect())
}

#[test]
fn rows_are_chosen_by_image_chart_component_and_label() {
    let gap = shop();
    let (server, worker, debug) = ("shop/server:1", "shop/worker:1", "shop/debug:1");
    for (arguments, images, charts) in [
        (&[][..], &[server, worker, debug][..], &["shop", "shop", "tools", "tools"][..]),
        (&["--only", "*/worker*"], &[worker], &["shop"]),
        (&["--only", "shop/w*", "--only", "*debug:?"], &[worker, debug], &["shop", "tools"]),
        (&["--skip", "*debug*"], &[server, worker], &["shop", "shop", "tools"]),
        (&["--only-chart", "tools"], &[server, debug], &["tools", "tools"]),
        (&["--only-component", "Server"], &[server], &["shop", "tools"]),
        (&["--only-component", "Server", "--only-chart", "shop"], &[server], &["shop"]),
        (&["--only-label", "optional"], &[server, debug], &["tools", "tools"]),
        (&["--skip-label", "optional", "--skip-label", "nosuch"], &[server, worker], &["shop", "shop"]),
    ] {
        let (names, rows) = exported(&gap, arguments);
        let text = |texts: &[String]| texts.join(" ");
        assert_eq!((text(&names), text(&rows)), (images.join(" "), charts.join(" ")), "{arguments:?}");
    }
}

#[test]
fn a_choice_of_nothing_is_a_slip() {
    let gap = shop();
    for (arguments, says) in [
        (&["--only-chart", "shopp"][..], "--only-chart shopp matches nothing (available: shop, tools)"),
        (&["--only-component", "X"], "Debug, Server, Worker)"),
        (&["--only-label", "new"], "old, optional)"),
        (&["--only", "*x*"], "--only *x* matches none of"),
        (&["--skip", "*x*"], "--skip *x* matches none"),
        (&["--only-chart", "shop", "--only-label", "optional"], "no row of the catalog"),
        (&["--add", "r.io/A:1"], "--add r.io/A:1: line 1: repository"),
    ] {
        let ran = gap.cli.run(&[&["export", "shop.yaml", "-o", "out.tar.zst"], arguments].concat());
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.shown());
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(gap.source.log().len(), 0);
}

#[test]
fn one_more_image_or_artifact_comes_along() {
    let gap = shop();
    let host = gap.source.host();
    gap.source.put_image("team/extra", "2", &image(9));
    // A chart in a registry is an artifact like others, and the `+` of its version is `_` in its tag.
    let chart = artifact(&image(1), "application/vnd.cncf.helm.config.v1+json", b"chart");
    gap.source.put_image("charts/shop", "1.0.0_build.5", &chart);
    let (extra, oci) = (format!("{host}/team/extra:2"), format!("oci://{host}/charts/shop:1.0.0+build.5"));
    let (images, _) = exported(&gap, &["--only-chart", "shop", "--add", &extra, "--add", &oci]);
    assert_eq!(images, ["shop/server:1", "shop/worker:1", "team/extra:2", "charts/shop:1.0.0_build.5"]);
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "charts/shop", "1.0.0_build.5", &chart);
    // The same works in a list, and in a lock.
    std::fs::write(gap.path("list.txt"), &oci).unwrap();
    let ran = gap.cli.run(&["catalog", "lock", "list.txt", "--add", &extra]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    for arguments in
        [&["export", "--locked"][..], &["export", "list.txt", "--add", &extra, "--locked", "--force"]]
    {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.shown());
    }
    let ran = gap.cli.run(&["export", "--locked", "--add", "r.io/other:1"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("add it to the lock"), "{}", ran.stderr);
}

/// What a run says of itself is about what was asked for.
#[test]
fn an_import_of_some_counts_those() {
    let gap = shop();
    exported(&gap, &[]);
    let ran = gap.import("out.tar.zst", &["--only", "*/shop/worker:1"]);
    assert!(ran.stdout.contains("1 image sent, 0 there already; "), "{}", ran.shown());
    let dry = gap.import("out.tar.zst", &["--only", "*/shop/server:1", "--dry-run"]);
    assert!(dry.stdout.contains("login succeeds for the one repository;"), "{}", dry.shown());
    let all = gap.import("out.tar.zst", &["--dry-run"]);
    assert!(all.stdout.contains("login succeeds for all 2 repositories;"), "{}", all.shown());
    let there = gap.import("out.tar.zst", &["--only", "*/shop/worker:1", "--dry-run"]);
    assert!(there.stdout.contains("nothing to send"), "{}", there.shown());
    gap.destination.fault(Fault::status("PUT", "/shop/server/manifests/", 400).always());
    let ran = gap.try_import("out.tar.zst", &["--only", "*/shop/server:1"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("error: 1 image of 1 failed:"), "{}", ran.shown());
}
