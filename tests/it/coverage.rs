//! `bundle verify --manifests`: what rendered manifests name is in the bundle, and in the registry.

use crate::support::cli::Ran;
use crate::support::gap::Gap;
use crate::support::images::{image, multi_platform};
use crate::support::registry::Fault;

/// Two images, exported.
fn shop() -> Gap {
    let mut gap = Gap::new();
    gap.image("shop/server", "1", &multi_platform(1)).image("shop/worker", "2", &image(7));
    gap.export(&["-o", "shop.tar.zst", "--no-sidecar"]);
    gap
}

/// Manifests that name these images, in containers; after `?` in an argument.
fn manifests(gap: &Gap, names: &[String]) {
    let one = |(at, name): (usize, &String)| {
        let (image, argument) = match name.strip_prefix('?') {
            Some(name) => (format!("{}/shop/server:1", gap.source.host()), format!("--image={name}")),
            None => (name.clone(), String::new()),
        };
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{ name: p{at} }}\nspec: {{ containers: [{{ name: c, image: '{image}', args: ['{argument}'] }}] }}\n"
        )
    };
    let text: String = names.iter().enumerate().map(one).collect();
    std::fs::write(gap.path("m.yaml"), text).unwrap();
}

fn verify(gap: &Gap, arguments: &[&str]) -> Ran {
    gap.cli.run(&[&["verify", "shop.tar.zst", "--manifests", "m.yaml"], arguments].concat())
}

fn at(host: &str, paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| format!("{host}/{path}")).collect()
}

#[test]
fn names_of_the_chart_and_of_the_destination_are_both_proven() {
    let gap = shop();
    let (source, inside) = (gap.source.host(), gap.destination.host());
    manifests(&gap, &at(&source, &["shop/server:1", "shop/worker:2"]));
    assert_eq!(verify(&gap, &["--names-only"]).code, 0);
    // The destination is guessed from the names, and printed.
    manifests(&gap, &at(&format!("{inside}/mirror/x"), &["shop/server:1", "shop/worker:2"]));
    let ran = verify(&gap, &[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.snapshot("coverage", "guessed", &ran.shown());
    // With the registry: first nothing is there, then everything.
    let to = format!("{inside}/mirror/x");
    let ran = verify(&gap, &["-d", &to]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    gap.snapshot("coverage", "not_in_the_registry", &ran.shown());
    let ran = gap.cli.run(&["import", "shop.tar.zst", "-d", &to]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let ran = verify(&gap, &["-d", &to]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    // Nodes with mirrors keep the chart's names, and pull from there all the same.
    manifests(&gap, &at(&source, &["shop/server:1"]));
    gap.destination.forget();
    assert_eq!(verify(&gap, &["-d", &to, "--names-only"]).code, 0);
    assert_eq!(gap.destination.count("HEAD", "/v2/mirror/x/shop/server/manifests/1"), 1);
    // Kept hosts are known from the flag.
    manifests(&gap, &at(&format!("{to}/{}", source.replace(':', "-")), &["shop/server:1"]));
    assert_eq!(verify(&gap, &["-d", &to, "--names-only"]).code, 3);
    assert_eq!(gap.cli.run(&["import", "shop.tar.zst", "-d", &to, "--keep-host", "--force"]).code, 0);
    assert_eq!(verify(&gap, &["-d", &to, "--names-only", "--keep-host"]).code, 0);
}

#[test]
fn digests_are_those_of_the_bundle_and_of_its_platforms() {
    let gap = shop();
    let source = gap.source.host();
    let index = multi_platform(1);
    let pinned = |digest: &dyn std::fmt::Display| format!("{source}/shop/server@{digest}");
    manifests(
        &gap,
        &[
            pinned(&index.digest),
            pinned(&index.children[1].digest),
            format!("{source}/shop/server:9@{}", index.digest),
        ],
    );
    assert_eq!(verify(&gap, &["--names-only"]).code, 0);
    manifests(
        &gap,
        &[pinned(&image(9).digest), format!("{source}/shop/server:2"), format!("{source}/shop/other:1")],
    );
    let ran = verify(&gap, &["--names-only"]);
    assert_eq!(ran.code, 3);
    gap.snapshot("coverage", "other_versions", &ran.shown());
    // The tag is there, but with other content.
    let to = gap.destination.host();
    gap.import("shop.tar.zst", &[]);
    manifests(&gap, &at(&to, &["shop/worker:2"]));
    assert_eq!(verify(&gap, &["-d", &to, "--names-only"]).code, 0);
    gap.destination.put_image("shop/worker", "2", &image(8));
    let ran = verify(&gap, &["-d", &to, "--names-only"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(
        ran.stderr.contains(&image(8).digest.to_string())
            && ran.stderr.contains(&image(7).digest.to_string()),
        "{}",
        ran.stderr
    );
    gap.destination.fault(Fault::status("*", "/shop/worker/", 401).always());
    assert_eq!(verify(&gap, &["-d", &to, "--names-only"]).code, 4);
}

#[test]
fn one_odd_name_does_not_pass_because_its_path_ends_alike() {
    let gap = shop();
    let inside = gap.destination.host();
    let mut names = at(&format!("{inside}/mirror"), &["shop/server:1", "shop/worker:2"]);
    names.push("ghcr.io/other/shop/worker:2".to_owned());
    manifests(&gap, &names);
    let ran = verify(&gap, &["--names-only"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(
        ran.stderr.contains("1 of 3 images") && ran.stderr.contains("ghcr.io/other/shop/worker:2"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_is_only_probable_is_told_and_counts_when_asked_for() {
    let gap = shop();
    manifests(&gap, &["?quay.io/agent/x:1".to_owned()]);
    let ran = verify(&gap, &["--names-only"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("warning: quay.io/agent/x:1 may be needed"), "{}", ran.stderr);
    assert_eq!(verify(&gap, &["--names-only", "--strict"]).code, 3);
}

#[test]
fn what_cannot_be_read_proves_nothing() {
    let gap = shop();
    for (text, code) in [("kind: [\n", 3), ("image: '{{ .Values.x }}'\n", 3), ("a: 1\n", 2), ("", 2)] {
        std::fs::write(gap.path("m.yaml"), text).unwrap();
        let ran = verify(&gap, &["--names-only"]);
        assert_eq!(ran.code, code, "{text}: {}", ran.shown());
    }
    assert_eq!(gap.cli.run(&["verify", "shop.tar.zst", "--manifests", "nosuch.yaml"]).code, 2);
    assert_eq!(
        gap.cli.run(&["verify", "shop.tar.zst", "-d", "reg.local"]).code,
        2,
        "without manifests there is nothing to ask for"
    );
    assert_eq!(
        gap.cli.run(&["verify", "shop.tar.zst", "--manifests", "shop.tar.zst"]).code,
        3,
        "a bundle is no manifest"
    );
}

#[test]
fn damage_and_gaps_are_told_together() {
    let gap = shop();
    manifests(&gap, &["r.io/none:1".to_owned()]);
    let ran = gap.cli.run(&[
        "verify",
        "shop.tar.zst",
        "--manifests",
        "m.yaml",
        "--format",
        "json",
        "--report",
        "r.json",
    ]);
    assert_eq!(ran.code, 3);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["bundle"]["manifests"]["missing"][0]["image"], "r.io/none:1");
    let mut bytes = gap.read("shop.tar.zst");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(gap.path("shop.tar.zst"), bytes).unwrap();
    let ran = verify(&gap, &[]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.stderr.contains("damaged in 1 place") && ran.stderr.contains("r.io/none:1"),
        "{}",
        ran.stderr
    );
}
