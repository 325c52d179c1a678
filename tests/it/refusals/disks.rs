//! Outputs that cannot be written.

use std::process::{Command, Stdio};

use airgap_bundle::image::{Digest, media_type};
use serde_json::json;

use super::{Gap, ImageSpec, Layer, TestImage, image, same, small};
use crate::support::cli::{Cli, Ran};

#[test]
fn a_folder_that_is_missing() {
    let (gap, _) = small();
    let ran = gap.try_export(&["-o", "no/such/out.tar.zst"]);
    assert_eq!(ran.code, 1);
    same(&gap, "output_folder_missing", &ran);
}

#[test]
fn an_output_that_is_a_folder() {
    let (gap, _) = small();
    std::fs::create_dir(gap.path("here")).unwrap();
    let ran = gap.try_export(&["-o", "here"]);
    assert_eq!(ran.code, 2);
    same(&gap, "output_is_a_folder", &ran);
}

#[test]
fn a_file_of_other_content_is_not_replaced() {
    let (gap, _) = small();
    std::fs::write(gap.path("notes.txt"), "mine").unwrap();
    let ran = gap.try_export(&["-o", "notes.txt"]);
    assert_eq!(ran.code, 1);
    same(&gap, "output_exists", &ran);
    assert_eq!(gap.read("notes.txt"), b"mine");
    gap.export(&["-o", "notes.txt", "--force"]);
    assert!(gap.read("notes.txt") == gap.read("out.tar.zst"));
}

/// With `--force` a device would be replaced by a file: as root, the machine would have no `/dev/null` any more.
#[test]
fn what_is_no_file_is_never_replaced_by_one() {
    use std::os::unix::fs::FileTypeExt as _;
    let (gap, _) = small();
    assert!(Command::new("mkfifo").arg(gap.path("pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("elsewhere.tar.zst", gap.path("link")).unwrap();
    let before = gap.files();
    for force in [&[][..], &["--force"][..]] {
        let ran = gap.try_export(&[&["-o", "pipe"], force].concat());
        assert!(ran.code == 2 && ran.stderr.contains("pipe is not a regular file"), "{}", ran.shown());
        let ran = gap.try_export(&[&["-o", "link"], force].concat());
        assert!(
            ran.code == 2 && ran.stderr.contains("link is a link to elsewhere.tar.zst"),
            "{}",
            ran.shown()
        );
        assert_eq!(gap.files(), before);
        assert!(gap.path("pipe").symlink_metadata().unwrap().file_type().is_fifo());
        assert!(gap.path("link").symlink_metadata().unwrap().is_symlink());
    }
}

/// `/dev/null`, say: whoever wants no values file has nothing there that could be lost.
#[test]
fn text_goes_into_what_is_no_file_without_being_forced() {
    use std::os::unix::fs::FileTypeExt as _;
    let (gap, _) = small();
    assert!(Command::new("mkfifo").arg(gap.path("pipe")).status().unwrap().success());
    let open = std::fs::File::options().read(true).write(true).open(gap.path("pipe")).unwrap();
    gap.import("out.tar.zst", &["--values", "pipe"]);
    let host = gap.destination.host();
    let secret =
        ["values", "out.tar.zst", "-d", &host, "-u", "me", "--password-stdin", "--pull-secret", "pipe"];
    let ran = gap.fed(&secret, b"geheim");
    assert!(ran.code == 2 && ran.stderr.contains("needs a file"), "a secret does not: {}", ran.shown());
    assert!(gap.path("pipe").symlink_metadata().unwrap().file_type().is_fifo());
    drop(open);
}

/// A disk that was mounted under a name with spaces.
#[test]
fn commands_to_type_are_quoted_where_they_have_to_be() {
    let (gap, _) = small();
    let ran = gap.export(&["-o", "USB disk's.tar.zst"]);
    assert!(ran.stdout.contains(r#"bundle import "USB disk's.tar.zst" -d REGISTRY"#), "{}", ran.shown());
    let ran = gap.export(&["-o", "plain.tar.zst"]);
    assert!(ran.stdout.contains("bundle import plain.tar.zst -d REGISTRY"), "{}", ran.shown());
}

#[test]
fn a_values_file_of_other_content_is_not_replaced() {
    let (gap, _) = small();
    std::fs::write(gap.path("out.values.yaml"), "mine").unwrap();
    let ran = gap.import("out.tar.zst", &[]);
    let shown = ran.shown() + "\n--- files\n" + &gap.files().join("\n");
    // Its name has the destination's in it.
    let dashed = gap.destination.host().replace(':', "-");
    gap.snapshot("refusals", "values_exist", &shown.replace(&dashed, "DESTINATION-PORT"));
    assert!(gap.destination.manifest("team/app", "1").is_some());
    assert_eq!(gap.read("out.values.yaml"), b"mine");
    gap.import("out.tar.zst", &["--force"]);
    assert_ne!(gap.read("out.values.yaml"), b"mine");
}

fn output(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A shell that has the program as `$0`.
fn shell(gap: &Gap, script: &str) -> Command {
    // For its folder and its environment.
    let like = gap.cli.command(&[]);
    let mut command = Command::new("bash");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_bundle")])
        .current_dir(gap.cli.folder())
        .env_clear()
        .stdin(Stdio::null());
    for (key, value) in like.get_envs() {
        command.env(key, value.unwrap_or_default());
    }
    command
}

fn two_mib() -> Gap {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &ImageSpec::new(1).layer(Layer::gzip(1, 2 << 20)).build());
    gap
}

#[test]
fn a_pipe_into_a_full_disk() {
    let gap = two_mib();
    let mut command = gap.cli.command(&["export", "images.txt", "-o", "-"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    command.stdout(full);
    let ran = output(command);
    assert_eq!(ran.code, 6, "{}", ran.shown());
    same(&gap, "full_pipe", &ran);
}

#[test]
fn a_file_system_that_ends_files_early() {
    let gap = two_mib();
    let script = "trap '' XFSZ; ulimit -f 1024; exec $0 export images.txt -o out.tar.zst";
    let ran = output(shell(&gap, script));
    assert_eq!(ran.code, 6, "{}", ran.shown());
    same(&gap, "file_size_limit", &ran);
    // With room again it goes on.
    gap.export(&["-o", "out.tar.zst"]);
}

#[test]
fn a_disk_without_room_for_the_plan() {
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|ran| ran.status.success()) {
        eprintln!("skipped: this system gives nobody a mount of their own");
        return;
    }
    let gap = two_mib();
    std::fs::create_dir(gap.path("small")).unwrap();
    let script = "mount -t tmpfs -o size=1m none small; \
        $0 export images.txt -o small/out.tar.zst; code=$?; ls -A small; exit $code";
    let inner = shell(&gap, script);
    let mut command = Command::new("unshare");
    command.arg("-rm").arg(inner.get_program()).args(inner.get_args());
    command.current_dir(gap.cli.folder()).env_clear();
    for (key, value) in inner.get_envs() {
        command.env(key, value.unwrap_or_default());
    }
    let ran = output(command);
    assert_eq!(ran.code, 6, "{}", ran.shown());
    same(&gap, "full_disk", &ran);
    // Before the first layer.
    assert_eq!(gap.source.blob_gets().len(), 1);
}

#[expect(clippy::print_stderr, reason = "what is skipped is told")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// A disk of its own for a run, that fills up while it writes: `script` runs below it, and the program is `$0`.
fn on_a_small_disk(gap: &Gap, megabytes: u32, script: &str) -> Option<Ran> {
    let may = Command::new("unshare").args(["-rm", "true"]).output();
    if !may.is_ok_and(|ran| ran.status.success()) {
        tell("skipped: this system gives nobody a mount of their own");
        return None;
    }
    std::fs::create_dir_all(gap.path("small")).unwrap();
    let script = format!("mount -t tmpfs -o size={megabytes}m none small; {script}");
    let inner = shell(gap, &script);
    let mut command = Command::new("unshare");
    command.arg("-rm").arg(inner.get_program()).args(inner.get_args());
    command.current_dir(gap.cli.folder()).env_clear();
    for (key, value) in inner.get_envs() {
        command.env(key, value.unwrap_or_default());
    }
    Some(output(command))
}

#[test]
fn a_disk_that_fills_up_while_a_bundle_is_written() {
    let mut gap = Gap::new();
    for seed in 0..4 {
        let spec = ImageSpec::new(seed).layer(Layer::gzip(seed, 900_000)).layer(Layer::tar(seed, 300_000));
        gap.image(&format!("team/app-{seed}"), "1", &spec.build());
    }
    gap.export(&["-o", "whole.tar.zst"]);
    for command in [
        "export images.txt -o small/out.tar.zst",
        "export images.txt -o small/out.tar.zst --volume-size 1MB",
        "repack whole.tar.zst -o small/out.tar.zst",
        "export images.txt -o - >small/out.tar.zst",
    ] {
        let script = format!("$0 {} --skip-preflight", command.replace(" >", " --skip-preflight >"));
        let script = script.replace(">small/out.tar.zst --skip-preflight", ">small/out.tar.zst");
        let Some(ran) = on_a_small_disk(&gap, 2, &script) else { return };
        assert_eq!(ran.code, 6, "{command}: {}", ran.shown());
        assert!(ran.stderr.contains("No space left"), "{command}: {}", ran.shown());
        // Stdout has no name here.
        assert!(
            command.contains('>') || ran.stderr.contains("small/out.tar.zst"),
            "{command}: {}",
            ran.shown()
        );
        assert!(!ran.stderr.contains("stopped"), "{command}: {}", ran.shown());
    }
}

#[test]
fn small_files_on_a_full_disk_say_so_and_what_is_done() {
    let gap = two_mib();
    gap.export(&["-o", "out.tar.zst"]);
    let host = gap.destination.host();
    let fill = "dd if=/dev/zero of=small/full bs=64k 2>/dev/null";
    for command in [
        format!("import out.tar.zst -d {host} --values small/v.yaml"),
        format!("import out.tar.zst -d {host} --values v1.yaml --receipt small/r.json"),
        format!("import out.tar.zst -d {host} --values v2.yaml --report small/r.json"),
        "review out.tar.zst -o small/review.html".to_owned(),
        "keygen -o small/key --no-passphrase".to_owned(),
        "catalog lock images.txt -o small/catalog.lock".to_owned(),
        format!("mirrors out.tar.zst -d {host} --for containerd -o small"),
    ] {
        let Some(ran) = on_a_small_disk(&gap, 1, &format!("{fill}; $0 {command}")) else { return };
        assert_eq!(ran.code, 6, "{command}: {}", ran.shown());
        assert!(
            ran.stderr.contains("No space left") && ran.stderr.contains("small"),
            "{command}: {}",
            ran.shown()
        );
        assert!(!ran.stderr.contains(".bundle-"), "{command} shows a name of our own: {}", ran.shown());
    }
}

/// An image that says it has a layer of 5 GiB: nothing of it has to be there, since nothing is to be asked for.
fn larger_than_fat() -> TestImage {
    let layer = json!({ "mediaType": media_type::OCI_LAYER_GZIP, "digest": Digest::sha256(b"never sent"), "size": 5_u64 << 30 });
    image(1).altered(|manifest| manifest["layers"] = json!([layer]))
}

#[test]
fn what_is_larger_than_fat_holds_is_refused_before_the_first_layer() {
    let mut gap = Gap::with(Cli::new().env("AIRGAP_BUNDLE_MEDIUM", "fat"));
    gap.image("team/large", "1", &larger_than_fat());
    let ran = gap.try_export(&["-o", "out.tar.zst"]);
    assert_eq!(ran.code, 6, "{}", ran.shown());
    assert!(ran.stderr.contains("holds only files up to 4.29 GB"), "{}", ran.shown());
    assert!(ran.stderr.contains("--volume-size fat32"), "{}", ran.shown());
    assert!(!gap.source.blob_gets().contains_key(&Digest::sha256(b"never sent")));
    assert!(!gap.path("out.tar.zst").exists());
    let cut = gap.try_export(&["-o", "out.tar.zst", "--volume-size", "fat32", "--dry-run"]);
    assert!(!cut.shown().contains("holds only files up to"), "{}", cut.shown());
}
