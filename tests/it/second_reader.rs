//! YAML and TOML that is written for other tools is read by a second reader, Python's, and means the same to it.
//!
//! `PyYAML` follows YAML 1.1 as Helm and Kubernetes do: more line breaks, more words for true and false, more forms of numbers.

#![expect(clippy::print_stderr, reason = "what is not compared is told")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::gap::Gap;
use crate::support::images::image;

/// Tags that YAML 1.1 reads as something else than text where nobody puts quotes around them.
const TAGS: [&str; 32] = [
    "on",
    "Off",
    "yes",
    "NO",
    "y",
    "n",
    "true",
    "False",
    "null",
    "Null",
    "1",
    "1.10",
    "1_000",
    "0777",
    "0o17",
    "0x1F",
    "0b11",
    "1e3",
    "1.0e5",
    "12e03",
    "2024-01-01",
    "1.2.3",
    "_1",
    "0",
    "00",
    "1.",
    "1_0.5",
    "-inf",
    "685_230.15",
    "NaN",
    "v1",
    "0.0",
];

/// What could end a comment, or a quoted string, before its time.
const BREAKS: [&str; 9] =
    ["\u{85}", "\u{2028}", "\u{2029}", "\r", "\u{b}", "\u{c}", "\u{feff}", "\u{7f}", "\u{1b}"];

/// The documents of `text` as Python reads them; `None` where Python cannot, which CI can.
fn python(program: &str, text: &str) -> Option<Value> {
    let spawned = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let lacking = |why: &str| {
        assert!(std::env::var_os("CI").is_none(), "python3 with yaml is needed here: {why}");
        eprintln!("not compared with a second reader: {why}");
    };
    let mut child = spawned.map_err(|error| lacking(&error.to_string())).ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("ModuleNotFoundError") {
        lacking(words.lines().last().unwrap_or_default());
        return None;
    }
    assert!(output.status.success(), "{words}\n{text}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn yaml(text: &str) -> Option<Value> {
    // Whatever has no form in JSON, such as a date, shows as what it was taken for.
    let program = "import json, sys, yaml\n\
                   text = sys.stdin.buffer.read().decode()\n\
                   print(json.dumps(list(yaml.safe_load_all(text)), default=repr))";
    python(program, text)
}

fn toml(text: &str) -> Option<Value> {
    python("import json, sys, tomllib\nprint(json.dumps(tomllib.load(sys.stdin.buffer), default=repr))", text)
}

#[test]
fn values_mean_the_same_to_yaml_of_1_1() {
    let mut gap = Gap::new();
    let host = gap.source.host();
    let mut catalog = "name: shop\nversion: 1\nimages:\n".to_owned();
    let tags: Vec<&str> = TAGS.into_iter().filter(|tag| !tag.starts_with('-')).collect();
    let mut expected = serde_json::Map::new();
    for (at, tag) in tags.iter().enumerate() {
        gap.image(&format!("shop/a{at}"), tag, &image(1));
        // Keys are words that mean something else, too.
        let _ = writeln!(
            catalog,
            "- {{ image: '{host}/shop/a{at}:{tag}', registry: '{key}.registry', repository: '{key}.repository', tag: '{key}.tag' }}",
            key = tag.replace('.', "_")
        );
        let row = json!({ "registry": "reg.local/mirror", "repository": format!("shop/a{at}"), "tag": tag });
        let key = tag.replace('.', "_");
        expected.insert(key, row);
    }
    std::fs::write(gap.path("shop.yaml"), catalog).unwrap();
    let ran = gap.cli.run(&["export", "shop.yaml", "--no-sidecar"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let ran = gap.cli.run(&["values", "shop-1.tar.zst", "-d", "reg.local/mirror", "--per-image"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let Some(read) = yaml(&ran.stdout) else { return };
    for (key, row) in &expected {
        assert_eq!(&read[0][key], row, "{key} in\n{}", ran.stdout);
    }
}

#[test]
fn nothing_in_a_catalog_ends_a_comment_in_the_values() {
    let mut gap = Gap::new();
    gap.image("shop/a", "1", &image(1));
    let host = gap.source.host();
    for (at, character) in BREAKS.iter().enumerate() {
        let name = format!("shop{character}evil: {{ a: 1 }}{character}# ");
        let catalog = json!({ "name": name, "version": "1", "images": [{ "image": format!("{host}/shop/a:1"), "note": name,
            "repository": "a.repository", "tag": "a.tag" }] });
        std::fs::write(gap.path("shop.json"), catalog.to_string()).unwrap();
        let out = format!("s{at}.tar.zst");
        let ran = gap.cli.run(&["export", "shop.json", "--no-sidecar", "-o", &out]);
        if ran.code != 0 {
            assert_eq!(ran.code, 2, "{}", ran.shown());
            continue;
        }
        let ran = gap.cli.run(&["values", &out, "-d", "reg.local", "--per-image", "--pin"]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        let Some(read) = yaml(&ran.stdout) else { return };
        let keys: Vec<&String> = read[0].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["a"], "{:?}", ran.stdout);
    }
}

#[test]
fn what_discover_writes_has_the_images_it_says_and_no_others() {
    let cli = Cli::new();
    let mut manifests = String::new();
    for (at, character) in BREAKS.iter().enumerate() {
        let evil = format!("{character}- image: evil.io/x:{at}{character}images: [evil.io/y:{at}]");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("p{at}{evil}") },
            "spec": { "containers": [{
                "name": format!("c{evil}"), "image": format!("r.io/a{at}:{}", TAGS[at]),
                "env": [
                    { "name": format!("IMAGE{evil}"), "value": format!("r.io/probable{at}:1") },
                    { "name": "TOOL_IMAGE", "value": format!("r.io/{{{{ x }}}}{evil}") },
                    { "name": "B_IMAGE", "value": format!("r.io/$(X):1{evil}") },
                ],
                "args": [format!("--image=r.io/${{VERSION}}{evil}")],
            }] },
        });
        let _ = writeln!(manifests, "---\n# Source: shop{at}/templates/x.yaml\n{pod}");
    }
    std::fs::write(cli.folder().join("m.yaml"), &manifests).unwrap();
    let ran = cli.run(&["catalog", "discover", "m.yaml", "-o", "found.yaml"]);
    assert!([0, 7].contains(&ran.code), "{}", ran.shown());
    let text = std::fs::read_to_string(cli.folder().join("found.yaml")).unwrap();
    assert!(text.contains("r.io/a0:on") && text.contains("r.io/probable0:1"), "{text}");
    let shown = cli.run(&["catalog", "show", "found.yaml", "--format", "json"]);
    assert_eq!(shown.code, 0, "{}", shown.shown());
    let own: Value = serde_json::from_str(&shown.stdout).unwrap();
    let images = |of: &Value| -> Vec<Value> {
        of["images"].as_array().unwrap().iter().map(|row| row["image"].clone()).collect()
    };
    let Some(read) = yaml(&text) else { return };
    assert_eq!(read.as_array().unwrap().len(), 1, "{text}");
    assert_eq!(images(&read[0]), images(&own), "{text}");
    for (theirs, ours) in read[0]["images"].as_array().unwrap().iter().zip(own["images"].as_array().unwrap())
    {
        for key in ["chart", "component", "note"] {
            assert_eq!(theirs[key], ours[key], "{key}: {text:?}");
        }
    }
}

#[test]
fn mirrors_mean_the_same_whatever_the_file_of_the_authority_is_called() {
    let mut gap = Gap::new();
    gap.image("shop/a", "1", &image(1));
    gap.export(&["-o", "plain.tar.zst"]);
    let written = |authority: &str, runtime: &str| {
        let to =
            ["mirrors", "plain.tar.zst", "-d", "reg.local/m", "--for", runtime, "--node-ca-file", authority];
        gap.cli.run(&to)
    };
    let mut compared = 0;
    for character in BREAKS.into_iter().chain(["\n", "'", "\"", "\\", "#"]) {
        let authority = format!("/ca{character}evil: 1{character}evil = 1{character}# .crt");
        for runtime in ["k3s", "rke2"] {
            let (plain, ran) = (written("/ca.crt", runtime), written(&authority, runtime));
            assert_eq!(plain.code, 0, "{}", plain.shown());
            if ran.code == 2 {
                continue;
            }
            let Some(mut read) = yaml(&ran.stdout) else { return };
            let place = &mut read[0]["configs"]["reg.local"]["tls"]["ca_file"];
            assert_eq!(place.as_str(), Some(authority.as_str()), "{runtime} {character:?}\n{}", ran.stdout);
            *place = json!("/ca.crt");
            assert_eq!(read, yaml(&plain.stdout).unwrap(), "{runtime} {character:?}\n{}", ran.stdout);
            compared += 1;
        }
        for runtime in ["crio", "podman", "containerd"] {
            let (plain, ran) = (written("/ca.crt", runtime), written(&authority, runtime));
            assert_eq!(plain.code, 0, "{}", plain.shown());
            if ran.code == 2 {
                continue;
            }
            let Some(mut read) = toml(&ran.stdout) else { return };
            if runtime == "containerd" {
                read = json!(read.to_string().replace(&json!(authority).to_string(), "\"/ca.crt\""));
                let plain = toml(&plain.stdout).unwrap().to_string();
                assert_eq!(read, json!(plain), "{character:?}\n{}", ran.stdout);
            } else {
                assert_eq!(read, toml(&plain.stdout).unwrap(), "{runtime} {character:?}\n{}", ran.stdout);
            }
            compared += 1;
        }
    }
    assert!(compared > 0, "every name was refused");
}
