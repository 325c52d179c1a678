//! nginx between the program and a registry, and as a web server that gives out bundles.

use crate::certificates;
use crate::desk::{Desk, assert_says};
use crate::harness::{PASSED, Tested, tests};
use crate::look::Look;
use crate::nginx::{Nginx, pass_to};
use crate::programs;
use crate::registries::Registry;
use crate::shop::shop;

tests![behind_nginx, behind_nginx_that_hangs_up, from_a_web_server];

/// A proxy that accepts bodies of 1 MB at most, nginx's default.
fn behind_nginx(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["nginx"])?;
    let registry = Registry::start(desk, "behind");
    let nginx = Nginx::start(desk, "", &format!("client_max_body_size 1m; {}", pass_to(&registry.address)));
    desk.bundle(&["import", &shop.file, "-d", &nginx.address]).ok();
    shop.arrived(&nginx.address, &Look::plain());
    PASSED
}

/// nginx closes HTTP/2 connections after every third request (GOAWAY), for import and export.
fn behind_nginx_that_hangs_up(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["nginx"])?;
    certificates::make(desk);
    let registry = Registry::start(desk, "hangs");
    let lines = format!(
        "{} client_max_body_size 0; keepalive_requests 3; {}",
        certificates::for_nginx(desk),
        pass_to(&registry.address)
    );
    let nginx = Nginx::start(desk, "ssl http2", &lines);
    let shown = ["--ca-file", "ca.pem", "--http2"];
    desk.bundle(&["import", &shop.file, "-d", &nginx.address]).args(&shown).ok();
    shop.arrived(&nginx.address, &Look::secure(&["--cacert", &desk.at("ca.pem")]));
    shop.export_at(desk, &nginx.address, &["-o", "back.tar.zst"]).args(&shown).ok();
    desk.bundle(&["verify", "back.tar.zst"]).ok();
    assert!(Nginx::requests_with(desk, "HTTP/2") > 0, "{}", desk.read("nginx/access.log"));
    Ok(format!("{} requests", Nginx::requests_with(desk, "")))
}

/// nginx serves the file and its signature over TLS, with a login and a redirect.
fn from_a_web_server(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["nginx", "htpasswd"])?;
    certificates::make(desk);
    desk.folder_made("files");
    std::fs::copy(shop.file(), desk.path("files/shop.tar.zst")).unwrap();
    desk.bundle(&["keygen", "-o", "site", "--no-passphrase"]).ok();
    desk.bundle(&["sign", "files/shop.tar.zst", "--key", "site.key"]).ok();
    desk.line("htpasswd -bmc htpasswd carrier 'pass word'").ok();
    let registry = Registry::start(desk, "web");
    let place = &registry.address;
    let lines = format!(
        "{} rewrite ^/latest/(.*) /files/$1 redirect;
        location /files/ {{ alias {}/; auth_basic files; auth_basic_user_file {}; }}
        {}",
        certificates::for_nginx(desk),
        desk.at("files"),
        desk.at("htpasswd"),
        pass_to(place)
    );
    let nginx = Nginx::start(desk, "ssl", &lines);
    let address = format!("https://{}/latest/shop.tar.zst", nginx.address);
    let ran = desk.bundle(&["import", &address, "-d", place, "--retries", "1"]).ends(5);
    assert_says(&ran.stderr, "--ca-file");
    desk.bundle(&["import", &address, "-d", place, "--ca-file", "ca.pem"]).ends(4);
    let login =
        desk.bundle(&["login", &nginx.address, "--no-check", "--username", "carrier", "--password-stdin"]);
    login.args(&["--auth-file", "auth.json"]).fed("pass word").ok();
    let shown = ["--ca-file", "ca.pem", "--auth-file", "auth.json", "--verify-key", "site.pub"];
    desk.bundle(&["verify", &address]).args(&shown).ok();
    desk.bundle(&["import", &address, "-d", place]).args(&shown).ok();
    shop.arrived(place, &Look::plain());
    Ok(format!("{} ranges", Nginx::requests_with(desk, " 206 ")))
}
