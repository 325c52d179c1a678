//! Names in archives of other tools: of members, sizes and images.

use super::*;

#[test]
fn a_layout_of_another_tool_may_have_more_members_and_none_twice() {
    let (gap, image, entries) = exported();
    let entries = foreign(&entries);
    let mut more = entries.clone();
    more.insert(0, Entry::file("./README.md", b"x"));
    more.insert(0, Entry::of_kind("docs/", tar::EntryType::Directory));
    more.insert(0, Entry::of_kind("latest", tar::EntryType::Symlink));
    for (form, ran) in in_each_container(&gap, &tar(&more), &[]) {
        assert_arrived(&gap, form, &ran, &image);
        assert!(!ran.stderr.contains("warning"), "{form}: {}", ran.shown());
    }
    let refused = |what: &str, says: &str, change: &dyn Fn(&mut Vec<Entry>)| {
        let (gap, ..) = exported();
        let mut entries = entries.clone();
        change(&mut entries);
        for (form, ran) in in_each_container(&gap, &tar(&entries), &[]) {
            assert_refused(&gap, &format!("{what}, {form}"), &ran, 3, &[says]);
        }
    };
    refused("twice", "\"README.md\" appears twice", &|all| {
        all.insert(1, Entry::file("README.md", b"1"));
        all.insert(1, Entry::file("./README.md", b"2"));
    });
    refused("two indexes", "\"index.json\" appears twice", &|all| {
        all.insert(1, Entry::of_kind("index.json", tar::EntryType::Symlink));
    });
    refused("absolute", "\"/index.json\" is an absolute path", &|all| {
        all.insert(1, Entry::file("/index.json", b"{}"));
    });
    refused("climbing", "\"../../.ssh/authorized_keys\" leads out", &|all| {
        all.insert(1, Entry::file("../../.ssh/authorized_keys", b"x"));
    });
    refused("another version", "imageLayoutVersion \"1.1.0\"; only 1.0.0 is supported", &|all| {
        all[0].content = br#"{"imageLayoutVersion":"1.1.0"}"#.to_vec();
    });
    refused("two versions", "more than once", &|all| {
        all[0].content = br#"{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"2.0.0"}"#.to_vec();
    });
    refused("no version", "has no imageLayoutVersion", &|all| all[0].content = b"{}".to_vec());
    refused("a link with content", "\"link\" is a link with content", &|all| {
        let link = Entry { kind: tar::EntryType::Symlink, ..Entry::file("link", &[0; 512]) };
        all.insert(1, link);
    });
    refused("a type that tools read in different ways", "\"x\" has the tar type \"M\"", &|all| {
        all.insert(1, Entry::of_kind("x", tar::EntryType::new(b'M')));
    });
}

#[test]
fn a_layout_without_its_version_is_read_with_a_warning() {
    let (gap, image, entries) = exported();
    let entries = foreign(&entries);
    for (form, ran) in in_each_container(&gap, &tar(&entries[1..]), &[]) {
        assert_arrived(&gap, form, &ran, &image);
        // Out of a pipe it may still come.
        assert!(
            form == "pipe" || ran.stderr.contains("the file oci-layout is missing"),
            "{form}: {}",
            ran.shown()
        );
    }
}

#[test]
fn sizes_that_cannot_be_are_told_with_the_name_of_the_member() {
    let (gap, _, entries) = exported();
    let entries = foreign(&entries);
    for (field, says) in [
        ([0xff; 12], "has a negative size"),
        ([0x80, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0], "claims 9151314442816847872 bytes"),
        ([0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9], "has a size beyond 64 bits"),
        (*b"-0000000512\0", "has the size \"-0000000512\", which is not a number"),
    ] {
        let name = "odd\u{1b}[2J";
        let mut header = Entry::file(name, b"").header();
        header.as_old_mut().size = field;
        header.set_cksum();
        let bytes = [&open_tar(&entries[..1]), &header.as_bytes()[..], &tar(&entries[1..])].concat();
        for (form, ran) in in_each_container(&gap, &bytes, &[]) {
            assert_refused(&gap, form, &ran, 3, &["the member \"odd\\u{1b}[2J\"", says]);
        }
    }
}

/// The layout with this in the place of the name of its one image.
fn named(entries: &[Entry], annotations: &str) -> Vec<Entry> {
    let mut entries = foreign(entries);
    let index = position(&entries, "index.json");
    let mut value: serde_json::Value = serde_json::from_slice(&entries[index].content).unwrap();
    value["manifests"][0]["annotations"] = serde_json::from_str(annotations).unwrap();
    entries[index].content = value.to_string().into_bytes();
    entries
}

#[test]
fn a_name_that_cannot_be_used_is_shown_escaped_and_not_too_long() {
    let (gap, image, entries) = exported();
    let long = format!("r.example.com/{}", "x".repeat(300));
    for (name, says) in [
        ("../../../etc/passwd", "\"../../../etc/passwd\""),
        ("r.example.com/team/\u{1b}[2J", "team/\\u{1b}[2J\""),
        ("--destination=evil.example.com/x", "\"--destination=evil.example.com/x\""),
        (&long, "is longer than 255 characters"),
        ("--help", "(its name there is \"--help\")"),
        ("v1", "(its name there is \"v1\")"),
        (&"v".repeat(300), "vvv\"…)"),
        ("v1\u{202e}", "(its name there is \"v1\\u{202e}\")"),
    ] {
        let annotations = serde_json::json!({ "org.opencontainers.image.ref.name": name }).to_string();
        let bytes = tar(&named(&entries, &annotations));
        for (form, ran) in in_each_container(&gap, &bytes, &[]) {
            assert_refused(&gap, &format!("{name} {form}"), &ran, 3, &[says, "hint: name the only image"]);
            assert!(!ran.stderr.contains(['\u{1b}', '\u{202e}']), "{}", ran.shown());
        }
    }
    let bytes = tar(&named(&entries, r#"{"org.opencontainers.image.ref.name":"../x"}"#));
    let name = format!("{}/team/app:1", gap.source.host());
    for (form, ran) in in_each_container(&gap, &bytes, &["--name", &name]) {
        assert_arrived(&gap, form, &ran, &image);
    }
}
