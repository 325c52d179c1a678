//! A bundle of the first version, which every later version reads.

use std::path::{Path, PathBuf};

use airgap_bundle::archive::manifest::FORMAT_REVISION;
use airgap_bundle::image::Digest;

use super::{ImageSpec, Layer, TestImage, contents, written};
use crate::support::bundles::open_file;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::multi_platform_with;

/// The revision of the format that the golden bundle was written by.
const GOLDEN_REVISION: u32 = 1;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/v1.tar.zst")
}

fn images() -> Vec<(&'static str, TestImage)> {
    let base = Layer::gzip(1, 9_000);
    let app = ImageSpec::new(1).layer(base.clone()).layer(Layer::tar(2, 30_000)).build();
    let old = ImageSpec::new(2).docker().layer(base).layer(Layer::gzip(3, 500)).build();
    vec![
        ("registry.example/team/app:1.0", app),
        ("registry.example/team/old:2", old),
        ("docker.io/library/multi:latest", multi_platform_with(4, "application/vnd.oci.image.layer.v1.tar")),
    ]
}

#[test]
fn the_golden_bundle_is_read_verified_and_imported() {
    let bytes = std::fs::read(golden()).unwrap();
    assert!(bytes.len() <= 100_000);
    let sidecar = std::fs::read_to_string(golden().with_extension("zst.sha256")).unwrap();
    assert_eq!(sidecar, format!("{}  v1.tar.zst\n", Digest::sha256(&bytes).hex()));

    let reader = open_file(&golden());
    let found = contents(&reader);
    let gap = Gap::new();
    std::fs::copy(golden(), gap.path("v1.tar.zst")).unwrap();
    let ran = gap.cli.run(&["verify", "v1.tar.zst"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.import("v1.tar.zst", &[]);
    for (name, image) in images() {
        assert_eq!(found[&image.digest], image.manifest, "{name}");
        let (repository, tag) = name.split_once('/').unwrap().1.split_once(':').unwrap();
        assert_whole(&gap.destination, repository, tag, &image);
    }
    // A name of one part at the Hub is wanted without `library/` too.
    assert_whole(&gap.destination, "multi", "latest", &images()[2].1);
    let host = gap.destination.host();
    gap.destination.forget();
    let piped = gap.fed(&["import", "-", "-d", &host, "--values", "v1.values.yaml"], &bytes);
    assert_eq!(piped.code, 0, "{}", piped.shown());
}

#[test]
fn the_same_revision_writes_the_same_bytes() {
    // A new libzstd, or a new order, is a new revision: else two builds call different files by the same id.
    assert_eq!(
        FORMAT_REVISION, GOLDEN_REVISION,
        "make a golden bundle of the new revision, and keep this one"
    );
    let now = written(&images());
    if std::fs::read(golden()).ok().as_ref() != Some(&now) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("v1.tar.zst");
        std::fs::write(&path, &now).unwrap();
        panic!("the writer's bytes have changed: {} is what they are now", path.display());
    }
}
