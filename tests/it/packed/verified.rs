//! `verify` in every form that can be imported, and what each of them can prove.

use serde_json::Value;

use super::*;

/// Writes the members in every form that a file or folder can have.
fn every_form(gap: &Gap, entries: &[Entry]) -> [(&'static str, &'static str); 4] {
    let plain = tar(entries);
    unpacked(entries, &gap.path("folder"));
    std::fs::write(gap.path("x.tar"), &plain).unwrap();
    std::fs::write(gap.path("x.tar.gz"), gzip(&plain)).unwrap();
    std::fs::write(gap.path("x.tar.zst"), zst(&plain)).unwrap();
    [("folder", "folder"), ("x.tar", "tar"), ("x.tar.gz", "tar.gz"), ("x.tar.zst", "tar.zst")]
}

fn json_of(gap: &Gap, form: &str) -> Value {
    let ran = gap.cli.run(&["verify", form, "--format", "json"]);
    assert_eq!(ran.code, 0, "{form}: {}", ran.shown());
    serde_json::from_str::<Value>(&ran.stdout).unwrap()["bundle"].clone()
}

#[test]
fn every_form_is_verified_and_says_what_it_can_prove() {
    let (gap, _, entries) = exported();
    let whole = json_of(&gap, "out.tar.zst");
    assert_eq!(whole["form"]["kind"], "bundle");
    for key in ["blobDigests", "otherMembers", "frameChecksums", "signable", "randomAccess"] {
        assert_eq!(whole["form"][key], true, "{key}");
    }
    for (form, container) in every_form(&gap, &entries) {
        let ran = gap.cli.run(&["verify", form]);
        assert_eq!(ran.code, 0, "{form}: {}", ran.shown());
        let says = format!("form: a bundle that was unpacked or packed again ({container})\n");
        assert!(ran.stdout.contains(&says), "{form}: {}", ran.shown());
        assert!(ran.stdout.contains("whole: 1 image, 4 blobs"), "{form}: {}", ran.shown());
        assert!(
            ran.stdout.contains("not available in this form: checksums of frames"),
            "{form}: {}",
            ran.shown()
        );
        let is_sequential = form.ends_with("gz") || form.ends_with("zst");
        assert_eq!(ran.stdout.contains("random access"), is_sequential, "{form}: {}", ran.shown());
        let json = json_of(&gap, form);
        assert_eq!(json["id"], whole["id"], "{form}");
        assert_eq!(json["form"]["kind"], "repackedBundle");
        assert_eq!(
            (&json["form"]["frameChecksums"], &json["form"]["otherMembers"]),
            (&false.into(), &true.into())
        );
        assert_eq!(json["form"]["randomAccess"], !is_sequential);
    }
    for (form, container) in every_form(&gap, &foreign(&entries)) {
        let ran = gap.cli.run(&["verify", form]);
        assert_eq!(ran.code, 0, "{form}: {}", ran.shown());
        let says = format!("form: an OCI layout of another tool ({container})\n");
        assert!(ran.stdout.contains(&says) && !ran.stdout.contains("\nid "), "{form}: {}", ran.shown());
        assert!(ran.stdout.contains("signatures and approvals of the whole"), "{form}: {}", ran.shown());
        let json = json_of(&gap, form);
        assert_eq!((&json["id"], &json["form"]["kind"]), (&Value::Null, &"layout".into()), "{form}");
        assert_eq!(
            (&json["form"]["signable"], &json["form"]["container"]),
            (&false.into(), &container.into())
        );
    }
}

#[test]
fn damage_is_found_in_every_form_with_its_blob_and_its_image() {
    let (gap, image, entries) = exported();
    let layer = image.layers()[0].layout_path();
    let altered = |change: &dyn Fn(&mut Vec<Entry>)| {
        [entries.clone(), foreign(&entries)].map(|mut entries| {
            change(&mut entries);
            entries
        })
    };
    for (what, forms, says) in [
        (
            "a flipped byte",
            altered(&|all| {
                let at = position(all, &layer);
                all[at].content[100] ^= 1;
            }),
            "the content has digest",
        ),
        (
            "a shorter layer",
            altered(&|all| {
                let at = position(all, &layer);
                all[at].content.pop();
            }),
            "it has 8999 bytes, but its descriptor says 9000",
        ),
        ("no layer", altered(&|all| drop(all.remove(position(all, &layer)))), "it is missing"),
    ] {
        for entries in forms {
            for (form, _) in every_form(&gap, &entries) {
                let ran = gap.cli.run(&["verify", form, "--report", "report.json"]);
                let named = [says, &layer, "needed by", "damaged in 1 place"];
                assert_refused(&gap, &format!("{what}, {form}"), &ran, 3, &named);
                let report: Value = serde_json::from_slice(&gap.read("report.json")).unwrap();
                let problems = report["bundle"]["problems"].as_array().unwrap();
                assert_eq!(problems.len(), 1, "{what}, {form}");
                assert!(problems[0]["what"].as_str().unwrap().contains(says), "{what}, {form}");
            }
        }
    }
}

#[test]
fn keys_count_where_there_is_a_bundle_and_are_refused_where_there_is_none() {
    let (gap, ..) = exported();
    std::fs::write(gap.path("phrase"), "secret\n").unwrap();
    let ran = gap.cli.run(&["keygen", "-o", "site", "--passphrase-file", "phrase"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.export(&["-o", "signed.tar.zst", "--sign-key", "site.key", "--passphrase-file", "phrase"]);
    let members = members(&gap.read("signed.tar.zst"));
    let entries: Vec<Entry> = members.iter().map(|(name, content)| Entry::file(name, content)).collect();
    for (form, _) in every_form(&gap, &entries) {
        let ran = gap.cli.run(&["verify", form, "--verify-key", "site.pub"]);
        assert_eq!(ran.code, 0, "{form}: {}", ran.shown());
        assert!(ran.stdout.contains("signed by site.pub"), "{form}: {}", ran.shown());
    }
    let mut bare = entries.clone();
    bare.retain(|entry| !["bundle.json.sig", "SHA256SUMS"].contains(&entry.name.as_str()));
    for (form, _) in every_form(&gap, &bare) {
        let ran = gap.cli.run(&["verify", form, "--verify-key", "site.pub"]);
        assert_refused(&gap, form, &ran, 3, &["is not signed"]);
    }
    let mut layout = foreign(&bare);
    layout.retain(|entry| entry.name != "bundle.json");
    for (form, _) in every_form(&gap, &layout) {
        for (flag, value) in
            [("--verify-key", "site.pub"), ("--require-approval", "site.pub"), ("--receipt", "r.json")]
        {
            let ran = gap.cli.run(&["verify", form, flag, value]);
            let says = format!("`{flag}` needs a bundle, and {form} is a layout of another tool");
            assert_refused(&gap, form, &ran, 2, &[&says, "hint: make a bundle of it first"]);
        }
    }
}

#[test]
fn a_layout_without_names_is_verified_and_says_what_import_needs() {
    let (gap, _, entries) = exported();
    let mut entries = foreign(&entries);
    let index = position(&entries, "index.json");
    let mut value: Value = serde_json::from_slice(&entries[index].content).unwrap();
    value["manifests"][0]["annotations"] =
        serde_json::json!({ "org.opencontainers.image.ref.name": "latest" });
    entries[index].content = value.to_string().into_bytes();
    for (form, _) in every_form(&gap, &entries) {
        let ran = gap.cli.run(&["verify", form]);
        assert_eq!(ran.code, 0, "{form}: {}", ran.shown());
        assert!(
            ran.stderr.contains("(its name there is \"latest\"); `bundle import` needs one"),
            "{}",
            ran.shown()
        );
        let ran = gap.cli.run(&["verify", form, "--name", "r.example.com/team/app:1"]);
        assert!(ran.code == 0 && ran.stderr.is_empty(), "{form}: {}", ran.shown());
    }
}

#[test]
fn stdin_is_not_verified_and_says_so() {
    let (gap, ..) = exported();
    let ran = gap.fed(&["verify", "-"], &gap.read("out.tar.zst"));
    assert_refused(&gap, "-", &ran, 2, &["cannot read from stdin", "hint: write it to a file first"]);
}
