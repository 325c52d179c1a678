//! Catalogs as people write them, and the one that is shipped.

use airgap_bundle::catalog::table::{TableFormat, render};
use airgap_bundle::catalog::{Catalog, Format, SourceRewrite, builtin};

fn parse(text: &str) -> Catalog {
    airgap_bundle::catalog::parse(text.as_bytes(), None).unwrap()
}

/// The problems of a catalog, one per line.
fn problems(text: &str) -> String {
    airgap_bundle::catalog::parse(text.as_bytes(), None).unwrap_err().to_string()
}

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn references(catalog: &Catalog, pairs: &[(&str, &str)]) -> Vec<String> {
    let resolved = catalog.resolve(&set(pairs)).unwrap();
    resolved.images.iter().map(|image| image.reference.to_string()).collect()
}

#[test]
fn every_shipped_catalog_is_found_and_resolves() {
    for name in builtin::names() {
        builtin::get(&name).unwrap().resolve(&[]).unwrap();
    }
    assert_eq!(builtin::get("stackstate").unwrap(), builtin::get("stackstate@4.1").unwrap());
    insta::assert_snapshot!("unknown_catalog", builtin::get("stackstate@9").unwrap_err());
}

#[test]
fn the_configuration_table_has_the_20_rows_of_the_page() {
    let catalog = builtin::get("stackstate@4.1").unwrap();
    assert_eq!(catalog.entries.len(), 20);
    insta::assert_snapshot!("table_text", render(&catalog, TableFormat::Text));
    insta::assert_snapshot!("table_markdown", render(&catalog, TableFormat::Markdown));
    insta::assert_snapshot!("table_json", render(&catalog, TableFormat::Json));
}

#[test]
fn what_a_catalog_brings_is_no_markup_in_its_table() {
    let text = "images:\n- { chart: 'a|b', component: '<img src=x> *c*', image: 'r.io/a:1', note: '[click](http://evil.io) `x` \\u2028| z', repository: a.b }\n";
    let catalog = parse(&text.replace("\\u2028", "\u{2028}"));
    let table = render(&catalog, TableFormat::Markdown);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows[2], "| a\\|b | &lt;img src=x&gt; \\*c\\* | `r.io/a:1` |  | `a.b` |  |");
    assert_eq!(rows[4], "- `r.io/a:1`: \\[click\\](http&#58;//evil.io) \\`x\\`  \\| z");
    assert_eq!(rows.len(), 5);
    assert!(!render(&catalog, TableFormat::Text).contains('\u{2028}'));
}

#[test]
fn stackstate_resolves_to_distinct_images_with_their_sources() {
    let catalog = builtin::get("stackstate").unwrap();
    let resolved = catalog.resolve(&set(&[("VERSION", "4.1.7")])).unwrap();
    let lines: Vec<String> = resolved
        .images
        .iter()
        .map(|image| {
            let sources: Vec<String> = image.sources.iter().map(ToString::to_string).collect();
            format!("{} rows {:?}\n    {}", image.reference, image.entries, sources.join("\n    "))
        })
        .collect();
    insta::assert_snapshot!("stackstate_images", lines.join("\n"));
    let suffix = |value: &str| {
        let path = "stackstate.components.all.image.repositorySuffix";
        vec![(path.to_owned(), value.to_owned())]
    };
    assert_eq!(resolved.values, suffix(""));
    let stable = catalog.resolve(&set(&[("REPOSITORY_SUFFIX", "-stable")])).unwrap();
    assert_eq!(stable.values, suffix("-stable"));
    assert_eq!(
        stable.images[0].reference.to_string(),
        "quay.io/stackstate/stackstate-correlate-stable:sts-v4.1.4"
    );
}

#[test]
fn a_list_is_read_with_all_that_people_paste() {
    let text = "\u{feff}# images\r\n\r\n  nginx:1.25  \r\n\"docker.io/library/nginx:1.25\"\r\n'quay.io/a/b:1'\r\n\
                docker://r.io/x/y:2/\r\nhttps://r.io/x/z\t# the last\r\nr.io/x/$NAME:${TAG}\r\n   # more\r\nfoo:5000";
    let catalog = parse(text);
    assert_eq!(
        references(&catalog, &[("NAME", "w"), ("TAG", "3")]),
        [
            "docker.io/library/nginx:1.25",
            "quay.io/a/b:1",
            "r.io/x/y:2",
            "r.io/x/z:latest",
            "r.io/x/w:3",
            "docker.io/library/foo:5000",
        ]
    );
    let nginx = &catalog.resolve(&set(&[("NAME", "w"), ("TAG", "3")])).unwrap().images[0];
    assert_eq!(nginx.spellings, ["nginx:1.25", "docker.io/library/nginx:1.25"]);
    assert_eq!(nginx.entries, [0, 1]);
}

#[test]
fn yaml_json_and_bare_lists_say_the_same() {
    let yaml = "name: x\nversion: 4.10\nimages:\n  - nginx:1\n  - image: r.io/a:1.10\n    source: r.io/b\n    tag: a.b\n";
    let json = r#"{
  "name": "x", "version": "4.10",
  "images": [
    "nginx:1",
    {"image": "r.io/a:1.10", "source": ["r.io/b"], "tag": ["a.b"]}]}"#;
    let (from_yaml, from_json) = (parse(yaml), parse(json));
    assert_eq!(from_yaml.version.as_deref(), Some("4.10"));
    assert_eq!(from_yaml, from_json);
    assert_eq!(from_yaml.resolve(&[]).unwrap().images[1].sources[0].to_string(), "r.io/b:1.10");
    assert_eq!(references(&parse("[\"nginx:1\"]"), &[]), ["docker.io/library/nginx:1"]);
    assert_eq!(references(&parse("- nginx:1\n- image: r.io/a:1"), &[]).len(), 2);
}

#[test]
fn formats_are_told_apart() {
    for (text, format) in [
        ("# c\nimages:\n", Format::Yaml),
        ("---\nx", Format::Yaml),
        (" {\"images\": []}", Format::Yaml),
        ("- nginx", Format::Yaml),
        ("---\nimages:\n- nginx", Format::Yaml),
        ("---\nnginx:1\nr.io/a:1", Format::List),
        ("      - image: nginx:1\n        image: r.io/a:1\n", Format::List),
        ("- image: nginx:1\n  source: r.io/a:1\n", Format::Yaml),
        ("nginx:1", Format::List),
        ("quay.io/a/b", Format::List),
        ("{{ .Values.x }}", Format::List),
        ("", Format::List),
    ] {
        assert_eq!(Format::sniff(text), format, "{text}");
    }
}

#[test]
fn all_bad_lines_are_told_at_once() {
    let list = "nginx:1\nr.io/A/b\n\n{{ .Values.image }}\nx:1.0+build\nx@sha256:00\nlocalhost:5000\nr.io/$:1\nr.io/a\u{202e}b\n";
    insta::assert_snapshot!("errors_list", problems(list));
    let yaml = "\
name: x
colour: blue
variables:
  TAG:
    defualt: \"1\"
  1X:
images:
  - image: r.io/A:1
    tag: [a..b, \"ok.path\"]
    image: r.io/a:2
  - chart: no image
  - r.io/x:$OTHER
  - image: r.io/x:$TAG
    repository: a b
    registry: [1
";
    insta::assert_snapshot!("errors_yaml_syntax", problems(yaml));
    insta::assert_snapshot!(
        "errors_yaml",
        problems(&yaml.replace("[1\n", "x\n    source: [r.io/B, r.io/c]\nname: y\n"))
    );
    let wrong_shape = "name: x\nimages:\n  - image: [a, b]\n";
    insta::assert_snapshot!("errors_shape", problems(wrong_shape));
    insta::assert_snapshot!(
        "errors_json",
        problems("{\n  \"images\": [\n    \"nginx:1\",\n    \"x:+\",\n    {\"imag\": 1}\n  ]\n}")
    );
    for text in ["", "# nothing\n", "images: []", "name: x", "name: x\nimages:\n"] {
        let error = problems(text);
        assert!(error.contains("no images") || error.contains("line"), "{text:?}: {error}");
    }
    assert!(
        airgap_bundle::catalog::parse(b"nginx\n\xff\n", None).unwrap_err().to_string().starts_with("line 2")
    );
    assert!(airgap_bundle::catalog::parse(b"\xff\xfen\0", None).unwrap_err().to_string().contains("UTF-16"));
}

#[test]
fn mistakes_in_yaml_are_told_in_words_of_catalogs() {
    for (text, says) in [
        ("- nginx:1\nquay.io/a/b:1\n", "line 2: this is not valid YAML"),
        ("images:\n  - nginx:1\n - y\n", "this is not valid YAML"),
        ("images: [nginx:1\n", "line 1: this is not valid YAML"),
        ("images: 'nginx:1\n", "this is not valid YAML"),
        ("images:\n\t- nginx\n", "this is not valid YAML"),
        ("images: nginx:1\n", "line 1: a list is expected here"),
        ("images:\nnginx:1\nredis:2\n", "line 2: this is not valid YAML"),
        ("images:\n- image: {a: b}\n", "line 2: a text is expected here"),
        ("images:\n- [nginx:1]\n", "line 2: an image is expected here, not a list"),
        ("variables: [a]\nimages: [nginx:1]\n", "line 1: a table is expected here, not a list"),
        ("variables: {A: {secret: maybe}}\nimages: [nginx:1]\n", "line 1: true or false is expected here"),
        ("images: [nginx:1]\n---\nimages: [nginx:2]\n", "a catalog is one YAML document"),
        ("---\nx\n", "a catalog is expected here, not a text"),
        ("images: !!binary x\n", "line 1: "),
        ("? {a: b}\n: x\n", "line "),
    ] {
        let problems = problems(text);
        assert!(problems.contains(says), "{text:?}: {problems}");
        let words =
            ["scalar", "mapping", "sequence", "token", "block", "flow", "serde", "deserial", "indicator"];
        assert!(!words.iter().any(|word| problems.contains(word)), "{text:?}: {problems}");
    }
}

#[test]
fn columns_and_keys_of_a_list_are_read() {
    let text = "image: nginx:1\n--\ntemplates/a.yaml:12:  image: \"r.io/a:1\"\n";
    assert_eq!(references(&parse(text), &[]), ["docker.io/library/nginx:1", "r.io/a:1"]);
    let catalog = parse("rancher/a:v1 chart:1.2\nr.io/b:1 linux/amd64 r.io/c:2\n");
    assert_eq!(references(&catalog, &[]), ["docker.io/rancher/a:v1", "r.io/b:1", "r.io/c:2"]);
    let notes: Vec<_> = catalog.entries.iter().map(|entry| (entry.line, entry.note.as_deref())).collect();
    assert_eq!(notes, [(1, Some("chart:1.2")), (2, Some("linux/amd64")), (2, None)]);
    // Each line has one problem, also where several of its words are wrong.
    assert_eq!(problems("nginx 1.25\nr.io/a:1 used by web\n").lines().count(), 2);
}

#[test]
fn variables_are_all_asked_for_at_once_and_secrets_never_shown() {
    let catalog =
        parse("variables:\n  A:\n  B:\n  T: { default: s3cret+, secret: true }\nimages:\n  - r.io/$A/$B:1\n");
    let both = catalog.resolve(&set(&[("C", "1")])).unwrap_err();
    insta::assert_snapshot!("errors_variables", both);
    assert_eq!(references(&catalog, &[("A", "a"), ("B", "b")]), ["r.io/a/b:1"]);
    assert!(!format!("{catalog:?}").contains("s3cret"));
    let catalog =
        parse("variables:\n  T: { default: s3cret+, secret: true }\nimages:\n  - r.io/x:$T\n  - r.io/$T\n");
    let error = catalog.resolve(&[]).unwrap_err().to_string();
    assert!(error.contains("line 4") && error.contains("line 5") && !error.contains("s3cret"), "{error}");
}

#[test]
fn sources_are_rewritten_by_the_closest_prefix() {
    let mut resolved = parse("bitnami/kafka:1\nquay.io/a/b:1").resolve(&[]).unwrap();
    let rewrites: Vec<SourceRewrite> = ["docker.io=m.io/hub", "docker.io/bitnami=l.io/x", "bitnami=l.io/y"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    resolved.rewrite_sources(&rewrites).unwrap();
    let sources =
        |image: usize| resolved.images[image].sources.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(sources(0), ["l.io/x/kafka:1", "l.io/y/kafka:1"]);
    assert_eq!(sources(1), ["quay.io/a/b:1"]);
    assert_eq!(resolved.images[0].reference.to_string(), "docker.io/bitnami/kafka:1");
}

#[test]
fn bombs_end_in_an_error() {
    let aliases = (1..30).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))
    });
    let mut entries = "images:\n".to_owned();
    for n in 0..30 {
        let of = if n == 0 { "nginx".to_owned() } else { vec![format!("*s{}", n - 1); 9].join(", ") };
        let entry = format!("  - image: nginx\n    source: &s{n} [{of}]\n");
        entries.push_str(&entry);
    }
    for text in [aliases, entries, format!("images: {}", "[".repeat(100_000)), "x".repeat(5 << 20)] {
        assert!(airgap_bundle::catalog::parse(text.as_bytes(), None).is_err());
    }
    let aliases: Vec<String> = (0..60_000).map(|n| format!("  v{n}: *a")).collect();
    let replayed = format!("values:\n  a: &a x\n{}\n", aliases.join("\n"));
    for (text, says) in [
        (
            format!("images:\n{}", "  - &a nginx\n".repeat(60_000)),
            "line 50002: its anchors (&) and aliases (*) expand",
        ),
        (replayed, "and aliases (*) expand"),
        (
            "images:\n  - image: nginx\n    source: *nobody\n".to_owned(),
            "line 3: the alias (*) has no anchor (&)",
        ),
        ("images: &i\n  - *i\n".to_owned(), "line 2: the alias (*) stands inside its own anchor (&)"),
        (format!("other: {}{}", "[".repeat(1500), "]".repeat(1500)), "line 1: it is nested more deeply"),
        ("images:\n  - image: &m {a: b}\n  - image: *m\n".to_owned(), "line 2: "),
    ] {
        let problems = problems(&text);
        let words = ["budget", "recursion", "serde", "weak"];
        assert!(problems.contains(says), "{problems}");
        assert!(!words.iter().any(|word| problems.contains(word)), "{problems}");
    }
}
