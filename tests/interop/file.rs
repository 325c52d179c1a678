//! The bundle file, read by other tools and written to other file systems.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::desk::{Desk, assert_same, assert_says, sha256};
use crate::harness::{PASSED, Skip, Tested, tests};
use crate::podman::Podman;
use crate::programs;
use crate::shop::{HOST, Shop, shop};

tests![
    zstd_reads_the_file,
    sidecar_checks_the_file,
    coreutils_check_the_unpacked_bundle,
    stdout_is_the_same_file,
    exfat_is_written_in_order,
    vfat_is_written_in_order,
    skopeo_reads_the_file,
    skopeo_reads_the_unpacked_layout,
    skopeo_reads_the_file_as_a_docker_archive,
    podman_loads_the_file,
    podman_pulls_from_the_file,
    umoci_reads_the_unpacked_layout,
];

fn zstd_reads_the_file(desk: &Desk) -> Tested {
    desk.run("zstd", &["-q", "-t", &shop()?.file]).ok();
    PASSED
}

fn sidecar_checks_the_file(desk: &Desk) -> Tested {
    let file = shop()?.file();
    sidecar_is_right(desk, file);
    PASSED
}

fn sidecar_is_right(desk: &Desk, file: &Path) {
    let (folder, name) =
        (file.parent().expect("it is in a folder"), file.file_name().expect("it has a name"));
    let sidecar = format!("{}.sha256", name.to_string_lossy());
    desk.run("sha256sum", &["-c", "--quiet", &sidecar]).current_dir(folder).ok();
}

fn coreutils_check_the_unpacked_bundle(desk: &Desk) -> Tested {
    let unpacked = Path::new(&shop()?.unpacked);
    desk.run("sha256sum", &["-c", "--quiet", "SHA256SUMS"]).current_dir(unpacked).ok();
    let index = std::fs::read(unpacked.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    assert!(index.is_object(), "{index}");
    PASSED
}

fn stdout_is_the_same_file(desk: &Desk) -> Tested {
    let shop = shop()?;
    shop.export(desk, &["-o", "-"]).into_file(&desk.path("piped"));
    assert_same(&desk.path("piped"), shop.file());
    PASSED
}

/// A loop device over a file in the desk's folder, mounted there.
struct Medium {
    device: String,
    place: PathBuf,
}

impl Medium {
    /// Mounted by `program`, which gets the device and the place as further arguments.
    fn mounted(desk: &Desk, program: &[&str]) -> Result<Self, Skip> {
        programs::root("mounting")?;
        let looped = desk.run("losetup", &["--show", "-f", "medium"]).ran();
        if looped.code != 0 {
            return Err(Skip::because("no loop device here"));
        }
        let device = looped.stdout.trim().to_owned();
        let place = desk.folder_made("mnt");
        let mounted = desk.run(program[0], &program[1..]).args(&[&device, "mnt"]).ran();
        // Detaches the device as soon as it is not mounted any more.
        desk.run("losetup", &["-d", &device]).ok();
        if mounted.code != 0 {
            return Err(Skip::because(format!("`{}` cannot mount here", program.join(" "))));
        }
        Ok(Self { device, place })
    }

    /// Bytes the kernel has written to the device.
    fn written(&self) -> u64 {
        let name = self.device.trim_start_matches("/dev/");
        let stat = std::fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        let sectors = stat.split_whitespace().nth(6).expect("the seventh figure is sectors written");
        sectors.parse::<u64>().unwrap() * 512
    }

    /// What reaches the medium while `write` runs.
    fn written_by(&self, desk: &Desk, write: impl FnOnce()) -> u64 {
        let before = self.written();
        write();
        desk.run("sync", &["-f", "mnt"]).ok();
        self.written() - before
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.place).status();
    }
}

fn empty_medium(desk: &Desk) {
    File::create(desk.path("medium")).unwrap().set_len(300 << 20).unwrap();
}

fn exfat_is_written_in_order(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["mkfs.exfat", "mount.exfat-fuse"])?;
    if !Path::new("/dev/fuse").exists() {
        return Err(Skip::because("no FUSE here"));
    }
    empty_medium(desk);
    desk.run("mkfs.exfat", &["medium"]).ok();
    let medium = Medium::mounted(desk, &["mount.exfat-fuse"])?;
    Ok(written_in_order(desk, shop, &medium))
}

/// Skipped where the kernel has no vfat, since there is no other way to mount it.
fn vfat_is_written_in_order(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["mkfs.vfat"])?;
    empty_medium(desk);
    desk.run("mkfs.vfat", &["-F", "32", "medium"]).ok();
    let medium = Medium::mounted(desk, &["mount", "-t", "vfat"])?;
    Ok(written_in_order(desk, shop, &medium))
}

/// Exports to a file system without sparse files, and what reaches the medium under it: in order, and at offsets all
/// the same.
fn written_in_order(desk: &Desk, shop: &Shop, medium: &Medium) -> String {
    let ordered = medium.written_by(desk, || {
        let ran = shop.export(desk, &["-o", "mnt/shop.tar.zst"]).ok();
        assert_says(&ran.stderr, "fills gaps with zeros");
    });
    assert_same(&desk.path("mnt/shop.tar.zst"), shop.file());
    sidecar_is_right(desk, &desk.path("mnt/shop.tar.zst"));
    let scattered = medium.written_by(desk, || {
        shop.export(desk, &["-o", "mnt/again.tar.zst"]).env("AIRGAP_BUNDLE_MEDIUM", "sparse").ok();
    });
    assert_same(&desk.path("mnt/again.tar.zst"), shop.file());

    // Killed in the middle of it, and resumed; with a spool beside the medium too.
    for name in desk.names_in("mnt") {
        desk.remove(&format!("mnt/{name}"));
    }
    let slowly = ["-o", "mnt/shop.tar.zst", "--limit-rate", "3M"];
    let mut run = shop.export(desk, &slowly).start();
    let partial = desk.path("mnt/shop.tar.zst.partial");
    run.until("a part of it", || std::fs::metadata(&partial).is_ok_and(|part| part.len() > 2_000_000));
    run.kill();
    desk.folder_made("spool");
    shop.export(desk, &slowly).args(&["--spool", "spool"]).ok();
    assert_same(&desk.path("mnt/shop.tar.zst"), shop.file());
    assert_eq!(desk.names_in("mnt"), ["shop.tar.zst", "shop.tar.zst.sha256"], "what is on the medium");

    let size = std::fs::metadata(shop.file()).unwrap().len();
    assert!(ordered <= size * 105 / 100, "in order, {ordered} bytes reached the medium for {size}");
    let percent = |bytes: u64| bytes * 100 / size;
    format!(
        "in order {} % of the file reached the medium, at offsets {} %",
        percent(ordered),
        percent(scattered)
    )
}

/// skopeo takes no Docker schema 2 image out of an OCI layout, whoever made it; those it reads as docker-archive.
fn read_by_skopeo(desk: &Desk, shop: &Shop, place: &str) {
    for ware in shop.wares.iter().filter(|ware| !ware.is_docker_schema_2()) {
        let copied = desk.copied_to_a_folder(&[], &format!("{place}:{HOST}/{}", ware.name()));
        assert_eq!(copied, ware.digest(), "{}", ware.name());
    }
}

fn skopeo_reads_the_file(desk: &Desk) -> Tested {
    let shop = shop()?;
    read_by_skopeo(desk, shop, &format!("oci-archive:{}", shop.file));
    PASSED
}

fn skopeo_reads_the_unpacked_layout(desk: &Desk) -> Tested {
    let shop = shop()?;
    read_by_skopeo(desk, shop, &format!("oci:{}", shop.unpacked));
    PASSED
}

fn skopeo_reads_the_file_as_a_docker_archive(desk: &Desk) -> Tested {
    let shop = shop()?;
    for ware in &shop.wares {
        desk.remove("out");
        let from = format!("docker-archive:{}:{HOST}/{}", shop.file, ware.name());
        desk.skopeo(&["copy", "-q", &from, "dir:out"]).ok();
        let config =
            desk.json("out/manifest.json")["config"]["digest"].as_str().expect("a config").to_owned();
        let path = desk.path("out").join(config.trim_start_matches("sha256:"));
        assert_eq!(format!("sha256:{}", sha256(&path)), config, "{}", ware.name());
        // The config of an image of Docker's older kind stays as it was; skopeo may write others anew.
        if ware.is_docker_schema_2() {
            assert_eq!(config, ware.image.blobs[0].0.to_string(), "{}", ware.name());
        }
    }
    PASSED
}

fn podman_loads_the_file(desk: &Desk) -> Tested {
    let shop = shop()?;
    let podman = Podman::here(desk)?;
    podman.run(&["load", "--signature-policy", "policy.json", "-i", &shop.file]).ok();
    for ware in &shop.wares {
        podman.run(&["image", "inspect", "--format", "{{.Id}}", &format!("{HOST}/{}", ware.name())]).ok();
    }
    PASSED
}

/// Docker schema 2 images are not found in an OCI layout; `podman load` has them.
fn podman_pulls_from_the_file(desk: &Desk) -> Tested {
    let shop = shop()?;
    let podman = Podman::here(desk)?;
    for ware in shop.wares.iter().filter(|ware| !ware.is_docker_schema_2()) {
        let name = format!("{HOST}/{}", ware.name());
        podman.pull(&format!("oci-archive:{}:{name}", shop.file)).ok();
        podman.run(&["image", "inspect", "--format", "{{.Digest}}", &name]).ok();
    }
    PASSED
}

fn umoci_reads_the_unpacked_layout(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["umoci"])?;
    let listed = desk.run("umoci", &["ls", "--layout", &shop.unpacked]).ok().stdout;
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    let names = shop.names_at(HOST);
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(listed, names);
    // umoci's own notion of a tag has no slashes and colons, so it gets a layout under short names.
    programs::copy_writable(shop.unpacked.as_ref(), &desk.path("short"));
    let mut index = desk.json("short/index.json");
    for entry in index["manifests"].as_array_mut().expect("a layout has manifests") {
        let name = &mut entry["annotations"]["org.opencontainers.image.ref.name"];
        let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' };
        *name = name.as_str().expect("every image has a name").chars().map(plain).collect::<String>().into();
    }
    desk.write("short/index.json", &index.to_string());
    for (image, folder, file) in [
        ("registry.example.com-shop-server-2.4.0", "server", "app/server.jar"),
        ("registry.example.com-tools-wait-latest", "wait", "bin/wait"),
    ] {
        desk.run("umoci", &["raw", "unpack", "--rootless", "--image", &format!("short:{image}"), folder])
            .ok();
        assert!(std::fs::metadata(desk.path(folder).join(file)).unwrap().len() > 0, "{file}");
    }
    PASSED
}
