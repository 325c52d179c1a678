//! `bundle catalog discover`: from manifests and charts to a catalog that exports.

use std::os::unix::fs::PermissionsExt;

use crate::support::cli::{Cli, Ran};
use crate::support::gap::Gap;
use crate::support::images::image;

fn deployment(name: &str, image: &str) -> String {
    format!(
        "---\n# Source: shop/templates/{name}.yaml\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name} }}\n\
         spec: {{ template: {{ spec: {{ containers: [{{ name: c, image: '{image}' }}] }} }} }}\n"
    )
}

fn discover(gap: &Gap, arguments: &[&str]) -> Ran {
    gap.cli.run(&[&["catalog", "discover"], arguments].concat())
}

#[test]
fn manifests_from_stdin_become_a_catalog_that_exports() {
    let mut gap = Gap::new();
    gap.image("team/app", "1.2.3", &image(1)).image("team/tool", "1", &image(2));
    let host = gap.source.host();
    let text = deployment("app", &format!("{host}/team/app:1.2.3"))
        + &deployment("tool", &format!("{host}/team/tool:1"));
    let ran = gap.fed(&["catalog", "discover", "-"], text.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.snapshot("discover", "stdin", &ran.shown());
    std::fs::write(gap.path("shop.yaml"), &ran.stdout).unwrap();
    let ran = gap.cli.run(&["export", "shop.yaml", "--no-sidecar"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(gap.path("shop.tar.zst").is_file());
}

#[test]
fn folders_are_searched_and_the_catalog_among_them_is_not() {
    let gap = Gap::new();
    for folder in ["m/deep", "m/chart/templates"] {
        std::fs::create_dir_all(gap.path(folder)).unwrap();
    }
    let write = |name: &str, text: &str| std::fs::write(gap.path(name), text).unwrap();
    write("m/a.yaml", &deployment("a", "r.io/a:1"));
    write("m/deep/b.YML", &deployment("b", "r.io/b:1").replace('\n', "\r\n"));
    write("m/c.json", r#"{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"image":"r.io/c:1"}]}}"#);
    write("m/notes.txt", "r.io/no:1");
    write("m/chart/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n");
    write("m/chart/templates/d.yaml", "image: {{ .Values.image }}\n");
    let ran = discover(&gap, &["m", "-o", "m/found.yaml"]);
    assert_eq!(ran.code, 7, "templates may hide images: {}", ran.shown());
    let first = gap.read("m/found.yaml");
    assert_eq!(discover(&gap, &["m", "-o", "m/found.yaml"]).code, 7);
    assert_eq!(gap.read("m/found.yaml"), first);
    gap.snapshot(
        "discover",
        "folder",
        &format!("{}\n--- m/found.yaml\n{}", ran.shown(), String::from_utf8(first).unwrap()),
    );
    // An existing file is kept without --force.
    write("mine.yaml", "mine");
    let ran = discover(&gap, &["m/a.yaml", "-o", "mine.yaml"]);
    assert_eq!((ran.code, gap.read("mine.yaml")), (1, b"mine".to_vec()));
    assert_eq!(discover(&gap, &["m/a.yaml", "-o", "mine.yaml", "--force"]).code, 0);
    assert_eq!(discover(&gap, &["m/a.yaml", "-o", "m/a.yaml", "--force"]).code, 2);
    assert_eq!(discover(&gap, &["nosuch"]).code, 2);
}

#[test]
fn a_folder_with_a_kustomization_says_how_to_render_it() {
    let gap = Gap::new();
    std::fs::create_dir_all(gap.path("deploy/base")).unwrap();
    std::fs::write(gap.path("deploy/base/app.yaml"), deployment("app", "r.io/app:1")).unwrap();
    std::fs::write(gap.path("deploy/base/Kustomization"), "resources: [app.yaml]\n").unwrap();
    let images = "resources: [base]\nimages: [{name: r.io/app, newTag: '2'}]\n";
    std::fs::write(gap.path("deploy/kustomization.yml"), images).unwrap();
    let ran = discover(&gap, &["deploy"]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    gap.snapshot("discover", "kustomization", &ran.shown());
}

#[test]
fn an_archive_in_the_place_of_a_manifest_is_named() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    gap.export(&["-o", "out.tar.zst", "--no-sidecar"]);
    let ran = discover(&gap, &["out.tar.zst"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("out.tar.zst: it is a bundle, which is not searched"), "{}", ran.stderr);
}

#[test]
fn what_a_catalog_has_otherwise_is_told() {
    let gap = Gap::new();
    let text = deployment("a", "r.io/a:1") + &deployment("b", "r.io/b:1");
    std::fs::write(gap.path("m.yaml"), &text).unwrap();
    std::fs::write(gap.path("list.txt"), "r.io/b:1\nr.io/old:1\n").unwrap();
    let ran = discover(&gap, &["m.yaml", "--diff", "list.txt", "--exit-code"]);
    assert_eq!(ran.code, 8);
    gap.snapshot("discover", "diff", &ran.shown());
    assert_eq!(discover(&gap, &["m.yaml", "--diff", "list.txt"]).code, 0);
    std::fs::write(gap.path("list.txt"), "r.io/b:1\nr.io/a:1\n").unwrap();
    assert_eq!(discover(&gap, &["m.yaml", "--diff", "list.txt", "--exit-code"]).code, 0);
    assert_eq!(discover(&gap, &["m.yaml", "--diff", "nosuch@1"]).code, 2);
}

#[test]
fn json_has_every_place_and_all_that_is_unclear() {
    let gap = Gap::new();
    let text = deployment("a", "r.io/a:1") + &deployment("b", "{{ .Values.image }}") + "---\nkind: [\n";
    std::fs::write(gap.path("m.yaml"), text).unwrap();
    let ran = discover(&gap, &["m.yaml", "--format", "json"]);
    assert_eq!(ran.code, 7);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["images"][0]["image"], "r.io/a:1");
    assert_eq!(json["images"][0]["places"][0]["path"], "spec.template.spec.containers[0].image");
    assert_eq!((&json["unclear"][0]["line"], &json["hidingCount"]), (&12.into(), &2.into()));
}

#[test]
fn nothing_found_is_no_catalog() {
    let gap = Gap::new();
    for (text, hint) in
        [("a: 1\n", "helm template"), ("kind: [\n", "could not be read"), ("", "helm template")]
    {
        std::fs::write(gap.path("m.yaml"), text).unwrap();
        let ran = discover(&gap, &["m.yaml", "-o", "found.yaml"]);
        assert_eq!(ran.code, 2, "{text}: {}", ran.shown());
        assert!(ran.stderr.contains(hint), "{text}: {}", ran.stderr);
        assert_eq!(gap.files(), ["m.yaml"]);
    }
}

/// A gap whose `helm` notes its arguments, and says for each values file what is in it.
fn with_helm(script: &str) -> Gap {
    let mut gap = Gap::new();
    let tools = gap.path("tools");
    std::fs::create_dir(&tools).unwrap();
    let helm = tools.join("helm");
    std::fs::write(&helm, format!("#!/bin/sh\necho \"$@\" >>\"$HOME/helm.log\"\n{script}\n")).unwrap();
    std::fs::set_permissions(&helm, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    gap.cli = std::mem::replace(&mut gap.cli, Cli::new()).env("PATH", &path);
    gap
}

#[test]
fn a_chart_is_rendered_for_every_set_of_values() {
    let gap = with_helm("while [ $# -gt 0 ]; do [ \"$1\" = --values ] && cat \"$2\"; shift; done");
    let write = |name: &str, text: &str| std::fs::write(gap.path(name), text).unwrap();
    std::fs::create_dir_all(gap.path("shop/charts/kafka")).unwrap();
    write("shop/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 2.4.0\n");
    write(
        "shop/values.yaml",
        "global: { imageRegistry: '' }\nserver: { image: { registry: r.io, repository: a, tag: 9 } }\n",
    );
    write("shop/charts/kafka/values.yaml", "image: { registry: r.io, repository: kafka, tag: 1 }\n");
    write("small.yaml", &deployment("a", "r.io/a:1"));
    write("base.yaml", &deployment("kafka", "r.io/kafka:1"));
    write("large.yaml", &deployment("b", "r.io/b:1"));
    let arguments = [
        "--chart",
        "shop",
        "--values",
        "small.yaml",
        "--values",
        "base.yaml,large.yaml",
        "--helm-arg=--kube-version=1.30",
    ];
    let ran = discover(&gap, &[&arguments[..], &["-o", "found.yaml"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.snapshot("discover", "chart", &String::from_utf8(gap.read("found.yaml")).unwrap());
    let log = String::from_utf8(gap.read("helm.log")).unwrap();
    let calls: Vec<&str> = log.lines().collect();
    assert_eq!(
        calls,
        [
            "template shop --include-crds --values small.yaml --kube-version=1.30",
            "template shop --include-crds --values base.yaml --values large.yaml --kube-version=1.30",
        ]
    );
}

#[test]
fn half_a_rendering_is_no_catalog() {
    let gap = with_helm("cat half.yaml; echo 'Error: nil pointer in shop/templates/b.yaml' >&2; exit 1");
    std::fs::create_dir(gap.path("shop")).unwrap();
    std::fs::write(gap.path("shop/Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 2.4.0\n").unwrap();
    std::fs::write(gap.path("half.yaml"), deployment("a", "r.io/a:1")).unwrap();
    let ran = discover(&gap, &["--chart", "shop", "-o", "found.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(
        ran.stderr.contains("nil pointer") && ran.stderr.contains("helm template shop"),
        "{}",
        ran.stderr
    );
    assert!(!gap.path("found.yaml").exists());
    // A chart in a repository is fetched first.
    let ran =
        discover(&gap, &["--chart", "kafka", "--repo", "https://charts.example", "--chart-version", "1.0.0"]);
    assert_eq!(ran.code, 1);
    let log = String::from_utf8(gap.read("helm.log")).unwrap();
    assert!(log.contains("pull kafka --repo https://charts.example --version 1.0.0 --destination "), "{log}");
    assert_eq!(discover(&gap, &["m.yaml", "--values", "x"]).code, 2, "values of no chart");
}

#[test]
fn a_machine_without_helm_says_what_to_do() {
    let gap = Gap::new();
    let mut command = gap.cli.command(&["catalog", "discover", "--chart", "nosuch"]);
    let output = command.env("PATH", gap.path("")).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(
        words.contains("helm is not installed")
            && words.contains("helm template … | bundle catalog discover -"),
        "{words}"
    );
}

#[test]
fn inputs_without_an_end_come_to_one() {
    let gap = Gap::new();
    let ran = gap.cli.run(&["catalog", "discover", "/dev/zero"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    // What was found before it counts.
    let mut text =
        b"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: r.io/a/b:1\n---\n\0".to_vec();
    text.resize(text.len() + (80 << 20), b'x');
    std::fs::write(gap.path("long.yaml"), text).unwrap();
    let ran = gap.cli.run(&["catalog", "discover", "long.yaml"]);
    assert_eq!(ran.code, 7, "{}", ran.shown());
    assert!(ran.stdout.contains("r.io/a/b:1"), "{}", ran.shown());
    assert!(ran.stderr.contains("was not read"), "{}", ran.shown());
}
