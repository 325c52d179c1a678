//! Packed Helm charts on this machine: carried as the artifacts Helm would push, locked, and never half.

use std::path::Path;

use airgap_bundle::archive::ChartArtifact;

use crate::support::gap::Gap;
use crate::support::images::image;

/// A packed chart.
fn pack(path: &Path, name: &str, version: &str) {
    let gzip =
        flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    let text = format!("apiVersion: v2\nname: {name}\nversion: {version}\ndescription: a chart\n");
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, format!("{name}/Chart.yaml"), text.as_bytes()).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
}

/// One image at the source, and a catalog in a folder of its own that has a chart beside it.
fn shop() -> Gap {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1));
    std::fs::create_dir_all(gap.path("c/charts")).unwrap();
    pack(&gap.path("c/charts/shop-2.4.0.tgz"), "shop", "2.4.0");
    let text = format!(
        "name: shop\nversion: 2.4\nimages:\n- {}/team/app:1\n- image: oci://r.example/charts/shop:2.4.0\n  archive: charts/shop-2.4.0.tgz\n",
        gap.source.host()
    );
    std::fs::write(gap.path("c/shop.yaml"), text).unwrap();
    gap
}

fn arrived(gap: &Gap, repository: &str, tag: &str, path: &Path) {
    let chart = ChartArtifact::read(path).unwrap();
    let found = gap.destination.manifest(repository, tag).unwrap();
    assert_eq!(found.bytes, chart.manifest);
    for blob in &chart.blobs {
        assert!(gap.destination.has_blob(repository, &airgap_bundle::image::Digest::sha256(blob)));
    }
}

#[test]
fn a_chart_beside_the_catalog_travels_with_the_images() {
    let gap = shop();
    let chart = gap.path("c/charts/shop-2.4.0.tgz");
    let ran = gap.cli.run(&["export", "c/shop.yaml", "--with", "signatures"]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.import("shop-2.4.tar.zst", &[]);
    arrived(&gap, "charts/shop", "2.4.0", &chart);
    assert_eq!(gap.destination.count("PUT", "/charts/shop/manifests/2.4.0"), 1);
    // The same bytes into a pipe, and one run again.
    let piped =
        gap.cli.command(&["export", "c/shop.yaml", "--with", "signatures", "-o", "-"]).output().unwrap();
    assert!(piped.stdout == gap.read("shop-2.4.tar.zst"), "{}", String::from_utf8_lossy(&piped.stderr));
    let ran = gap.cli.run(&["export", "c/shop.yaml", "--with", "signatures"]);
    assert!(ran.stderr.contains("already complete"), "{}", ran.shown());
    assert_eq!(gap.cli.run(&["verify", "shop-2.4.tar.zst"]).code, 0);
}

#[test]
fn a_chart_is_added_from_the_command_line_under_its_own_name() {
    let gap = shop();
    let chart = gap.path("extra-1.0.0.tgz");
    pack(&chart, "extra", "1.0.0+5");
    let ran = gap.cli.run(&[
        "export",
        "images.txt",
        "--add",
        "extra-1.0.0.tgz",
        "--only",
        "*team/app*",
        "-o",
        "x.tar.zst",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    gap.import("x.tar.zst", &[]);
    arrived(&gap, "charts/extra", "1.0.0_5", &chart);
}

#[test]
fn a_locked_chart_is_the_one_that_was_locked() {
    let gap = shop();
    let lock = |arguments: &[&str]| gap.cli.run(&[&["catalog", "lock"], arguments].concat());
    assert_eq!(lock(&["c/shop.yaml", "-o", "c/catalog.lock"]).code, 0);
    let text = String::from_utf8(gap.read("c/catalog.lock")).unwrap();
    assert!(text.contains("archive: charts/shop-2.4.0.tgz\n"), "{text}");
    let export = || gap.cli.run(&["export", "--locked=c/catalog.lock", "-o", "x.tar.zst"]);
    assert_eq!(export().code, 0);
    assert_eq!(lock(&["-o", "c/catalog.lock", "--check", "--exit-code"]).code, 0);
    std::fs::write(gap.path("c/charts/shop-2.4.0.tgz.prov"), "now it is signed").unwrap();
    let ran = export();
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("is not the chart that was locked"), "{}", ran.stderr);
    for arguments in [
        &["-o", "c/catalog.lock", "--check", "--exit-code"][..],
        &["-o", "c/catalog.lock", "--keep", "--check", "--exit-code"],
    ] {
        let ran = lock(arguments);
        assert_eq!(ran.code, 8, "{}", ran.shown());
        assert!(ran.stdout.contains("moved    r.example/charts/shop:2.4.0"), "{}", ran.stdout);
    }
}

#[test]
fn a_chart_that_is_missing_or_another_one_is_refused_before_anything_is_sent() {
    let gap = shop();
    let text = String::from_utf8(gap.read("c/shop.yaml")).unwrap();
    for (change, code, says) in [
        (("shop-2.4.0.tgz", "nosuch.tgz"), 1, "nosuch.tgz"),
        (("charts/shop:2.4.0", "charts/shop:2.4.1"), 2, "is shop 2.4.0, but is called"),
        (("charts/shop:2.4.0", "charts/other:2.4.0"), 2, "oci://…/shop:2.4.0"),
        (("charts/shop-2.4.0.tgz", "shop.yaml"), 3, "not a packed chart"),
        (("archive:", "source: r.io/x\n  archive:"), 2, "from an archive or from a source"),
    ] {
        std::fs::write(gap.path("c/bad.yaml"), text.replace(change.0, change.1)).unwrap();
        let ran = gap.cli.run(&["export", "c/bad.yaml", "-o", "x.tar.zst"]);
        assert_eq!(ran.code, code, "{change:?}: {}", ran.shown());
        assert!(ran.stderr.contains(says), "{change:?}: {}", ran.stderr);
        let ran = gap.cli.run(&["catalog", "lint", "c/bad.yaml"]);
        assert!(matches!(ran.code, 2 | 3), "{change:?}: {}", ran.shown());
    }
    assert_eq!(gap.source.log().len(), 0);
    assert_eq!(gap.cli.run(&["catalog", "lint", "c/shop.yaml", "--online"]).code, 0);
}
