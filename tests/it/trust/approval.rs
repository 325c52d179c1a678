//! Approvals: only an approval by a reviewer, of exactly this bundle, counts.

use super::*;

/// `out.tar.zst`, exported and signed by `site`; the key `reviewer` too.
fn reviewed(approve: bool) -> (Gap, Vec<TestImage>) {
    let (gap, images) = site();
    keygen(&gap, "reviewer");
    gap.export(&["-o", "out.tar.zst", "--sign-key", "site.key"]);
    gap.export(&["-o", "cut.tar.zst", "--sign-key", "site.key", "--volume-size", "70000"]);
    if approve {
        for bundle in ["out.tar.zst", "cut.tar.zst.001"] {
            approved(&gap, bundle, "reviewer.key");
        }
    }
    (gap, images)
}

fn approved(gap: &Gap, bundle: &str, key: &str) {
    let ran = gap.cli.run(&["sign", "--role", "approver", bundle, "--key", key, "--by", "Grace"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

const REVIEWER: [&str; 2] = ["--require-approval", "reviewer.pub"];

#[test]
fn without_an_approval_nothing_is_touched_however_the_bundle_comes() {
    let (gap, images) = reviewed(false);
    for way in ways(&gap) {
        assert_untouched(&gap, &import(&gap, &way, &REVIEWER), "is not approved");
    }
    let refused = gap.cli.run(&[&["verify", "out.tar.zst"], &REVIEWER[..]].concat());
    assert_untouched(&gap, &refused, "is not approved");
    for bundle in ["out.tar.zst", "cut.tar.zst"] {
        approved(&gap, bundle, "reviewer.key");
    }
    let lines = String::from_utf8(gap.read("out.tar.zst.approvals")).unwrap();
    assert_eq!(lines.lines().count(), 1);
    for (bundle, beside) in ways(&gap) {
        // Only the file and its volumes have something beside them.
        let named = !bundle.iter().any(|name| name.contains(".tar.zst"));
        let elsewhere: &[&str] = if named { &["--approvals", "out.tar.zst.approvals"] } else { &[] };
        let ran = import(&gap, &(bundle, beside), &[&REVIEWER[..], elsewhere].concat());
        assert_eq!(ran.code, 0, "{}", ran.shown());
        assert!(ran.stderr.contains("approved with reviewer.pub (key "), "{}", ran.shown());
        assert!(ran.stderr.contains(" by Grace at "), "{}", ran.shown());
        arrived(&gap, &images);
    }
}

#[test]
fn no_other_signature_by_the_same_key_is_an_approval() {
    let (gap, _) = reviewed(false);
    // The reviewer's key signs the bundle and its statement as an exporter would.
    gap.export(&["-o", "own.tar.zst", "--sign-key", "reviewer.key", "--statement"]);
    let ran = gap.cli.run(&["sign", "own.tar.zst", "--key", "reviewer.key"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let refused = |says: &str| assert_untouched(&gap, &gap.try_import("own.tar.zst", &REVIEWER), says);
    refused("is not approved");
    for (file, says) in [
        ("own.tar.zst.sig", "cannot be read as a signature: line 1"),
        ("own.tar.zst.sigstore.json", "cannot be read as a signature: line 1"),
        ("own.tar.zst.statement.json.sigstore.json", "cannot be read as a signature: line 1"),
    ] {
        std::fs::copy(gap.path(file), gap.path("own.tar.zst.approvals")).unwrap();
        refused(says);
    }
    // The envelope of the statement alone has the right form, and says something else.
    let bundle: serde_json::Value =
        serde_json::from_slice(&gap.read("own.tar.zst.statement.json.sigstore.json")).unwrap();
    std::fs::write(gap.path("own.tar.zst.approvals"), bundle["dsseEnvelope"].to_string()).unwrap();
    refused(
        "signed in own.tar.zst.approvals is not an approval: it is of type \"urn:airgap-bundle:statement:1\"",
    );
    // Nor is an approval a signature.
    std::fs::remove_file(gap.path("out.tar.zst.sigstore.json")).unwrap();
    approved(&gap, "out.tar.zst", "other.key");
    std::fs::copy(gap.path("out.tar.zst.approvals"), gap.path("out.tar.zst.sigstore.json")).unwrap();
    let ran = gap.try_import("out.tar.zst", &["--verify-key", "other.pub"]);
    assert_untouched(&gap, &ran, "cannot be read as a signature: it is JSON of another kind");
}

#[test]
fn a_statement_file_is_signed_as_what_it_is_and_nothing_else() {
    let (gap, _) = reviewed(false);
    gap.export(&["-o", "own.tar.zst", "--statement"]);
    let text = String::from_utf8(gap.read("own.tar.zst.statement.json")).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    let id = whole["predicate"]["bundle"].clone();
    let sign = |text: &str| {
        std::fs::write(gap.path("said.json"), text).unwrap();
        gap.cli.run(&["sign", "said.json", "--key", "reviewer.key", "--force"])
    };
    let ran = sign(&text);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(
        ran.stdout.contains(&format!("signed the statement about bundle {}", id.as_str().unwrap())),
        "{}",
        ran.shown()
    );
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = whole.clone();
        change(&mut value);
        value.to_string()
    };
    let approval = changed(&|value| {
        value["predicateType"] = "urn:airgap-bundle:approval:1".into();
        let images = value["predicate"].as_object_mut().unwrap();
        images.retain(|key, _| ["bundle", "by", "at", "tool"].contains(&key.as_str()));
        value["subject"].as_array_mut().unwrap().truncate(1);
    });
    for (text, says) in [
        (approval, "it is a statement of type \"urn:airgap-bundle:approval:1\""),
        (
            changed(&|value| value["predicateType"] = "https://slsa.dev/provenance/v1".into()),
            "it is a statement of type",
        ),
        (
            changed(&|value| value["PredicateType"] = "urn:airgap-bundle:approval:1".into()),
            "fields that are not known",
        ),
        (changed(&|value| value["predicate"]["approved"] = true.into()), "fields that are not known"),
        (
            changed(&|value| value["subject"][0]["Digest"] = serde_json::json!({})),
            "fields that are not known",
        ),
        (changed(&|value| value["subject"].as_array_mut().unwrap().truncate(1)), "its subjects are not"),
        (
            text.replacen("\"predicateType\"", "\"predicateType\": \"x\", \"predicateType\"", 1),
            "is not a zstd file",
        ),
    ] {
        let ran = sign(&text);
        assert_eq!(ran.code, 3, "{text}: {}", ran.shown());
        assert!(ran.stderr.contains("said.json") && ran.stderr.contains(says), "{says}: {}", ran.shown());
    }
    // ArtifactStatus a bundle, what is not of that bundle is not signed along.
    for (text, says) in [
        (
            changed(&|value| value["predicate"]["base"] = id.clone()),
            "the base it names is not that of the bundle",
        ),
        (changed(&|value| value["subject"].as_array_mut().unwrap().truncate(1)), "its subjects are not"),
    ] {
        std::fs::write(gap.path("own.tar.zst.statement.json"), text).unwrap();
        let ran = gap.cli.run(&["sign", "own.tar.zst", "--key", "reviewer.key", "--force"]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        assert!(ran.stderr.contains(says), "{says}: {}", ran.shown());
        assert!(!gap.path("own.tar.zst.statement.json.sigstore.json").exists());
    }
    std::fs::write(gap.path("own.tar.zst.statement.json"), text).unwrap();
    let ran = gap.cli.run(&["sign", "own.tar.zst", "--key", "reviewer.key", "--force"]);
    assert!(ran.stderr.contains("made of catalog \"images.txt\", sha256:"), "{}", ran.shown());
    // A receipt is signed as one, if it is about what it says arrived.
    gap.import("own.tar.zst", &["--receipt", "receipt.json"]);
    let receipt = String::from_utf8(gap.read("receipt.json")).unwrap();
    let ran = sign(&receipt);
    assert!(ran.stdout.contains("signed the receipt of "), "{}", ran.shown());
    let mut value: serde_json::Value = serde_json::from_str(&receipt).unwrap();
    value["predicate"]["images"][0]["state"] = "failed".into();
    assert_eq!(sign(&value.to_string()).code, 3);
}

#[test]
fn approvals_of_others_or_of_another_bundle_do_not_count() {
    let (gap, _) = reviewed(false);
    approved(&gap, "out.tar.zst", "other.key");
    let refused = |says: &str| assert_untouched(&gap, &gap.try_import("out.tar.zst", &REVIEWER), says);
    refused("out.tar.zst.approvals has 1 by another key");
    gap.export(&["-o", "part.tar.zst", "--only", "*/one:1"]);
    approved(&gap, "part.tar.zst", "reviewer.key");
    std::fs::copy(gap.path("part.tar.zst.approvals"), gap.path("out.tar.zst.approvals")).unwrap();
    refused("signed in out.tar.zst.approvals is for another bundle");
    let ran = gap.cli.run(&["sign", "--role", "approver", "out.tar.zst", "--key", "reviewer.key"]);
    assert!(ran.code == 1 && ran.stderr.contains("has approvals of another bundle"), "{}", ran.shown());
    let forced =
        gap.cli.run(&["sign", "--role", "approver", "out.tar.zst", "--key", "reviewer.key", "--force"]);
    assert_eq!(forced.code, 0, "{}", forced.shown());
    // What was changed after it was signed.
    let text = String::from_utf8(gap.read("out.tar.zst.approvals")).unwrap();
    let mut envelope: serde_json::Value = serde_json::from_str(&text).unwrap();
    envelope["signatures"][0]["sig"] = "MEUCIQ==".into();
    std::fs::write(gap.path("out.tar.zst.approvals"), envelope.to_string()).unwrap();
    refused("it says it is by reviewer.pub");
    for (nonsense, says) in [("", "it is empty"), ("\n \n", "it is empty"), ("{}", "line 1: missing field")] {
        std::fs::write(gap.path("out.tar.zst.approvals"), nonsense).unwrap();
        refused(says);
    }
    let file = std::fs::File::create(gap.path("out.tar.zst.approvals")).unwrap();
    file.set_len(20 << 20).unwrap();
    refused("it is larger than 16 MiB");
}

#[test]
fn several_reviewers_approve_one_after_another_and_any_of_the_demanded_suffices() {
    let (gap, images) = reviewed(true);
    approved(&gap, "out.tar.zst", "other.key");
    let both = gap.read("out.tar.zst.approvals");
    approved(&gap, "out.tar.zst", "reviewer.key");
    assert_eq!(gap.read("out.tar.zst.approvals"), both, "a second word by the same key adds nothing");
    let demanded = ["--require-approval", "site.pub", "--require-approval", "other.pub"];
    let ran = gap.import("out.tar.zst", &[&demanded[..], &["--report", "report.json"]].concat());
    assert!(ran.stderr.contains("has 1 by another key"), "{}", ran.shown());
    let report: serde_json::Value = serde_json::from_slice(&gap.read("report.json")).unwrap();
    assert_eq!(report["bundle"]["approvedBy"][0]["by"], "Grace");
    arrived(&gap, &images);
    // A signature and an approval can be required together, each by its own key.
    let verify =
        |key: &str| gap.cli.run(&[&["verify", "out.tar.zst", "--verify-key", key], &REVIEWER[..]].concat());
    let ran = verify("site.pub");
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(
        ran.stdout.contains("\nsigned by site.pub") && ran.stdout.contains("\napproved with reviewer.pub")
    );
    assert_eq!(verify("other.pub").code, 3);
}

#[test]
fn a_site_demands_approvals_through_its_environment_and_reviews_without() {
    let (gap, images) = site_with(Cli::new().env("AIRGAP_BUNDLE_REQUIRE_APPROVAL", "other.pub:site.pub"));
    gap.export(&["-o", "out.tar.zst", "--statement"]);
    assert_untouched(&gap, &gap.try_import("out.tar.zst", &[]), "is not approved");
    for command in [&["inspect", "out.tar.zst"][..], &["review", "out.tar.zst"]] {
        let ran = gap.cli.run(command);
        assert_eq!(ran.code, 0, "{}", ran.shown());
    }
    approved(&gap, "out.tar.zst", "site.key");
    gap.import("out.tar.zst", &[]);
    arrived(&gap, &images);
    for (arguments, says) in [
        (
            &["sign", "--role", "approver", "out.tar.zst.statement.json", "--key", "site.key"][..],
            "is not a bundle",
        ),
        (&["sign", "out.tar.zst", "--key", "site.key", "--by", "Grace"], "`--by` needs `--role approver`"),
        (
            &["sign", "--role", "approver", "out.tar.zst", "--key", "site.pub"],
            "signing needs the private key",
        ),
        (&["verify", "out.tar.zst", "--require-approval", "site.key"], "needs the public key"),
    ] {
        let ran = gap.cli.run(arguments);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{}", ran.shown());
    }
    let mut command = gap.cli.command(&["verify", "out.tar.zst"]);
    let output = command.env("AIRGAP_BUNDLE_REQUIRE_APPROVAL", "").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
