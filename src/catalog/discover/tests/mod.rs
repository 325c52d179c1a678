//! Texts as people have them, and what is found in each.

mod lists;
mod parts;
mod siblings;
mod versions;

use super::*;

fn discovered(text: &str) -> Discovery {
    let mut found = Discovery::default();
    read(&mut found, "x.yaml", text.as_bytes()).unwrap();
    found
}

/// Every image and everything unclear, a line each.
fn shown(found: &Discovery) -> String {
    let mut lines = Vec::new();
    for (name, one) in &found.images {
        lines.push(format!("{:?} {name} ({})", one.rank, one.count));
        lines.extend(one.places.iter().map(|place| format!("    {place}")));
    }
    lines.extend(
        found.unclear.iter().map(|one| format!("{} {one}", if one.hides { "HIDES" } else { "unclear" })),
    );
    lines.push(format!("{} objects, {} secrets", found.objects, found.secrets));
    lines.join("\n")
}

/// Every image, and why others are unclear.
fn brief(found: &Discovery) -> Vec<String> {
    let unclear =
        found.unclear.iter().map(|one| format!("{} {}", if one.hides { "HIDES" } else { "?" }, one.why));
    names(found).into_iter().chain(unclear).collect()
}

fn names(found: &Discovery) -> Vec<String> {
    found.images.keys().map(ToString::to_string).collect()
}

#[test]
fn workloads_lists_and_custom_resources() {
    let text = r#"---
# Source: shop/charts/kafka/templates/statefulset.yaml
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: kafka, namespace: shop, labels: { image: r.io/label:1 } }
spec:
  template:
    metadata:
      annotations:
        sidecar.example.com/image: org/sidecar
        kubectl.kubernetes.io/last-applied-configuration: '{"image":"r.io/old:1"}'
    spec:
      initContainers:
      - { name: wait, image: dokkupaas/wait }
      containers:
      - name: kafka
        image: docker.io/bitnami/kafka:3.6.0
        args: ["--reloader-image", "org/reloader", --proxy=quay.io/x/proxy:2, -c, "run r.io/script:1 && sleep 1"]
        env:
        - { name: RELATED_IMAGE_AGENT, value: "r.io/agent@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
        - { name: KAFKA, value: "kafka:9092" }
        - { name: TOOL_IMAGE, value: $(REGISTRY)/tool }
        - { name: POD, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
      ephemeralContainers:
      - { name: debug, image: "busybox:1.36" }
      volumes:
      - name: model
        image: { reference: "quay.io/models/llm:v1", pullPolicy: IfNotPresent }
status: { containerStatuses: [{ image: r.io/status:1 }] }
---
apiVersion: v1
kind: List
items:
- apiVersion: batch/v1
  kind: CronJob
  metadata: { name: backup }
  spec: { jobTemplate: { spec: { template: { spec: { containers: [{ name: b, image: r.io/backup:1.0.0 }] } } } } }
- apiVersion: v1
  kind: Secret
  metadata: { name: s }
  stringData: { image: r.io/secret:1 }
---
kind: PodList
apiVersion: v1
items:
- metadata: { name: one }
  spec: { containers: [{ name: a, image: r.io/listed:1.0.0 }] }
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: { name: p }
spec:
  image: quay.io/prometheus/prometheus:v2.50.0
  baseImage: quay.io/prometheus/alertmanager
  version: v0.27.0
  containers: [{ name: x, image: r.io/in-cr:1 }]
  thanos: { image: { registry: quay.io, repository: thanos/thanos, tag: v0.34.0 } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: config }
data:
  sidecar.yaml: |
    template:
      image: "r.io/nested:1"
      command: [x]
  script: |
    #!/bin/sh
    docker run quay.io/tools/run:1.2
    image: {{ .Values.image }}
  image: org/plain
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: crd }
spec:
  versions:
  - schema: { openAPIV3Schema: { properties: { image: { type: string, description: "such as r.io/example:1", default: "quay.io/crd/default:1" } } } }
"#;
    insta::assert_snapshot!(shown(&discovered(text)));
}

#[test]
fn values_that_stand_in_a_text_are_read_as_values() {
    let text = "\
apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata: {name: traefik}
spec:
  valuesContent: |-
    image:
      repository: rancher/mirrored-traefik
      tag: 2.11.8
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop}
spec:
  source:
    helm:
      values: |
        image: {registry: quay.io, repository: shop/server, tag: \"2.4\"}
      notes: |
        image: quay.io/shop/note:1
        it is not YAML: nor: this, but quay.io/shop/word:1 is
      run: |
        docker run quay.io/shop/key:1 --label: x
---
apiVersion: x.io/v1
kind: Map
metadata: {name: m, annotations: {example.com/name: x}}
images: {quay.io/shop/mapped:1: used}
";
    insta::assert_snapshot!(shown(&discovered(text)));
}

#[test]
fn lines_are_those_of_the_file_in_texts_too() {
    let text = r#"apiVersion: v1
kind: ConfigMap
data:
  literal: |
    x r.io/x:5
  stripped: |-

    x r.io/x:8
      y r.io/x:9
  indented: |2
    x r.io/x:11
  data: |

    a: b
    # a comment
    c: r.io/x:16
    d: |
      x r.io/x:18
  json: "{\n\n\"a\": \"r.io/x:19\",\n\"b\": \"x\\ny r.io/x:19\"}"
  words: "x\n\n r.io/x:20"
  folded: >
    x r.io/x:22
"#;
    for (name, found) in &discovered(text).images {
        let line = name.tag().unwrap().to_string();
        assert!(found.places.iter().all(|place| place.line.to_string() == line), "{name}: {found:?}");
    }
    assert_eq!(discovered(text).images.len(), 9);
}

#[test]
fn what_reads_as_yaml_by_chance_is_still_looked_through() {
    let text = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data:
  template: |
    image: {{ .Values.image }}
    sidecar: r.io/sidecar:1
---
apiVersion: x.io/v1
kind: Custom
metadata: {name: x}
spec: {image: {{ .Values.image }}, other: r.io/other:1}
";
    insta::assert_snapshot!(shown(&discovered(text)));
}

#[test]
fn values_and_charts() {
    let values = r#"
global:
  imageRegistry: ""
server:
  image: { registry: quay.io, repository: shop/server, tag: 2.40 }
worker:
  image: { repository: quay.io/shop/worker, tag: "", pullPolicy: Always }
elasticsearch:
  image: docker.elastic.co/elasticsearch/elasticsearch
  imageTag: "7.4.1"
exporter:
  image: prom/exporter:v1.2.3
pinned:
  image: { registry: r.io, repository: x/pinned, digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
git: { repository: https://github.com/x/y, tag: v1 }
"#;
    let found = discovered(values);
    insta::assert_snapshot!("values", shown(&found));
    assert!(found.registry_override);
    let server = found.value_paths.iter().find(|paths| paths.repository.path() == "shop/server").unwrap();
    assert_eq!(server.registry_path.as_deref(), Some("server.image.registry"));
    assert_eq!(server.repository_path, "server.image.repository");
    assert_eq!(server.tag_path.as_deref(), Some("server.image.tag"));
    let chart = "apiVersion: v2\nname: shop\nversion: 1.2.3\ndependencies: [{ name: x, repository: 'https://charts.io', version: 1 }]\n\
annotations:\n  artifacthub.io/images: |\n    - name: a\n      image: quay.io/a/a:1\n  images: |\n    - name: b\n      image: docker.io/bitnami/b:2\n";
    let found = discovered(chart);
    insta::assert_snapshot!("chart", shown(&found));
    assert_eq!(found.charts, [("shop".to_owned(), "1.2.3".to_owned())]);
}

#[test]
fn values_of_sub_charts_have_the_paths_of_the_whole_chart() {
    let mut found = Discovery::default();
    let root =
        b"apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies:\n- { name: kafka, alias: broker }\n";
    let image =
        |repository: &str| format!("image: {{ registry: docker.io, repository: {repository}, tag: 1 }}\n");
    let (kafka, common) = (image("bitnami/kafka"), image("bitnami/common"));
    let files: [(&str, &[u8]); 5] = [
        ("charts/kafka/charts/common/values.yaml", common.as_bytes()),
        ("charts/kafka/values.yaml", kafka.as_bytes()),
        (
            "charts/kafka/Chart.yaml",
            b"apiVersion: v2\nname: kafka\nversion: 2.0.0\nannotations: { images: '- image: r.io/k:1' }",
        ),
        ("Chart.yaml", root),
        ("values.yaml", b"global: { imageRegistry: }\n"),
    ];
    read_chart(&mut found, "shop", &files).unwrap();
    let paths: Vec<&str> = found.value_paths.iter().map(|paths| paths.repository_path.as_str()).collect();
    assert_eq!(paths, ["broker.image.repository", "broker.common.image.repository"]);
    assert_eq!(names(&found), ["r.io/k:1"]);
    assert_eq!(found.charts[0], ("shop".to_owned(), "1.0.0".to_owned()));
    assert!(found.registry_override);
    for (path, _) in files {
        assert!(is_about_a_chart(path), "{path}");
    }
    for path in [
        "templates/values.yaml",
        "charts/kafka/templates/Chart.yaml",
        "charts/values.yaml",
        "values.schema.json",
    ] {
        assert!(!is_about_a_chart(path), "{path}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_costs_nothing_else() {
    let pod = |image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - name: c\n    image: {image}\n"
        )
    };
    let text = [
        pod("r.io/first:1").replace('\n', "\r\n"),
        "kind: Pod\n{{- if .Values.x }}\nspec: {{ .Values.spec }}\n{{- end }}\n".to_owned(),
        pod("'{{ .Values.image }}:1'"),
        pod("r.io/A:1"),
        pod("\"\""),
        pod("r.io/one:1\n    image: r.io/two:1"),
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: none\n".to_owned(),
        "a: [1, 2\nb: c\n".to_owned(),
        "Error: chart not found\n".to_owned(),
        "a: *nobody\n".to_owned(),
        "\n# only a comment\n".to_owned(),
        "a: \u{0}\n".to_owned(),
        "null\n".to_owned(),
        pod("auto").replace("name: c", "name: istio-proxy"),
        pod("r.io/last:1"),
    ]
    .join("---\n");
    let found = discovered(&text);
    insta::assert_snapshot!(shown(&found));
    assert!(names(&found).contains(&"r.io/last:1".to_owned()));
}

#[test]
fn anchors_are_followed_and_bombs_are_not() {
    let text = "x-image: &i r.io/a:1\nx: &base { image: r.io/b:1 }\n\
kind: Deployment\napiVersion: apps/v1\nmetadata: { name: d }\nspec:\n  template:\n    spec:\n      containers:\n      - { name: a, image: *i }\n      - { <<: *base, name: b }\n";
    insta::assert_snapshot!("anchors", shown(&discovered(text)));
    let mut bomb = "a0: &a0 [r.io/x:1, r.io/y:1]\n".to_owned();
    for n in 1..40 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb = format!("{bomb}a{n}: &a{n} [{aliases}]\n");
    }
    let began = std::time::Instant::now();
    let found = discovered(&format!(
        "{bomb}---\nkind: Pod\napiVersion: v1\nspec: {{ containers: [{{ image: r.io/after:1 }}] }}\n"
    ));
    assert!(names(&found).contains(&"r.io/after:1".to_owned()));
    assert!(found.unclear.iter().any(|one| one.hides && one.why.contains("aliases")), "{:?}", found.unclear);
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(50_000), "&a ".repeat(1000) + "*a"]
    {
        let found = discovered(&format!("{deep}\n---\nimage: r.io/after:1\n"));
        assert_eq!((names(&found), found.hiding_count), (vec!["r.io/after:1".to_owned()], 1), "{deep:.20}");
    }
    // Generous, for a slow machine with other work: without limits none of these would ever end.
    assert!(began.elapsed() < std::time::Duration::from_mins(1), "{:?}", began.elapsed());
}

#[test]
fn texts_in_other_spellings_are_read_or_named() {
    let pod = "\u{feff}apiVersion: v1\r\nkind: Pod\r\nspec: { containers: [ { image: r.io/ä:1 } ] }\r\n";
    assert_eq!(discovered(pod).hiding_count, 1);
    let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"\ud83d\ude00"},"spec":{"containers":[{"image":"r.io\/json:1"}]}}"#;
    assert_eq!(names(&discovered(json)), ["r.io/json:1"]);
    let tabs = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"spec\": {\"containers\": [\n\t\t{\"image\": \"r.io/tabs:1\"}\n\t]}\n}\n";
    assert_eq!(names(&discovered(tabs)), ["r.io/tabs:1"]);
    let mut found = Discovery::default();
    let utf16: Vec<u8> = "\u{feff}kind: Pod\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    read(&mut found, "w.yaml", &utf16[..]).unwrap();
    assert!(found.unclear[0].hides && found.unclear[0].why.contains("UTF-16"));
    let mut found = Discovery::default();
    read(&mut found, "latin.yaml", &b"a: 1\nb: caf\xe9\nimage: r.io/x:1\n"[..]).unwrap();
    assert_eq!(found.unclear[0].to_string(), "latin.yaml:2: the text is not UTF-8");
    assert_eq!(names(&found), ["r.io/x:1"]);
    let version = "%YAML 1.2\n---\nimage: r.io/directive:1\n...\n---\nimage: r.io/after:1\n";
    assert_eq!(names(&discovered(version)), ["r.io/after:1", "r.io/directive:1"]);
}

#[test]
fn an_object_that_is_too_large_is_named_and_the_next_is_read() {
    let pod = "- apiVersion: v1\n  kind: Pod\n  metadata: { name: after }\n  spec: { containers: [{ image: r.io/after:1 }] }\n";
    let wide = format!("apiVersion: v1\nkind: List\nitems:\n- a: [{}]\n{pod}", "1,".repeat(600_000));
    let found = discovered(&wide);
    assert_eq!((names(&found), found.hiding_count), (vec!["r.io/after:1".to_owned()], 1));
    let long = format!("a: \"{}\"\n---\nimage: r.io/after:1\n", "x".repeat(9 << 20));
    let found = discovered(&long);
    assert_eq!((names(&found), found.hiding_count), (vec!["r.io/after:1".to_owned()], 1));
    assert!(found.unclear[0].why.contains("8 MiB"), "{}", found.unclear[0]);
}

#[test]
fn the_catalog_that_is_written_reads_back() {
    let text = "---\n# Source: shop/templates/x.yaml\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: \"it's: #1\" }\nspec: { template: { spec: { containers: [\n\
{ name: a, image: quay.io/shop/server:2.4.0, args: [--sidecar-image=r.io/s:1], env: [{ name: X, value: \"{{ x }}\" }] },\n{ name: b, image: \"{{ y }}\" }] } } }\n";
    let mut found = discovered(text);
    read(&mut found, "values.yaml", "global: { imageRegistry: '' }\nserver: { image: { registry: quay.io, repository: shop/server, tag: 2.4.0 } }\n".as_bytes()).unwrap();
    let title = Title { name: Some("shop".to_owned()), version: Some("1.10".to_owned()) };
    let catalog = to_catalog(&found, &title).unwrap();
    insta::assert_snapshot!(catalog);
    let catalog = crate::catalog::parse(catalog.as_bytes(), None).unwrap();
    assert_eq!(catalog.version.as_deref(), Some("1.10"));
    assert_eq!(
        catalog.entries.iter().map(|entry| entry.image.as_str().to_owned()).collect::<Vec<_>>(),
        names(&found)
    );
}

mod anything {
    use proptest::prelude::*;

    use super::discovered;

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(---\n|kind: Pod\n|apiVersion: v1\n|image: |containers:\n|- |  |\\{|\\}|\\[|\\]|: |\n|&a |\\*a |<<: |\"|'|r.io/x:1|items:\n|\\PC){0,40}") {
            let _ = discovered(&text);
        }
    }
}
