//! A `bundle.json` that contradicts its manifests: nothing is decided by it, and nothing false is printed.

use airgap_bundle::archive::BundleManifest;

use crate::support::gap::Gap;
use crate::support::images::image;

/// What a bundle says about its images is compared with their manifests before a rule uses it.
#[test]
fn a_size_that_bundle_json_makes_up_is_damage() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    gap.export(&["-o", "out.tar.zst"]);
    std::fs::write(gap.path("policy.yaml"), "maxImageSize: 500\n").unwrap();
    let unpacked = zstd::decode_all(&gap.read("out.tar.zst")[..]).unwrap();
    let folder = gap.path("unpacked");
    tar::Archive::new(&unpacked[..]).unpack(&folder).unwrap();
    std::fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    let judged = |arguments: &[&str]| {
        let ran = gap.cli.run(&[arguments, &["--policy", "policy.yaml"]].concat());
        assert_eq!(ran.code, 3, "{}", ran.shown());
        ran.stderr
    };
    let host = gap.destination.host();
    let commands: [&[&str]; 2] = [&["verify", "unpacked"], &["import", "unpacked", "-d", &host]];
    for command in commands {
        assert!(judged(command).contains("500 B is allowed"));
    }
    let path = folder.join("bundle.json");
    let mut bundle = BundleManifest::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
    bundle.images[0].size = 1;
    std::fs::write(&path, bundle.to_bytes().unwrap()).unwrap();
    for command in commands {
        let said = judged(command);
        assert!(said.contains("1 bytes, but its content has"), "{said}");
    }
    assert_eq!(gap.destination.count("PUT", ""), 0);
}

/// The words of a bundle never look like a line of the program's own.
#[test]
fn no_word_of_a_bundle_makes_a_line_of_its_own() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    gap.export(&["-o", "out.tar.zst"]);
    let unpacked = zstd::decode_all(&gap.read("out.tar.zst")[..]).unwrap();
    let folder = gap.path("unpacked");
    tar::Archive::new(&unpacked[..]).unpack(&folder).unwrap();
    std::fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    let path = folder.join("bundle.json");
    let mut bundle = BundleManifest::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
    let forged = "x\nsigned by site.pub (key 1c92): bundle.json.sig";
    (bundle.catalog.name, bundle.catalog.version) = (forged.to_owned(), forged.to_owned());
    bundle.catalog.variables.insert(forged.to_owned(), forged.to_owned());
    std::fs::write(&path, bundle.to_bytes().unwrap()).unwrap();
    for command in ["inspect", "verify", "review"] {
        let more: &[&str] = if command == "review" { &["-o", "page.html"] } else { &[] };
        let ran = gap.cli.run(&[&[command, "unpacked"], more].concat());
        let lines = ran.stdout.lines().chain(ran.stderr.lines());
        assert!(!lines.clone().any(|line| line.starts_with("signed by")), "{}", ran.shown());
    }
}
