//! Exports and imports over a link that cuts, stalls, slows and corrupts, with registries that restart and a program
//! that is killed: in rounds from a seed, until everything has arrived.
//!
//! A round takes seconds. `CHAOS_SECONDS=3600` goes on with further seeds for so long, `CHAOS_SEED=7` begins at
//! another; with `--nocapture` each round prints its figures.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use airgap_bundle::image::{Digest, Hasher};
use airgap_bundle::serve::DirectoryStore;
use tempfile::TempDir;

use crate::support::cli::Cli;
use crate::support::client;
use crate::support::gap::Running;
use crate::support::images::{ImageSpec, Layer, TestImage, multi_platform, signature};
use crate::support::link::Link;
use crate::support::registry::put;

const MIB: u64 = 1 << 20;
const JOBS: u64 = 3;
/// A round that needs more runs than this does not get on.
const MOST_RUNS: u64 = 60;

/// A registry in a process of its own that can be killed, behind a link that is its one address.
struct Remote {
    folder: TempDir,
    link: Link,
    process: Mutex<(Child, SocketAddr)>,
    restarts: AtomicU64,
    /// Bytes of uploads that restarts have lost.
    lost: AtomicU64,
}

impl Remote {
    fn start(images: &[(String, TestImage)], seed: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let store = DirectoryStore::open(folder.path().join("registry")).unwrap();
        for (repository, image) in images {
            put(&store, repository, Some("1"), image);
            let (tag, about) = signature(image);
            put(&store, repository, Some(&tag), &about);
        }
        drop(store);
        let (process, address) = serve(folder.path());
        let link = Link::to(address, seed);
        let process = Mutex::new((process, address));
        Self { folder, link, process, restarts: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }

    /// kill -9, and another process on the same folder.
    fn restart(&self) {
        let mut process = self.process.lock().unwrap();
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        let uploads = std::fs::read_dir(self.folder.path().join("registry/uploads")).unwrap();
        let lost = uploads.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        self.lost.fetch_add(lost, Ordering::SeqCst);
        *process = serve(self.folder.path());
        self.link.lead_to(process.1);
        self.restarts.fetch_add(1, Ordering::SeqCst);
    }

    fn address(&self) -> SocketAddr {
        self.process.lock().unwrap().1
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let process = &mut self.process.lock().unwrap().0;
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn serve(folder: &Path) -> (Child, SocketAddr) {
    let address = folder.join("address");
    let _ = std::fs::remove_file(&address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_bundle"));
    command.args(["serve", "--address", "127.0.0.1:0", "--dir"]).arg(folder.join("registry"));
    command.arg("--address-file").arg(&address).stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = command.stderr(Stdio::null()).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(address) = std::fs::read_to_string(&address).unwrap_or_default().trim().parse() {
            return (process, address);
        }
        assert!(
            process.try_wait().unwrap().is_none() && Instant::now() < limit,
            "the registry does not start"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What has become of one image as far as anybody can see.
enum Seen {
    /// Nobody answers, or a restart came in between.
    Nothing,
    Absent,
    Whole,
}

/// Looks at the registry itself, past the link. With `content`, blobs are read and hashed.
struct Looker {
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Looker {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { http: client(), runtime }
    }

    /// Whatever `repository` has under `tag` must be whole; the digest of it comes back.
    fn look(&self, remote: &Remote, repository: &str, tag: &str, content: bool) -> Result<Seen, String> {
        let root = format!("http://{}/v2/{repository}", remote.address());
        let found = self.runtime.block_on(self.whole(&root, tag, content));
        // A registry that is gone answers nothing; that it has come back under another address says so too.
        match found {
            Err(why) if content || !why.is_empty() => Err(format!("{repository}:{tag}: {why}")),
            Err(_) => Ok(Seen::Nothing),
            Ok(seen) => Ok(seen),
        }
    }

    /// An empty error stands for a registry that does not answer.
    async fn whole(&self, root: &str, tag: &str, content: bool) -> Result<Seen, String> {
        let mut open = vec![tag.to_owned()];
        while let Some(reference) = open.pop() {
            let url = format!("{root}/manifests/{reference}");
            let answer =
                self.http.get(&url).header("accept", "*/*").send().await.map_err(|_| String::new())?;
            if answer.status() == 404 && reference == tag {
                return Ok(Seen::Absent);
            }
            if answer.status() != 200 {
                return Err(format!("{} for {reference}", answer.status()));
            }
            let bytes = answer.bytes().await.map_err(|_| String::new())?;
            if reference != tag && Digest::sha256(&bytes).to_string() != reference {
                return Err(format!("{reference} has other content"));
            }
            let manifest: serde_json::Value =
                serde_json::from_slice(&bytes).map_err(|why| format!("{reference}: {why}"))?;
            for child in manifest["manifests"].as_array().into_iter().flatten() {
                open.push(child["digest"].as_str().ok_or("no digest")?.to_owned());
            }
            let layers = manifest["layers"].as_array().into_iter().flatten();
            for blob in layers.chain(manifest.get("config")) {
                self.blob(root, blob, content).await?;
            }
        }
        Ok(Seen::Whole)
    }

    async fn blob(&self, root: &str, descriptor: &serde_json::Value, content: bool) -> Result<(), String> {
        let digest = descriptor["digest"].as_str().ok_or("no digest")?;
        let url = format!("{root}/blobs/{digest}");
        let request = if content { self.http.get(&url) } else { self.http.head(&url) };
        let mut answer = request.send().await.map_err(|_| String::new())?;
        let length =
            answer.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        if answer.status() != 200 || length != descriptor["size"].as_u64() {
            return Err(format!("{} of {length:?} bytes for {digest}", answer.status()));
        }
        if content {
            let wanted: Digest = digest.parse().map_err(|_| "not a digest")?;
            let mut hasher = Hasher::new(wanted.algorithm());
            while let Some(bytes) = answer.chunk().await.map_err(|_| String::new())? {
                hasher.update(&bytes);
            }
            if hasher.finish() != wanted {
                return Err(format!("{digest} has other content"));
            }
        }
        Ok(())
    }
}

/// Calls `look` over and over on a thread of its own until it is dropped.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Watch {
    fn with(mut look: impl FnMut() -> u64 + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = 0;
            while !told.load(Ordering::SeqCst) {
                seen += look();
                std::thread::sleep(Duration::from_millis(3));
            }
            seen
        });
        Self { stop, thread: Some(thread) }
    }

    /// How much it has seen; fails if what it saw was wrong.
    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// What a phase has cost.
#[derive(Default)]
struct Cost {
    runs: u64,
    kills: u64,
    /// How runs ended by themselves that did not get through, by their exit code.
    failures: Vec<(i32, String)>,
}

/// Runs `arguments` until they get through, killing the program, and restarting the registry, when the bytes that have
/// moved reach points of the dice.
fn get_through(
    cli: &Cli,
    arguments: &[&str],
    remote: &Remote,
    moved: impl Fn() -> u64,
    payload: u64,
    dice: &mut fastrand::Rng,
) -> Cost {
    let mut cost = Cost::default();
    // Something happens within every third of the payload at first, and ever more rarely.
    let mut patience = payload / 3;
    loop {
        let mut run = Running::of(cli.command(arguments));
        cost.runs += 1;
        assert!(cost.runs <= MOST_RUNS, "no getting through: {:?}", cost.failures);
        let mut point = moved() + dice.u64(..patience);
        let ran = loop {
            if run.ended().is_some() {
                break run.wait();
            }
            if moved() >= point {
                patience += payload / 8;
                if dice.bool() {
                    remote.restart();
                } else {
                    run.kill();
                    cost.kills += 1;
                    run = Running::of(cli.command(arguments));
                    cost.runs += 1;
                }
                point = moved() + dice.u64(..patience);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        assert!(!ran.stderr.contains("panicked"), "{}", ran.shown());
        match ran.code {
            0 => return cost,
            code => cost.failures.push((code, ran.stderr)),
        }
    }
}

/// About 60 MiB in images of every kind, which share a base.
fn images(seed: u64) -> Vec<(String, TestImage)> {
    let mib = usize::try_from(MIB).unwrap();
    let base = Layer::gzip(seed, 4 * mib);
    let one = |n: u64, large| {
        let spec = ImageSpec::new(seed + n).layer(base.clone()).layer(Layer::gzip(seed + 10 + n, large));
        spec.layer(Layer::tar(seed + 20 + n, 300_000)).build()
    };
    let mut images = vec![one(1, 20 * mib), one(2, 3 * mib), one(3, 12 * mib), one(4, 100_000)];
    images.push(ImageSpec::new(seed + 5).docker().layer(Layer::gzip(seed + 15, 9 * mib)).build());
    images.push(multi_platform(seed + 6));
    images.into_iter().enumerate().map(|(n, image)| (format!("team/app-{n}"), image)).collect()
}

fn payload(images: &[(String, TestImage)]) -> u64 {
    let blobs: BTreeSet<(Digest, u64)> = images
        .iter()
        .flat_map(|(_, image)| image.all_blobs())
        .map(|(digest, bytes)| (digest, bytes.len() as u64))
        .collect();
    blobs.iter().map(|(_, size)| size).sum()
}

/// Bytes that may have moved: the payload and a fifth, and for all that was killed or spoilt what it had under way.
fn allowed(payload: u64, cost: &Cost, remote: &Remote, largest: u64) -> u64 {
    // A killed program loses a frame of 8 MiB per job, and what is in sockets; a killed registry what its open uploads
    // hold; a wrong bit the blob that has it.
    let in_flight = cost.kills * JOBS * 9 * MIB + remote.lost.load(Ordering::SeqCst);
    payload * 12 / 10 + in_flight + remote.link.faults().corrupted * largest
}

fn largest(images: &[(String, TestImage)]) -> u64 {
    images.iter().flat_map(|(_, image)| image.all_blobs()).map(|(_, bytes)| bytes.len() as u64).max().unwrap()
}

/// What runs said that failed.
fn failures(what: &str, cost: &Cost) -> Vec<String> {
    let one = |(code, stderr): &(i32, String)| format!("{what} ended with {code}: {stderr}");
    cost.failures.iter().map(one).collect()
}

fn figures(what: &str, moved: u64, limit: u64, payload: u64, cost: &Cost, remote: &Remote) -> String {
    let faults = remote.link.faults();
    let times = |bytes: u64| {
        f64::from(u32::try_from(bytes >> 10).unwrap()) / f64::from(u32::try_from(payload >> 10).unwrap())
    };
    format!(
        "{what}: {:.2} times the payload of at most {:.2}, {} runs, {} kills, {} restarts, {} cuts, {} stalls, {} slow, {} corrupted",
        times(moved),
        times(limit),
        cost.runs,
        cost.kills,
        remote.restarts.load(Ordering::SeqCst),
        faults.cuts,
        faults.stalls,
        faults.slow,
        faults.corrupted,
    )
}

/// One export and one import of the same images over bad links.
fn round(seed: u64) -> Vec<String> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let images = images(seed << 8);
    let (payload, largest) = (payload(&images), largest(&images));
    let cli = Cli::new();
    let path = |name: &str| cli.folder().join(name);

    let source = Remote::start(&images, dice.u64(..));
    let lines: Vec<String> =
        images.iter().map(|(name, _)| format!("{}/{name}:1\n", source.link.host())).collect();
    std::fs::write(path("images.txt"), lines.concat()).unwrap();
    let calm = cli.run(&["export", "images.txt", "-o", "calm.tar.zst"]);
    assert_eq!(calm.code, 0, "{}", calm.shown());
    let whole = Arc::new(std::fs::read(path("calm.tar.zst")).unwrap());

    let before = source.link.received();
    source.link.set_wild(true);
    let watch = Watch::with({
        let (file, whole) = (path("out.tar.zst"), Arc::clone(&whole));
        move || match std::fs::read(&file) {
            Ok(bytes) => {
                assert!(bytes == *whole, "seed {seed}: a bundle has its name and is not whole");
                1
            }
            Err(_) => 0,
        }
    });
    let export = ["export", "images.txt", "-o", "out.tar.zst", "--jobs", "3", "--timeout", "1s"];
    let cost = get_through(&cli, &export, &source, || source.link.received(), payload, &mut dice);
    watch.end();
    let moved = source.link.received() - before;
    assert!(std::fs::read(path("out.tar.zst")).unwrap() == *whole, "seed {seed}: another bundle");
    let limit = allowed(payload, &cost, &source, largest);
    let mut said = failures("export", &cost);
    let line = figures("export", moved, limit, payload, &cost, &source);
    assert!(moved <= limit, "seed {seed}: {moved} bytes of {limit}; {line}");
    said.push(line);

    let destination = Arc::new(Remote::start(&[], dice.u64(..)));
    destination.link.set_wild(true);
    let host = destination.link.host();
    let names: Vec<PathBuf> = images.iter().map(|(name, _)| name.into()).collect();
    let watch = Watch::with({
        let (looker, destination) = (Looker::new(), Arc::clone(&destination));
        move || {
            let mut seen = 0;
            for name in &names {
                let name = name.to_str().unwrap();
                match looker.look(&destination, name, "1", false) {
                    Ok(Seen::Whole) => seen += 1,
                    Ok(Seen::Absent | Seen::Nothing) => {}
                    Err(why) => panic!("seed {seed}: {why}"),
                }
            }
            seen
        }
    });
    let import = ["import", "out.tar.zst", "-d", &host, "--jobs", "3", "--timeout", "1s"];
    let cost = get_through(&cli, &import, &destination, || destination.link.sent(), payload, &mut dice);
    let seen = watch.end();
    let moved = destination.link.sent();
    let looker = Looker::new();
    for (name, image) in &images {
        let (tag, _) = signature(image);
        for tag in ["1", &tag] {
            let found = looker.look(&destination, name, tag, true);
            assert!(matches!(found, Ok(Seen::Whole)), "seed {seed}: {name}:{tag} {:?}", found.err());
        }
        let url = format!("http://{}/v2/{name}/manifests/1", destination.address());
        let bytes =
            looker.runtime.block_on(async { looker.http.get(url).send().await?.bytes().await }).unwrap();
        assert_eq!(bytes, image.manifest, "seed {seed}: {name}");
    }
    let limit = allowed(payload, &cost, &destination, largest);
    let line = figures("import", moved, limit, payload, &cost, &destination);
    assert!(moved <= limit, "seed {seed}: {moved} bytes of {limit}; {line}");
    said.extend(failures("import", &cost));
    said.push(format!("{line}, seen whole {seen} times"));
    said
}

#[test]
fn everything_arrives_whatever_the_link_and_the_registries_do() {
    // For whoever looks on with `--nocapture`.
    rounds(0, &mut |line| println!("{line}"));
}

/// Rounds from the seed `CHAOS_SEED`, until `CHAOS_SECONDS` are over; without it, `seconds`.
pub(crate) fn rounds(seconds: u64, say: &mut dyn FnMut(&str)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (mut seed, until) = (number("CHAOS_SEED").unwrap_or(1), number("CHAOS_SECONDS").unwrap_or(seconds));
    let (begun, first) = (Instant::now(), seed);
    loop {
        let at = Instant::now();
        for line in round(seed) {
            say(&format!("seed {seed}, {line}"));
        }
        say(&format!("seed {seed} took {:.1} s", at.elapsed().as_secs_f32()));
        seed += 1;
        if begun.elapsed().as_secs() >= until {
            break;
        }
    }
    say(&format!("# {} rounds from seed {first} in {} s", seed - first, begun.elapsed().as_secs()));
}
