//! The Helm values of an import and of `bundle values`, and the Secret to pull with.

use std::os::unix::fs::PermissionsExt;

use airgap_bundle::image::Digest;
use base64::Engine as _;

use crate::support::gap::{Gap, htpasswd};
use crate::support::images::image;
use crate::support::registry::TestRegistry;

/// A bundle of two images that share a registry path and a tag.
fn shop() -> Gap {
    let mut gap = Gap::new();
    gap.image("shop/server", "1", &image(1)).image("shop/worker", "1", &image(2));
    let host = gap.source.host();
    let row = |name: &str| {
        format!(
            "- {{ chart: shop, component: {name}, image: '{host}/shop/{name}:1', registry: all.registry, repository: {name}.repository, tag: [{name}.tag, all.tag] }}\n"
        )
    };
    let text = format!(
        "name: shop\nversion: 2.4\nregistryOverride: global.imageRegistry\nimages:\n{}{}",
        row("server"),
        row("worker")
    );
    std::fs::write(gap.path("shop.yaml"), text).unwrap();
    let ran = gap.cli.run(&["export", "shop.yaml", "--no-sidecar"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap
}

/// Ports differ from run to run, and so does what they stand in.
fn without_sum(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap();
    let (words, sum) = first.rsplit_once(' ').unwrap();
    assert_eq!(sum, Digest::sha256(rest.as_bytes()).hex());
    format!("{words} SUM\n{rest}")
}

#[test]
fn an_import_and_the_command_write_the_same_values() {
    let gap = shop();
    let to = format!("{}/mirror", gap.destination.host());
    for (name, style) in [
        ("plain", &[][..]),
        ("each", &["--per-image"]),
        ("pinned", &["--per-image", "--pin"]),
        ("kept", &["--keep-host"]),
    ] {
        let ran = gap.cli.run(
            &[&["import", "shop-2.4.tar.zst", "-d", &to, "--values", "v.yaml", "--force"], style].concat(),
        );
        assert_eq!(ran.code, 0, "{}", ran.shown());
        let text = String::from_utf8(gap.read("v.yaml")).unwrap();
        let ran = gap.cli.run(&[&["values", "shop-2.4.tar.zst", "-d", &to], style].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (0, text.as_str()), "{}", ran.stderr);
        // Loopback hosts with a port are kept with a dash.
        let text = without_sum(&text).replace(&gap.source.host().replace(':', "-"), "SOURCE-DIR");
        gap.snapshot("values", name, &text);
    }
    // What the export kept is kept without being asked.
    let ran = gap.cli.run(&["export", "shop.yaml", "--keep-host", "-o", "kept.tar.zst", "--no-sidecar"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let kept = gap.cli.run(&["values", "kept.tar.zst", "-d", &to]);
    assert_eq!(kept.stdout, gap.cli.run(&["values", "shop-2.4.tar.zst", "-d", &to, "--keep-host"]).stdout);
}

#[test]
fn values_that_contradict_each_other_are_found_before_anything_is_sent() {
    let gap = shop();
    let text =
        String::from_utf8(gap.read("shop.yaml")).unwrap().replace("worker.repository", "server.repository");
    std::fs::write(gap.path("shop.yaml"), text).unwrap();
    let ran = gap.cli.run(&["export", "shop.yaml", "--no-sidecar", "--force"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.destination.forget();
    let ran = gap.try_import("shop-2.4.tar.zst", &["--per-image"]);
    assert_eq!(ran.code, 1);
    gap.snapshot("values", "conflict", &ran.shown());
    assert!(gap.destination.log().is_empty());
    assert_eq!(gap.try_import("shop-2.4.tar.zst", &[]).code, 0, "the override alone contradicts nothing");
    let ran =
        gap.cli.run(&["values", "shop-2.4.tar.zst", "-d", "reg.local", "--per-image", "--only", "*server*"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

#[test]
fn the_login_for_the_registry_becomes_a_secret_nobody_else_can_read() {
    let gap = shop();
    let folder = tempfile::tempdir().unwrap();
    let closed = TestRegistry::start_with_users(&htpasswd(folder.path(), "me", "s3cret word"));
    let host = closed.host();
    let values = |arguments: &[&str], input: &[u8]| {
        gap.fed(&[&["values", "shop-2.4.tar.zst", "-d", &host], arguments].concat(), input)
    };
    let ran = values(&["--pull-secret", "secret.yaml"], b"");
    assert_eq!(ran.code, 4, "{}", ran.shown());
    assert!(ran.stderr.contains("bundle login"), "{}", ran.stderr);
    assert!(!gap.path("secret.yaml").exists());

    let arguments = [
        "-u",
        "me",
        "--password-stdin",
        "--pull-secret",
        "secret.yaml",
        "--secret-name",
        "pull",
        "--namespace",
        "shop",
    ];
    let ran = values(&arguments, b"s3cret word\n");
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let manifest = String::from_utf8(gap.read("secret.yaml")).unwrap();
    let mode = std::fs::metadata(gap.path("secret.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (head, data) = manifest.trim_end().rsplit_once(' ').unwrap();
    let config = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["auths"][&host]["password"], "s3cret word");
    assert_eq!(
        config["auths"][&host]["auth"],
        base64::engine::general_purpose::STANDARD.encode("me:s3cret word")
    );
    gap.snapshot("values", "secret", head);
    let said = ran.shown();
    assert!(!said.contains("s3cret") && !said.contains(data), "{said}");
    assert!(ran.stdout.starts_with("# Made by bundle") && !ran.stdout.contains("Secret"), "{}", ran.stdout);

    // The stored login does too; another Secret in its place stays, and the screen is no file.
    let auth_file = gap.path("auth.json").display().to_string();
    let ran =
        gap.fed(&["login", &host, "-u", "me", "--password-stdin", "--auth-file", &auth_file], b"s3cret word");
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let stored = ["--auth-file", &auth_file, "--pull-secret", "secret.yaml"];
    assert_eq!(values(&stored, b"").code, 1);
    assert_eq!(String::from_utf8(gap.read("secret.yaml")).unwrap(), manifest);
    assert_eq!(values(&[&stored[..], &["--force"]].concat(), b"").code, 0);
    for (target, code) in [("-", 2), ("/dev/stdout", 2), ("/dev/stderr", 2), ("shop-2.4.tar.zst", 2)] {
        let ran = values(&["--auth-file", &auth_file, "--pull-secret", target, "--force"], b"");
        assert_eq!(ran.code, code, "{target}: {}", ran.shown());
        assert!(!ran.shown().contains("s3cret") && !ran.shown().contains(data), "{target}: {}", ran.shown());
    }
    let ran = values(&["--auth-file", &auth_file, "--pull-secret", "x.yaml", "--secret-name", "A b"], b"");
    assert_eq!(ran.code, 2, "{}", ran.shown());
    let token = r#"{"auths":{"HOST":{"identitytoken":"t0ken"}}}"#.replace("HOST", &host);
    std::fs::write(&auth_file, token).unwrap();
    let ran = values(&["--auth-file", &auth_file, "--pull-secret", "x.yaml"], b"");
    assert_eq!(ran.code, 4, "{}", ran.shown());
    assert!(
        ran.stderr.contains("kubelets take user name and password") && !ran.stderr.contains("t0ken"),
        "{}",
        ran.stderr
    );
    assert!(
        closed.log().iter().all(|one| !one.path.contains("manifests")),
        "values ask no registry for images"
    );
}

/// The values file of one destination is no reason not to import into another.
#[test]
fn a_values_file_is_replaced_as_it_was_made_and_kept_when_edited_or_for_another_destination() {
    let gap = shop();
    let other = TestRegistry::start();
    let (first, second) = (gap.destination.host(), other.host());
    let name = |host: &str| format!("shop-2.4.{}.values.yaml", host.replace(':', "-"));
    let import = |host: &str| {
        let ran = gap.cli.run(&["import", "shop-2.4.tar.zst", "-d", host]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        ran.stdout
    };
    let read = |name: &str| String::from_utf8(gap.read(name)).unwrap();
    import(&first);
    assert!(read("shop-2.4.values.yaml").contains(&first));
    // Of another destination, although nobody has changed it.
    let said = import(&second);
    assert!(
        said.contains("shop-2.4.values.yaml is kept: it was edited, or is for another destination"),
        "{said}"
    );
    assert!(read("shop-2.4.values.yaml").contains(&first));
    assert!(read(&name(&second)).contains(&second));
    // Of this one, for fewer images, and nobody has changed it.
    let ran = gap.cli.run(&["import", "shop-2.4.tar.zst", "-d", &first, "--only", "*worker*"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    import(&first);
    assert!(!gap.path(&name(&first)).exists());

    let edited = read("shop-2.4.values.yaml") + "replicas: 3\n";
    std::fs::write(gap.path("shop-2.4.values.yaml"), &edited).unwrap();
    let said = import(&first);
    assert!(said.contains(&format!("Helm values: {}", name(&first))), "{said}");
    assert!(said.contains("shop-2.4.values.yaml is kept: it was edited"), "{said}");
    assert_eq!(read("shop-2.4.values.yaml"), edited);
    assert!(read(&name(&first)).contains(&first));
    // The one of this destination may have been changed too.
    std::fs::write(gap.path(&name(&first)), "mine: 1\n").unwrap();
    let said = import(&first);
    let numbered = name(&first).replace(".values", "-2.values");
    assert!(said.contains(&format!("Helm values: {numbered}")), "{said}");
    assert_eq!(read(&name(&first)), "mine: 1\n");
    import(&first);
    assert_eq!(gap.files().iter().filter(|name| name.ends_with(".values.yaml")).count(), 4);

    let ran = gap.cli.run(&["import", "shop-2.4.tar.zst", "-d", &first, "--force"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(read("shop-2.4.values.yaml").contains(&first));
}

#[test]
fn what_is_no_values_file_of_ours_stays_whatever_it_is() {
    let gap = shop();
    let host = gap.destination.host();
    for (name, content) in [
        ("empty.yaml", &b""[..]),
        ("old.yaml", b"# Helm values: the images of shop 2.4 come from elsewhere.\nglobal: {}\n"),
        ("cut.yaml", b"# Made by bundle; changed by nobody while the SHA-256 of the rest is 0701\n"),
        (
            "cut-now.yaml",
            b"# Made by bundle; nobody has edited it while this is the SHA-256 of the lines below: 0701\n",
        ),
        ("bundle.yaml", b"\x28\xb5\x2f\xfd rest"),
        ("binary.yaml", b"\xff\xfe\x00"),
    ] {
        std::fs::write(gap.path(name), content).unwrap();
        let ran = gap.cli.run(&["import", "shop-2.4.tar.zst", "-d", &host, "--values", name]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.shown());
        assert_eq!(gap.read(name), content, "{name}");
        let other = name.replace(".yaml", &format!(".{}.yaml", host.replace(':', "-")));
        assert!(String::from_utf8(gap.read(&other)).unwrap().contains(&host), "{name}");
    }
}

/// Without flags that ask for it, a catalog that contradicts itself costs the values file and nothing else.
#[test]
fn a_catalog_that_contradicts_itself_costs_the_values_file_alone() {
    let mut gap = Gap::new();
    gap.image("shop/server", "1", &image(1)).image("shop/worker", "1", &image(2));
    let host = gap.source.host();
    let row = |name: &str| {
        format!("- {{ image: '{host}/shop/{name}:1', registry: a.registry, repository: a.repository }}\n")
    };
    std::fs::write(gap.path("s.yaml"), format!("name: s\nimages:\n{}{}", row("server"), row("worker")))
        .unwrap();
    assert_eq!(gap.cli.run(&["export", "s.yaml", "--no-sidecar"]).code, 0);
    let ran = gap.try_import("s.tar.zst", &[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("warning: no values file"), "{}", ran.shown());
    assert!(!gap.path("s.values.yaml").exists());
    assert_eq!(gap.try_import("s.tar.zst", &["--per-image"]).code, 1);
}

#[test]
fn a_name_that_is_too_long_there_costs_its_own_image() {
    let mut gap = Gap::new();
    let long = format!("team/{}", "a".repeat(200));
    gap.image("team/app", "1", &image(1)).image(&long, "1", &image(2));
    gap.export(&["-o", "out.tar.zst"]);
    let to = format!("{}/{}", gap.destination.host(), "mirror/of/everything/there/is/in/this/hospital/ward");
    let dry = gap.cli.run(&["import", "out.tar.zst", "-d", &to, "--dry-run"]);
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &to]);
    assert_eq!((dry.code, ran.code), (1, 1), "{}{}", dry.shown(), ran.shown());
    assert!(dry.stdout.contains("1 name fits, and none collide; 1 does not"), "{}", dry.shown());
    assert!(
        ran.stderr.contains("1 image of 2 failed") && ran.stderr.contains("use a shorter path with -d"),
        "{}",
        ran.shown()
    );
    crate::support::gap::assert_whole(
        &gap.destination,
        "mirror/of/everything/there/is/in/this/hospital/ward/team/app",
        "1",
        &image(1),
    );
    let going = gap.cli.run(&["import", "out.tar.zst", "-d", &to, "--keep-going", "--values", "v.yaml"]);
    assert_eq!(going.code, 7, "{}", going.shown());
    let values = String::from_utf8(gap.read("v.yaml")).unwrap();
    assert!(values.contains(&format!("{long}:1 is left out")), "{values}");
}
