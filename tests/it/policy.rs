//! Policies: violations are found before any transfer, and named by rule and image.

use airgap_bundle::image::media_type as types;
use serde_json::{Value, json};

use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, artifact, index, multi_platform, signature};

/// An image that runs as `user`.
fn app(seed: u64, user: &str) -> TestImage {
    ImageSpec::new(seed).layer(Layer::gzip(seed, 50_000)).config(json!({ "User": user })).build()
}

/// `team/good:1` runs as a user and is signed, `team/root:1` is neither.
fn site() -> (Gap, TestImage, TestImage) {
    let mut gap = Gap::new();
    let (good, root) = (app(1, "1000"), app(2, "0:0"));
    gap.image("team/good", "1", &good).image("team/root", "1", &root);
    let (tag, signed) = signature(&good);
    gap.source.put_image("team/good", &tag, &signed);
    (gap, good, root)
}

fn rules(gap: &Gap, text: &str) {
    std::fs::write(gap.path("policy.yaml"), text).unwrap();
}

const POLICY: [&str; 2] = ["--policy", "policy.yaml"];

fn with_policy(gap: &Gap, arguments: &[&str]) -> Ran {
    gap.cli.run(&[arguments, &POLICY[..]].concat())
}

fn names(ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code, code, "{}", ran.shown());
    for says in says {
        assert!(ran.stderr.contains(says), "{says}: {}", ran.shown());
    }
}

#[test]
fn an_export_that_is_forbidden_fetches_no_layer_and_leaves_no_bundle() {
    let (gap, good, root) = site();
    rules(&gap, "noRoot: true\nsignature: true\n");
    gap.source.forget();
    let ran = with_policy(&gap, &["export", "images.txt", "-o", "out.tar.zst", "--report", "report.json"]);
    gap.snapshot("policy", "export_is_forbidden", &gap.shown(&ran));
    names(&ran, 3, &["noRoot: ", "signature: "]);
    let gets = gap.source.blob_gets();
    for layer in good.layers().iter().chain(&root.layers()) {
        assert!(!gets.contains_key(layer), "a layer was fetched");
    }
    assert!(!gap.path("out.tar.zst").exists());
    let report: Value = serde_json::from_slice(&gap.read("report.json")).unwrap();
    assert_eq!(report["images"][0]["state"], "not-tried");
    let reason = report["images"][1]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("policy: signature: comes without a signature; noRoot: runs as root"),
        "{reason}"
    );
    // Not into a pipe either, and a dry run says so too.
    let piped = with_policy(&gap, &["export", "images.txt", "-o", "-"]);
    assert_eq!((piped.code, piped.stdout.as_str()), (3, ""), "{}", piped.shown());
    let dry =
        with_policy(&gap, &["export", "images.txt", "-o", "out.tar.zst", "--dry-run", "--skip-preflight"]);
    names(&dry, 3, &["team/root:1 runs as root (\"0:0\")"]);
    assert!(dry.stdout.contains("team/good:1"), "the plan is shown: {}", dry.shown());
    // What is left goes through, in the folder that the refused run has left.
    let part = with_policy(&gap, &["export", "images.txt", "-o", "out.tar.zst", "--skip", "*/root:1"]);
    names(&part, 0, &[]);
    assert!(!gap.files().iter().any(|name| name.contains("partial")), "{:?}", gap.files());
}

#[test]
fn a_forbidden_bundle_is_not_let_in_and_the_registry_does_not_hear_of_it() {
    let (gap, good, _) = site();
    gap.export(&["-o", "out.tar.zst"]);
    gap.export(&["-o", "cut.tar.zst", "--volume-size", "70000"]);
    rules(&gap, "noRoot: true\n");
    let host = gap.destination.host();
    let says = "noRoot: ";
    for bundle in ["out.tar.zst", "cut.tar.zst.001"] {
        let ran = with_policy(&gap, &["import", bundle, "-d", &host]);
        names(&ran, 3, &["policy.yaml does not allow this: 1 finding", says]);
    }
    let bytes = gap.read("out.tar.zst");
    let piped = gap.fed(&[&["import", "-", "-d", &host], &POLICY[..]].concat(), &bytes);
    names(&piped, 3, &[says]);
    let salvaged = with_policy(
        &gap,
        &["import", "out.tar.zst", "-d", &host, "--salvage", "--keep-going", "--skip-preflight"],
    );
    names(&salvaged, 3, &[says]);
    assert!(gap.destination.log().is_empty(), "{:?}", gap.destination.log());
    assert!(!gap.files().iter().any(|name| name.ends_with(".values.yaml")), "{:?}", gap.files());
    let verified = with_policy(&gap, &["verify", "out.tar.zst", "--format", "json"]);
    names(&verified, 3, &[says]);
    let value: Value = serde_json::from_str(&verified.stdout).unwrap();
    let name = format!("{}/team/root:1", gap.source.host());
    let finding = json!({ "rule": "noRoot", "image": name, "why": "runs as root (\"0:0\")" });
    assert_eq!(value["bundle"]["findings"], json!([finding]));
    // A part of it may pass.
    names(&with_policy(&gap, &["import", "out.tar.zst", "-d", &host, "--only", "*/good:1"]), 0, &[]);
    assert_whole(&gap.destination, "team/good", "1", &good);
    // Damage and findings are reported together.
    let mut damaged = bytes.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    std::fs::write(gap.path("out.tar.zst"), damaged).unwrap();
    names(&with_policy(&gap, &["verify", "out.tar.zst"]), 3, &[says, "the bundle is damaged"]);
}

#[test]
fn layouts_of_other_tools_are_held_to_the_rules_too() {
    let (gap, ..) = site();
    gap.export(&["-o", "out.tar.zst", "--with", "none"]);
    let own = ["bundle.json", "SHA256SUMS", "manifest.json"];
    let members: Vec<_> = crate::support::rebuilt::members(&gap.read("out.tar.zst"))
        .into_iter()
        .filter(|(path, _)| !own.contains(&path.as_str()))
        .collect();
    let tar = crate::support::rebuilt::tar(&members);
    std::fs::write(gap.path("foreign.tar"), &tar).unwrap();
    rules(&gap, "noRoot: true\n");
    let host = gap.destination.host();
    names(&with_policy(&gap, &["import", "foreign.tar", "-d", &host]), 3, &["team/root:1 runs as root"]);
    let piped = gap.fed(&[&["import", "-", "-d", &host], &POLICY[..]].concat(), &tar);
    names(&piped, 3, &["noRoot: "]);
    assert!(gap.destination.log().is_empty());
}

#[test]
fn where_images_come_from_and_how_large_they_are() {
    let (gap, ..) = site();
    let host = gap.source.host();
    gap.export(&["-o", "out.tar.zst"]);
    for (text, says) in [
        (
            format!("sources: ['{host}/team/go*']"),
            Some("sources: [HOST]/team/root:1 comes from [HOST]/team/root, which"),
        ),
        (format!("sources: ['{host}']"), None),
        ("sources: [registry.example.com]".to_owned(), Some("sources: [HOST]/team/good:1 comes from")),
        ("pinned: true".to_owned(), Some("pinned: [HOST]/team/good:1 is named without its digest")),
        ("maxImageSize: 40kB".to_owned(), Some("maxImageSize: [HOST]/team/good:1 has 50.")),
        ("maxImageSize: 60kB".to_owned(), None),
        ("maxBundleSize: 90kB".to_owned(), Some("maxBundleSize: the bundle has 10")),
        ("maxBundleSize: 200kB".to_owned(), None),
    ] {
        rules(&gap, &text);
        let says = says.map(|says| says.replace("[HOST]", &host));
        for arguments in [&["verify", "out.tar.zst"][..], &["export", "images.txt", "-o", "out.tar.zst"]] {
            let ran = with_policy(&gap, arguments);
            names(&ran, if says.is_some() { 3 } else { 0 }, says.as_deref().as_slice());
        }
    }
    // What was there before a refusal is still there.
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst"]).code, 0);
}

#[test]
fn signatures_and_sboms_are_there_for_the_image_or_for_each_platform() {
    let mut gap = Gap::new();
    let (amd, arm) = (app(1, "1000"), ImageSpec::new(2).platform("linux", "arm64").build());
    let both = index(vec![(("linux", "amd64"), amd.clone()), (("linux", "arm64"), arm.clone())], false);
    gap.image("team/app", "1", &both);
    let export = |text: &str, code: i32| {
        rules(&gap, text);
        let ran = with_policy(&gap, &["export", "images.txt", "-o", "out.tar.zst", "--force"]);
        names(&ran, code, &[]);
        ran
    };
    let sign = |image: &TestImage| {
        let (tag, signed) = signature(image);
        gap.source.put_image("team/app", &tag, &signed);
    };
    export("signature: true", 3);
    sign(&amd);
    let one = export("signature: true", 3);
    assert!(one.stderr.contains("comes without a signature"), "one platform is not all: {}", one.shown());
    sign(&arm);
    export("signature: true", 0);
    let ran = export("signature: true\nsbom: true", 3);
    assert!(!ran.stderr.contains("signature: "), "{}", ran.shown());
    // Something that says it is of another kind is no SBOM.
    gap.source.put_image("team/app", "other", &artifact(&both, "application/vnd.example.notes", b"sbom"));
    export("sbom: true", 3);
    gap.source.put_image("team/app", "sbom", &artifact(&both, "application/spdx+json", b"{}"));
    export("sbom: true", 0);
    // What stays outside does not count.
    rules(&gap, "sbom: true");
    let without = ["export", "images.txt", "-o", "out.tar.zst", "--force", "--with", "signatures"];
    names(&with_policy(&gap, &without), 3, &["comes without an SBOM"]);
    // An attestation is about provenance unless it says that it is an SBOM.
    let mut built = Gap::new();
    built.image("team/built", "1", &multi_platform(5));
    rules(&built, "sbom: true");
    names(&with_policy(&built, &["export", "images.txt", "-o", "out.tar.zst"]), 3, &["without an SBOM"]);
}

#[test]
fn no_disguise_hides_a_user() {
    let mut gap = Gap::new();
    // A type that podman and Docker do not look at before they run it.
    let octets = app(7, "").with_config(r#"{"config":{},"rootfs":{}}"#, "application/octet-stream");
    let docker = |image: TestImage| image.altered(|value| value["mediaType"] = json!(types::DOCKER_MANIFEST));
    let octets = TestImage { media_type: types::DOCKER_MANIFEST.to_owned(), ..docker(octets) };
    // The type of an artifact, and the content of an image.
    let helm = app(6, "")
        .with_config(r#"{"config":{"User":"root"},"rootfs":{}}"#, "application/vnd.cncf.helm.config.v1+json");
    let unheard = app(5, "").with_config("any", "application/vnd.example.unheard.v1");
    // An attestation by its name, an image by its content.
    let (good, evil) = (app(4, "1000"), app(3, "0"));
    let named = index(vec![(("linux", "amd64"), good.clone()), (("unknown", "unknown"), evil)], false);
    let named = named.altered(|value| {
        value["manifests"][1]["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": good.digest,
        });
    });
    // An index that says it is no image is none for `inspect`, and still one for a cluster.
    let disguised = index(vec![(("linux", "amd64"), app(8, ""))], false)
        .altered(|value| value["artifactType"] = json!("application/vnd.example.chart"));
    let overflow = app(9, "4294967296");
    gap.image("a/octets", "1", &octets).image("a/helm", "1", &helm).image("a/unheard", "1", &unheard);
    gap.image("a/named", "1", &named);
    gap.image("a/disguised", "1", &disguised).image("a/overflow", "1", &overflow);
    let chart = artifact(&good, "application/vnd.example.chart", b"x").altered(|value| {
        value.as_object_mut().unwrap().remove("subject");
    });
    gap.image("a/chart", "1", &chart);
    rules(&gap, "noRoot: true");
    let ran = with_policy(&gap, &["export", "images.txt", "-o", "out.tar.zst"]);
    names(
        &ran,
        3,
        &[
            "a/octets:1 runs as root, since it names no user",
            "a/helm:1 runs as root (\"root\")",
            "a/unheard:1 may run as root: its config has the type \"application/vnd.example.unheard.v1\"",
            "a/named:1 runs as root (\"0\") [unknown/unknown]",
            "a/disguised:1 runs as root, since it names no user [linux/amd64]",
            "a/overflow:1 runs as root (\"4294967296\")",
            ": 6 findings:",
        ],
    );
    // A reviewer sees the same.
    gap.export(&["-o", "out.tar.zst"]);
    names(&with_policy(&gap, &["verify", "out.tar.zst"]), 3, &[": 6 findings:"]);
    let json = gap.cli.run(&["review", "out.tar.zst", "-o", "-", "--format", "json"]);
    let value: Value = serde_json::from_str(&json.stdout).unwrap();
    let entry = |image: usize, at: usize| &value["images"][image]["platforms"][at];
    assert_eq!((&entry(0, 0)["kind"], &entry(0, 0)["root"]), (&json!("container"), &json!(true)));
    assert_eq!((&entry(2, 0)["kind"], &entry(2, 0)["root"]), (&json!("unclear"), &json!(true)));
    assert_eq!((&entry(3, 1)["kind"], &entry(3, 1)["user"]), (&json!("container"), &json!("0")));
    assert_eq!(entry(6, 0)["kind"], json!("artifact"));
}

#[test]
fn what_is_not_sent_does_not_satisfy_a_rule() {
    let (gap, good, _) = site();
    gap.export(&["-o", "out.tar.zst", "--only", "*/good:1"]);
    rules(&gap, "signature: true\n");
    let host = gap.destination.host();
    let import = ["import", "out.tar.zst", "-d", &host];
    names(
        &with_policy(&gap, &[&import[..], &["--with", "none"]].concat()),
        3,
        &["comes without a signature"],
    );
    names(&with_policy(&gap, &[&import[..], &["--with", "sboms"]].concat()), 3, &["without a signature"]);
    assert!(gap.destination.log().is_empty());
    names(&with_policy(&gap, &import), 0, &[]);
    assert_whole(&gap.destination, "team/good", "1", &good);
    // The size of a part is that of the part.
    let (gap, ..) = site();
    gap.export(&["-o", "out.tar.zst"]);
    rules(&gap, "maxBundleSize: 60kB\n");
    let host = gap.destination.host();
    names(
        &with_policy(&gap, &["import", "out.tar.zst", "-d", &host]),
        3,
        &["maxBundleSize: the bundle has 10"],
    );
    names(&with_policy(&gap, &["import", "out.tar.zst", "-d", &host, "--only", "*/root:1"]), 0, &[]);
}

#[test]
fn what_is_no_policy_stops_before_anything_is_asked() {
    let (gap, ..) = site();
    gap.export(&["-o", "out.tar.zst"]);
    gap.source.forget();
    let host = gap.destination.host();
    for (text, says) in [
        ("pinned: true\nsource: [quay.io]\n", "policy.yaml: line 2: unknown field `source`"),
        ("", "policy.yaml: it has no rule, and so nothing would be checked"),
        ("noRoot: maybe\n", "policy.yaml: line 1: "),
    ] {
        rules(&gap, text);
        for arguments in [
            &["export", "images.txt", "-o", "new.tar.zst"][..],
            &["verify", "out.tar.zst"],
            &["review", "out.tar.zst"],
            &["repack", "out.tar.zst", "-o", "new.tar.zst"],
            &["import", "out.tar.zst", "-d", &host],
        ] {
            names(&with_policy(&gap, arguments), 2, &[says, "a policy may have: sources"]);
        }
    }
    let file = std::fs::File::create(gap.path("policy.yaml")).unwrap();
    file.set_len(2 << 20).unwrap();
    names(&with_policy(&gap, &["verify", "out.tar.zst"]), 2, &["larger than 1 MiB"]);
    std::fs::remove_file(gap.path("policy.yaml")).unwrap();
    names(&with_policy(&gap, &["verify", "out.tar.zst"]), 2, &["policy.yaml: No such file"]);
    assert!(gap.source.log().is_empty() && gap.destination.log().is_empty());
    assert!(!gap.files().iter().any(|name| name.starts_with("new.") || name.starts_with("review")));
}

#[test]
fn a_review_shows_what_the_policy_finds_and_ends_well() {
    let (gap, ..) = site();
    gap.export(&["-o", "out.tar.zst"]);
    rules(&gap, "noRoot: true\nmaxBundleSize: 1kB\n");
    let name = format!("{}/team/root:1", gap.source.host());
    names(&with_policy(&gap, &["review", "out.tar.zst", "-o", "page.html"]), 0, &[]);
    let page = String::from_utf8(gap.read("page.html")).unwrap();
    assert!(page.contains("Policy findings"));
    let expected = format!("<h3>noRoot</h3><p><a href=\"#i1\">{name}</a> runs as root (&quot;0:0&quot;)</p>");
    assert!(page.contains(&expected), "{page}");
    assert!(page.contains("<h3>maxBundleSize</h3><p>the bundle has "), "{page}");
    let json = with_policy(&gap, &["review", "out.tar.zst", "-o", "-", "--format", "json"]);
    let value: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        value["findings"][0],
        json!({ "rule": "noRoot", "image": name, "why": "runs as root (\"0:0\")" })
    );
    assert_eq!(
        (&value["findings"][1]["rule"], &value["findings"][1]["image"]),
        (&json!("maxBundleSize"), &json!(null))
    );
    let csv = with_policy(&gap, &["review", "out.tar.zst", "-o", "-", "--format", "csv"]);
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert!(lines[0].ends_with(",findings") && lines[1].ends_with(','), "{}", csv.stdout);
    assert!(lines[2].contains("noRoot: runs as root"), "{}", csv.stdout);
    assert!(
        lines[3].starts_with("(the bundle),") && lines[3].contains("maxBundleSize: has "),
        "{}",
        csv.stdout
    );
    assert_eq!(lines.len(), 4);
    let mut records = csv::Reader::from_reader(csv.stdout.as_bytes());
    assert!(records.records().all(|record| record.is_ok()), "every row has every column");
}

#[test]
fn what_is_waived_is_told_and_stands_in_nobodys_way_until_its_time_is_over() {
    let (gap, good, root) = site();
    let host = gap.destination.host();
    let name = format!("{}/team/root:1", gap.source.host());
    let waive = |until: &str, reason: &str| {
        let entry =
            format!("rule: noRoot, image: '{}/team/root:*', reason: '{reason}'{until}", gap.source.host());
        rules(&gap, &format!("noRoot: true\nwaive:\n- {{{entry}}}\n"));
    };
    waive(", until: 2999-12-31", "until 4.2 <b>");
    let says = format!("noRoot: {name} runs as root (\"0:0\") (waived until 2999-12-31: until 4.2 <b>)");
    for arguments in [
        &["export", "images.txt", "-o", "out.tar.zst"][..],
        &["verify", "out.tar.zst"],
        &["repack", "out.tar.zst", "-o", "again.tar.zst"],
        &["import", "out.tar.zst", "-d", &host, "--report", "report.json"],
    ] {
        names(&with_policy(&gap, arguments), 0, &[&says]);
    }
    assert_whole(&gap.destination, "team/good", "1", &good);
    assert_whole(&gap.destination, "team/root", "1", &root);
    let report: Value = serde_json::from_slice(&gap.read("report.json")).unwrap();
    assert_eq!(report["images"][1]["state"], "done");
    let verified = with_policy(&gap, &["verify", "out.tar.zst", "--format", "json"]);
    let value: Value = serde_json::from_str(&verified.stdout).unwrap();
    let waived = json!({ "reason": "until 4.2 <b>", "until": "2999-12-31" });
    assert_eq!(value["bundle"]["findings"][0]["waived"], waived);
    names(&with_policy(&gap, &["review", "out.tar.zst", "-o", "page.html"]), 0, &[]);
    let page = String::from_utf8(gap.read("page.html")).unwrap();
    assert!(page.contains("Waived policy findings") && !page.contains(">Policy findings"));
    assert!(page.contains("(waived until 2999-12-31: until 4.2 &lt;b&gt;)"), "{page}");
    let csv = with_policy(&gap, &["review", "out.tar.zst", "-o", "-", "--format", "csv"]);
    assert!(csv.stdout.contains("(waived until 2999-12-31: "), "{}", csv.stdout);
    // One whose time is over does not count, and says so.
    waive(", until: 2020-01-31", "old");
    gap.destination.forget();
    let ended = "runs as root (\"0:0\"); the waiver for it ended on 2020-01-31";
    names(&with_policy(&gap, &["import", "out.tar.zst", "-d", &host, "--force"]), 3, &[ended]);
    names(&with_policy(&gap, &["verify", "out.tar.zst"]), 3, &[ended]);
    assert!(gap.destination.log().is_empty());
    // Neither does one without a reason, or from a rule that there is not.
    waive("", "");
    names(&with_policy(&gap, &["verify", "out.tar.zst"]), 2, &["line 3: \"\": give a reason"]);
    rules(&gap, "noRoot: true\nwaive:\n- {rule: root, image: 'r.io/*', reason: x}\n");
    names(
        &with_policy(&gap, &["verify", "out.tar.zst"]),
        2,
        &["line 3: \"root\": this is not a rule; the rules are"],
    );
}

#[test]
fn a_repack_keeps_to_the_rules_too() {
    let (gap, ..) = site();
    gap.export(&["-o", "out.tar.zst"]);
    rules(&gap, "noRoot: true\n");
    names(&with_policy(&gap, &["repack", "out.tar.zst", "-o", "new.tar.zst"]), 3, &["noRoot: "]);
    assert!(!gap.path("new.tar.zst").exists());
    names(&with_policy(&gap, &["repack", "out.tar.zst", "-o", "new.tar.zst", "--only", "*/good:1"]), 0, &[]);
}
