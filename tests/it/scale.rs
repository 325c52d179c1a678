//! Large catalogs without a network: what a plan, its file and its import cost. `SCALE_IMAGES=100000` takes as many images of
//! 100 MB (10 TB); the figures are printed with `--nocapture`. The bundle, which is sparse, stays in `SCALE_FOLDER`.

#![expect(clippy::print_stderr, reason = "figures are for people")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use airgap_bundle::archive::{ArchiveError, BundleReader, FileInput, Input, PartialFile, Users, ending};
use airgap_bundle::destination::{Destination, Mapping};
use airgap_bundle::image::{Algorithm, Digest, media_type};
use airgap_bundle::plan::{ImageTargets, ImportPlan, Missing, Shards};
use bytes::Bytes;
use serde_json::json;

use crate::support::bundles::plan;
use crate::support::cli::Cli;
use crate::support::images::TestImage;

const MB: u64 = 1_000_000;

/// Image `number`: four layers of twenty bases that many share, six of its own; 100 MB of what nobody else has.
fn image(number: u64) -> TestImage {
    let config = Bytes::from(format!(r#"{{"os":"linux","architecture":"amd64","number":{number}}}"#));
    let layer = |name: String, size: u64| {
        let digest = Digest::sha256(name.as_bytes());
        json!({ "mediaType": media_type::OCI_LAYER_GZIP, "digest": digest, "size": size })
    };
    let shared = (0..4).map(|nth| layer(format!("base {} {nth}", number % 20), 20 * MB + nth));
    let own = (0..6).map(|nth| layer(format!("own {number} {nth}"), (100 * MB - number % 1000) / 6));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": shared.chain(own).collect::<Vec<_>>(),
        "config": { "mediaType": media_type::OCI_CONFIG, "digest": Digest::sha256(&config), "size": config.len() },
    });
    let manifest = Bytes::from(manifest.to_string());
    TestImage {
        digest: Digest::of(Algorithm::Sha256, &manifest),
        media_type: media_type::OCI_MANIFEST.to_owned(),
        blobs: vec![(Digest::sha256(&config), config)],
        children: Vec::new(),
        manifest,
    }
}

/// Counts what is read of a file.
#[derive(Debug)]
struct Counted(FileInput, AtomicU64);

impl Input for Counted {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.1.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.0.read_at(offset, buffer)
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// What `work` gives, with its seconds and the memory that it took at most, in bytes.
fn measured<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let memory = |line: &str| -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|own| own.starts_with(line)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    // Resets the highest there was (proc(5)); where that is not allowed, the figure is too large.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (before, began) = (memory("VmRSS:"), Instant::now());
    let result = work();
    let took = began.elapsed().as_secs_f64();
    let most = memory("VmHWM:").saturating_sub(before);
    eprintln!("{what}: {took:.2} s, {} MB of memory", most / MB);
    result
}

#[test]
fn a_large_catalog_is_planned_written_opened_and_split() {
    let number = std::env::var("SCALE_IMAGES").map_or(1000, |text| text.parse().unwrap());
    let images: Vec<(String, TestImage)> =
        (0..number).map(|at| (format!("registry.example/team-{}/app-{at}:1", at % 300), image(at))).collect();
    let images: Vec<(&str, TestImage)> =
        images.iter().map(|(name, image)| (name.as_str(), image.clone())).collect();
    let mut head = Vec::new();
    let (planned, manifests) = measured("plan of the export", || plan(&images, &mut head));
    let (bundle, layout) = (&planned.bundle, &planned.head.layout);
    assert_eq!(bundle.images.len() as u64, number);
    let payload: u64 = bundle.blobs.iter().map(|blob| blob.size).sum();
    let json = bundle.to_bytes().unwrap().len() as u64;
    let tail = ending(layout, &bundle.blobs, &[]).unwrap();
    eprintln!(
        "{number} images, {} blobs, {} GB: bundle.json {} kB, head {} kB, seek table {} kB",
        bundle.blobs.len(),
        payload / 1000 / MB,
        json / 1000,
        layout.head_len() / 1000,
        tail.len() / 1000,
    );
    // What there is per image and blob stays what it is, whatever their number.
    assert!(json <= 1000 * number + 200 * bundle.blobs.len() as u64 + 10_000, "{json}");
    assert!(layout.head_len() <= 1500 * number + 10_000, "{}", layout.head_len());

    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("SCALE_FOLDER").map_or_else(|| temporary.path().to_owned(), Into::into);
    let path = folder.join("large.tar.zst");
    let file = PartialFile::open(&path, None, true).unwrap();
    file.write_at(0, &head).unwrap();
    file.set_len(layout.max_len()).unwrap();
    file.write_at(layout.max_len() - tail.len() as u64, &tail).unwrap();
    drop(file);
    let (path, _) = written(&folder);
    let counted = Arc::new(Counted(FileInput::open(&path).unwrap(), AtomicU64::new(0)));
    let input: Arc<dyn Input> = Arc::clone(&counted) as Arc<dyn Input>;
    let reader = measured("opening the bundle", || BundleReader::open(&input)).unwrap();
    assert_eq!(reader.manifest(), bundle);
    let read = counted.1.load(Ordering::Relaxed);
    let most = (2 << 20) + layout.head_len() + tail.len() as u64;
    assert!(read <= most, "{read} bytes are read of {}, the plan and 2 MiB are {most}", reader.file_len());

    let destination: Destination = "registry.inside/mirror".parse().unwrap();
    let import = measured("plan of the import", || {
        let (targets, _) = ImageTargets::new(bundle, &destination, Mapping::default(), &|_| true).unwrap();
        let missing =
            targets.0.into_iter().map(|target| Missing { target, image: true, artifacts: Vec::new() });
        ImportPlan::new(bundle, &reader, missing.collect(), &[]).unwrap()
    });
    assert_eq!(import.image_uploads.len() as u64, number);
    let shards = measured("split among 16", || Shards::new(bundle, &manifests, &|_| true, 16).unwrap());
    let most = *shards.bytes.iter().max().unwrap();
    let sum: u64 = shards.bytes.iter().sum();
    let percent = most * 16 * 100 / sum;
    eprintln!("the largest part is {percent} % of the average; {} MB are in several", shards.repeated / MB);
    assert!(most * 160 <= sum * 11, "{:?}", shards.bytes);

    let users = measured("which image needs which blob", || Users::of(bundle, &reader));
    let needed: usize = bundle.blobs.iter().map(|blob| users.of_blob(&blob.digest).len()).sum();
    assert_eq!(needed as u64, number * 12, "manifest, config and ten layers of each image");

    let cli = Cli::new();
    let path = path.to_str().unwrap();
    let ran = measured("bundle inspect", || cli.run(&["inspect", path]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// The name that the file has.
fn written(folder: &std::path::Path) -> (std::path::PathBuf, u64) {
    let entry = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    (entry.path(), entry.metadata().unwrap().len())
}
