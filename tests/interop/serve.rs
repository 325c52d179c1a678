//! `bundle serve`, read and written by skopeo and podman.

use crate::desk::{Desk, sha256};
use crate::harness::{PASSED, Tested, tests};
use crate::look::Look;
use crate::podman::Podman;
use crate::registries::Served;
use crate::shop::{inspected, shop};

tests![
    serve_a_bundle_to_skopeo,
    scanners_read_from_a_bundle,
    serve_a_bundle_to_podman,
    serve_a_folder_to_skopeo_and_podman,
];

fn serve_a_bundle_to_skopeo(desk: &Desk) -> Tested {
    let shop = shop()?;
    let served = Served::start(desk, "file", &[&shop.file]);
    let place = &served.address;
    shop.arrived_for_skopeo(desk, place);
    for ware in &shop.wares {
        let pinned = format!("docker://{place}/{}@{}", ware.repository, ware.digest());
        assert_eq!(desk.copied_to_a_folder(&[], &pinned), ware.digest(), "{pinned}");
    }
    let tags = tags(desk, &format!("{place}/shop/ui"));
    assert_eq!(tags, ["2.4.0"]);
    let new = format!("docker://{place}/shop/ui:new");
    desk.skopeo(&["copy", "-q", "--dest-tls-verify=false", "dir:copied", &new]).ends(1);
    PASSED
}

fn tags(desk: &Desk, repository: &str) -> Vec<String> {
    let ran = desk.skopeo(&["list-tags", "--tls-verify=false", &format!("docker://{repository}")]).ok();
    let listed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    serde_json::from_value(listed["Tags"].clone()).unwrap()
}

/// What the manual recommends for scanners (`bundle help trust`, "Scanning before the gap"), with skopeo as the
/// scanner.
fn scanners_read_from_a_bundle(desk: &Desk) -> Tested {
    let shop = shop()?;
    let served = Served::start(desk, "file", &[&shop.file]);
    let images = inspected(desk, &shop.file);
    assert_eq!(images.len(), shop.wares.len());
    for (name, digest) in &images {
        let (_, name) = name.split_once('/').expect("a name has a host");
        let (repository, _) = name.split_once([':', '@']).expect("a name has a tag or a digest");
        let repository = format!("{}/{repository}", served.address);
        let tags = tags(desk, &repository);
        assert!(!tags.is_empty(), "{repository}");
        // A tag leads to the same image.
        for tag in &tags {
            assert_eq!(&Look::plain().digest(&repository, tag), digest, "{repository} by its tag");
        }
        let image = format!("docker://{repository}@{digest}");
        let inspect =
            desk.skopeo(&["inspect", "--config", "--tls-verify=false", "--override-arch", "amd64", &image]);
        let config: serde_json::Value = serde_json::from_str(&inspect.ok().stdout).unwrap();
        assert_eq!(config["architecture"], "amd64", "the platform of {image}");
        assert_eq!(&desk.copied_to_a_folder(&[], &image), digest, "{image}");
        // Every layer exists and has the digest in the manifest.
        let mut layers = 0;
        for file in desk.names_in("copied").iter().filter(|file| file.ends_with("manifest.json")) {
            let manifest = desk.json(&format!("copied/{file}"));
            for layer in manifest["layers"].as_array().into_iter().flatten() {
                let digest =
                    layer["digest"].as_str().expect("a layer has a digest").trim_start_matches("sha256:");
                assert_eq!(sha256(&desk.path("copied").join(digest)), digest, "a layer of {image}");
                layers += 1;
            }
        }
        assert!(layers > 0, "{image}");
    }
    Ok(format!("{} images", images.len()))
}

fn serve_a_bundle_to_podman(desk: &Desk) -> Tested {
    let shop = shop()?;
    let podman = Podman::here(desk)?;
    let served = Served::start(desk, "file", &[&shop.file]);
    podman.pull_plainly(&format!("{}/shop/server:2.4.0", served.address)).ok();
    podman.pull_plainly(&format!("{}/shop/ui@{}", served.address, shop.ware("shop/ui").digest())).ok();
    PASSED
}

fn serve_a_folder_to_skopeo_and_podman(desk: &Desk) -> Tested {
    let shop = shop()?;
    let served = Served::folder(desk, "registry");
    let place = &served.address;
    for ware in &shop.wares {
        let (from, to) = (
            format!("docker://{}/{}", shop.outside, ware.name()),
            format!("docker://{place}/{}", ware.name()),
        );
        let copy = desk.skopeo(&["copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false"]);
        copy.args(&["--dest-tls-verify=false", &from, &to]).ok();
    }
    shop.arrived(place, &Look::plain());
    let wait = format!("docker://{place}/tools/wait:latest");
    desk.skopeo(&["delete", "--tls-verify=false", &wait]).ok();
    desk.skopeo(&["inspect", "--raw", "--tls-verify=false", &wait]).ends(1);
    let podman = Podman::here(desk)?;
    let (old, new) = (format!("{place}/shop/server:2.4.0"), format!("{place}/new/server:1"));
    podman.pull_plainly(&old).ok();
    podman.run(&["push", "-q", "--tls-verify=false", "--signature-policy", "policy.json", &old, &new]).ok();
    let ran = desk.skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("docker://{new}")]).ok();
    let pushed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(pushed["layers"].as_array().map(Vec::len), Some(3), "{pushed}");
    PASSED
}
