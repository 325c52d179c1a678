//! Clients and registries that are built with Go: crane, oras, regctl, distribution 3, zot; Gitea and Pulp.

use std::path::PathBuf;

use crate::big;
use crate::desk::{Desk, assert_says};
use crate::harness::{PASSED, Skip, Tested, tests};
use crate::look::Look;
use crate::programs::go_program;
use crate::registries::gitea::Gitea;
use crate::registries::pulp::Pulp;
use crate::registries::zot::Zot;
use crate::registries::{PASSWORD, Registry, Served};
use crate::shop::{HOST, Shop, digests_in, shop};

tests![
    crane_reads_and_writes.on_request(),
    oras_reads_and_writes.on_request(),
    regctl_reads_and_writes.on_request(),
    distribution_3.on_request(),
    zot_registry.on_request(),
    gitea_registry.on_request(),
    pulp_registry.on_request(),
];

fn crane_reads_and_writes(desk: &Desk) -> Tested {
    let shop = shop()?;
    let program = go_program("crane", "github.com/google/go-containerregistry/cmd/crane@v0.22.1")?;
    let crane = |arguments: &[&str]| desk.run(&program, arguments);
    let from = Served::start(desk, "file", &[&shop.file]);
    let to = Served::folder(desk, "registry");
    for ware in &shop.wares {
        let (there, here) =
            (format!("{}/{}", from.address, ware.name()), format!("{}/{}", to.address, ware.name()));
        assert_eq!(crane(&["digest", "--insecure", &there]).ok().stdout.trim(), ware.digest(), "{there}");
        crane(&["copy", "--insecure", &there, &here]).ok();
        // crane assumes that every layer is gzip, so it cannot read the uncompressed one.
        if ware.repository != "tools/wait" {
            crane(&["validate", "--insecure", "--remote", &here]).ok();
        }
    }
    shop.arrived(&to.address, &Look::plain());
    // An OCI layout with one entry per image, and one without names.
    let outside = |name: &str| format!("{}/{name}", shop.outside);
    let pull =
        crane(&["pull", "--insecure", "--format=oci", "--annotate-ref", &outside("shop/server:2.4.0")]);
    pull.args(&[&outside("tools/wait:latest"), "layout"]).ok();
    desk.bundle(&["inspect", "layout"]).ok();
    let place = format!("{}/crane", shop.inside);
    desk.bundle(&["import", "layout", "-d", &place]).ok();
    assert_eq!(
        Look::plain().digest(&format!("{place}/tools/wait"), "latest"),
        shop.ware("tools/wait").digest()
    );
    PASSED
}

fn oras_reads_and_writes(desk: &Desk) -> Tested {
    let shop = shop()?;
    let program = go_program("oras", "oras.land/oras/cmd/oras@v1.3.6")?;
    let oras = |arguments: &[&str]| desk.run(&program, arguments);
    let served = Served::folder(desk, "registry");
    for ware in &shop.wares {
        let (name, to) = (format!("{HOST}/{}", ware.name()), format!("{}/{}", served.address, ware.name()));
        let from = format!("{}:{name}", shop.unpacked);
        // Newer versions take layouts whose image names contain a colon only with the path in an option of its own.
        if oras(&["cp", "-r", "--from-oci-layout", "--to-plain-http", &from, &to]).ran().code != 0 {
            let apart = ["cp", "-r", "--from-oci-layout-path", &shop.unpacked, "--to-plain-http", &name, &to];
            oras(&apart).ok();
        }
    }
    shop.arrived(&served.address, &Look::plain());
    desk.write("file.txt", "hello\n");
    let server = format!("{}/shop/server:2.4.0", served.address);
    oras(&["attach", "--plain-http", "--artifact-type", "application/x.test", &server, "file.txt"]).ok();
    let found = oras(&["discover", "--plain-http", "--format", "json", &server]).ok().stdout;
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let referrers = found["referrers"].as_array().or(found["manifests"].as_array());
    assert_eq!(referrers.map(Vec::len), Some(1), "{found}");
    PASSED
}

fn regctl_reads_and_writes(desk: &Desk) -> Tested {
    let shop = shop()?;
    let program = go_program("regctl", "github.com/regclient/regclient/cmd/regctl@v0.11.7")?;
    let config = desk.at("regctl.json");
    let regctl = |arguments: &[&str]| desk.run(&program, arguments).env("REGCTL_CONFIG", &config);
    let served = Served::folder(desk, "registry");
    for registry in [&served.address, &shop.outside] {
        regctl(&["registry", "set", "--tls", "disabled", registry]).ok();
    }
    for ware in &shop.wares {
        let at = |registry: &str| format!("{registry}/{}", ware.name());
        regctl(&["image", "copy", &at(&shop.outside), &at(&served.address)]).ok();
    }
    shop.arrived(&served.address, &Look::plain());
    let ui = shop.ware("shop/ui");
    regctl(&["image", "export", &format!("{}/{}", shop.outside, ui.name()), "ui.tar"]).ok();
    let (place, name) = (format!("{}/regctl", shop.inside), format!("{HOST}/{}", ui.name()));
    desk.bundle(&["import", "ui.tar", "-d", &place, "--name", &name]).ok();
    assert_eq!(Look::plain().digest(&format!("{place}/shop/ui"), "2.4.0"), ui.digest());
    PASSED
}

pub fn distribution_3_program() -> Result<PathBuf, Skip> {
    go_program("registry", "github.com/distribution/distribution/v3/cmd/registry@v3.1.2")
}

fn distribution_3(desk: &Desk) -> Tested {
    let shop = shop()?;
    let registry = Registry::of(&distribution_3_program()?, desk, "three", "", "");
    let place = &registry.address;
    desk.bundle(&["import", &shop.file, "-d", place]).ok();
    shop.arrived(place, &Look::plain());
    shop.export_at(desk, place, &["-o", "back.tar.zst"]).ok();
    desk.bundle(&["verify", "back.tar.zst"]).ok();
    // It keeps the received part of an upload, which is not sent again.
    let left = left_after_a_kill(desk, shop, &format!("{place}/killed"), &[], &Look::plain());
    assert!(left < 32_000_000, "{left} bytes were left");
    Ok(left_to_send(left))
}

/// Kills an import of the big image in the middle of its layer, and runs it again. Returns the bytes the second run
/// sent.
fn left_after_a_kill(desk: &Desk, shop: &Shop, place: &str, auth: &[&str], look: &Look) -> u64 {
    big::bundle(desk, shop);
    let import = || desk.bundle(&["import", "big.tar.zst", "-d", place, "--values", "big.yaml"]).args(auth);
    big::killed_in_the_middle(import());
    import().args(&["--report", "big.json"]).ok();
    big::arrived(place, look);
    desk.json("big.json")["totals"]["bytesSent"].as_u64().expect("a report has its totals")
}

fn left_to_send(bytes: u64) -> String {
    format!("{bytes} bytes of 40 MB were left to send after kill -9")
}

/// zot accepts OCI media types only: the Docker schema 2 image fails by name, and the others arrive.
fn zot_registry(desk: &Desk) -> Tested {
    let shop = shop()?;
    let zot = Zot::start(desk)?;
    let place = &zot.address;
    let ran =
        desk.bundle(&["import", &shop.file, "-d", place, "--keep-going", "--report", "report.json"]).ends(7);
    assert_says(&ran.stderr, "media type");
    let report = desk.json("report.json");
    let images = report["images"].as_array().expect("a report has images").iter();
    let failed: Vec<_> =
        images.filter(|image| image["state"] == "failed").map(|image| &image["name"]).collect();
    assert_eq!(failed, ["registry.example.com/shop/worker:2.4.0"], "what failed");
    let mut back = String::new();
    for ware in shop.wares.iter().filter(|ware| !ware.is_docker_schema_2()) {
        assert_eq!(Look::plain().digest(&format!("{place}/{}", ware.repository), ware.tag), ware.digest());
        back.extend([place, "/", &ware.name(), "\n"]);
    }
    desk.write("back.txt", &back);
    desk.bundle(&["export", "back.txt", "-o", "back.tar.zst"]).ok();
    desk.bundle(&["verify", "back.tar.zst"]).ok();
    let again = desk.bundle(&["import", "back.tar.zst", "-d", place, "--values", "again.yaml"]);
    again.args(&["--report", "again.json"]).ok();
    assert_eq!(desk.json("again.json")["totals"]["blobBytes"], 0, "what a second import sent");
    PASSED
}

const AUTH: [&str; 2] = ["--auth-file", "auth.json"];

fn login(desk: &Desk, registry: &str) {
    let login = desk.bundle(&["login", registry, "-u", "adm", "--password-stdin"]);
    login.args(&AUTH).fed(PASSWORD).ok();
}

fn gitea_registry(desk: &Desk) -> Tested {
    let shop = shop()?;
    let gitea = Gitea::start(desk)?;
    // Gitea does not allow two underscores in a row: the images fail, in a dry run too.
    login(desk, &gitea.address);
    let import = |place: &str| {
        let place = format!("{}/{place}", gitea.address);
        desk.bundle(&["import", &shop.file, "-d", &place, "--values", "n.yaml"]).args(&AUTH)
    };
    import("adm/a__b").args(&["--dry-run"]).ends(1);
    import("adm/a__b").ends(1);
    // An owner that does not exist is named once, and not with every path below it.
    let ran = import("nobodyx/anon").ends(1);
    assert!(ran.stderr.lines().any(|line| line.ends_with("nobodyx")), "{}", ran.shown());
    Ok(carries_there_and_back(desk, shop, &gitea.address))
}

fn pulp_registry(desk: &Desk) -> Tested {
    let shop = shop()?;
    let pulp = Pulp::start(desk)?;
    Ok(carries_there_and_back(desk, shop, &pulp.address))
}

/// Import, second import, dry run, export, anonymous import and a resumed import, for Gitea and Pulp.
fn carries_there_and_back(desk: &Desk, shop: &Shop, registry: &str) -> String {
    let place = format!("{registry}/adm");
    let look = Look::user(&format!("adm:{PASSWORD}"));
    login(desk, registry);
    let import = || desk.bundle(&["import", &shop.file, "-d", &place, "--values", "v.yaml"]).args(&AUTH);
    import().ok();
    shop.arrived(&place, &look);
    import().args(&["--report", "again.json"]).ok();
    assert_eq!(desk.json("again.json")["totals"]["blobBytes"], 0, "what a second import sent");
    let plan = import().args(&["--dry-run"]).ok();
    let there = plan.stdout.lines().filter(|line| line.starts_with("there")).count();
    assert_eq!(there, shop.wares.len(), "what a dry run finds there: {}", plan.shown());
    desk.write("back.txt", &shop.names_at(&place));
    desk.bundle(&["export", "back.txt", "-o", "back.tar.zst"]).args(&AUTH).ok();
    let [mut sent, mut back] = [shop.file.as_str(), "back.tar.zst"].map(|file| digests_in(desk, file));
    sent.sort();
    back.sort();
    assert_eq!(sent, back);
    desk.write("nobody.json", "{}");
    let again = desk.bundle(&["import", &shop.file, "-d", &format!("{place}/again"), "--values", "w.yaml"]);
    again.args(&["--auth-file", "nobody.json"]).ends(4);
    // A large layer that is killed in the middle arrives with the next run.
    left_to_send(left_after_a_kill(desk, shop, &place, &AUTH, &look))
}
