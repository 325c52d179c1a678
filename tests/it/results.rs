//! Results: on stdout all of them or an error, in files beside under the name that the user gave, and after the summary
//! that says what is done.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{TestImage, image};

fn shop() -> (Gap, TestImage) {
    let (image, mut gap) = (image(1), Gap::new());
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst"]);
    (gap, image)
}

fn into(gap: &Gap, arguments: &[String], stdout: Stdio) -> Ran {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = gap.cli.command(&arguments).stdin(Stdio::null()).stdout(stdout).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Everything that has a result on stdout.
fn all(host: &str) -> Vec<Vec<String>> {
    let lines = [
        "inspect out.tar.zst --format json",
        "inspect out.tar.zst",
        "values out.tar.zst -d reg.local",
        "mirrors out.tar.zst -d reg.local --for k3s",
        "mirrors out.tar.zst -d reg.local --for containerd -o certs.d --force",
        "diff out.tar.zst out.tar.zst",
        "diff out.tar.zst out.tar.zst --format json",
        "review out.tar.zst -o -",
        "review out.tar.zst -o review.html --force",
        "catalog list",
        "catalog show",
        "catalog show --format json",
        "catalog schema",
        "catalog schema --policy",
        "catalog lint images.txt",
        "catalog discover images.yaml",
        "catalog lock images.txt -o -",
        "catalog lock images.txt -o new.lock",
        "verify out.tar.zst",
        "verify out.tar.zst --format json",
        "export images.txt -o new.tar.zst --dry-run",
        "export images.txt -o new.tar.zst --force",
        "repack out.tar.zst -o again.tar.zst",
        "sign out.tar.zst --key site.key --force",
        "keygen -o new --no-passphrase",
        "completions bash",
        "man",
        "man --html -",
        "help",
        "help trust",
        "help export",
        "--help",
        "import --help",
        "--version",
    ];
    let mut all: Vec<Vec<String>> =
        lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    all.push(["import", "out.tar.zst", "-d", host, "--dry-run"].map(str::to_owned).to_vec());
    all.push(["import", "out.tar.zst", "-d", host].map(str::to_owned).to_vec());
    all
}

fn prepared() -> (Gap, TestImage) {
    let (gap, image) = shop();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: 'r.io/a:1'}]}\n";
    std::fs::write(gap.path("images.yaml"), pod).unwrap();
    assert_eq!(gap.cli.run(&["keygen", "-o", "site", "--no-passphrase"]).code, 0);
    (gap, image)
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let (gap, image) = prepared();
    for arguments in all(&gap.destination.host()) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ran = into(&gap, &arguments, full.into());
        assert_eq!(ran.code, 6, "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("error: stdout: No space left on device"),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
    // What was done is done.
    assert_whole(&gap.destination, "team/app", "1", &image);
    assert!(gap.path("again.tar.zst").is_file());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (gap, _) = prepared();
    for arguments in all(&gap.destination.host()) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = into(&gap, &arguments, writer.into());
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("error"), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_file_beside_that_cannot_be_written_costs_nothing_but_itself() {
    let (gap, image) = shop();
    let host = gap.destination.host();
    for flag in ["--values", "--report"] {
        let ran = gap.cli.run(&["import", "out.tar.zst", "-d", &host, flag, "/dev/full", "--force"]);
        assert_eq!(ran.code, 6, "{flag}: {}", ran.shown());
        assert!(ran.stderr.contains("error: /dev/full: No space left on device"), "{flag}: {}", ran.shown());
        assert!(ran.stdout.contains(" sent, "), "{flag}: {}", ran.shown());
    }
    assert_whole(&gap.destination, "team/app", "1", &image);
    for arguments in [
        &["export", "images.txt", "-o", "new.tar.zst", "--report", "/dev/full"][..],
        &["verify", "out.tar.zst", "--report", "/dev/full"],
        &["catalog", "lock", "images.txt", "-o", "/dev/full", "--force"],
        &["review", "out.tar.zst", "-o", "/dev/full"],
        &["catalog", "discover", "images.txt", "-o", "/dev/full"],
    ] {
        if arguments.contains(&"discover") {
            std::fs::write(
                gap.path("images.txt"),
                "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 'r.io/a:1'}]}\n",
            )
            .unwrap();
        }
        let ran = gap.cli.run(arguments);
        assert_eq!(ran.code, 6, "{arguments:?}: {}", ran.shown());
        assert!(
            ran.stderr.contains("error: /dev/full: No space left on device"),
            "{arguments:?}: {}",
            ran.shown()
        );
    }
}

/// What fails for itself is not hidden by a report that fails too.
#[test]
fn a_report_that_cannot_be_written_hides_no_other_error() {
    let (gap, _) = shop();
    std::fs::write(gap.path("bad.tar.zst"), "no bundle").unwrap();
    let ran = gap.cli.run(&["verify", "bad.tar.zst", "--report", "/dev/full"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    assert!(ran.stderr.contains("warning: /dev/full: No space left"), "{}", ran.shown());
}

/// On file systems that take nothing, the error has the name that the user knows, and the code of no registry.
#[test]
fn on_a_file_system_that_takes_nothing_the_error_names_the_users_file() {
    let (gap, image) = shop();
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|ran| ran.status.success()) {
        return;
    }
    std::fs::create_dir_all(gap.path("disk")).unwrap();
    let host = gap.destination.host();
    let import = format!("import out.tar.zst -d {host} --values v.yaml --force");
    for (line, name) in [
        (format!("{import} --receipt disk/receipt.json"), "disk/receipt.json"),
        (format!("{import} --report disk/report.json"), "disk/report.json"),
        (format!("import out.tar.zst -d {host} --values disk/values.yaml"), "disk/values.yaml"),
        ("verify out.tar.zst --report disk/report.json".to_owned(), "disk/report.json"),
        ("review out.tar.zst -o disk/review.html".to_owned(), "disk/review.html"),
        ("keygen -o disk/site --no-passphrase".to_owned(), "disk/site"),
        ("mirrors out.tar.zst -d reg.local --for containerd -o disk/certs.d".to_owned(), "disk/certs.d"),
        ("catalog lock images.txt -o disk/catalog.lock".to_owned(), "disk/catalog.lock"),
        ("man --dir disk/man".to_owned(), "disk/man"),
        ("man --html disk/manual.html".to_owned(), "disk/manual.html"),
        (
            "login reg.local --username u --password-stdin --no-check --auth-file disk/auth.json".to_owned(),
            "disk/auth.json",
        ),
    ] {
        for (options, code, why) in
            [("ro,size=1m", 1, "Read-only file system"), ("size=4k", 6, "No space left")]
        {
            // A page is all there is, and it is taken.
            let fill = if code == 6 { "dd if=/dev/zero of=disk/x bs=4k count=1 status=none; " } else { "" };
            let script = format!(
                "mount -t tmpfs -o {options},nr_inodes=3 none disk; {fill}echo secret | \"$0\" {line}"
            );
            let shell = gap.cli.command(&[]);
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh", "-c", &script, env!("CARGO_BIN_EXE_bundle")]);
            command.current_dir(gap.cli.folder()).env_clear();
            for (key, value) in shell.get_envs() {
                value.map(|value| command.env(key, value));
            }
            let output = command.output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{line} ({options}): {words}");
            assert!(words.contains(name) && words.contains(why), "{line} ({options}): {words}");
            assert!(!words.contains(".airgap-bundle-"), "{line} ({options}): {words}");
        }
    }
    assert_whole(&gap.destination, "team/app", "1", &image);
}
