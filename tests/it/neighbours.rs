//! Others who can write into the same folders: their links lead nowhere, their pipes hold nothing up, and what several
//! runs change at the same time loses nothing.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::support::cli::Ran;
use crate::support::gap::{Gap, Running};
use crate::support::images::image;
use crate::support::registry::TestRegistry;

const PRECIOUS: &str = "precious";

fn gap() -> Gap {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    gap
}

fn keys(gap: &Gap) {
    let ran = gap.cli.run(&["keygen", "-o", "key", "--no-passphrase"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn no_link_in_an_output_folder_is_followed() {
    let whole =
        [".partial.probe", ".partial.journal", ".partial", ".partial.manifests", ".sha256", ".sha256.new"];
    let cut = [
        ".partial.001",
        ".partial.journal.new",
        ".volumes.json",
        ".volumes.json.new",
        ".partial.old",
        ".partial.old.journal",
    ];
    let signed = [".sig", ".sigstore.json", ".statement.json", ".statement.json.sigstore.json"];
    let cases = whole
        .map(|suffix| (suffix, &[][..]))
        .into_iter()
        .chain(cut.map(|suffix| (suffix, &["--volume-size", "65536", "--parity", "1"][..])))
        .chain(signed.map(|suffix| (suffix, &["--sign-key", "key.key", "--statement"][..])));
    let gap = gap();
    keys(&gap);
    for (suffix, flags) in cases {
        let folder = gap.path(&format!("out{suffix}"));
        std::fs::create_dir(&folder).unwrap();
        let precious = gap.path("precious");
        std::fs::write(&precious, PRECIOUS).unwrap();
        symlink(&precious, folder.join(format!("x.tar.zst{suffix}"))).unwrap();
        let target = folder.join("x.tar.zst");
        let ran = gap.try_export(&[&["-o", target.to_str().unwrap(), "--force"], flags].concat());
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), PRECIOUS, "{suffix}: {}", ran.shown());
        // It is refused by name, or put aside.
        assert!(
            ran.code == 0 || (ran.code == 1 && ran.stderr.contains("symbolic link")),
            "{suffix}: {}",
            ran.shown()
        );
    }
    // The file with the address of a server.
    let folder = gap.path("served");
    std::fs::create_dir(&folder).unwrap();
    symlink(gap.path("precious"), folder.join("address.new")).unwrap();
    symlink(gap.path("precious"), folder.join("address")).unwrap();
    let address = folder.join("address");
    let mut serving = gap.spawn(&[
        "serve",
        "--dir",
        folder.join("registry").to_str().unwrap(),
        "--address",
        "127.0.0.1:0",
        "--address-file",
        address.to_str().unwrap(),
    ]);
    serving.until("an address", || std::fs::read_to_string(&address).unwrap() != PRECIOUS);
    assert_eq!(std::fs::read_to_string(gap.path("precious")).unwrap(), PRECIOUS);
}

#[test]
fn a_pipe_in_the_place_of_a_small_file_holds_nothing_up() {
    let gap = gap();
    keys(&gap);
    gap.export(&["-o", "out.tar.zst", "--sign-key", "key.key", "--statement"]);
    let host = gap.destination.host();
    for (suffix, arguments) in [
        (".sig", &["verify", "out.tar.zst", "--verify-key", "key.pub"][..]),
        (".sigstore.json", &["import", "out.tar.zst", "-d", &host, "--verify-key", "key.pub"]),
        (".approvals", &["verify", "out.tar.zst", "--require-approval", "key.pub"]),
        (".statement.json", &["verify", "out.tar.zst", "--verify-key", "key.pub"]),
        (".approvals", &["sign", "out.tar.zst", "--key", "key.key", "--role", "approver"]),
        (".statement.json", &["sign", "out.tar.zst", "--key", "key.key", "--force"]),
    ] {
        let path = gap.path(&format!("out.tar.zst{suffix}"));
        let kept = std::fs::read(&path).ok();
        let _ = std::fs::remove_file(&path);
        pipe(&path);
        let ran = gap.cli.run(arguments);
        assert!(ran.code != 0, "{suffix} {arguments:?}: {}", ran.shown());
        assert!(ran.stderr.contains("not a regular file"), "{suffix} {arguments:?}: {}", ran.shown());
        std::fs::remove_file(&path).unwrap();
        if let Some(kept) = kept {
            std::fs::write(&path, kept).unwrap();
        }
    }
    // A bundle, and a chart's folder.
    pipe(&gap.path("pipe"));
    let ran = gap.cli.run(&["verify", "pipe"]);
    assert!(ran.code != 0 && ran.stderr.contains("is a pipe"), "{}", ran.shown());
}

/// Starts the program on a pipe, and asks it to end while it waits for what comes out of that.
fn ended_while_it_waits(gap: &Gap, arguments: &[&str]) -> Ran {
    let path = gap.path("pipe");
    let _ = std::fs::remove_file(&path);
    pipe(&path);
    let mut running = gap.spawn(arguments);
    let mut writer = None;
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    running.until(&format!("{arguments:?} opens the pipe"), || {
        // Opens when the other side has.
        writer = OpenOptions::new().write(true).custom_flags(nonblocking).open(&path).ok();
        writer.is_some()
    });
    running.signal(Signal::TERM);
    let ran = running.wait();
    drop(writer);
    ran
}

#[test]
fn a_pipe_that_is_named_is_waited_for_until_somebody_wants_an_end() {
    let gap = gap();
    gap.export(&["-o", "out.tar.zst"]);
    let host = gap.destination.host();
    for arguments in [
        &["export", "./pipe"][..],
        &["export", "--locked=pipe"],
        &["export", "--request", "pipe"],
        &["export", "images.txt", "--policy", "pipe"],
        &["export", "images.txt", "--sign-key", "pipe"],
        &["catalog", "lint", "./pipe"],
        &["verify", "out.tar.zst", "--verify-key", "pipe"],
        &["import", "out.tar.zst", "-d", &host, "--policy", "pipe"],
        &["import", "out.tar.zst", "-d", &host, "--ca-file", "pipe"],
    ] {
        let ran = ended_while_it_waits(&gap, arguments);
        assert_eq!(ran.code, 143, "{arguments:?}: {}", ran.shown());
    }
    // What comes out of one is as good as a file.
    let path = gap.path("pipe");
    let _ = std::fs::remove_file(&path);
    pipe(&path);
    let list = gap.read("images.txt");
    let writing = std::thread::spawn(move || std::fs::write(path, list).unwrap());
    let ran = gap.cli.run(&["export", "./pipe", "-o", "piped.tar.zst"]);
    writing.join().unwrap();
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

#[test]
fn stdin_is_waited_for_until_somebody_wants_an_end() {
    let gap = gap();
    let mut command = gap.cli.command(&["export", "-", "-o", "out.tar.zst"]);
    let mut running =
        Running::of(std::mem::replace(command.stdin(std::process::Stdio::piped()), Command::new("true")));
    let stdin = running.child().stdin.take().unwrap();
    let id = running.id();
    running.until("it waits", || {
        std::fs::read_to_string(format!("/proc/{id}/wchan")).is_ok_and(|place| place.contains("poll"))
            || std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") S "))
    });
    running.signal(Signal::TERM);
    let ran = running.wait();
    drop(stdin);
    assert_eq!(ran.code, 143, "{}", ran.shown());
}

#[test]
fn logins_at_the_same_time_lose_nothing_of_each_other() {
    const MANY: usize = 16;
    let gap = gap();
    let login = |number: usize| {
        let host = format!("registry{number}.example.com");
        let mut command = gap.cli.command(&[
            "login",
            "--no-check",
            &host,
            "--username",
            "user",
            "--password-stdin",
            "--auth-file",
            "auth.json",
        ]);
        command.stdin(std::process::Stdio::piped());
        let mut running = Running::of(command);
        std::io::Write::write_all(&mut running.child().stdin.take().unwrap(), b"secret\n").unwrap();
        running
    };
    let logins: Vec<Running> = (0..MANY).map(login).collect();
    for mut login in logins {
        let ran = login.wait();
        assert_eq!(ran.code, 0, "{}", ran.shown());
    }
    let file: serde_json::Value = serde_json::from_slice(&gap.read("auth.json")).unwrap();
    assert_eq!(file["auths"].as_object().unwrap().len(), MANY);
    let logouts: Vec<Running> = (0..MANY / 2)
        .map(|number| {
            let host = format!("registry{number}.example.com");
            Running::of(gap.cli.command(&["logout", &host, "--auth-file", "auth.json"]))
        })
        .collect();
    for mut logout in logouts {
        let ran = logout.wait();
        assert_eq!(ran.code, 0, "{}", ran.shown());
    }
    let file: serde_json::Value = serde_json::from_slice(&gap.read("auth.json")).unwrap();
    assert_eq!(file["auths"].as_object().unwrap().len(), MANY / 2);
    assert!(!gap.files().iter().any(|name| name.starts_with('.')), "{:?}", gap.files());
}

#[test]
fn approvals_at_the_same_time_all_count() {
    const MANY: usize = 8;
    let gap = gap();
    gap.export(&["-o", "out.tar.zst"]);
    for number in 0..MANY {
        let ran = gap.cli.run(&["keygen", "-o", &format!("key{number}"), "--no-passphrase"]);
        assert_eq!(ran.code, 0, "{}", ran.shown());
    }
    let approvals: Vec<Running> = (0..MANY)
        .map(|number| {
            gap.spawn(&["sign", "out.tar.zst", "--role", "approver", "--key", &format!("key{number}.key")])
        })
        .collect();
    for mut approval in approvals {
        let ran = approval.wait();
        assert_eq!(ran.code, 0, "{}", ran.shown());
    }
    let text = String::from_utf8(gap.read("out.tar.zst.approvals")).unwrap();
    assert_eq!(text.lines().count(), MANY, "{text}");
}

#[test]
fn a_catalog_picks_no_chart_from_outside_of_its_folder() {
    let gap = gap();
    let outside = gap.path("shop-1.0.0.tgz");
    std::fs::write(&outside, "chart").unwrap();
    std::fs::create_dir(gap.path("catalogs")).unwrap();
    symlink(&outside, gap.path("catalogs/link.tgz")).unwrap();
    for archive in ["../shop-1.0.0.tgz", outside.to_str().unwrap(), "link.tgz", "./x/../../shop-1.0.0.tgz"] {
        let text = format!(
            "name: x\nimages:\n- {{image: 'oci://r.example.com/shop:1.0.0', archive: '{archive}'}}\n"
        );
        std::fs::write(gap.path("catalogs/c.yaml"), text).unwrap();
        let ran = gap.cli.run(&["export", "catalogs/c.yaml", "-o", "out.tar.zst"]);
        assert_eq!(ran.code, 2, "{archive}: {}", ran.shown());
        assert!(ran.stderr.contains("archive "), "{archive}: {}", ran.shown());
    }
    assert!(TestRegistry::start().log().is_empty());
}
