//! A bundle packed again: exactly its members may be there, whatever contains them.

use std::os::unix::fs::symlink;

use super::*;

type Change = fn(&mut Vec<Entry>);

/// What someone may do to the members, and what has to be said of it.
fn changes() -> Vec<(&'static str, Change, &'static str)> {
    fn copy_of(entries: &[Entry], name: &str) -> Entry {
        entries[position(entries, name)].clone()
    }
    fn blob(entries: &[Entry]) -> Entry {
        entries.iter().rfind(|entry| entry.name.starts_with("blobs/")).unwrap().clone()
    }
    vec![
        (
            "an absolute path",
            |all| all.insert(4, Entry::file("/etc/cron.d/x", b"x")),
            "\"/etc/cron.d/x\" is an absolute path",
        ),
        ("a climbing path", |all| all.insert(4, Entry::file("a/../../x", b"x")), "\"a/../../x\" leads out"),
        ("a second index", |all| all.insert(4, copy_of(all, "index.json")), "\"index.json\" appears twice"),
        (
            "a second index, spelt otherwise",
            |all| all.insert(4, Entry { name: ".//index.json".to_owned(), ..copy_of(all, "index.json") }),
            "\"index.json\" appears twice",
        ),
        ("a blob twice", |all| all.push(blob(all)), "appears twice"),
        ("another file", |all| all.insert(4, Entry::file("README.md", b"x")), "\"README.md\" (a file)"),
        (
            "another blob",
            |all| all.insert(4, Entry::file(&format!("blobs/sha256/{}", "0a".repeat(32)), b"x")),
            "0a0a0a0a",
        ),
        (
            "a linked folder",
            |all| all.insert(0, Entry::of_kind("blobs/sha256", tar::EntryType::Symlink)),
            "\"blobs/sha256\" (a link)",
        ),
        ("a hard link", |all| all.insert(4, Entry::of_kind("x", tar::EntryType::Link)), "\"x\" (a link)"),
        ("a device", |all| all.insert(4, Entry::of_kind("x", tar::EntryType::Char)), "\"x\" (not a file)"),
        (
            "another folder",
            |all| all.insert(4, Entry::of_kind("x/", tar::EntryType::Directory)),
            "\"x\" (a folder)",
        ),
        (
            "a layout of another version",
            |all| all[0].content = br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec(),
            "oci-layout is not the one that bundle.json implies",
        ),
        (
            "a layout spelt otherwise",
            |all| all[0].content = br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec(),
            "oci-layout is not the one that bundle.json implies",
        ),
        ("no layout", |all| drop(all.remove(0)), "oci-layout is missing"),
        (
            "another index",
            |all| {
                let index = position(all, "index.json");
                let text = String::from_utf8(all[index].content.clone()).unwrap();
                all[index].content = text.replace("/app:1", "/app:2").into_bytes();
            },
            "index.json is not the one that bundle.json implies",
        ),
        (
            "other sums",
            |all| {
                let sums = position(all, "SHA256SUMS");
                all[sums].content[0] ^= 1;
            },
            "SHA256SUMS is not the one that bundle.json implies",
        ),
        (
            "another list for docker",
            |all| {
                let docker = position(all, "manifest.json");
                all[docker].content = b"[]".to_vec();
            },
            "manifest.json is not the one that bundle.json implies",
        ),
        (
            "a signature from elsewhere",
            |all| all.insert(3, Entry::file("bundle.json.sig", b"MEUCIQ==")),
            "SHA256SUMS is not the one that bundle.json implies",
        ),
        (
            "sums that it does not have",
            |all| all.insert(4, Entry::file("SHA512SUMS", b"x")),
            "\"SHA512SUMS\"",
        ),
    ]
}

#[test]
fn a_bundle_that_was_packed_again_has_exactly_its_members_in_every_container() {
    for (what, change, says) in changes() {
        let (gap, _, mut entries) = exported();
        change(&mut entries);
        // What comes late out of a pipe is found late.
        let late = ["a blob twice", "no layout", "a signature from elsewhere", "other sums"];
        for (form, ran) in in_each_container(&gap, &tar(&entries), &[]) {
            if late.contains(&what) {
                assert!(ran.code == 3 && ran.stderr.contains(says), "{what} {form}: {}", ran.shown());
            } else {
                assert_refused(&gap, &format!("{what}, {form}"), &ran, 3, &[says]);
            }
        }
    }
}

#[test]
fn a_bundle_in_a_folder_has_exactly_its_members() {
    let (gap, image, entries) = exported();
    let folder = gap.path("folder");
    let refused = |what: &str, says: &str, change: &dyn Fn()| {
        unpacked(&entries, &folder);
        change();
        assert_refused(&gap, what, &gap.try_import("folder", &[]), 3, &[says]);
    };
    let elsewhere = gap.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    refused("a file", "\"README.md\" (a file)", &|| std::fs::write(folder.join("README.md"), "x").unwrap());
    refused("a folder", "\"more\" (a folder)", &|| std::fs::create_dir(folder.join("more")).unwrap());
    refused("a file among the blobs", "\"blobs/sha256/.DS_Store\" (a file)", &|| {
        std::fs::write(folder.join("blobs/sha256/.DS_Store"), "x").unwrap();
    });
    refused("a blob", "0b0b0b", &|| {
        std::fs::write(folder.join("blobs/sha256").join("0b".repeat(32)), "x").unwrap();
    });
    refused("a linked folder", "\"blobs\" (a link)", &|| {
        std::fs::rename(folder.join("blobs"), elsewhere.join("blobs")).unwrap();
        symlink(elsewhere.join("blobs"), folder.join("blobs")).unwrap();
    });
    std::fs::remove_dir_all(elsewhere.join("blobs")).unwrap();
    refused("a linked folder inside", "\"blobs/sha256\" (a link)", &|| {
        std::fs::rename(folder.join("blobs/sha256"), folder.join("blobs/x")).unwrap();
        symlink("x", folder.join("blobs/sha256")).unwrap();
    });
    refused("a linked member", "\"bundle.json\" (a link)", &|| {
        std::fs::rename(folder.join("bundle.json"), elsewhere.join("bundle.json")).unwrap();
        symlink(elsewhere.join("bundle.json"), folder.join("bundle.json")).unwrap();
    });
    refused("another version", "oci-layout is not the one", &|| {
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.1.0"}"#).unwrap();
    });
    unpacked(&entries, &folder);
    assert_arrived(&gap, "folder", &gap.import("folder", &[]), &image);
}

#[test]
fn a_bundle_that_was_packed_again_as_it_is_arrives_from_every_container() {
    let (gap, image, mut entries) = exported();
    // As GNU tar packs a folder.
    for folder in ["./", "./blobs/", "./blobs/sha256/"] {
        entries.insert(0, Entry::of_kind(folder, tar::EntryType::Directory));
    }
    let mut without = entries.clone();
    without.retain(|entry| !["SHA256SUMS", "manifest.json"].contains(&entry.name.as_str()));
    for entries in [entries, without] {
        for (form, ran) in in_each_container(&gap, &tar(&entries), &[]) {
            assert_arrived(&gap, form, &ran, &image);
        }
    }
}

#[test]
fn a_name_or_a_platform_for_a_bundle_is_refused_in_every_form() {
    let (gap, _, entries) = exported();
    unpacked(&entries, &gap.path("folder"));
    for (flag, value, says) in [
        ("--name", "r.example.com/x:1", "--name r.example.com/x:1 is for layouts of other tools"),
        ("--platform", "linux/amd64", "--platform linux/amd64 is for layouts of other tools"),
    ] {
        for form in ["out.tar.zst", "folder"] {
            assert_refused(&gap, form, &gap.try_import(form, &[flag, value]), 2, &[says]);
        }
        for (form, ran) in in_each_container(&gap, &tar(&entries), &[flag, value]) {
            assert_refused(&gap, form, &ran, 2, &[says]);
        }
    }
}

#[test]
fn a_bundle_json_that_comes_after_the_layers_does_not_pass_for_another_tools_layout() {
    let (gap, _, mut entries) = exported();
    let own = entries.remove(position(&entries, "bundle.json"));
    let sums = entries.remove(position(&entries, "SHA256SUMS"));
    entries.extend([sums, own]);
    let ran = piped(&gap, &tar(&entries), &[]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("bundle.json comes after the layers"), "{}", ran.shown());
}

#[test]
fn salvage_says_what_is_wrong_with_a_bundle_that_was_packed_again() {
    let (gap, _, mut entries) = exported();
    entries.insert(4, Entry::file("README.md", b"x"));
    for (form, ran) in in_each_container(&gap, &tar(&entries), &["--salvage"]) {
        assert_refused(&gap, form, &ran, 3, &["\"README.md\" (a file)"]);
    }
}
