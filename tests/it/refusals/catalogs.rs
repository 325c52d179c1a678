//! Invalid requests.

use super::{Gap, image, same};

fn export(name: &str, files: &[(&str, &str)], arguments: &[&str]) {
    let gap = Gap::new();
    for (file, text) in files {
        std::fs::write(gap.path(file), text).unwrap();
    }
    let ran = gap.cli.run(&[&["export"], arguments].concat());
    assert_eq!(ran.code, 2, "{}", ran.shown());
    same(&gap, name, &ran);
    assert_eq!(gap.source.log().len() + gap.destination.log().len(), 0);
}

#[test]
fn an_unknown_catalog() {
    export("unknown_catalog", &[], &["stackstate@9.9"]);
}

#[test]
fn a_variable_without_a_value() {
    let text = "name: app\nvariables:\n  VERSION:\nimages:\n  - r.example/app:$VERSION\n";
    export("unset_variable", &[("app.yaml", text)], &["app.yaml"]);
}

#[test]
fn a_value_for_no_variable() {
    let text = "name: app\nvariables:\n  VERSION: { default: \"1\" }\nimages:\n  - r.example/app:$VERSION\n";
    export("unknown_set", &[("app.yaml", text)], &["app.yaml", "--set", "VERSOIN=2"]);
}

#[test]
fn a_list_with_nothing_in_it() {
    export("empty_list", &[("images.txt", "# nothing\n\n   \r\n")], &["images.txt"]);
}

/// Files of other tools, as those write them.
const FOREIGN: [(&str, &str); 16] = [
    (
        "hauler.yaml",
        "apiVersion: content.hauler.cattle.io/v1\nkind: Images\nmetadata: {name: x}\nspec:\n  images:\n    - name: r.example/a:1\n\
         ---\napiVersion: content.hauler.cattle.io/v1\nkind: Charts\nspec:\n  charts:\n    - {name: kafka, repoURL: 'https://r.example'}\n",
    ),
    (
        "sync.yaml",
        "r.example:\n  tls-verify: true\n  images:\n    team/app: ['1']\n    team/all: []\n  images-by-tag-regex:\n    team/x: ^v1\n",
    ),
    (
        "regsync.yml",
        "version: 1\ncreds: []\nsync:\n  - {source: r.example/a, target: r.local/a, type: repository}\n  - {source: 'r.example/b:1', \
         target: 'r.local/b:1', type: image}\n",
    ),
    (
        "isc.yaml",
        "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v2alpha1\nmirror:\n  platform: {channels: [{name: stable-4.16}]}\n  \
         additionalImages:\n    - name: r.example/a:1\n",
    ),
    (
        "Images.lock",
        "apiVersion: v0\nkind: ImagesLock\nmetadata: {generatedBy: Distribution Tooling for Helm}\nchart: {name: x, version: 1.0.0}\nimages:\n  \
         - {name: a, image: 'r.example/a:1', chart: x}\n",
    ),
    (
        "images.yml",
        "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: r.example/a:1\n",
    ),
    (
        "bundle.lock.yml",
        "apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: BundleLock\nbundle: {image: 'r.example/a:1', tag: '1'}\n",
    ),
    ("hangar.txt", "# mirror\nr.example/a r.local/a 1.25\n\nmysql mirrored/mysql 5.7.5\n"),
    ("docker-compose.yml", "services:\n  db: {image: 'postgres:16'}\n"),
    ("deploy/kustomization.yaml", "resources: [deployment.yaml]\nimages: [{name: a, newTag: '1'}]\n"),
    (
        "zarf.yaml",
        "kind: ZarfPackageConfig\nmetadata: {name: x}\ncomponents:\n  - {name: a, images: ['r.example/a:1'], import: {path: b}}\n",
    ),
    (
        "rendered.yaml",
        "---\n# Source: shop/templates/a.yaml\napiVersion: v1\nkind: Pod\nspec: {containers: [{image: 'r.example/a:1'}]}\n",
    ),
    ("shop/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n"),
    ("values.yaml", "replicas: 1\nimage: {repository: r.example/a, tag: '1'}\n"),
    (
        "catalog.lock",
        "# Written by `bundle catalog lock`\nlockVersion: 1\ncatalog: {name: x, entries: []}\nimages: []\n",
    ),
    ("list.json", "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"kind\": \"Pod\"}]}"),
];

fn foreign() -> Gap {
    let gap = Gap::new();
    for folder in ["deploy", "shop"] {
        std::fs::create_dir(gap.path(folder)).unwrap();
    }
    for (file, text) in FOREIGN {
        std::fs::write(gap.path(file), text).unwrap();
    }
    gap
}

#[test]
fn files_of_other_tools_are_named_with_the_way_out() {
    let gap = foreign();
    let mut said = String::new();
    for (file, text) in FOREIGN {
        let ran = gap.cli.run(&["export", file, "-o", "out.tar.zst"]);
        assert_eq!(ran.code, 2, "{file}: {}", ran.shown());
        said += &ran.stderr;
        for arguments in [
            &["catalog", "lint", file][..],
            &["catalog", "lock", file, "-o", "new.lock"],
            &["catalog", "show", file],
        ] {
            let ran = gap.cli.run(arguments);
            assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.shown());
            assert!(ran.stderr.contains("not a catalog"), "{arguments:?}: {}", ran.stderr);
        }
        let ran = gap.fed(&["export", "-", "-o", "out.tar.zst"], text.as_bytes());
        assert_eq!(ran.code, 2, "{file}: {}", ran.shown());
    }
    gap.snapshot("refusals", "foreign_files", &said);
    assert!(!gap.path("out.tar.zst").exists());
}

#[test]
fn what_other_tools_read_in_their_own_way_is_not_looked_into() {
    let gap = foreign();
    let mut said = String::new();
    for (file, code) in [
        ("hauler.yaml", 2),
        ("sync.yaml", 2),
        ("regsync.yml", 2),
        ("isc.yaml", 2),
        ("zarf.yaml", 2),
        ("Images.lock", 0),
        ("images.yml", 0),
        ("docker-compose.yml", 0),
        ("deploy/kustomization.yaml", 7),
        ("rendered.yaml", 0),
    ] {
        let ran = gap.cli.run(&["catalog", "discover", file]);
        assert_eq!(ran.code, code, "{file}: {}", ran.shown());
        if code == 2 {
            said += &ran.stderr;
        }
    }
    gap.snapshot("refusals", "foreign_manifests", &said);
}

#[test]
fn archives_of_other_tools_are_named_with_the_way_out() {
    let gap = Gap::new();
    let mut said = String::new();
    for (file, names) in [
        ("save.tar", &["blobs/sha256/aa", "index.json", "manifest.json"][..]),
        ("zarf-package-x.tar.zst", &["checksums.txt", "components/a.tar", "zarf.yaml"]),
        ("imgpkg.tar", &["manifest.json", "sha256-aa.tar.gz"]),
        ("mirror_000001.tar", &["docker/registry/v2/repositories/a/link"]),
        ("shop-1.0.0.tgz", &["shop/Chart.yaml"]),
        ("shop-1.0.0.wrap.tgz", &["shop-1.0.0/chart/Images.lock"]),
        ("other.tar", &["x"]),
    ] {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let content = b"{\"image\": \"r.example/a:1\"}\nimage: r.example/a:1\n";
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &content[..]).unwrap();
        }
        let mut bytes = tar.into_inner().unwrap();
        if file.contains("zst") {
            bytes = zstd::encode_all(&bytes[..], 1).unwrap();
        }
        std::fs::write(gap.path(file), &bytes).unwrap();
        let ran = gap.cli.run(&["export", file, "-o", "out.tar.zst"]);
        assert_eq!(ran.code, 2, "{file}: {}", ran.shown());
        said += &ran.stderr;
        for arguments in [&["export", "-", "-o", "out.tar.zst"][..], &["catalog", "discover", "-"]] {
            let ran = gap.fed(arguments, &bytes);
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{file}: {}", ran.shown());
            assert!(ran.stderr.contains("it is "), "{file}: {}", ran.stderr);
        }
        assert_eq!(gap.cli.run(&["catalog", "lint", file]).code, 2);
        assert_eq!(gap.cli.run(&["catalog", "discover", file]).code, 2);
    }
    gap.snapshot("refusals", "foreign_archives", &said);
}

#[test]
fn several_bad_lines_at_once() {
    let text = "r.example/App:1\nr.example/fine:1\nr.example/x:{{ .Values.tag }}\n\nr.example/y:a+b\nr.example/z@sha256:12\n";
    export("bad_lines", &[("images.txt", text)], &["images.txt"]);
}

#[test]
fn a_list_from_stdin_without_a_file_to_write() {
    let gap = Gap::new();
    let ran = gap.fed(&["export", "-"], b"r.example/x:1\n");
    assert_eq!(ran.code, 2);
    same(&gap, "stdin_without_output", &ran);
}

#[test]
fn two_users_of_stdin() {
    let (gap, _) = super::small();
    let ran = gap.fed(&["export", "-", "-o", "x.tar.zst", "-u", "me", "--password-stdin"], b"x");
    assert_eq!(ran.code, 2);
    same(&gap, "stdin_twice_export", &ran);
    let host = gap.destination.host();
    let ran = gap.fed(&["import", "-", "-d", &host, "-u", "me", "--password-stdin"], b"x");
    assert_eq!(ran.code, 2);
    same(&gap, "stdin_twice_import", &ran);
}

#[test]
fn two_images_with_one_target() {
    let mut gap = Gap::new();
    let other = crate::support::registry::TestRegistry::start();
    gap.image("team/app", "1", &image(1));
    let twin = other.put_image("team/app", "1", &image(2));
    gap.line(&twin);
    let ran = gap.try_export(&["-o", "out.tar.zst"]);
    assert_eq!(ran.code, 1);
    let twin_host = [(other.host().replace('.', r"\."), "OTHER")];
    super::same_with(&gap, &twin_host, "two_images_one_target", &ran);
    // The same content twice is no collision.
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    let twin = other.put_image("team/app", "1", &image(1));
    gap.line(&twin);
    gap.export(&["-o", "out.tar.zst"]);
}

#[test]
fn a_file_never_serves_two_purposes() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    gap.export(&["-o", "out.tar.zst"]);
    let bundle = gap.read("out.tar.zst");
    for arguments in [
        &["export", "images.txt", "-o", "images.txt", "--force"][..],
        &["export", "images.txt", "-o", "new.tar.zst", "--report", "new.tar.zst"],
        &["export", "images.txt", "--dry-run", "--report", "./images.txt"],
        &["verify", "out.tar.zst", "--report", "out.tar.zst"],
        &["import", "out.tar.zst", "-d", "127.0.0.1:1", "--values", "out.tar.zst", "--force"],
        &["import", "out.tar.zst", "-d", "127.0.0.1:1", "--report", "out.values.yaml"],
    ] {
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("same file"), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(gap.read("out.tar.zst"), bundle);
}

#[test]
fn a_credentials_file_that_was_named_must_be_there() {
    let gap = Gap::new();
    std::fs::write(gap.path("images.txt"), "r.invalid/x:1\n").unwrap();
    let ran = gap.cli.run(&["export", "images.txt", "--auth-file", "nosuch.json"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("nosuch.json"), "{}", ran.stderr);
}
