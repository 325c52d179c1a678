//! Logins: Basic, and tokens that are signed with a certificate.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::desk::{Desk, sha256};
use crate::harness::{PASSED, Tested, tests};
use crate::look::Look;
use crate::programs;
use crate::registries::Registry;
use crate::shop::{Shop, digests_in, shop};

tests![basic_auth, token_auth];

const AUTH: [&str; 2] = ["--auth-file", "auth.json"];
const NOBODY: [&str; 2] = ["--auth-file", "nobody.json"];
const LOGIN: [&str; 5] = ["-u", "carrier", "--password-stdin", "--auth-file", "auth.json"];

fn basic_auth(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["htpasswd"])?;
    let users = desk.line("htpasswd -Bbn carrier 'pass word'").ok().stdout;
    desk.write("htpasswd", &users);
    let auth = format!("auth: {{htpasswd: {{realm: private, path: {}}}}}", desk.at("htpasswd"));
    let registry = Registry::with(desk, "private", &auth);
    let place = &registry.address;
    let import = || desk.bundle(&["import", &shop.file, "-d", place]);
    import().args(&AUTH).ends(2);
    desk.write("nobody.json", "{}");
    import().args(&NOBODY).ends(4);
    desk.bundle(&["login", place]).args(&LOGIN).fed("wrong\n").ends(4);
    assert!(!desk.exists("auth.json"));
    desk.bundle(&["login", place]).args(&LOGIN).fed("pass word").ok();
    let mode = std::fs::metadata(desk.path("auth.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the mode of the login");
    import().args(&AUTH).ok();
    shop.arrived(place, &Look::user("carrier:pass word"));
    let there = format!("docker://{place}/tools/wait:latest");
    desk.skopeo(&["inspect", "--raw", "--tls-verify=false", "--authfile", "auth.json", &there]).ok();
    shop.export_at(desk, place, &["-o", "back.tar.zst"]).args(&AUTH).ok();
    assert_eq!(digests_in(desk, &shop.file), digests_in(desk, "back.tar.zst"));
    desk.bundle(&["logout", place]).args(&AUTH).ok();
    let again = format!("{place}/again");
    desk.bundle(&["import", &shop.file, "-d", &again, "--force"]).args(&AUTH).ends(4);
    PASSED
}

/// docker-registry's token authentication, with tokens signed by a certificate: logged in and anonymous.
fn token_auth(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["python3"])?;
    desk.line("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=tests' -keyout token.key -out token.pem").ok();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/token_server.py");
    let run = desk
        .run("python3", &[&script.to_string_lossy(), "token.key", "token.pem", "token.address", "tokens"]);
    let mut tokens = run.args(&["carrier:pass word"]).server(&desk.path("token.log"));
    let address = || std::fs::read_to_string(desk.path("token.address")).unwrap_or_default();
    tokens.until("the token server", || !address().is_empty());
    let auth = format!(
        "auth: {{token: {{realm: 'http://{}/token', service: registry.test, issuer: tests, rootcertbundle: {}}}}}",
        address(),
        desk.at("token.pem")
    );
    let registry = Registry::with(desk, "tokens", &auth);
    let (public, private) = (format!("{}/public", registry.address), format!("{}/private", registry.address));

    desk.write("nobody.json", "{}");
    desk.bundle(&["import", &shop.file, "-d", &public]).args(&NOBODY).ends(4);
    desk.bundle(&["login", &registry.address]).args(&LOGIN).fed("wrong\n").ends(4);
    desk.bundle(&["login", &registry.address]).args(&LOGIN).fed("pass word").ok();
    desk.write("tokens", "");
    desk.bundle(&["import", &shop.file, "-d", &public]).args(&AUTH).ok();
    let for_an_import = desk.read("tokens").lines().count();
    // Repositories below `public/` can be pulled anonymously.
    desk.write("public.txt", &shop.names_at(&public));
    desk.bundle(&["export", "public.txt", "-o", "back.tar.zst"]).args(&NOBODY).ok();
    let asked = desk.read("tokens");
    assert!(asked.lines().any(|line| line == "anonymous repository:public/shop/ui:pull"), "{asked}");
    read_by_skopeo(desk, shop, &public);

    desk.bundle(&["import", &shop.file, "-d", &private, "--values", "private.yaml"]).args(&AUTH).ok();
    desk.write("private.txt", &shop.names_at(&private));
    desk.bundle(&["export", "private.txt", "-o", "none.tar.zst"]).args(&NOBODY).ends(4);
    desk.bundle(&["export", "private.txt", "-o", "private.tar.zst"]).args(&AUTH).ok();
    desk.bundle(&["verify", "private.tar.zst"]).ok();
    Ok(format!("{for_an_import} tokens for an import of four repositories"))
}

/// Reads every manifest at `place` anonymously.
fn read_by_skopeo(desk: &Desk, shop: &Shop, place: &str) {
    for ware in &shop.wares {
        let there = format!("docker://{place}/{}", ware.name());
        let run =
            desk.skopeo(&["inspect", "--raw", "--tls-verify=false", "--authfile", "nobody.json", &there]);
        run.into_file(&desk.path("raw"));
        assert_eq!(format!("sha256:{}", sha256(&desk.path("raw"))), ware.digest(), "{}", ware.name());
    }
}
