//! Settings and credentials: what cannot be understood is named before anything is sent, what is broken elsewhere costs a
//! warning, and every hint follows from the cause.

use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::cli::{Cli, Ran};
use crate::support::gap::{Gap, assert_whole, htpasswd, nobody};
use crate::support::images::{TestImage, image};
use crate::support::registry::{Effect, Fault, TestRegistry};

fn shop(cli: Cli) -> (Gap, TestImage) {
    let (image, mut gap) = (image(1), Gap::with(cli));
    gap.image("team/app", "1", &image);
    (gap, image)
}

fn exported() -> (Gap, TestImage) {
    let (gap, image) = shop(Cli::new());
    gap.export(&["-o", "out.tar.zst"]);
    (gap, image)
}

/// A source with one user, and an image on it.
fn guarded(user: &str, password: &str) -> Gap {
    let mut gap = Gap::new();
    let folder = tempfile::tempdir().unwrap();
    gap.source = TestRegistry::start_with_users(&htpasswd(folder.path(), user, password));
    gap.image("team/app", "1", &image(1));
    gap
}

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn an_auth_field_that_base64_has_wrapped_is_a_login() {
    let password = "correct horse battery staple".repeat(2);
    let gap = guarded("me", &password);
    let auth = BASE64_STANDARD.encode(format!("me:{password}\n"));
    let wrapped = format!("{}\\n{}\\n", &auth[..76], &auth[76..]);
    let file = format!("\u{feff}{{\"auths\":{{\"{}\":{{\"auth\":\"{wrapped}\"}}}}}}", gap.source.host());
    std::fs::write(gap.path("auth.json"), file).unwrap();
    let ran = gap.try_export(&["-o", "out.tar.zst", "--auth-file", "auth.json"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

#[test]
fn a_login_that_cannot_be_used_is_named_and_costs_a_public_image_only_a_warning() {
    let entry = |host: &str| format!(r#"{{"auths":{{"{host}":{{"auth":"geheim"}}}},"credsStore":"absent"}}"#);
    let broken = ["`auth` has no colon", "docker-credential-absent is configured, but not found on PATH"];
    // In a usual place, it is in the way of nothing that is public.
    let (gap, _) = shop(Cli::new());
    std::fs::create_dir(gap.path(".docker")).unwrap();
    std::fs::write(gap.path(".docker/config.json"), entry(&gap.source.host())).unwrap();
    let guard = guarded("me", "right");
    std::fs::create_dir(guard.path(".docker")).unwrap();
    // Six letters of base64 are four bytes without a colon.
    let auth = BASE64_STANDARD.encode("geheim");
    let config = entry(&guard.source.host()).replace("geheim", &auth);
    std::fs::write(guard.path(".docker/config.json"), &config).unwrap();
    gap.export(&["-o", "out.tar.zst"]);
    // Where a login is wanted, that is why there is none.
    let ran = guard.try_export(&["-o", "out.tar.zst", "--retries", "1"]);
    assert_eq!(ran.code, 4, "{}", ran.shown());
    for why in broken {
        let warned = ran.stderr.lines().any(|line| line.starts_with("warning: ") && line.contains(why));
        assert!(warned, "{why}: {}", ran.stderr);
    }
    assert!(ran.stderr.contains("hint: no login was sent to"), "{}", ran.stderr);
    assert!(!ran.stderr.contains(&auth), "{}", ran.stderr);
    // In the file that was named, it is an error.
    let ran = guard.try_export(&["-o", "out.tar.zst", "--auth-file", ".docker/config.json"]);
    assert_eq!(ran.code, 4, "{}", ran.shown());
    assert!(ran.stderr.contains(broken[1]) && ran.stderr.contains("--auth-file FILE"), "{}", ran.stderr);
    // One that is no credentials file at all is found before the network.
    guard.source.forget();
    for content in [b"{\"auths".to_vec(), b"[]".to_vec(), utf16("{}"), b"\x1f\x8b\x08".to_vec()] {
        std::fs::write(guard.path("auth.json"), content).unwrap();
        let ran = guard.try_export(&["-o", "out.tar.zst", "--auth-file", "auth.json"]);
        assert_eq!(ran.code, 2, "{}", ran.shown());
        assert!(ran.stderr.contains("auth.json: it is") && ran.stderr.contains("hint: "), "{}", ran.stderr);
    }
    assert_eq!(guard.source.log().len(), 0);
}

#[test]
fn one_of_two_variables_is_told_with_the_other() {
    let names = ["DST_REGISTRY_USERNAME", "DST_REGISTRY_PASSWORD"];
    for (set, lacking) in [(names[0], names[1]), (names[1], names[0])] {
        let (gap, image) = shop(Cli::new().env(set, "x").env(lacking, "\n"));
        gap.export(&["-o", "out.tar.zst"]);
        let ran = gap.import("out.tar.zst", &[]);
        let warning = format!("warning: {set} is set but {lacking} is empty or not set, so neither is used");
        assert!(ran.stderr.contains(&warning), "{}", ran.stderr);
        assert_whole(&gap.destination, "team/app", "1", &image);
    }
    // The line break of a file is no part of either.
    let cli = Cli::new().env(names[0], "me\n").env(names[1], "right\r\n");
    let (mut gap, _) = shop(cli);
    let folder = tempfile::tempdir().unwrap();
    gap.destination = TestRegistry::start_with_users(&htpasswd(folder.path(), "me", "right"));
    gap.export(&["-o", "out.tar.zst"]);
    let ran = gap.import("out.tar.zst", &[]);
    assert!(!ran.stderr.contains("warning: DST"), "{}", ran.stderr);
}

#[test]
fn a_password_on_stdin_is_text_and_not_empty() {
    let (gap, _) = exported();
    let host = gap.destination.host();
    gap.source.forget();
    let import = ["import", "out.tar.zst", "-d", &host, "-u", "me", "--password-stdin"];
    let export = ["export", "images.txt", "-o", "new.tar.zst", "-u", "me", "--password-stdin"];
    let login = ["login", &host, "-u", "me", "--password-stdin"];
    for (input, says) in [
        (b"".to_vec(), "the password on stdin: it is empty"),
        (b"\r\n".to_vec(), "the password on stdin: it is empty"),
        (utf16("secret"), "iconv -f UTF-16 -t UTF-8"),
    ] {
        for line in [&import[..], &export, &login] {
            let ran = gap.fed(line, &input);
            assert_eq!(ran.code, 2, "{line:?}: {}", ran.shown());
            assert!(ran.stderr.contains(says), "{line:?}: {}", ran.stderr);
        }
    }
    let ran = gap.fed(&["login", &host, "-u", "me:x", "--password-stdin"], b"secret");
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert_eq!(gap.destination.log().len() + gap.source.log().len(), 0);
    // A byte order mark, as Windows writes it, is no part of it.
    let guard = guarded("me", "right");
    let ran = guard
        .fed(&["login", &guard.source.host(), "-u", "me", "--password-stdin"], "\u{feff}right\n".as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

#[test]
fn a_bad_authority_is_one_usage_error_before_the_network() {
    let (gap, _) = exported();
    gap.source.forget();
    let made = rcgen::generate_simple_self_signed(["reg.local".to_owned()]).unwrap();
    for (name, content) in [
        ("der.crt", made.cert.der().to_vec()),
        ("utf16.pem", utf16(&made.cert.pem())),
        ("gzip.pem", b"\x1f\x8b\x08".to_vec()),
        ("empty.pem", Vec::new()),
        ("key.pem", made.signing_key.serialize_pem().into_bytes()),
    ] {
        std::fs::write(gap.path(name), content).unwrap();
    }
    std::fs::write(gap.path("good.pem"), format!("\u{feff}{}", made.cert.pem())).unwrap();
    let host = gap.destination.host();
    let pod = format!("apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: '{host}/team/app:1'}}]}}\n");
    std::fs::write(gap.path("pod.yaml"), pod).unwrap();
    let lines = [
        format!("import out.tar.zst -d {host}"),
        "export images.txt -o new.tar.zst".to_owned(),
        "catalog lock images.txt -o new.lock".to_owned(),
        "catalog lint images.txt --online".to_owned(),
        format!("inspect -d {host} --catalog images.txt"),
        format!("verify out.tar.zst --manifests images.txt -d {host}"),
        format!("login {host} -u me --password-stdin"),
        format!("values out.tar.zst -d {host} --pull-secret secret.yaml"),
    ];
    for line in &lines {
        for (file, says) in [
            ("none.pem", "No such file"),
            ("der.crt", "openssl x509 -inform der -in der.crt -out der.crt.pem"),
            ("utf16.pem", "iconv -f UTF-16 -t UTF-8 utf16.pem >utf16.pem.utf8"),
            ("gzip.pem", "gzip -dc gzip.pem"),
            ("empty.pem", "it has no certificate"),
            ("key.pem", "it has no certificate, but PRIVATE KEY"),
        ] {
            let arguments: Vec<&str> = line.split(' ').chain(["--ca-file", file]).collect();
            let ran = gap.fed(&arguments, b"secret\n");
            assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.shown());
            assert_eq!(ran.stderr.matches("error: ").count(), 1, "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(says) && ran.stderr.contains(file), "{arguments:?}: {}", ran.stderr);
        }
    }
    assert_eq!(gap.destination.log().len() + gap.source.log().len(), 0);
    gap.import("out.tar.zst", &["--ca-file", "good.pem"]);
}

/// What `serve` is given is read by the same rule.
#[test]
fn certificates_and_users_of_serve_are_text_too() {
    let gap = Gap::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let marked = |text: &str| format!("\u{feff}{text}").into_bytes();
    let hash = bcrypt::hash("right", 4).unwrap();
    for (name, content) in [
        ("good.crt", marked(&made.cert.pem())),
        ("good.key", marked(&made.signing_key.serialize_pem())),
        ("good.users", marked(&format!("me:{hash}\n"))),
        ("der.crt", made.cert.der().to_vec()),
        ("utf16.key", utf16(&made.signing_key.serialize_pem())),
        ("utf16.users", utf16("me:x\n")),
    ] {
        std::fs::write(gap.path(name), content).unwrap();
    }
    for (certificate, key, users, says) in [
        ("der.crt", "good.key", "good.users", "openssl x509 -inform der -in der.crt"),
        ("good.crt", "utf16.key", "good.users", "iconv -f UTF-16 -t UTF-8 utf16.key"),
        ("good.crt", "good.key", "utf16.users", "iconv -f UTF-16 -t UTF-8 utf16.users"),
    ] {
        let files = ["--tls-cert", certificate, "--tls-key", key, "--htpasswd", users];
        let ran =
            gap.cli.run(&[&["serve", "--dir", "store", "--address", "127.0.0.1:0"], &files[..]].concat());
        assert_eq!(ran.code, 2, "{}", ran.shown());
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    // The marks are no part of anything: the server starts.
    let files = ["--tls-cert", "good.crt", "--tls-key", "good.key", "--htpasswd", "good.users"];
    let serve = ["serve", "--dir", "store", "--address", "127.0.0.1:0", "--address-file", "address"];
    let mut server = gap.spawn(&[&serve[..], &files].concat());
    server.until("the address", || gap.path("address").is_file());
    server.kill();
}

#[test]
fn a_proxy_is_checked_before_it_is_asked_and_told_when_it_is_down() {
    let proxied = |value: &str| {
        let mut gap = Gap::with(Cli::new().env("HTTPS_PROXY", value));
        gap.line("registry.test/team/app:1");
        let ran = gap.try_export(&["-o", "out.tar.zst", "--retries", "1"]);
        assert!(!ran.stderr.contains("geheim"), "{}", ran.stderr);
        ran
    };
    for (value, says) in [
        (
            r"http://CORP\me:geheim@proxy.test:3128",
            r"write `\` as %5C: HTTPS_PROXY=http://USER:PASSWORD@proxy.test:3128",
        ),
        ("http://me:geheim#1@proxy.test:3128", "write `#` as %23"),
        ("socks5://proxy.test:1080", "HTTPS_PROXY must be an http:// or https:// URL"),
    ] {
        let ran = proxied(value);
        assert_eq!(ran.code, 2, "{}", ran.shown());
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    let down = nobody();
    let ran = proxied(&format!("http://me:geheim@{down}"));
    assert_eq!(ran.code, 5, "{}", ran.shown());
    assert!(
        ran.stderr.contains(&format!("cannot connect to the proxy http://{down} (HTTPS_PROXY)")),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("correct the catalog"), "{}", ran.stderr);
}

/// Runs the program where `mount` has been run before, in a namespace of its own; `None` where there are none.
fn after_mount(gap: &Gap, mount: &str, line: &str, after: &str) -> Option<Ran> {
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|ran| ran.status.success()) {
        return None;
    }
    let script =
        format!("set -e; {mount}; set +e; echo secret | \"$0\" {line}; code=$?; {after}; exit $code");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script, env!("CARGO_BIN_EXE_bundle")]);
    command.current_dir(gap.cli.folder()).env_clear();
    for (key, value) in gap.cli.command(&[]).get_envs() {
        value.map(|value| command.env(key, value));
    }
    let output = command.output().unwrap();
    Some(Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Containers get their configuration as files that are mounted one by one, and such a file cannot be replaced.
#[test]
fn a_file_that_is_mounted_by_itself_is_written_in_place() {
    let (gap, _) = exported();
    let old = r#"{"auths":{"other.local":{"auth":"b3RoZXI6b3RoZXI="}},"mine":1}"#;
    std::fs::write(gap.path("outside.json"), old).unwrap();
    let mount = "touch auth.json; mount --bind outside.json auth.json";
    let login = "login reg.local --username u --password-stdin --no-check --auth-file auth.json";
    let Some(ran) = after_mount(&gap, mount, login, "cat auth.json") else { return };
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let text = std::fs::read_to_string(gap.path("outside.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["auths"]["reg.local"]["auth"], &value["mine"]), (&"dTpzZWNyZXQ=".into(), &1.into()));
    assert!(value["auths"].get("other.local").is_some());
    // The same where nothing else fits on the disk: the old content stays.
    std::fs::write(gap.path("outside.json"), old).unwrap();
    let full = "mkdir -p disk; mount -t tmpfs -o size=8k none disk; cp outside.json disk/auth.json; \
                (dd if=/dev/zero of=disk/x bs=1k status=none || true) 2>/dev/null; mount -o remount,ro disk || true";
    let line = login.replace("auth.json", "disk/auth.json");
    let ran = after_mount(&gap, full, &line, "cat disk/auth.json >kept.json").unwrap();
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("disk/auth.json: Read-only file system"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(gap.path("kept.json")).unwrap(), old);
    // Results are no different.
    std::fs::write(gap.path("outside.yaml"), "mine: 1\n").unwrap();
    let mount = "touch v.yaml; mount --bind outside.yaml v.yaml";
    let import = format!("import out.tar.zst -d {} --values v.yaml --force", gap.destination.host());
    let ran = after_mount(&gap, mount, &import, "true").unwrap();
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(std::fs::read_to_string(gap.path("outside.yaml")).unwrap().contains("imageRegistry"));
}

#[test]
fn an_address_of_an_api_or_another_scheme_is_corrected() {
    let (gap, image) = exported();
    let host = gap.destination.host();
    for (destination, form) in [
        (format!("{host}/v2/"), format!("write -d {host}")),
        (format!("http://{host}/v2/team/x"), format!("write -d http://{host}/team/x")),
        (format!("ssh://{host}"), format!("write -d {host}")),
    ] {
        let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &destination]);
        assert_eq!(ran.code, 2, "{}", ran.shown());
        assert!(ran.stderr.trim_end().ends_with(&form), "{}", ran.stderr);
    }
    let ran = gap.cli.run(&["login", &format!("{host}/v2/"), "-u", "me", "--password-stdin"]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
    assert!(ran.stderr.contains("write the host only, without a path"), "{}", ran.stderr);
    // Docker Hub's names have two parts, which needs no asking.
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", "docker.io/acme"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("Docker Hub has repositories of two parts only"), "{}", ran.stderr);
    assert_eq!(gap.destination.log().len(), 0);
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &format!("docker://{host}")]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_whole(&gap.destination, "team/app", "1", &image);
}

#[test]
fn a_file_that_is_not_there_is_said_not_to_be_there() {
    let gap = Gap::new();
    for line in [
        "export nope.yaml",
        "export lists/nope.txt",
        "catalog show nope.yaml",
        "catalog lint nope.json",
        "catalog lock nope.yml -o x.lock",
    ] {
        let ran = gap.cli.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, 2, "{line}: {}", ran.shown());
        assert!(ran.stderr.contains(": there is no such file"), "{line}: {}", ran.stderr);
        assert!(!ran.stderr.contains("one image"), "{line}: {}", ran.stderr);
    }
    let ran = gap.cli.run(&["export", "quay.io/acme/app:1"]);
    assert!(ran.stderr.contains("echo quay.io/acme/app:1 | bundle export -"), "{}", ran.stderr);
}

#[test]
fn a_report_is_refused_where_there_is_nothing_to_report() {
    let (gap, _) = exported();
    for line in [
        "inspect out.tar.zst",
        "sign out.tar.zst --key site.key",
        "serve out.tar.zst",
        "catalog lint images.txt",
        "catalog discover images.txt",
    ] {
        let ran = gap.cli.run(&line.split(' ').chain(["--report", "report.json"]).collect::<Vec<_>>());
        assert_eq!(ran.code, 2, "{line}: {}", ran.shown());
        assert!(ran.stderr.contains("unexpected argument '--report'"), "{line}: {}", ran.stderr);
    }
}

#[test]
fn where_progress_is_json_the_error_at_the_end_is_too() {
    let (gap, _) = exported();
    std::fs::write(gap.path("bad"), "no bundle").unwrap();
    let failing = [
        "export none.txt",
        "import bad -d reg.local",
        "verify bad",
        "inspect bad",
        "serve bad",
        "sign bad --key none.key",
        "repack bad -o x.tar.zst",
        "catalog lock none.txt",
        "catalog lint none.txt",
        "catalog discover none.yaml",
        "export --nonsense",
    ];
    let without_the_flag =
        ["diff bad bad", "values bad -d reg.local", "review bad", "catalog show none.txt", "nonsense"];
    let last = |ran: &Ran, line: &str| {
        let error = ran.stderr.lines().last().unwrap_or_default();
        let error: serde_json::Value =
            serde_json::from_str(error).unwrap_or_else(|_| panic!("{line}: {}", ran.shown()));
        assert_eq!((&error["event"], &error["exitCode"]), (&"error".into(), &ran.code.into()), "{line}");
        assert_ne!(ran.code, 0, "{line}");
    };
    for line in failing {
        let words: Vec<&str> = line.split(' ').collect();
        last(&gap.cli.run(&[&words[..], &["--progress", "json"]].concat()), line);
    }
    for line in failing.iter().chain(&without_the_flag) {
        let mut command = gap.cli.command(&line.split(' ').collect::<Vec<_>>());
        let output = command.env("AIRGAP_BUNDLE_PROGRESS", "json").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        last(&Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }, line);
    }
}

#[test]
fn what_is_missing_at_the_destination_is_named_once() {
    let mut gap = Gap::new();
    for number in 1..=6_u8 {
        gap.image(&format!("team/app{number}"), "1", &image(number.into()));
    }
    gap.export(&["-o", "out.tar.zst"]);
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"not found"}]}"#.to_owned();
    gap.destination.fault(Fault::on("POST", "", Effect::Answer(404, Vec::new(), body)).always());
    let host = gap.destination.host();
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &format!("{host}/nobody/x")]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert_eq!(ran.stderr.matches("the same for").count(), 5, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("NAME_UNKNOWN").count(), 1, "{}", ran.stderr);
    let hint = format!(
        "that they begin with: nobody\nhint: or choose a prefix that already exists: -d {host}/PREFIX"
    );
    assert!(ran.stderr.contains(&hint), "{}", ran.stderr);
    // A dry run opens no upload, and knows nothing of it.
    let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &format!("{host}/nobody/x"), "--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stdout.contains("whether they accept uploads is unknown"), "{}", ran.stdout);
}
