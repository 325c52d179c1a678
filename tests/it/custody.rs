//! Statements of exports and receipts of imports: their content, their signatures, and a delta on a receipt.

use airgap_bundle::image::Digest;
use serde_json::{Value, json};

use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole, uploads};
use crate::support::images::{Layer, TestImage, sharing};

const BASE: usize = 200_000;

/// Two images on one base on the list, and the keys `site` and `other`.
fn site() -> (Gap, Vec<TestImage>) {
    let mut gap = Gap::new();
    let images = sharing([2, 3], &Layer::gzip(1, BASE));
    gap.image("team/one", "1", &images[0]).image("team/two", "1", &images[1]);
    for name in ["site", "other"] {
        run(&gap, &["keygen", "-o", name, "--no-passphrase"], 0);
    }
    (gap, images)
}

fn run(gap: &Gap, arguments: &[&str], code: i32) -> Ran {
    let ran = gap.cli.run(arguments);
    assert_eq!(ran.code, code, "{}", ran.shown());
    ran
}

/// Refused at verify with each of `says`.
fn wrong(gap: &Gap, arguments: &[&str], says: &[&str]) {
    let ran = run(gap, &[&["verify", "out.tar.zst"], arguments].concat(), 3);
    for says in says {
        assert!(ran.stderr.contains(says), "{says}: {}", ran.shown());
    }
}

fn value(gap: &Gap, name: &str) -> Value {
    serde_json::from_slice(&gap.read(name)).unwrap()
}

fn altered(gap: &Gap, name: &str, change: impl FnOnce(&mut Value)) {
    let mut value = value(gap, name);
    change(&mut value);
    std::fs::write(gap.path(name), serde_json::to_vec_pretty(&value).unwrap()).unwrap();
}

#[test]
fn a_statement_says_who_made_what_of_what() {
    let (gap, images) = site();
    gap.export(&["-o", "out.tar.zst", "--statement", "--by", "Ada"]);
    let statement = value(&gap, "out.tar.zst.statement.json");
    let inspected = run(&gap, &["inspect", "out.tar.zst", "--format", "json"], 0);
    let id = serde_json::from_str::<Value>(&inspected.stdout).unwrap()["id"].clone();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "urn:airgap-bundle:statement:1");
    let said = &statement["predicate"];
    assert_eq!((&said["by"], &said["bundle"]), (&json!("Ada"), &id));
    assert_eq!(said["tool"], json!({ "name": "airgap-bundle", "version": env!("CARGO_PKG_VERSION") }));
    assert!(said["at"].as_str().unwrap().ends_with('Z'));
    let catalog = Digest::sha256(&gap.read("images.txt"));
    assert_eq!(said["materials"], json!([{ "kind": "catalog", "name": "images.txt", "digest": catalog }]));
    let name = |image: &str| format!("{}/team/{image}:1", gap.source.host());
    let row = |at: usize, image: &str| json!({ "name": name(image), "source": name(image), "digest": images[at].digest });
    assert_eq!(said["images"], json!([row(0, "one"), row(1, "two")]));
    assert_eq!(
        statement["subject"],
        json!([
            { "name": "bundle.json", "digest": { "sha256": id.as_str().unwrap()[7..] } },
            { "name": name("one"), "digest": { "sha256": images[0].digest.hex() } },
            { "name": name("two"), "digest": { "sha256": images[1].digest.hex() } },
        ])
    );
    let verified = run(&gap, &["verify", "out.tar.zst"], 0);
    let says = format!("exported by Ada at {}, signature not checked", said["at"].as_str().unwrap());
    assert!(verified.stdout.contains(&says), "{}", verified.shown());
    // The same run again makes no other statement of the same bundle.
    let before = gap.read("out.tar.zst.statement.json");
    gap.export(&["-o", "out.tar.zst", "--statement", "--by", "Bob"]);
    assert_eq!(gap.read("out.tar.zst.statement.json"), before);
    let piped = gap.try_export(&["-o", "-", "--statement"]);
    assert!(
        piped.code == 2 && piped.stderr.contains("`--statement` writes a file beside the bundle"),
        "{}",
        piped.shown()
    );
}

#[test]
fn a_statement_counts_only_as_it_was_signed_and_about_its_own_bundle() {
    let (gap, _) = site();
    gap.export(&["-o", "out.tar.zst", "--statement", "--sign-key", "site.key"]);
    let (text, signature) =
        (gap.read("out.tar.zst.statement.json"), gap.read("out.tar.zst.statement.json.sigstore.json"));
    let put_back = || {
        std::fs::write(gap.path("out.tar.zst.statement.json"), &text).unwrap();
        std::fs::write(gap.path("out.tar.zst.statement.json.sigstore.json"), &signature).unwrap();
    };
    let trusted = ["--verify-key", "site.pub"];
    let verified = run(&gap, &[&["verify", "out.tar.zst"], &trusted[..]].concat(), 0);
    assert!(verified.stdout.contains(", signed by site.pub"), "{}", verified.shown());
    // Another name, or another maker, is not what was signed.
    altered(&gap, "out.tar.zst.statement.json", |value| value["predicate"]["by"] = json!("Eve"));
    wrong(&gap, &trusted, &["its signature is of another text"]);
    put_back();
    std::fs::remove_file(gap.path("out.tar.zst.statement.json.sigstore.json")).unwrap();
    wrong(&gap, &trusted, &["it is not signed, and a signature by site.pub"]);
    put_back();
    run(&gap, &["sign", "out.tar.zst.statement.json", "--key", "other.key", "--force"], 0);
    wrong(&gap, &trusted, &["its signature is by another key"]);
    run(&gap, &["sign", "out.tar.zst.statement.json", "--key", "site.key", "--force"], 0);
    assert_eq!(
        gap.read("out.tar.zst.statement.json.sigstore.json"),
        signature,
        "the same message, the same bytes"
    );
    // The bundle's own signature is none of its statement.
    std::fs::copy(
        gap.path("out.tar.zst.sigstore.json"),
        gap.path("out.tar.zst.statement.json.sigstore.json"),
    )
    .unwrap();
    wrong(&gap, &trusted, &["its signature is not one of a statement"]);
    for empty in [&b""[..], b"{}", b"\x89\x01"] {
        std::fs::write(gap.path("out.tar.zst.statement.json.sigstore.json"), empty).unwrap();
        wrong(&gap, &trusted, &["its signature"]);
    }
    // Of another bundle, and with other images.
    gap.export(&["-o", "part.tar.zst", "--only", "*/one:1", "--statement", "--sign-key", "site.key"]);
    for suffix in ["statement.json", "statement.json.sigstore.json"] {
        let (from, to) = (format!("part.tar.zst.{suffix}"), format!("out.tar.zst.{suffix}"));
        std::fs::copy(gap.path(&from), gap.path(&to)).unwrap();
    }
    wrong(&gap, &trusted, &["it is about another bundle"]);
    put_back();
    altered(&gap, "out.tar.zst.statement.json", |value| value["predicate"]["images"][0] = json!(null));
    wrong(&gap, &[], &["the statement or a receipt does not match the bundle"]);
    put_back();
    altered(&gap, "out.tar.zst.statement.json", |value| {
        value["predicate"]["images"].as_array_mut().unwrap().pop();
    });
    wrong(&gap, &[], &["the images it lists are not those of the bundle"]);
}

#[test]
fn a_receipt_says_what_arrived_where_and_what_was_there_before() {
    let (gap, images) = site();
    gap.export(&["-o", "out.tar.zst"]);
    let old = crate::support::images::image(9);
    gap.destination.put_image("team/two", "1", &old);
    let arguments = ["--receipt", "receipt.json", "--by", "Grace", "--sign-key", "other.key"];
    gap.import("out.tar.zst", &arguments);
    let receipt = value(&gap, "receipt.json");
    assert_eq!(receipt["predicateType"], "urn:airgap-bundle:receipt:1");
    let said = &receipt["predicate"];
    let host = gap.destination.host();
    assert_eq!((&said["by"], &said["destination"]), (&json!("Grace"), &json!(host)));
    let rows = said["images"].as_array().unwrap();
    let row =
        |at: usize| (rows[at]["digest"].clone(), rows[at]["target"].clone(), rows[at]["replaced"].clone());
    assert_eq!(row(0), (json!(images[0].digest), json!(format!("{host}/team/one:1")), json!(null)));
    assert_eq!(row(1), (json!(images[1].digest), json!(format!("{host}/team/two:1")), json!(old.digest)));
    let trusted = ["verify", "out.tar.zst", "--receipt", "receipt.json"];
    let verified = run(&gap, &trusted, 0);
    assert!(verified.stdout.contains(&format!("arrived at {host} by Grace")), "{}", verified.shown());
    // The bundle was signed by nobody, the receipt by those inside.
    run(&gap, &["sign", "out.tar.zst", "--key", "other.key"], 0);
    let verified = run(&gap, &[&trusted[..], &["--verify-key", "other.pub"]].concat(), 0);
    assert!(verified.stdout.contains("signed by other.pub"), "{}", verified.shown());
    altered(&gap, "receipt.json", |value| value["predicate"]["images"][0]["digest"] = json!(old.digest));
    wrong(&gap, &["--receipt", "receipt.json"], &["team/one:1 arrived as sha256:"]);
    wrong(&gap, &["--receipt", "receipt.json", "--verify-key", "other.pub"], &["is of another text"]);
    // What else is no receipt of this bundle.
    gap.export(&["-o", "part.tar.zst", "--only", "*/one:1", "--statement"]);
    wrong(
        &gap,
        &["--receipt", "part.tar.zst.statement.json"],
        &["and urn:airgap-bundle:receipt:1 is expected"],
    );
    gap.import("part.tar.zst", &["--receipt", "part.json"]);
    wrong(&gap, &["--receipt", "part.json"], &["it is about another bundle"]);
    assert_eq!(value(&gap, "part.json")["predicate"]["images"][0]["state"], "already-there");
    run(&gap, &["verify", "out.tar.zst", "--receipt", "absent.json"], 2);
    for nonsense in ["", "null", "{", "{\"_type\":\"https://in-toto.io/Statement/v1\"}"] {
        std::fs::write(gap.path("nonsense.json"), nonsense).unwrap();
        wrong(&gap, &["--receipt", "nonsense.json"], &["nonsense.json: "]);
    }
}

#[test]
fn a_receipt_does_not_vouch_for_what_did_not_arrive() {
    let (gap, _) = site();
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &["--only", "*/one:1", "--receipt", "receipt.json"]);
    wrong(&gap, &["--receipt", "receipt.json"], &["team/two:1 did not arrive"]);
    let subjects = value(&gap, "receipt.json")["subject"].as_array().unwrap().len();
    assert_eq!(subjects, 2, "the bundle and the one image");
    // What is there and no receipt is not replaced, and nothing is sent.
    gap.destination.forget();
    std::fs::write(gap.path("notes.txt"), "mine").unwrap();
    let ran = gap.try_import("out.tar.zst", &["--receipt", "notes.txt", "--force"]);
    assert_eq!(ran.code, 0, "told to: {}", ran.shown());
    std::fs::write(gap.path("notes.txt"), "mine").unwrap();
    gap.destination.forget();
    std::fs::remove_file(gap.path("out.values.yaml")).unwrap();
    let ran = gap.try_import("out.tar.zst", &["--receipt", "notes.txt"]);
    assert!(ran.code == 1 && ran.stderr.contains("notes.txt exists and is not a receipt"), "{}", ran.shown());
    assert!(gap.destination.log().is_empty());
    run(&gap, &["import", "out.tar.zst", "-d", &gap.destination.host(), "--receipt", "out.tar.zst"], 2);
}

#[test]
fn a_delta_on_a_receipt_leaves_out_what_arrived() {
    let (mut gap, images) = site();
    let base = images[0].layers()[0];
    gap.export(&["-o", "out.tar.zst", "--only", "*/one:1"]);
    gap.import("out.tar.zst", &["--receipt", "receipt.json"]);
    gap.image("team/three", "1", &sharing([4], &Layer::gzip(1, BASE))[0]);
    gap.source.forget();
    gap.export(&["--base", "receipt.json", "-o", "delta.tar.zst"]);
    assert!(!gap.source.blob_gets().contains_key(&base), "the base was downloaded");
    gap.destination.forget();
    gap.import("delta.tar.zst", &[]);
    assert_whole(&gap.destination, "team/two", "1", &images[1]);
    assert!(!uploads(&gap.destination).contains_key(&base));
    // Where it is missing, the bundle that brings it is named.
    let inspected = run(&gap, &["inspect", "out.tar.zst", "--format", "json"], 0);
    let id = serde_json::from_str::<Value>(&inspected.stdout).unwrap()["id"].as_str().unwrap().to_owned();
    let elsewhere = crate::support::registry::TestRegistry::start();
    let ran = gap.cli.run(&["import", "delta.tar.zst", "-d", &elsewhere.host(), "--force"]);
    assert!(ran.code == 1 && ran.stderr.contains(&format!("the bundle with the id {id}")), "{}", ran.shown());
    let refused = gap.try_export(&["--base", "delta.tar.zst.sha256", "-o", "x.tar.zst"]);
    assert_ne!(refused.code, 0);
    gap.export(&["-o", "whole.tar.zst", "--statement"]);
    let refused = gap.try_export(&["--base", "whole.tar.zst.statement.json", "-o", "x.tar.zst"]);
    assert!(refused.code == 3 && refused.stderr.contains("the receipt of an import"), "{}", refused.shown());
}

/// Signed at export, with a statement and an approval beside it.
fn said(gap: &Gap) {
    gap.export(&["-o", "out.tar.zst", "--statement", "--sign-key", "site.key", "--force"]);
    run(gap, &["sign", "--role", "approver", "out.tar.zst", "--key", "other.key"], 0);
    // A second signature, by somebody else.
    run(gap, &["sign", "out.tar.zst", "--key", "other.key", "--force"], 0);
}

const TRUSTED: [&str; 4] = ["--verify-key", "site.pub", "--require-approval", "other.pub"];
const COMPANY: [&str; 5] =
    [".sig", ".sigstore.json", ".statement.json", ".statement.json.sigstore.json", ".approvals"];

#[test]
fn a_bundle_that_is_cut_anew_keeps_everything_that_is_said_of_it() {
    let (gap, _) = site();
    said(&gap);
    let cut = run(&gap, &["repack", "out.tar.zst", "-o", "cut.tar.zst", "--volume-size", "70000"], 0);
    for suffix in COMPANY {
        assert_eq!(
            gap.read(&format!("cut.tar.zst{suffix}")),
            gap.read(&format!("out.tar.zst{suffix}")),
            "{suffix}"
        );
        assert!(cut.stdout.contains(&format!("  cut.tar.zst{suffix}\n")), "{suffix}: {}", cut.shown());
    }
    // The signature in the bundle is still in it: joined, it is the same file.
    run(&gap, &["repack", "cut.tar.zst.001", "-o", "joined.tar.zst"], 0);
    assert_eq!(gap.read("joined.tar.zst"), gap.read("out.tar.zst"));
    for bundle in ["cut.tar.zst.001", "joined.tar.zst"] {
        let verified = run(&gap, &[&["verify", bundle], &TRUSTED[..]].concat(), 0);
        for says in ["bundle.json.sig in the bundle", "approved with other.pub", "exported by "] {
            assert!(verified.stdout.contains(says), "{says}: {}", verified.shown());
        }
    }
    // Another file with this name is not replaced without --force.
    std::fs::write(gap.path("again.tar.zst.approvals"), "mine").unwrap();
    let again = run(&gap, &["repack", "out.tar.zst", "-o", "again.tar.zst"], 0);
    assert!(
        again.stderr.contains("again.tar.zst.approvals differs from out.tar.zst.approvals"),
        "{}",
        again.shown()
    );
    assert_eq!(gap.read("again.tar.zst.approvals"), b"mine");
    run(&gap, &["repack", "out.tar.zst", "-o", "again.tar.zst", "--force"], 0);
    assert_eq!(gap.read("again.tar.zst.approvals"), gap.read("out.tar.zst.approvals"));
}

#[test]
fn another_bundle_keeps_nothing_of_what_was_said_of_its_parts() {
    let (gap, _) = site();
    said(&gap);
    run(&gap, &["repack", "out.tar.zst", "--only", "*/one:1", "-o", "part.tar.zst"], 0);
    run(&gap, &["repack", "out.tar.zst", "part.tar.zst", "-o", "both.tar.zst"], 0);
    for bundle in ["part.tar.zst", "both.tar.zst"] {
        for suffix in COMPANY {
            assert!(!gap.path(&format!("{bundle}{suffix}")).exists(), "{bundle}{suffix}");
        }
        run(&gap, &["verify", bundle, "--verify-key", "site.pub"], 3);
    }
    // Signed anew, or said anew, it is the new word that counts.
    let own = ["--sign-key", "other.key", "--statement", "--by", "Eve"];
    run(&gap, &[&["repack", "out.tar.zst", "-o", "own.tar.zst"], &own[..]].concat(), 0);
    let verified = run(&gap, &["verify", "own.tar.zst", "--verify-key", "other.pub"], 0);
    assert!(verified.stdout.contains("exported by Eve") && !verified.stdout.contains("by another key"));
    assert_eq!(gap.read("own.tar.zst.approvals"), gap.read("out.tar.zst.approvals"));
    let material = value(&gap, "own.tar.zst.statement.json")["predicate"]["materials"][0].clone();
    assert_eq!((&material["kind"], &material["name"]), (&json!("bundle"), &json!("out.tar.zst")));
}

/// What is there of the names in `COMPANY`, and the checksums.
fn company(gap: &Gap, bundle: &str) -> Vec<&'static str> {
    let all = COMPANY.into_iter().chain([".sha256", ".volumes.json"]);
    all.filter(|suffix| gap.path(&format!("{bundle}{suffix}")).exists()).collect()
}

#[test]
fn a_bundle_that_is_replaced_takes_with_it_what_was_said_of_it() {
    let (gap, _) = site();
    said(&gap);
    let everything = [&COMPANY[..], &[".sha256"]].concat();
    assert_eq!(company(&gap, "out.tar.zst"), everything);
    // The same bundle again: every word still holds.
    gap.export(&["-o", "out.tar.zst", "--sign-key", "site.key", "--force"]);
    assert_eq!(company(&gap, "out.tar.zst"), everything);
    run(&gap, &[&["verify", "out.tar.zst"], &TRUSTED[..]].concat(), 0);
    run(&gap, &["repack", "out.tar.zst", "-o", "whole.tar.zst"], 0);
    let part = ["--only", "*/one:1", "--force"];
    gap.export(&[&["-o", "out.tar.zst", "--no-sidecar"], &part[..]].concat());
    assert_eq!(company(&gap, "out.tar.zst"), [""; 0]);
    run(&gap, &["verify", "out.tar.zst", "--verify-key", "site.pub"], 3);
    // Of a new signature only that.
    said(&gap);
    gap.export(&[&["-o", "out.tar.zst", "--sign-key", "site.key"], &part[..]].concat());
    assert_eq!(company(&gap, "out.tar.zst"), [".sigstore.json", ".sha256"]);
    run(&gap, &["verify", "out.tar.zst", "--verify-key", "site.pub"], 0);
    said(&gap);
    run(&gap, &[&["repack", "whole.tar.zst", "-o", "out.tar.zst"], &part[..]].concat(), 0);
    assert_eq!(company(&gap, "out.tar.zst"), [".sha256"]);
    // Sidecar files without a bundle are kept, with a message.
    std::fs::remove_file(gap.path("out.tar.zst")).unwrap();
    std::fs::write(gap.path("out.tar.zst.approvals"), "mine").unwrap();
    let ran = gap.export(&["-o", "out.tar.zst"]);
    assert!(ran.stderr.contains("out.tar.zst.approvals"), "{}", ran.shown());
    assert!(ran.stderr.contains("may belong to another bundle"), "{}", ran.shown());
    assert_eq!(gap.read("out.tar.zst.approvals"), b"mine");
}

#[test]
fn volumes_that_are_replaced_take_with_them_what_was_said_of_them() {
    let (gap, _) = site();
    let cut = |size: &str, more: &[&str]| {
        gap.export(&[&["-o", "cut.tar.zst", "--volume-size", size, "--force"], more].concat());
    };
    cut("66000", &["--parity", "2", "--statement", "--sign-key", "site.key"]);
    run(&gap, &["sign", "cut.tar.zst.001", "--key", "site.key"], 0);
    run(&gap, &["sign", "--role", "approver", "cut.tar.zst.001", "--key", "other.key"], 0);
    cut("70000", &["--only", "*/one:1"]);
    let volumes = |name: &String| name.starts_with("cut.tar.zst");
    let there: Vec<String> = gap.files().into_iter().filter(volumes).collect();
    assert_eq!(
        there,
        [
            "cut.tar.zst.001",
            "cut.tar.zst.002",
            "cut.tar.zst.003",
            "cut.tar.zst.sha256",
            "cut.tar.zst.volumes.json"
        ]
    );
    run(&gap, &["verify", "cut.tar.zst.001"], 0);
}

#[test]
fn a_file_and_volumes_of_one_name_are_one_bundle_or_none() {
    let (gap, _) = site();
    let whole = ["-o", "out.tar.zst"];
    let cut = ["-o", "out.tar.zst", "--volume-size", "70000"];
    let part = ["--only", "*/one:1"];
    let refused = |arguments: &[&str], says: &str| {
        for force in [&[][..], &["--force"]] {
            let ran = gap.try_export(&[arguments, force].concat());
            assert!(ran.code == 1 && ran.stderr.contains(says), "{}", ran.shown());
        }
    };
    gap.export(&cut);
    refused(&[&whole[..], &part].concat(), "the volumes of out.tar.zst are another bundle");
    // The same bundle may lie there in one piece too.
    run(&gap, &["repack", "out.tar.zst.001", "-o", "out.tar.zst"], 0);
    refused(&[&whole[..], &part].concat(), "another bundle");
    refused(&[&cut[..], &part].concat(), "out.tar.zst is a file");
    for bundle in ["out.tar.zst", "out.tar.zst.001"] {
        run(&gap, &["verify", bundle], 0);
    }
}

#[test]
fn a_base_is_believed_only_as_it_was_signed_where_a_key_is_demanded() {
    let (mut gap, images) = site();
    gap.export(&["-o", "out.tar.zst", "--only", "*/one:1"]);
    gap.import("out.tar.zst", &["--receipt", "receipt.json"]);
    gap.image("team/three", "1", &sharing([4], &Layer::gzip(1, BASE))[0]);
    let catalog =
        ["inspect", "-d", &gap.destination.host(), "--catalog", "images.txt", "-o", "inventory.json"];
    gap.cli.run(&catalog);
    let members = crate::support::rebuilt::members(&gap.read("out.tar.zst"));
    let (_, manifest) = members.iter().find(|(path, _)| path == "bundle.json").unwrap();
    std::fs::write(gap.path("bundle.json"), manifest).unwrap();
    gap.source.forget();
    let repacked = || ["repack", "out.tar.zst", "-o", "delta.tar.zst", "--verify-key", "site.pub", "--base"];
    let refused = |base: &str, says: &str| {
        let exported = gap.try_export(&["--base", base, "-o", "delta.tar.zst", "--verify-key", "site.pub"]);
        assert!(exported.code == 3 && exported.stderr.contains(says), "{says}: {}", exported.shown());
        assert!(!gap.path("delta.tar.zst").exists());
    };
    for base in ["out.tar.zst", "bundle.json"] {
        refused(base, "the bundle is not signed");
    }
    refused("receipt.json", "receipt.json: it is not signed, and a signature by site.pub");
    refused("inventory.json", "inventory.json: an inventory has no signature");
    assert!(gap.source.log().is_empty(), "refused before any registry is asked");
    // By another key, and by the right one over another text.
    run(&gap, &["sign", "receipt.json", "--key", "other.key"], 0);
    refused("receipt.json", "its signature is by another key");
    run(&gap, &["sign", "receipt.json", "--key", "site.key", "--force"], 0);
    let right = gap.read("receipt.json");
    altered(&gap, "receipt.json", |value| value["predicate"]["images"] = json!([]));
    refused("receipt.json", "its signature is of another text");
    std::fs::write(gap.path("receipt.json"), right).unwrap();
    run(&gap, &["sign", "out.tar.zst", "--key", "site.key"], 0);
    std::fs::copy(gap.path("out.tar.zst.sig"), gap.path("bundle.json.sig")).unwrap();
    for base in ["receipt.json", "out.tar.zst", "bundle.json"] {
        gap.export(&["--base", base, "-o", "delta.tar.zst", "--verify-key", "site.pub", "--force"]);
    }
    gap.import("delta.tar.zst", &[]);
    assert_whole(&gap.destination, "team/two", "1", &images[1]);
    // A repack asks for the same of its base.
    run(&gap, &["sign", "receipt.json", "--key", "other.key", "--force"], 0);
    let ran = gap.cli.run(&[&repacked()[..], &["receipt.json", "--force"]].concat());
    assert!(ran.code == 3 && ran.stderr.contains("its signature is by another key"), "{}", ran.shown());
}

#[test]
fn a_signature_later_is_one_of_the_statement_too() {
    let (gap, _) = site();
    gap.export(&["-o", "out.tar.zst", "--statement"]);
    let trusted = |key: &str, code: i32| run(&gap, &["verify", "out.tar.zst", "--verify-key", key], code);
    let signed = run(&gap, &["sign", "out.tar.zst", "--key", "site.key"], 0);
    assert!(signed.stdout.contains("  out.tar.zst.statement.json.sigstore.json\n"), "{}", signed.shown());
    let verified = trusted("site.pub", 0);
    assert!(verified.stdout.contains(", signed by site.pub (key "), "{}", verified.shown());
    assert_eq!(run(&gap, &["sign", "out.tar.zst", "--key", "site.key"], 0).stdout, signed.stdout);
    // Somebody else's signature of the statement stays, even where those of the bundle are replaced.
    let before = gap.read("out.tar.zst.statement.json.sigstore.json");
    let other = run(&gap, &["sign", "out.tar.zst", "--key", "other.key", "--force"], 0);
    assert!(
        other.stderr.contains("out.tar.zst.statement.json is signed by another key"),
        "{}",
        other.shown()
    );
    assert!(!other.stdout.contains("statement"), "{}", other.shown());
    assert_eq!(gap.read("out.tar.zst.statement.json.sigstore.json"), before);
    // A signature of what it said before is none.
    altered(&gap, "out.tar.zst.statement.json", |value| value["predicate"]["by"] = json!("Eve"));
    run(&gap, &["sign", "out.tar.zst", "--key", "site.key"], 1);
    run(&gap, &["sign", "out.tar.zst", "--key", "site.key", "--force"], 0);
    trusted("site.pub", 0);
    // Nobody signs for what is not so.
    std::fs::remove_file(gap.path("out.tar.zst.statement.json.sigstore.json")).unwrap();
    altered(&gap, "out.tar.zst.statement.json", |value| {
        value["predicate"]["images"].as_array_mut().unwrap().pop();
    });
    let ran = run(&gap, &["sign", "out.tar.zst", "--key", "site.key"], 0);
    assert!(ran.stderr.contains("is not signed: the images it lists are not those"), "{}", ran.shown());
    assert!(!gap.path("out.tar.zst.statement.json.sigstore.json").exists());
}
