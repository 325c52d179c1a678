//! Images in parts, as charts have them.

use super::{brief, discovered};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Values and the images they come to, each in one line.
fn come_to(cases: &[(&str, &[&str])]) {
    for (values, expected) in cases {
        assert_eq!(brief(&discovered(values)), *expected, "{values}");
    }
}

#[test]
fn parts_have_many_names() {
    come_to(&[
        ("x: {registry: r.io, repository: a/b, tag: 1}", &["r.io/a/b:1"]),
        ("x: {registry: r.io, name: a/b, tag: 1}", &["r.io/a/b:1"]),
        ("x: {registry: r.io, repository: acme, name: b, tag: 1}", &["r.io/acme/b:1"]),
        ("x: {registry: r.io, image: 'a/b:1'}", &["r.io/a/b:1"]),
        ("x: {registry: r.io, image: 'r.io/a/b:1'}", &["r.io/a/b:1"]),
        ("x: {repository: nvcr.io/acme, image: exporter, version: 9.1}", &["nvcr.io/acme/exporter:9.1"]),
        ("x: {repository: nvcr.io/acme, image: 'exporter:9.1'}", &["nvcr.io/acme/exporter:9.1"]),
        ("image: {registry: gcr.io, repository: acme, image: kanister, tag: 1}", &["gcr.io/acme/kanister:1"]),
        (
            "proxy: {image: {name: cr.l5d.io/linkerd/proxy, version: stable}}",
            &["cr.l5d.io/linkerd/proxy:stable"],
        ),
        ("hub: docker.io/acme\ntag: 1.2\nimage: pilot\n", &["docker.io/acme/pilot:1.2"]),
        ("workerImage: acme/worker\nworkerImageTag: v2\n", &["docker.io/acme/worker:v2"]),
        ("agentImageRegistry: r.io\nagentImageRepository: a/agent\nagentVersion: v3\n", &["r.io/a/agent:v3"]),
        ("image: docker.elastic.co/es/es\nimageTag: 7.4.1\n", &["docker.elastic.co/es/es:7.4.1"]),
        ("x: {registry: 'https://r.io/', repository: a, tag: 1}", &["r.io/a:1"]),
        ("image: {registry: ~, defaultRegistry: r.io, repository: a/b, tag: 1}", &["r.io/a/b:1"]),
    ]);
    let sha = DIGEST.strip_prefix("sha256:").unwrap();
    let values = [
        format!("image: {{repository: r.io/a, tag: '1', sha: {sha}}}"),
        format!("image: {{repository: r.io/a, tag: '1', digest: '{DIGEST}', useDigest: true}}"),
        format!("image: {{image: 'r.io/a:1', digest: '{DIGEST}', registry: ''}}"),
    ];
    for values in values {
        assert_eq!(brief(&discovered(&values))[0], format!("r.io/a:1@{DIGEST}"), "{values}");
    }
    let version = format!("x: {{repository: nvcr.io/acme, image: driver, version: '{DIGEST}'}}");
    assert_eq!(brief(&discovered(&version)), [format!("nvcr.io/acme/driver@{DIGEST}")]);
    let off = format!("image: {{repository: r.io/a, tag: '1', digest: '{DIGEST}', useDigest: false}}");
    assert_eq!(brief(&discovered(&off)), ["r.io/a:1"]);
}

#[test]
fn parts_are_told_once_for_many() {
    come_to(&[
        (
            "global: {hub: docker.io/acme, tag: 1.2.3, agent: {image: sidecar}}",
            &["docker.io/acme/sidecar:1.2.3"],
        ),
        (
            "global: {hub: docker.io/acme, tag: 1.2.3}\npilot: {hub: '', tag: '', image: pilot}",
            &["docker.io/acme/pilot:1.2.3"],
        ),
        // Istio takes a name with a path as it is.
        ("global: {hub: docker.io/acme, tag: 1.2.3}\npilot: {image: 'r.io/x/pilot:9'}", &["r.io/x/pilot:9"]),
        ("global: {imageRegistry: quay.io}\na: {image: {repository: acme/a, tag: 1}}", &["quay.io/acme/a:1"]),
        (
            "global: {image: {registry: quay.io}}\na: {image: {repository: acme/a, tag: 1}}",
            &["quay.io/acme/a:1"],
        ),
        (
            "image: {registry: quay.io, pullPolicy: Always}\na: {image: {repository: acme/a, tag: 1}}",
            &["quay.io/acme/a:1"],
        ),
        (
            "registry: gcr.io/acme\nagents: {image: {name: agent, tag: 7.5, repository: }}",
            &["gcr.io/acme/agent:7.5"],
        ),
        (
            "global: {cattle: {systemDefaultRegistry: r.local}}\nimage: {repository: rancher/x, tag: 1}",
            &["r.local/rancher/x:1"],
        ),
        (
            "defaultImageRegistry: quay.io\ndefaultImageRepository: strimzi\ndefaultImageTag: 0.40\n\
             image: {registry: '', repository: '', name: operator, tag: ''}",
            &["quay.io/strimzi/operator:0.40"],
        ),
        // What counts for all charts of a release counts more than what one says.
        (
            "global: {imageRegistry: r.local}\nimage: {registry: docker.io, repository: bitnami/x, tag: 1}",
            &["r.local/bitnami/x:1"],
        ),
        // A name that has its registry keeps it.
        ("global: {imageRegistry: quay.io}\nimage: {repository: r.io/acme/a, tag: 1}", &["r.io/acme/a:1"]),
        // Extra containers are pulled as they are named.
        (
            "global: {imageRegistry: quay.io}\nextraContainers: [{image: 'busybox:1.36'}]",
            &["docker.io/library/busybox:1.36"],
        ),
    ]);
    let embedded = "apiVersion: v1\nkind: ConfigMap\ndata:\n  values: |\n    {\"global\": {\"hub\": \"docker.io/istio\",\n     \
                    \"tag\": \"1.20.0\", \"proxy\": {\"image\": \"proxyv2\"}}}\n";
    assert_eq!(brief(&discovered(embedded)), ["docker.io/istio/proxyv2:1.20.0"]);
}

#[test]
fn what_parts_leave_open_hides_an_image() {
    let cases: &[(&str, &[&str])] = &[
        ("agent: {image: sidecar}", &["HIDES docker.io/library/sidecar has neither tag nor digest here"]),
        ("image: {repository: r.io/a, tag: ''}", &["HIDES \"r.io/a\" has neither tag nor digest here"]),
        ("x: {registry: r.io, image: a/b}", &["HIDES \"r.io/a/b\" has neither tag nor digest here"]),
        (
            "image: my/kafka\nversion: 3.6\n",
            &[
                "HIDES \"my/kafka\" has neither tag nor digest here, and version \"3.6\" may belong to something else",
            ],
        ),
        (
            "image: {repository: r.io/a, tag: 1, tagSuffix: -jmx}",
            &["HIDES \"r.io/a\" is changed by tagSuffix \"-jmx\", in a way that only the chart knows"],
        ),
        ("image: 'a/b:1'\ntag: 2\n", &["HIDES \"a/b:1\" has a tag of its own, and tag says \"2\""]),
        (
            "x: {repository: acme/exporter, image: exporter, tag: 1}",
            &["HIDES \"acme/exporter\" and \"exporter\" may be one name or two names"],
        ),
        (
            "image: {repository: '{{ .Values.x }}', tag: 1}",
            &[
                "HIDES \"{{ .Values.x }}:1\" has a part that was never filled in (a template such as {{ … }} or a \
                 variable)",
            ],
        ),
        (
            "image: {repository: r.io/a, digest: sha256:00}",
            &["HIDES digest digest \"sha256:00\" must have 64 lowercase hex characters after the colon"],
        ),
        (
            "defaultImageRegistry: quay.io\ndefaultImageTag: 0.40\nimage: {name: a/kafka, tagPrefix: ''}\n",
            &["HIDES \"quay.io/a/kafka\" has neither tag nor digest here"],
        ),
        ("image: {name: acme/a}", &["HIDES \"acme/a\" has neither tag nor digest here"]),
        (
            "registry: ''\nagents: {image: {name: agent, tag: 7.5}}",
            &["HIDES \"agent\" has no registry and no path here"],
        ),
        // The tag is that of the image the chart itself names.
        (
            "image: {tag: 2.4.1}\nredis: {image: {repository: acme/redis}}",
            &["HIDES \"acme/redis\" has neither tag nor digest here"],
        ),
    ];
    come_to(cases);
}

#[test]
fn what_only_looks_like_parts_is_no_image() {
    come_to(&[
        ("git: {repository: org/repo, tag: v1}", &[]),
        ("x: {repository: org/repo, tag: v1, branch: main}", &[]),
        ("dependencies: [{name: kafka, version: 1, repository: 'https://charts.io'}]", &[]),
        ("dependencies: [{name: kafka, version: 1, repository: '@acme'}]", &[]),
        ("x: {registry: docker.io, username: u, password: p, name: login}", &[]),
        ("metadata: {name: x, version: 1}", &[]),
        ("image: {pullPolicy: Always, tag: 1}", &[]),
        ("schemaRegistry: {image: {repository: acme/sr, tag: 1}}\n", &["docker.io/acme/sr:1"]),
        // A label of an item is no part of its name.
        ("images: [{name: web, repository: acme/server, tag: 1}]", &["docker.io/acme/server:1"]),
        ("component: {name: kafka, registry: r.io, repository: acme/kafka, tag: 1}", &["r.io/acme/kafka:1"]),
    ]);
}

#[test]
fn values_say_where_the_parts_of_an_image_are_set() {
    let found = discovered(
        "a: {registry: r.io, repository: x/a, tag: 1}\nb: {repository: nvcr.io/acme, image: b, version: 2}\n",
    );
    let paths: Vec<&str> = found.value_paths.iter().map(|paths| paths.repository_path.as_str()).collect();
    // What is joined of two values cannot be set by one.
    assert_eq!(paths, ["a.repository"]);
    assert_eq!(brief(&found), ["nvcr.io/acme/b:2", "r.io/x/a:1"]);
}

#[test]
fn maps_merged_without_end_are_given_up() {
    let mut text = "a0: &a0 {x: 1}\n".to_owned();
    for n in 1..9 {
        let aliases = vec![format!("*a{}", n - 1); 60].join(", ");
        text = format!("{text}a{n}: &a{n} {{<<: [{aliases}], image: r.io/x:{n}}}\n");
    }
    let wide = (0..100_000).map(|n| format!("k{n}: 1")).collect::<Vec<_>>().join(", ");
    text = format!(
        "{text}wide: &wide {{name: r.io/x, newTag: 1, {wide}}}\nimages: [{}]\n",
        vec!["*wide"; 50_000].join(", ")
    );
    let list = vec!["*a8"; 20_000].join(", ");
    let began = std::time::Instant::now();
    let found = discovered(&format!("{text}containers: [{list}]\nsidecars: [{list}]\n"));
    assert!(found.unclear.iter().any(|one| one.hides && one.why.contains("aliases")), "{:?}", found.unclear);
    assert!(began.elapsed() < std::time::Duration::from_mins(1), "{:?}", began.elapsed());
}
