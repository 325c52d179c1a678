//! `bundle diff` and `bundle review`: changes and content, and that texts from images cannot harm the reader.

use serde_json::{Value, json};

use crate::support::cli::Ran;
use crate::support::gap::Gap;
use crate::support::images::{ImageSpec, Layer, TestImage, index, multi_platform, signature};

/// An image that runs as `config` says, with a layer from `seed` on a base that all have.
fn app(seed: u64, config: Value) -> TestImage {
    let layers = [Layer::gzip(1, 20_000), Layer::gzip(seed, 5_000)];
    ImageSpec::new(seed).layers(layers).created("2024-05-06T07:08:09Z").config(config).build()
}

/// `old.tar.zst` and `new.tar.zst`: one image changed, one with another tag, one gone, one new, one the same.
fn two() -> Gap {
    let mut old = Gap::new();
    let before = json!({ "User": "", "Cmd": ["run"], "Env": ["A=1", "B=2"], "ExposedPorts": {"80/tcp": {}} });
    let after = json!({
        "User": "1000", "Cmd": ["run", "--fast"], "Env": ["A=1", "B=3", "C=4"], "Volumes": {"/data": {}},
        "Labels": {"org.opencontainers.image.licenses": "MIT"},
    });
    let same = app(30, json!({}));
    old.image("team/app", "1", &app(10, before));
    old.image("team/moved", "1.0", &app(20, json!({})));
    old.image("team/same", "1", &same);
    old.image("team/gone", "1", &app(40, json!({})));
    old.export(&["-o", "old.tar.zst"]);
    let list = ["team/app:1", "team/moved:1.1", "team/same:1", "team/more:1"];
    let host = old.source.host();
    let list: Vec<String> = list.iter().map(|name| format!("{host}/{name}")).collect();
    std::fs::write(old.path("new.txt"), list.join("\n")).unwrap();
    let changed = app(11, after);
    old.source.put_image("team/app", "1", &changed);
    old.source.put_image("team/moved", "1.1", &app(20, json!({})));
    old.source.put_image("team/more", "1", &app(50, json!({})));
    let (tag, signed) = signature(&changed);
    old.source.put_image("team/app", &tag, &signed);
    let ran = old.cli.run(&["export", "new.txt", "-o", "new.tar.zst"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    old
}

fn run(gap: &Gap, arguments: &[&str], code: i32) -> Ran {
    let ran = gap.cli.run(arguments);
    assert_eq!(ran.code, code, "{}", ran.shown());
    ran
}

#[test]
fn a_difference_tells_images_digests_bytes_and_how_they_run() {
    let gap = two();
    let ran = run(&gap, &["diff", "old.tar.zst", "new.tar.zst", "--exit-code"], 8);
    gap.snapshot("review", "diff", &ran.stdout);
    let ran = run(&gap, &["diff", "old.tar.zst", "new.tar.zst", "--format", "markdown"], 0);
    gap.snapshot("review", "diff_markdown", &ran.stdout);
    let ran = run(&gap, &["diff", "old.tar.zst", "new.tar.zst", "--format", "json"], 0);
    let diff: Value = serde_json::from_str(&ran.stdout).unwrap();
    let lens = ["added", "removed", "changed"].map(|key| diff[key].as_array().unwrap().len());
    assert_eq!((lens, &diff["same"]), ([1, 1, 2], &json!(1)));
    let user = &diff["changed"][0]["config"][0];
    assert_eq!(
        user,
        &json!({"platform": "linux/amd64", "field": "user", "old": "root (unset)", "new": "1000"})
    );
}

#[test]
fn a_bundle_does_not_differ_from_itself() {
    let gap = two();
    let ran = run(&gap, &["diff", "old.tar.zst", "old.tar.zst", "--exit-code"], 0);
    assert_eq!(ran.stdout, "no difference in 4 images\n");
    run(&gap, &["diff", "old.tar.zst", "absent.tar.zst"], 1);
}

#[test]
fn platforms_that_came_or_went_are_told() {
    let mut gap = Gap::new();
    let arm =
        (("linux", "arm64"), ImageSpec::new(1).layer(Layer::gzip(1, 900)).platform("linux", "arm64").build());
    let amd = (("linux", "amd64"), ImageSpec::new(2).layer(Layer::gzip(2, 900)).build());
    gap.image("team/app", "1", &index(vec![arm.clone()], false));
    gap.export(&["-o", "old.tar.zst"]);
    gap.source.put_image("team/app", "1", &index(vec![amd], false));
    gap.export(&["-o", "new.tar.zst"]);
    let ran = run(&gap, &["diff", "old.tar.zst", "new.tar.zst"], 0);
    assert!(
        ran.stdout.contains("now for linux/amd64") && ran.stdout.contains("no longer for linux/arm64"),
        "{}",
        ran.stdout
    );
}

#[test]
fn the_page_holds_everything_and_needs_nothing() {
    let gap = two();
    run(&gap, &["review", "new.tar.zst", "-o", "review.html", "--against", "old.tar.zst"], 0);
    let page = String::from_utf8(gap.read("review.html")).unwrap();
    let host = gap.source.host();
    for (what, text) in [
        ("a name", format!("{host}/team/app:1")),
        ("where it lands", ">team/app:1<".to_owned()),
        ("who it runs as", "1000".to_owned()),
        ("a licence", "MIT".to_owned()),
        ("a signature", "1 signature".to_owned()),
        ("what changed", "root (unset) → 1000".to_owned()),
        ("what went", "/team/gone:1".to_owned()),
        ("the age", " y<".to_owned()),
    ] {
        assert!(page.contains(&text), "{what}: {text} is not on the page");
    }
    for word in ["<script", "<link", "<img", "<iframe", "src=", "@import", "url(", "http://", "https://"] {
        assert!(!page.contains(word), "{word} is on the page");
    }
    // The day is on it, so that another day is another page.
    run(&gap, &["review", "old.tar.zst", "-o", "review.html"], 1);
    run(&gap, &["review", "old.tar.zst", "-o", "review.html", "--force"], 0);
    run(&gap, &["review", "old.tar.zst", "-o", "old.tar.zst", "--force"], 2);
}

#[test]
fn nothing_of_an_image_can_do_anything_to_its_reader() {
    let mut gap = Gap::new();
    let evil = "</dd></title></style><script>alert(1)</script><img src=x onerror=alert(1)>";
    let hidden = "abc\u{202e}gpj.exe\u{200b}\u{2066}\u{1b}[2J\u{7}\u{0}\u{e0041}";
    let mut labels = serde_json::Map::new();
    labels.insert("org.opencontainers.image.title".to_owned(), evil.into());
    labels.insert("org.opencontainers.image.source".to_owned(), "javascript:alert(1)".into());
    labels.insert(format!("k{evil}"), hidden.into());
    labels.insert("org.opencontainers.image.licenses".to_owned(), "=cmd|' /C calc'!A0".into());
    labels.insert("long".to_owned(), "x".repeat(100_000).into());
    let config = json!({
        "User": "\u{202e}toor", "Entrypoint": [evil], "Cmd": [hidden], "Env": [format!("X={evil}")],
        "ExposedPorts": { evil: {} }, "Volumes": { hidden: {} }, "WorkingDir": evil, "Labels": labels,
    });
    let old = ImageSpec::new(1).layer(Layer::gzip(1, 900)).build();
    gap.image("team/app", "1", &old);
    gap.export(&["-o", "old.tar.zst"]);
    gap.source.put_image("team/app", "1", &app(2, config));
    gap.export(&["-o", "new.tar.zst"]);
    run(&gap, &["review", "new.tar.zst", "-o", "review.html", "--against", "old.tar.zst"], 0);
    let page = String::from_utf8(gap.read("review.html")).unwrap();
    for tag in ["<script", "<img", "</title></style>", "href=\"javascript"] {
        assert!(!page.to_lowercase().contains(tag), "{tag} is on the page");
    }
    assert!(page.len() < 60_000, "{} bytes", page.len());
    let is_hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || "\u{202e}\u{200b}\u{2066}\u{e0041}".contains(c)
    };
    let invisible = |text: &str| text.chars().find(|c| is_hidden(*c));
    assert_eq!(invisible(&page), None);
    for format in ["human", "markdown"] {
        let ran = run(&gap, &["diff", "old.tar.zst", "new.tar.zst", "--format", format], 0);
        assert_eq!(invisible(&ran.stdout), None);
        if format == "markdown" {
            assert!(!ran.stdout.contains("<script"), "{}", ran.stdout);
        }
    }
    let ran = run(&gap, &["review", "new.tar.zst", "-o", "-", "--format", "csv"], 0);
    assert_eq!(invisible(&ran.stdout), None);
    for record in csv::ReaderBuilder::new().from_reader(ran.stdout.as_bytes()).records() {
        for cell in &record.unwrap() {
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell:?} is a formula");
        }
    }
    let ran = run(&gap, &["review", "new.tar.zst", "-o", "-", "--format", "json"], 0);
    serde_json::from_str::<Value>(&ran.stdout).unwrap();
}

#[test]
fn tables_have_a_row_for_each_entry() {
    let mut gap = Gap::new();
    gap.image("team/multi", "1", &multi_platform(3));
    gap.export(&["-o", "out.tar.zst"]);
    run(&gap, &["review", "out.tar.zst", "-o", "images.csv"], 0);
    let bytes = gap.read("images.csv");
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let at = reader.headers().unwrap().iter().position(|name| name == "platform").unwrap();
    let platforms: Vec<String> = reader.records().map(|record| record.unwrap()[at].to_owned()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64/v8", "unknown/unknown"]);
    run(&gap, &["review", "out.tar.zst", "-o", "images.json"], 0);
    let value: Value = serde_json::from_slice(&gap.read("images.json")).unwrap();
    let entries = value["images"][0]["platforms"].as_array().unwrap();
    let kinds: Vec<&str> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["container", "container", "attestation"]);
    assert_eq!(entries[2]["about"], entries[0]["digest"]);
}
