//! Keys, signatures and statements, exchanged with openssl, cosign and in-toto; signatures in registries.

use std::path::{Path, PathBuf};

use crate::desk::{Desk, Run, assert_same, assert_says};
use crate::harness::{PASSED, Tested, tests};
use crate::look::Look;
use crate::programs::{debian, go_program, python};
use crate::registries::{Registry, Served};
use crate::shop::{HOST, Shop, shop};

tests![
    openssl_and_signatures,
    in_toto_and_statements,
    cosign_2_and_signatures.on_request(),
    cosign_3_and_signatures.on_request(),
    signatures_behind_the_gap.on_request(),
];

const PASSPHRASE: (&str, &str) = ("AIRGAP_BUNDLE_PASSPHRASE", "geheim");

/// A member of a bundle, as a file.
fn member(desk: &Desk, bundle: &str, name: &str) {
    let unpacked = desk.run("tar", &["-x", name]);
    unpacked.fed_by(desk.run("zstd", &["-q", "-dc", bundle]));
}

/// Removes signature files of the copy of the bundle.
fn unsigned(desk: &Desk, names: &[&str]) {
    for name in names {
        desk.remove(&format!("shop.tar.zst.{name}"));
    }
}

const SIGNATURES: [&str; 2] = ["sig", "sigstore.json"];

fn openssl_and_signatures(desk: &Desk) -> Tested {
    let shop = shop()?;
    let bundle = |arguments: &[&str]| desk.bundle(arguments).envs(&[PASSPHRASE]);
    std::fs::copy(shop.file(), desk.path("shop.tar.zst")).unwrap();
    let index = format!("{}/index.json", shop.unpacked);

    // Ours, checked by openssl: made at export, and later.
    bundle(&["keygen", "-o", "ours"]).ok();
    desk.line("openssl pkey -in ours.key -passin pass:geheim -pubout").into_file(&desk.path("again.pub"));
    assert_same(&desk.path("again.pub"), &desk.path("ours.pub"));
    shop.export(desk, &["-o", "signed.tar.zst", "--sign-key", "ours.key"]).envs(&[PASSPHRASE]).ok();
    member(desk, "signed.tar.zst", "bundle.json");
    member(desk, "signed.tar.zst", "bundle.json.sig");
    desk.line("base64 -d bundle.json.sig").into_file(&desk.path("embedded.der"));
    let checked = |signature: &str, what: &str| {
        desk.line(&format!("openssl dgst -sha256 -verify ours.pub -signature {signature} {what}"))
    };
    checked("embedded.der", "bundle.json").ok();
    bundle(&["sign", "shop.tar.zst", "--key", "ours.key"]).ok();
    desk.line("base64 -d shop.tar.zst.sig").into_file(&desk.path("beside.der"));
    checked("beside.der", "bundle.json").ok();
    checked("beside.der", &index).ends(1);

    // openssl's keys, in each form it writes.
    desk.line("openssl ecparam -name prime256v1 -genkey -out sec1.key").ok();
    desk.line("openssl ec -in sec1.key -pubout -out theirs.pub").ok();
    let pkcs8 = |how: &str| desk.line(&format!("openssl pkcs8 -topk8 -in sec1.key {how}")).ok();
    pkcs8("-nocrypt -out pkcs8.key");
    pkcs8("-passout pass:geheim -out default.key");
    pkcs8("-scrypt -passout pass:geheim -out scrypt.key");
    for key in ["sec1", "pkcs8", "default", "scrypt"] {
        unsigned(desk, &SIGNATURES);
        bundle(&["sign", "shop.tar.zst", "--key", &format!("{key}.key")]).ok();
        let ran = bundle(&["verify", "shop.tar.zst", "--verify-key", "theirs.pub"]).ok();
        assert_says(&ran.stdout, "signed by theirs.pub");
        bundle(&["verify", "shop.tar.zst", "--verify-key", "ours.pub"]).ends(3);
    }

    // Signatures openssl makes, as they are and in base64.
    let place = format!("{}/openssl", shop.inside);
    let import = || bundle(&["import", "shop.tar.zst", "-d", &place, "--verify-key", "theirs.pub"]);
    unsigned(desk, &SIGNATURES);
    desk.line("openssl dgst -sha256 -sign sec1.key -out shop.tar.zst.sig bundle.json").ok();
    import().ok();
    desk.line("base64 -w 76 shop.tar.zst.sig").into_file(&desk.path("again"));
    std::fs::rename(desk.path("again"), desk.path("shop.tar.zst.sig")).unwrap();
    import().ok();
    desk.line(&format!("openssl dgst -sha256 -sign sec1.key -out shop.tar.zst.sig {index}")).ok();
    import().ends(3);
    let version = desk.line("openssl version").ok().stdout;
    Ok(version.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

const CHECK: &str = r#"import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import Parse
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

def kind(text):
    statement = statement_pb2.Statement()
    Parse(text, statement)
    Statement.copy_from_pb(statement).validate()
    return statement.predicate_type

assert kind(open("shop.tar.zst.statement.json").read()) == "urn:airgap-bundle:statement:1"
assert kind(open("receipt.json").read()) == "urn:airgap-bundle:receipt:1"
line = open("shop.tar.zst.approvals").read()
key = load_pem_public_key(open(sys.argv[1], "rb").read())
key = SSlibKey.from_crypto(key, keyid=json.loads(line)["signatures"][0]["keyid"])
envelope = Envelope.from_dict(json.loads(line))
envelope.verify([key], 1)
assert kind(envelope.payload) == "urn:airgap-bundle:approval:1"
"#;

/// Statements, receipts and approvals, read and checked by the libraries of in-toto.
fn in_toto_and_statements(desk: &Desk) -> Tested {
    let shop = shop()?;
    debian(&["python3"])?;
    let works = |home: &Path| {
        let python = home.join("bin/python");
        let imports = "import in_toto_attestation, securesystemslib.dsse";
        python.is_file() && desk.run(python, &["-c", imports]).ran().code == 0
    };
    let packages = ["in-toto-attestation==0.9.3", "securesystemslib[crypto]==1.6.0"];
    let python = python("in-toto-0.9.3", "python3", &packages, works)?.join("bin/python");
    desk.bundle(&["keygen", "-o", "ours", "--no-passphrase"]).ok();
    desk.bundle(&["keygen", "-o", "other", "--no-passphrase"]).ok();
    shop.export(desk, &["-o", "shop.tar.zst", "--statement"]).ok();
    let place = format!("{}/in-toto", shop.inside);
    desk.bundle(&["import", "shop.tar.zst", "-d", &place, "--receipt", "receipt.json"]).ok();
    desk.bundle(&["sign", "--role", "approver", "shop.tar.zst", "--key", "ours.key"]).ok();
    desk.write("check.py", CHECK);
    desk.run(&python, &["check.py", "ours.pub"]).ok();
    desk.run(&python, &["check.py", "other.pub"]).ends(1);
    PASSED
}

fn cosign_program(version: &str) -> Result<PathBuf, crate::harness::Skip> {
    let major = &version[..1];
    go_program("cosign", &format!("github.com/sigstore/cosign/v{major}/cmd/cosign@v{version}"))
}

/// cosign requires a trusted root; an empty one is enough for signatures by keys.
fn empty_root(desk: &Desk) {
    desk.write("root.json", r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#);
}

fn cosign_2_and_signatures(desk: &Desk) -> Tested {
    cosign_and_signatures(desk, "2.6.1", &[])
}

fn cosign_3_and_signatures(desk: &Desk) -> Tested {
    cosign_and_signatures(desk, "3.0.2", &["--use-signing-config=false"])
}

/// Keys and signatures, the older file and the newer bundle, both ways. `older` is what cosign needs to sign the older
/// way.
fn cosign_and_signatures(desk: &Desk, version: &str, older: &[&str]) -> Tested {
    let shop = shop()?;
    let program = cosign_program(version)?;
    let secrets = [PASSPHRASE, ("COSIGN_PASSWORD", "geheim")];
    let bundle = |arguments: &[&str]| desk.bundle(arguments).envs(&secrets);
    let cosign = |arguments: &[&str]| desk.run(&program, arguments).envs(&secrets);
    empty_root(desk);
    std::fs::copy(shop.file(), desk.path("shop.tar.zst")).unwrap();
    let index = format!("{}/index.json", shop.unpacked);
    member(desk, "shop.tar.zst", "bundle.json");

    let newer = ["--new-bundle-format=true", "--trusted-root", "root.json"];
    let checks = |key: &str, more: &[&str]| {
        cosign(&["verify-blob", "--insecure-ignore-tlog=true", "--key", &format!("{key}.pub")]).args(more)
    };
    bundle(&["keygen", "-o", "ours"]).ok();
    cosign(&["generate-key-pair"]).ok();
    for key in ["ours", "cosign"] {
        unsigned(desk, &SIGNATURES);
        bundle(&["sign", "shop.tar.zst", "--key", &format!("{key}.key")]).ok();
        checks(key, &["--new-bundle-format=false", "--signature", "shop.tar.zst.sig", "bundle.json"]).ok();
        let beside = ["--bundle", "shop.tar.zst.sigstore.json"];
        checks(key, &newer).args(&beside).args(&["bundle.json"]).ok();
        checks(key, &newer).args(&beside).args(&[&index]).ends(1);
    }

    let sign = |how: &[&str]| {
        let run = cosign(&["sign-blob", "-y", "--tlog-upload=false", "--key", "cosign.key"]).args(older);
        run.args(how).args(&["bundle.json"]).ok();
    };
    let verify = |key: &str| bundle(&["verify", "shop.tar.zst", "--verify-key", key]);
    unsigned(desk, &SIGNATURES);
    sign(&["--new-bundle-format=false", "--output-signature", "shop.tar.zst.sig"]);
    assert_says(&verify("cosign.pub").ok().stdout, ": shop.tar.zst.sig");
    unsigned(desk, &["sig"]);
    sign(&["--new-bundle-format=true", "--bundle", "shop.tar.zst.sigstore.json"]);
    assert_says(&verify("cosign.pub").ok().stdout, ": shop.tar.zst.sigstore.json");
    verify("ours.pub").ends(3);

    // The statement of an export is an attestation about bundle.json.
    let attested = |what: &str| {
        let run = cosign(&["verify-blob-attestation", "--insecure-ignore-tlog=true", "--key", "ours.pub"])
            .args(&newer);
        let run = run.args(&["--bundle", "stated.tar.zst.statement.json.sigstore.json"]);
        run.args(&["--type", "urn:airgap-bundle:statement:1", what])
    };
    shop.export(desk, &["-o", "stated.tar.zst", "--statement", "--sign-key", "ours.key"]).envs(&secrets).ok();
    attested("bundle.json").ok();
    attested(&index).ends(1);
    PASSED
}

/// Both generations of cosign, and oras.
struct Signers<'a> {
    desk: &'a Desk,
    cosign_2: PathBuf,
    cosign_3: PathBuf,
    oras: PathBuf,
}

/// Allows registries without TLS.
const INSECURE: [&str; 2] = ["--allow-http-registry", "--allow-insecure-registry"];
const SIGNED: [&str; 2] = ["shop/server", "shop/ui"];

impl Signers<'_> {
    fn cosign(&self, program: &Path, arguments: &[&str]) -> Run {
        self.desk.run(program, arguments).env("COSIGN_PASSWORD", "").args(&INSECURE)
    }

    fn oras(&self, arguments: &[&str]) -> Run {
        self.desk.run(&self.oras, arguments)
    }

    fn attach_sbom(&self, image: &str) {
        let attach =
            ["attach", "--plain-http", "--artifact-type", "application/spdx+json", image, "sbom.json"];
        self.oras(&attach).ok();
    }

    /// The first image of the index at `place`.
    fn child(&self, place: &str) -> String {
        let ran = self.oras(&["manifest", "fetch", "--plain-http", &format!("{place}/shop/ui:2.4.0")]).ok();
        let index: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().expect("a child has a digest");
        format!("{place}/shop/ui@{digest}")
    }

    /// The types of what refers to an image, sorted.
    fn kinds(&self, image: &str) -> Vec<String> {
        let ran = self.oras(&["discover", "--plain-http", "--format", "json", image]).ok();
        let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let referrers = found["referrers"].as_array().expect("a list of referrers").iter();
        let mut kinds: Vec<String> =
            referrers.map(|one| one["artifactType"].as_str().unwrap_or_default().to_owned()).collect();
        kinds.sort();
        kinds
    }

    /// The shop's server and ui are signed by both generations of cosign, with an SBOM from oras at each, and one at a
    /// child of the index.
    fn sign(&self, place: &str) {
        for name in SIGNED {
            let image =
                format!("{place}/{name}@{}", Look::plain().digest(&format!("{place}/{name}"), "2.4.0"));
            let sign = ["sign", "--yes", "--key", "cosign.key", "--tlog-upload=false", &image];
            self.cosign(&self.cosign_2, &sign).ok();
            self.cosign(&self.cosign_3, &sign).args(&["--use-signing-config=false"]).ok();
            self.attach_sbom(&format!("{place}/{name}:2.4.0"));
        }
        self.attach_sbom(&self.child(place));
    }

    /// All of that is found at `place`. In a referrers list written by cosign, its bundle has the type of its config.
    fn find(&self, place: &str, list_of_cosign: bool) {
        for name in SIGNED {
            let image = format!("{place}/{name}:2.4.0");
            let verify = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog", &image];
            self.cosign(&self.cosign_2, &verify).ok();
            self.cosign(&self.cosign_3, &verify).args(&["--trusted-root", "root.json"]).ok();
            let mut kinds = self.kinds(&image);
            if list_of_cosign {
                for kind in &mut kinds {
                    *kind = kind.replace("vnd.oci.empty.v1", "vnd.dev.sigstore.bundle.v0.3");
                }
                kinds.sort();
            }
            let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
            assert_eq!(kinds, ["application/spdx+json", bundle], "what refers to {image}");
        }
        let child = self.child(place);
        assert_eq!(self.kinds(&child).len(), 1, "what refers to {child}");
    }
}

/// Signatures, SBOMs and referrers: from a registry with and one without the referrers API into one of each kind.
fn signatures_behind_the_gap(desk: &Desk) -> Tested {
    let shop = shop()?;
    let signers = Signers {
        desk,
        cosign_2: cosign_program("2.6.1")?,
        cosign_3: cosign_program("3.0.2")?,
        oras: go_program("oras", "oras.land/oras/cmd/oras@v1.3.6")?,
    };
    let pair = desk.run(&signers.cosign_2, &["generate-key-pair"]);
    pair.env("COSIGN_PASSWORD", "").ok();
    empty_root(desk);
    desk.write("sbom.json", r#"{"spdxVersion":"SPDX-2.3"}"#);
    let signed = SIGNED.map(|name| format!("{HOST}/{name}:2.4.0"));
    desk.write("signed.txt", &signed.join("\n"));
    let with = Served::folder(desk, "api");
    let without = Registry::start(desk, "none");
    let third = crate::clients::distribution_3_program().ok();
    let third = third.map(|program| Registry::of(&program, desk, "three", "", ""));
    let sources = [with.address.as_str(), &without.address];
    let destinations: Vec<&str> =
        sources.into_iter().chain(third.as_ref().map(|registry| registry.address.as_str())).collect();
    for source in sources {
        push_shop(shop, source);
        signers.sign(source);
        signers.find(source, source == without.address);
        let from = format!("{HOST}={source}");
        let export = ["export", "signed.txt", "--source", &from, "-o", "signed.tar.zst", "--force"];
        desk.bundle(&export).ok();
        let (_, port) = source.split_once(':').expect("an address has a port");
        for destination in &destinations {
            let place = format!("{destination}/from/{port}");
            let import = ["import", "signed.tar.zst", "-d", &place, "--values", "values.yaml", "--force"];
            desk.bundle(&import).ok();
            signers.find(&place, false);
        }
    }
    Ok(format!("cosign 2, cosign 3 and oras find them in {} registries, from two", destinations.len()))
}

fn push_shop(shop: &Shop, registry: &str) {
    for ware in &shop.wares {
        crate::push::image(&format!("{registry}/{}", ware.repository), ware.tag, &ware.image);
    }
}
