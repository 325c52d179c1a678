//! Imports into Debian's registry: from files, pipes and layouts of other tools; a registry that restarts, or is
//! closed.

use std::net::TcpListener;

use airgap_bundle::encoders::Encoder;

use crate::big;
use crate::desk::{Desk, assert_says};
use crate::harness::{PASSED, Tested, tests};
use crate::look::Look;
use crate::programs::debian;
use crate::registries::Registry;
use crate::shop::{HOST, shop};
use crate::support::images::{ImageSpec, Layer};

tests![
    import_keeps_every_digest,
    import_from_stdin,
    read_only_registry,
    a_registry_that_restarts_in_the_middle_of_a_pipe,
    layouts_of_other_tools,
    nameless_layout_of_skopeo,
    compact_layers_of_skopeo,
];

fn import_keeps_every_digest(desk: &Desk) -> Tested {
    let shop = shop()?;
    // Its own registry, so that the values name it without a prefix.
    let registry = Registry::start(desk, "empty");
    let place = &registry.address;
    desk.bundle(&["import", &shop.file, "-d", place, "--report", "report.json"]).ok();
    shop.arrived(place, &Look::plain());
    shop.arrived_for_skopeo(desk, place);
    assert_says(&desk.read("shop.values.yaml"), &format!("imageRegistry: {place}"));
    desk.bundle(&["import", &shop.file, "-d", place, "--report", "again.json"]).ok();
    let totals = &desk.json("again.json")["totals"];
    assert_eq!(
        (&totals["uploadedBlobs"], &totals["blobBytes"]),
        (&0.into(), &0.into()),
        "what a second import sent"
    );
    PASSED
}

fn import_from_stdin(desk: &Desk) -> Tested {
    let shop = shop()?;
    let (piped, straight) = (format!("{}/piped", shop.inside), format!("{}/straight", shop.inside));
    desk.bundle(&["import", "-", "-d", &piped, "--values", "piped.yaml"]).fed_from(shop.file()).ok();
    shop.arrived(&piped, &Look::plain());
    let import = desk.bundle(&["import", "-", "-d", &straight, "--values", "straight.yaml"]);
    import.fed_by(shop.export(desk, &["-o", "-"]));
    shop.arrived(&straight, &Look::plain());
    PASSED
}

/// An import of images that exist succeeds; one that has to upload is refused before the first upload.
fn read_only_registry(desk: &Desk) -> Tested {
    let shop = shop()?;
    let mut registry = Registry::start(desk, "closing");
    desk.bundle(&["import", &shop.file, "-d", &format!("{}/full", registry.address)]).ok();
    registry.stop();
    std::fs::rename(desk.path("closing.data"), desk.path("closed.data")).unwrap();
    let registry = Registry::read_only(desk, "closed");
    let (empty, full) = (format!("{}/empty", registry.address), format!("{}/full", registry.address));
    let ran = desk.bundle(&["import", &shop.file, "-d", &empty, "--values", "none.yaml"]).ends(1);
    assert!(ran.stderr.lines().any(|line| line.starts_with("error: ")), "{}", ran.shown());
    assert_says(&ran.stderr, "read-only");
    assert!(!ran.stderr.to_lowercase().contains("panicked"), "{}", ran.shown());
    assert!(!desk.exists("none.yaml"));
    desk.bundle(&["import", &shop.file, "-d", &full, "--force"]).ok();
    shop.arrived(&full, &Look::plain());
    PASSED
}

/// The registry restarts while a stream is read. Upload sessions are kept in its storage.
fn a_registry_that_restarts_in_the_middle_of_a_pipe(desk: &Desk) -> Tested {
    let shop = shop()?;
    big::bundle(desk, shop);
    // Sessions are signed with this secret, which is otherwise random for each process.
    let mut registry = Registry::with(desk, "restarts", "  secret: the-same");
    let address = registry.address.clone();
    let import = ["import", "-", "-d", &address, "--values", "big.yaml"];
    let pipe = || desk.bundle(&import).fed_from(&desk.path("big.tar.zst"));
    let mut run = pipe().args(&["--limit-rate", "10M"]).start();
    run.until("a part of the layer is there", || {
        big::bytes_below(&desk.path("restarts.data")) > big::SIZE / 4
    });
    registry.stop();
    // The registry stays away until the program has tried to connect once more.
    let absent = TcpListener::bind(&address).unwrap();
    absent.set_nonblocking(true).unwrap();
    run.until("another connection", || absent.accept().is_ok());
    drop(absent);
    registry.start_again(desk);
    let ran = run.wait();
    // docker-registry 2.8 loses an upload that is cut in the middle of a chunk. Exit code 7 reports that.
    if ran.code != 0 {
        assert_eq!(ran.code, 7, "{}", ran.shown());
        pipe().args(&["--force"]).ok();
    }
    big::arrived(&address, &Look::plain());
    desk.folder_made("spool");
    let again = desk.bundle(&["import", "-", "-d", &format!("{address}/again"), "--values", "again.yaml"]);
    again.args(&["--spool", "spool"]).fed_from(&desk.path("big.tar.zst")).ok();
    Ok(format!("exit code {}", ran.code))
}

fn layouts_of_other_tools(desk: &Desk) -> Tested {
    let shop = shop()?;
    // skopeo writes the whole name into org.opencontainers.image.ref.name.
    for ware in &shop.wares {
        let copy = desk.skopeo(&["copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false"]);
        let (from, to) = (
            format!("docker://{}/{}", shop.outside, ware.name()),
            format!("oci:layout:{HOST}/{}", ware.name()),
        );
        copy.args(&[&from, &to]).ok();
    }
    desk.line("tar -C layout -cf layout.tar .").ok();
    desk.line("gzip -k layout.tar").ok();
    desk.line("zstd -q layout.tar -o layout.tar.zst").ok();
    desk.line("tar -C layout -cf reversed.tar index.json blobs oci-layout").ok();
    let files = ["layout.tar", "layout.tar.gz", "layout.tar.zst", "reversed.tar"];
    for form in [&["layout"][..], &files].concat() {
        desk.bundle(&["inspect", form]).ok();
        let place = format!("{}/foreign/{}", shop.inside, form.replace('.', "-"));
        desk.bundle(&["import", form, "-d", &place, "--force"]).ok();
        shop.arrived(&place, &Look::plain());
    }
    desk.folder_made("spool");
    for form in files {
        let place = format!("{}/foreign/piped-{}", shop.inside, form.replace('.', "-"));
        let import = desk.bundle(&[
            "import",
            "-",
            "-d",
            &place,
            "--spool",
            "spool",
            "--values",
            &format!("{form}.yaml"),
        ]);
        import.fed_from(&desk.path(form)).ok();
        shop.arrived(&place, &Look::plain());
    }
    assert!(desk.names_in("spool").is_empty(), "what stays in the spool");
    PASSED
}

fn nameless_layout_of_skopeo(desk: &Desk) -> Tested {
    let shop = shop()?;
    let ui = shop.ware("shop/ui");
    let from = format!("docker://{}/{}", shop.outside, ui.name());
    let copy = desk.skopeo(&["copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false"]);
    copy.args(&[&from, "oci-archive:ui.tar"]).ok();
    let (place, name) = (format!("{}/nameless", shop.inside), format!("{HOST}/{}", ui.name()));
    desk.bundle(&["import", "ui.tar", "-d", &place, "--name", &name]).ok();
    assert_eq!(Look::plain().digest(&format!("{place}/shop/ui"), "2.4.0"), ui.digest());
    PASSED
}

/// A layer that skopeo compresses on its way into a registry crosses in compact form, and has the same digest inside.
fn compact_layers_of_skopeo(desk: &Desk) -> Tested {
    debian(&["docker-registry", "skopeo"])?;
    let (outside, inside) = (Registry::start(desk, "outside"), Registry::start(desk, "inside"));
    let layer = Layer::encoded(1, 3_000_000, Encoder::Zlib { level: 1 }).unpacked();
    ImageSpec::new(1).layer(layer).build().layout("app:1", &desk.path("layout"));
    let place = |registry: &Registry| format!("{}/app", registry.address);
    let to = format!("docker://{}:1", place(&outside));
    desk.skopeo(&["copy", "-q", "--dest-tls-verify=false", "oci:layout:app:1", &to]).ok();
    std::fs::write(desk.path("list.txt"), format!("{}:1\n", place(&outside))).unwrap();
    desk.bundle(&["export", "list.txt", "--compact", "-o", "app.compact.tar.zst"]).ok();
    let inspected = desk.bundle(&["inspect", "app.compact.tar.zst", "--format", "json"]).ok();
    let inspected: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    let [blob] = inspected["compact"].as_array().unwrap().as_slice() else { panic!("{inspected}") };
    assert_eq!(blob["form"], "compact", "{blob}");
    let (size, held) = (blob["size"].as_u64().unwrap(), blob["held"].as_u64().unwrap());
    desk.bundle(&["import", "app.compact.tar.zst", "-d", &inside.address]).ok();
    let look = Look::plain();
    assert_eq!(look.digest(&place(&inside), "1"), look.digest(&place(&outside), "1"));
    // skopeo compares the digest of every layer that it reads.
    let from = format!("docker://{}:1", place(&inside));
    desk.skopeo(&["copy", "-q", "--src-tls-verify=false", &from, "dir:back"]).ok();
    Ok(format!("{size} bytes in {held}"))
}
