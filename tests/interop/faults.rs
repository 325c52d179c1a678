//! Long tests: rate limits, a layer beyond 4 GiB, kills at random moments, bad links.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use airgap_bundle::image::Digest;
use serde_json::json;

use crate::chaos;
use crate::desk::{Desk, Run, assert_same};
use crate::harness::{Skip, Tested, tests};
use crate::look::Look;
use crate::push;
use crate::registries::{Registry, Served};
use crate::shop::shop;
use crate::support::images::{ImageSpec, Layer};

tests![
    limit_rate_holds.on_request().alone(),
    a_layer_of_5_gib.on_request().alone(),
    killed_again_and_again.on_request().alone(),
    chaos.on_request().alone(),
];

/// `--limit-rate` over ten seconds, of one large layer and of several at once: no faster than the limit; how much
/// slower depends on the machine, and is reported.
fn limit_rate_holds(desk: &Desk) -> Tested {
    const LEAST: Duration = Duration::from_millis(9500);
    let shop = shop()?;
    let parts: Vec<Layer> = (0..10).map(|seed| Layer::gzip(500 + seed, 5_000_000)).collect();
    let whole = Layer::gzip(499, 50_000_000);
    let served = Served::folder(desk, "destination");
    let mut figures = "50 MB at 5 MB/s: ".to_owned();
    let timed = |run: Run| {
        let begun = Instant::now();
        run.args(&["--limit-rate", "5M"]).ok();
        begun.elapsed()
    };
    for (kind, layers) in [("one", vec![whole]), ("many", parts)] {
        let place = format!("{}/rate/{kind}", shop.outside);
        push::image(&place, "1", &ImageSpec::new(500).layers(layers).build());
        let (list, file) = (format!("{kind}.txt"), format!("{kind}.tar.zst"));
        desk.write(&list, &format!("{place}:1\n"));
        let export = timed(desk.bundle(&["export", &list, "-o", &file]));
        write!(figures, "export of {kind} layer(s) {} ms, ", export.as_millis()).unwrap();
        assert!(export >= LEAST, "{figures}");
        let import = timed(desk.bundle(&["import", &file, "-d", &served.address]));
        write!(figures, "import {} ms, ", import.as_millis()).unwrap();
        assert!(import >= LEAST, "{figures}");
    }
    Ok(figures.trim_end_matches(", ").to_owned())
}

/// A layer beyond 4 GiB through every part of it: source, file, both kinds of serving, destination.
fn a_layer_of_5_gib(desk: &Desk) -> Tested {
    let free = rustix::fs::statvfs(desk.folder()).unwrap();
    if free.f_bavail * free.f_frsize < 30 << 30 {
        return Err(Skip::because("no 30 GB to spare here"));
    }
    let huge = desk.path("huge");
    let size = 5_u64 << 30;
    File::create(&huge).unwrap().set_len(size).unwrap();
    let digest: Digest = format!("sha256:{}", crate::desk::sha256(&huge)).parse().unwrap();
    // The media type says gzip, because export compresses layers that are not.
    let image = ImageSpec::new(5).layer(Layer::gzip(5, 0)).build().altered(|manifest| {
        manifest["layers"][0]["digest"] = json!(digest);
        manifest["layers"][0]["size"] = json!(size);
    });
    let source = Served::folder(desk, "source");
    let place = format!("{}/huge/image", source.address);
    push::blob_of_file(&place, &digest, &huge);
    let (config, bytes) = &image.blobs[0];
    push::blob(&place, config, bytes);
    push::manifest(&place, "1", &image);
    desk.write("huge.txt", &format!("{place}:1\n"));
    desk.bundle(&["export", "huge.txt", "-o", "huge.tar.zst"]).ok();
    desk.bundle(&["verify", "huge.tar.zst"]).ok();

    let destination = Served::folder(desk, "destination");
    let mut run = desk.bundle(&["import", "huge.tar.zst", "-d", &destination.address]).start();
    // The peak memory of the import.
    let mut peak = 0;
    let status = format!("/proc/{}/status", run.id());
    while run.ended().is_none() {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(50));
    }
    let ran = run.wait();
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let there = format!("{}/huge/image", destination.address);
    assert_eq!(Look::plain().digest(&there, "1"), image.digest.to_string());
    let url = format!("http://{}/v2/huge/image/blobs/{digest}", destination.address);
    desk.run("cmp", &[&huge.to_string_lossy(), "-"]).fed_by(desk.run("curl", &["-fsS", &url]));
    Ok(format!("import took {peak} kB of memory"))
}

/// With Debian's registry, exports and imports are killed at random moments and run again, until they get through.
/// `KILLS_SECONDS` is how long new rounds are begun (120), `CHAOS_SEED` the seed (1).
fn killed_again_and_again(desk: &Desk) -> Tested {
    let shop = shop()?;
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(number("KILLS_SECONDS", 120));
    let mut dice = fastrand::Rng::with_seed(number("CHAOS_SEED", 1));
    let (mut rounds, mut kills) = (0, 0);
    // About three seconds a run, so that kills happen during transfers.
    let slowly = ["--limit-rate", "5M"];
    // Runs a command until it succeeds; kills four of five runs at a random moment.
    let mut killed = |run: &dyn Fn() -> Run| {
        for _ in 0..100 {
            let mut running = run().args(&slowly).start();
            let moment = Instant::now() + Duration::from_millis(dice.u64(..3000));
            while running.ended().is_none() && Instant::now() < moment {
                std::thread::sleep(Duration::from_millis(2));
            }
            if running.ended().is_none() && dice.u8(..5) != 0 {
                running.kill();
                kills += 1;
            } else if running.wait().code == 0 {
                return;
            }
        }
        panic!("no getting through");
    };
    while rounds == 0 || Instant::now() < until {
        rounds += 1;
        desk.remove("out");
        desk.folder_made("out");
        killed(&|| shop.export(desk, &["-o", "out/shop.tar.zst"]));
        assert_same(&desk.path("out/shop.tar.zst"), shop.file());
        desk.line("sha256sum -c --quiet shop.tar.zst.sha256").current_dir(&desk.path("out")).ok();
        assert_eq!(desk.names_in("out"), ["shop.tar.zst", "shop.tar.zst.sha256"]);
        let name = format!("chaos{rounds}");
        let registry = Registry::start(desk, &name);
        killed(&|| desk.bundle(&["import", "out/shop.tar.zst", "-d", &registry.address, "--force"]));
        shop.arrived(&registry.address, &Look::plain());
        drop(registry);
        desk.remove(&format!("{name}.data"));
        desk.remove("shop.values.yaml");
    }
    Ok(format!("{rounds} rounds, {kills} kills"))
}

/// A link that cuts, stalls, slows and corrupts, registries that restart, a program that is killed; the rounds
/// are in tests/it/chaos.rs. `CHAOS_SECONDS` is for how long (3600). All figures are in `target/tmp/chaos-figures`.
#[allow(clippy::unnecessary_wraps, reason = "every test returns one")]
fn chaos(_: &Desk) -> Tested {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos-figures");
    let mut file = File::create(&path).unwrap();
    let mut last = String::new();
    chaos::rounds(3600, &mut |line: &str| {
        writeln!(file, "{line}").unwrap();
        line.clone_into(&mut last);
    });
    Ok(format!("{}; all figures are in {}", last.trim_start_matches("# "), path.display()))
}
