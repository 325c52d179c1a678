//! Certificates of a private authority, on the registry's side and on the client's.

use crate::certificates;
use crate::desk::Desk;
use crate::harness::{PASSED, Tested, tests};
use crate::look::Look;
use crate::nginx::{Nginx, pass_to};
use crate::programs;
use crate::registries::Registry;
use crate::shop::shop;

tests![tls_from_a_private_authority, mutual_tls_behind_nginx];

fn tls_from_a_private_authority(desk: &Desk) -> Tested {
    let shop = shop()?;
    certificates::make(desk);
    let tls = format!("  tls: {{certificate: {}, key: {}}}", desk.at("tls.pem"), desk.at("tls.key"));
    let registry = Registry::with(desk, "tls", &tls);
    let place = &registry.address;
    desk.bundle(&["import", &shop.file, "-d", place]).ends(5);
    desk.bundle(&["import", &shop.file, "-d", place, "--ca-file", "ca.pem"]).ok();
    shop.arrived(place, &Look::secure(&["--cacert", &desk.at("ca.pem")]));
    let unverified = format!("{place}/unverified");
    desk.bundle(&["import", &shop.file, "-d", &unverified, "--force", "--tls-no-verify", place]).ok();
    shop.export_at(desk, place, &["-o", "back.tar.zst", "--ca-file", "ca.pem"]).ok();
    desk.bundle(&["verify", "back.tar.zst"]).ok();
    PASSED
}

/// nginx requires a client certificate of the private authority.
fn mutual_tls_behind_nginx(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["nginx"])?;
    certificates::make(desk);
    certificates::make_for_a_client(desk);
    let registry = Registry::start(desk, "mutual");
    let lines = format!(
        "{} ssl_client_certificate {}; ssl_verify_client on; client_max_body_size 0; {}",
        certificates::for_nginx(desk),
        desk.at("ca.pem"),
        pass_to(&registry.address)
    );
    let nginx = Nginx::start(desk, "ssl", &lines);
    let place = &nginx.address;
    let shown = ["--ca-file", "ca.pem", "--client-cert", "client.pem", "--client-key", "client.key"];
    let ca = desk.at("ca.pem");
    let look =
        Look::secure(&["--cacert", &ca, "--cert", &desk.at("client.pem"), "--key", &desk.at("client.key")]);

    let ran = desk.bundle(&["import", &shop.file, "-d", place, "--ca-file", "ca.pem"]).ran();
    assert!(ran.code > 0 && ran.code != 7, "{}", ran.shown());
    assert!(ran.stderr.lines().any(|line| line.starts_with("error: ")), "{}", ran.shown());
    desk.bundle(&["import", &shop.file, "-d", place]).args(&shown).ok();
    shop.arrived(place, &look);
    shop.export_at(desk, place, &["-o", "back.tar.zst"]).args(&shown).ok();
    desk.bundle(&["verify", "back.tar.zst"]).ok();

    // The same from certs.d, where container tools look for it.
    let certs = format!("config/containers/certs.d/{place}");
    desk.folder_made(&certs);
    for (from, to) in [("ca.pem", "ca.crt"), ("client.pem", "client.cert"), ("client.key", "client.key")] {
        std::fs::copy(desk.path(from), desk.path(&certs).join(to)).unwrap();
    }
    let again = format!("{place}/again");
    let import = desk.bundle(&["import", &shop.file, "-d", &again, "--values", "again.yaml"]);
    import.env("XDG_CONFIG_HOME", &desk.at("config")).ok();
    shop.arrived(&again, &look);
    PASSED
}
