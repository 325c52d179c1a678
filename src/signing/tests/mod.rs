//! Keys as other tools write them, signatures both ways, and what it takes to be trusted. The keys in `keys/` are one
//! key in the forms that openssl and cosign gave it, and some of other kinds; its pass phrase is `geheim`.

mod keys;
mod trust;

use super::*;
use crate::secret::Secret;

fn pem(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/signing/tests/keys");
    std::fs::read_to_string(format!("{folder}/{name}.pem")).unwrap()
}

fn private(name: &str) -> PrivateKey {
    match KeyFile::parse(&pem(name)).unwrap() {
        KeyFile::Open(key) => key,
        KeyFile::Locked(locked) => locked.unlock(&Secret::new("geheim")).unwrap(),
    }
}

fn public(name: &str) -> PublicKey {
    PublicKey::parse_all(&pem(name)).unwrap().remove(0)
}
