//! Certificates of a private authority, made by openssl as administrators make them.

use crate::desk::Desk;

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// `ca.pem`, and `tls.pem` and `tls.key` for 127.0.0.1.
pub fn make(desk: &Desk) {
    desk.line(&format!(
        "openssl req -x509 {NEW_KEY} -days 2 -subj '/CN=Private CA' -keyout ca.key -out ca.pem"
    ))
    .ok();
    desk.line(&format!("openssl req {NEW_KEY} -subj /CN=registry -keyout tls.key -out tls.csr")).ok();
    desk.write("names", "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    signed(desk, "tls", "-extfile names");
}

/// `client.pem` and `client.key`: a client certificate (X.509 version 1, as openssl makes it by default).
pub fn make_for_a_client(desk: &Desk) {
    desk.line(&format!("openssl req {NEW_KEY} -subj /CN=carrier -keyout client.key -out client.csr")).ok();
    signed(desk, "client", "");
}

fn signed(desk: &Desk, name: &str, more: &str) {
    let line = "openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
    desk.line(&format!("{line} -in {name}.csr -out {name}.pem {more}")).ok();
}

/// nginx directives that use the registry's certificate.
pub fn for_nginx(desk: &Desk) -> String {
    format!("ssl_certificate {}; ssl_certificate_key {};", desk.at("tls.pem"), desk.at("tls.key"))
}
