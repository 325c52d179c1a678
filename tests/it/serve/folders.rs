//! Folders that are not a registry's, or have something in them that a registry did not put there.

use std::os::unix::fs::symlink;
use std::path::Path;

use airgap_bundle::serve::{DirectoryError, DirectoryStore};
use tempfile::TempDir;

use super::*;

const MARKER: &str = "airgap-bundle registry 1\n";

/// Every file and folder below `folder`, with its content, links as what they are.
fn everything(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            let content = if kind.is_symlink() {
                format!("link to {}", path.read_link().unwrap().display())
            } else if kind.is_dir() {
                open.push(path.clone());
                "folder".to_owned()
            } else {
                String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()
            };
            found.push((path.strip_prefix(folder).unwrap().display().to_string(), content));
        }
    }
    found.sort();
    found
}

fn files(folder: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// Opens a registry that was closed a moment ago. A process that another test is just starting may hold its lock until
/// it runs its own program.
fn open_again(folder: &Path) -> DirectoryStore {
    loop {
        match DirectoryStore::open(folder) {
            Err(DirectoryError::InUse(_)) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

#[test]
fn a_folder_of_another_program_is_refused_and_left_as_it_is() {
    let id = "0123456789abcdef0123456789abcdef";
    let upload = format!("uploads/{id}");
    for (what, content) in [
        ("a letter", vec![("letter.txt", "mine")]),
        ("the names of a registry", vec![("repositories/a", "x"), (&upload, "mine")]),
        ("with a lock", vec![("lock", ""), ("repositories/a", "x"), (&upload, "mine"), ("index.html", "x")]),
        ("a lock alone", vec![("lock", "mine")]),
        ("a marker of something else", vec![("bundle-registry", "a list of registries"), ("uploads/x", "x")]),
        ("a marker that is not whole", vec![("bundle-registry", "airgap"), (&upload, "mine")]),
    ] {
        let folder = TempDir::new().unwrap();
        files(folder.path(), &content);
        symlink("/etc", folder.path().join("link")).unwrap();
        let before = everything(folder.path());
        let error = DirectoryStore::open(folder.path()).unwrap_err();
        assert!(matches!(error, DirectoryError::Foreign { is_older: false, .. }), "{what}: {error}");
        assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{what}: {error}");
        assert!(error.hint().unwrap().contains("empty"), "{what}");
        assert_eq!(everything(folder.path()), before, "{what}");
    }
}

#[test]
fn an_empty_folder_becomes_a_registry_also_after_a_start_that_was_killed() {
    for content in [None, Some(""), Some("airgap-bundle reg"), Some("airgap-bundle registry 1"), Some(MARKER)]
    {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("lost+found")).unwrap();
        if let Some(content) = content {
            files(folder.path(), &[("bundle-registry", content)]);
        }
        let open = || DirectoryStore::open(folder.path());
        let store = open().unwrap();
        assert!(matches!(open(), Err(DirectoryError::InUse(_))));
        drop(store);
        drop(open_again(folder.path()));
        assert_eq!(
            std::fs::read_to_string(folder.path().join("bundle-registry")).unwrap().trim_end(),
            MARKER.trim_end()
        );
    }
    let folder = TempDir::new().unwrap();
    files(folder.path(), &[("bundle-registry", "airgap-bundle registry 2\n")]);
    assert!(matches!(DirectoryStore::open(folder.path()), Err(DirectoryError::Newer(_))));
}

#[test]
fn a_registry_of_an_older_version_is_adopted_by_the_command_in_the_hint() {
    let folder = TempDir::new().unwrap();
    // A path that has to be quoted.
    let place = folder.path().join("it's mine");
    let store = DirectoryStore::open(&place).unwrap();
    let image = images::image(1);
    crate::support::registry::put(&store, "a", Some("1"), &image);
    drop(store);
    std::fs::remove_file(place.join("bundle-registry")).unwrap();
    let before = everything(&place);
    let error = DirectoryStore::open(&place).unwrap_err();
    assert!(matches!(error, DirectoryError::Foreign { is_older: true, .. }), "{error}");
    assert_eq!(everything(&place), before);
    let hint = error.hint().unwrap();
    let command = &hint[hint.find("echo").unwrap()..];
    assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success());
    let store = open_again(&place);
    assert_eq!(crate::support::registry::digest_in(&store, "a", "1"), Some(image.digest));
}

#[test]
fn only_what_a_registry_names_itself_is_removed_from_its_uploads() {
    let folder = TempDir::new().unwrap();
    drop(DirectoryStore::open(folder.path()).unwrap());
    let ours = "uploads/0123456789abcdef0123456789abcdef";
    let others = [
        ("uploads/deadbeef", "x"),
        ("uploads/0123456789ABCDEF0123456789ABCDEF", "x"),
        ("uploads/0123456789abcdef0123456789abcdef.txt", "x"),
        ("uploads/fedcba9876543210fedcba9876543210/inside", "x"),
        ("letter.txt", "mine"),
    ];
    files(folder.path(), &others);
    symlink("../letter.txt", folder.path().join("uploads/00000000000000000000000000000000")).unwrap();
    let before = everything(folder.path());
    files(folder.path(), &[(ours, "half a blob")]);
    drop(open_again(folder.path()));
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn links_in_the_place_of_its_own_folders_are_refused() {
    for name in ["uploads", "repositories", "blobs", "blobs/sha256", "blobs/sha512", "lock", "oci-layout"] {
        let folder = TempDir::new().unwrap();
        let registry = folder.path().join("registry");
        drop(DirectoryStore::open(&registry).unwrap());
        let place = registry.join(name);
        let elsewhere = folder.path().join("elsewhere");
        std::fs::rename(&place, &elsewhere).unwrap();
        if elsewhere.is_dir() {
            files(&elsewhere, &[("0123456789abcdef0123456789abcdef", "mine")]);
        }
        symlink(&elsewhere, &place).unwrap();
        let before = everything(folder.path());
        let error = DirectoryStore::open(&registry).unwrap_err();
        assert!(matches!(&error, DirectoryError::Link(path) if *path == place), "{name}: {error}");
        assert!(error.hint().is_some());
        assert_eq!(everything(folder.path()), before, "{name}");
    }
    // The folder itself is the user's to name.
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("real")).unwrap();
    symlink("real", folder.path().join("link")).unwrap();
    drop(DirectoryStore::open(folder.path().join("link")).unwrap());
}

/// Somebody who may write into the folder puts a link there while the registry runs.
#[tokio::test]
async fn links_below_a_registry_lead_nowhere() {
    let talk = Talk::start();
    let image = images::image(1);
    talk.registry.put_image("a", "1", &image);
    let outside = TempDir::new().unwrap();
    files(outside.path(), &[("letter.txt", "mine"), ("_tags/1", &image.digest.to_string())]);
    let root = talk.registry.folder();
    let secret = Digest::sha256(b"mine");
    let letter = outside.path().join("letter.txt");
    symlink(&letter, root.join(secret.layout_path())).unwrap();
    let link = format!("repositories/a/_blobs/sha256/{}", secret.hex());
    files(root, &[(&link, "")]);
    symlink(outside.path(), root.join("repositories/out")).unwrap();
    let tags = root.join("repositories/a/_tags");
    symlink(outside.path().join("_tags/1"), tags.join("linked")).unwrap();
    std::fs::create_dir(root.join("repositories/b")).unwrap();
    for part in ["_blobs", "_manifests", "_tags", "_referrers"] {
        symlink(outside.path(), root.join("repositories/b").join(part)).unwrap();
    }
    let before = everything(outside.path());
    for path in [
        format!("/v2/a/blobs/{secret}"),
        "/v2/a/manifests/linked".to_owned(),
        "/v2/out/manifests/1".to_owned(),
        "/v2/out/tags/list".to_owned(),
        format!("/v2/b/blobs/{secret}"),
        "/v2/b/manifests/1".to_owned(),
        format!("/v2/b/referrers/{}", image.digest),
    ] {
        let got = talk.get(&path).await;
        assert!(got.status.as_u16() >= 400, "{path}: {}", got.status);
        assert!(!got.body.windows(4).any(|part| part == b"mine"), "{path}");
    }
    assert_eq!(talk.get("/v2/a/tags/list").await.json()["tags"], serde_json::json!(["1"]));
    assert_eq!(talk.get("/v2/_catalog").await.json()["repositories"], serde_json::json!(["a"]));
    for repository in ["out", "out/deeper", "b"] {
        let (digest, bytes) = &image.blobs[0];
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let pushed = talk.ask(Method::POST, &path, &[], bytes.to_vec()).await;
        assert!(pushed.status.as_u16() >= 400, "{repository}: {}", pushed.status);
        let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from=a");
        assert_ne!(talk.post(&path).await.status, 201, "{repository}");
        talk.put(&format!("/v2/{repository}/manifests/1"), &image.media_type, &image.manifest).await;
        for path in [
            format!("/v2/{repository}/manifests/1"),
            format!("/v2/{repository}/manifests/{}", image.digest),
            format!("/v2/{repository}/blobs/{digest}"),
        ] {
            let deleted = talk.delete(&path).await;
            assert!(deleted.status.as_u16() >= 400, "{path}: {}", deleted.status);
        }
    }
    // The link is replaced by what belongs there; what it led to stays.
    let path = format!("/v2/a/blobs/uploads/?digest={secret}");
    assert_eq!(talk.ask(Method::POST, &path, &[], b"mine".to_vec()).await.status, 201);
    assert!(root.join(secret.layout_path()).symlink_metadata().unwrap().is_file());
    assert_eq!(talk.get(&format!("/v2/a/blobs/{secret}")).await.body, b"mine");
    assert_eq!(talk.put("/v2/a/manifests/linked", &image.media_type, &image.manifest).await.status, 201);
    assert_eq!(everything(outside.path()), before);
}

/// Reading a FIFO would wait for good.
#[tokio::test]
async fn what_is_not_a_file_is_not_read() {
    let talk = Talk::start();
    let image = images::image(1);
    talk.registry.put_image("a", "1", &image);
    let digest = image.blobs[0].0;
    let root = talk.registry.folder();
    for path in [root.join("repositories/a/_tags/pipe"), root.join(digest.layout_path())] {
        let _ = std::fs::remove_file(&path);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    }
    for path in ["/v2/a/manifests/pipe".to_owned(), format!("/v2/a/blobs/{digest}")] {
        let got = talk.get(&path).await;
        assert!(got.status.as_u16() >= 400, "{path}: {}", got.status);
        assert!(talk.head(&path).await.status.as_u16() >= 400, "{path}");
    }
}
