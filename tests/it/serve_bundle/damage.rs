//! Content that is damaged while it is served never reaches a client as whole content.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use airgap_bundle::archive::{
    ArchiveError, BundleManifest, BundleReader, ContentPieces, ImageStore, Manifests,
};
use airgap_bundle::destination::Mapping;
use airgap_bundle::image::Digest;
use airgap_bundle::serve::{BundleStore, Store as _, TagOrDigest};
use bytes::Bytes;

use super::*;
use crate::support::images::{ImageSpec, Layer};

const FRAME: usize = 8 << 20;

/// Flips a byte of a file in its place.
fn flip(file: &Path, at: usize) {
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let (mut byte, at) = ([0], at as u64);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

/// A served bundle of an image with one layer; the digest and content of the layer.
fn one_layer(layer: Layer) -> (Gap, Served, TestImage) {
    let mut gap = Gap::new();
    let image = ImageSpec::new(1).layer(layer).build();
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst"]);
    let served = Served::start(&gap, &["out.tar.zst", "--address", "127.0.0.1:0"]);
    (gap, served, image)
}

impl Served {
    /// The status, and the body if all of it came.
    async fn try_get(&self, path: &str, range: Option<&str>) -> (u16, Option<Vec<u8>>) {
        let answer = self.ask(Method::GET, path, range).await;
        let status = answer.status().as_u16();
        (status, answer.bytes().await.ok().map(|bytes| bytes.to_vec()))
    }

    /// It was not given out as what it is called, whether it broke off or there was an error.
    async fn refuses(&self, path: &str, range: Option<&str>) -> u16 {
        let (status, body) = self.try_get(path, range).await;
        match status {
            200 | 206 => assert_eq!(body, None, "{path} {range:?}"),
            500 => {
                let body: serde_json::Value = serde_json::from_slice(&body.unwrap()).unwrap();
                assert!(body["errors"][0]["message"].is_string());
            }
            status => panic!("{path} {range:?}: {status}"),
        }
        status
    }

    fn warnings(&mut self) -> String {
        self.run.signal(Signal::INT);
        let ran = self.run.wait();
        assert_eq!(ran.code, 0, "{}", ran.shown());
        ran.stderr
    }
}

#[tokio::test]
async fn a_damaged_layer_breaks_off_and_the_frames_that_are_whole_are_given_out() {
    let (gap, mut served, image) = one_layer(Layer::gzip(1, FRAME + 900_000));
    let (digest, bytes) = &image.blobs[1];
    let path = format!("/v2/team/app/blobs/{digest}");
    assert_eq!(served.get(&path).await, (200, bytes.to_vec()));
    let file = gap.read("out.tar.zst");
    let at = file.windows(64).position(|part| *part == bytes[4 << 20..][..64]).unwrap();
    flip(&gap.path("out.tar.zst"), at);
    assert_eq!(served.refuses(&path, None).await, 200);
    assert_eq!(served.refuses(&path, Some("bytes=0-")).await, 206);
    // Nothing of a frame can be checked without all of it.
    let last = FRAME - 1;
    for range in [
        "bytes=1-",
        "bytes=0-9",
        "bytes=5000000-6000000",
        &format!("bytes={last}-{last}"),
        &format!("bytes={last}-"),
    ] {
        served.refuses(&path, Some(range)).await;
    }
    for part in [FRAME..FRAME + 1, FRAME + 3..FRAME + 700_003, FRAME..FRAME + 900_000] {
        let range = format!("bytes={}-{}", part.start, part.end - 1);
        assert_eq!(served.try_get(&path, Some(&range)).await, (206, Some(bytes[part].to_vec())), "{range}");
    }
    assert_eq!(served.get(&format!("/v2/team/app/blobs/{}", image.blobs[0].0)).await.0, 200);
    flip(&gap.path("out.tar.zst"), at);
    assert_eq!(served.get(&path).await, (200, bytes.to_vec()));
    let warnings = served.warnings();
    assert!(warnings.contains(&format!("warning: blob {digest} cannot be read whole")), "{warnings}");
    assert!(warnings.contains("the answer was broken off"), "{warnings}");
}

#[tokio::test]
async fn a_damaged_compressed_layer_is_not_given_out_either() {
    let (gap, served, image) = one_layer(Layer::tar(1, FRAME + 900_000));
    let (digest, bytes) = &image.blobs[1];
    let path = format!("/v2/team/app/blobs/{digest}");
    for part in [0..10, 77..FRAME + 9, FRAME..FRAME + 1, 1..bytes.len()] {
        let range = format!("bytes={}-{}", part.start, part.end - 1);
        assert_eq!(served.try_get(&path, Some(&range)).await, (206, Some(bytes[part].to_vec())), "{range}");
    }
    // Nearly all of the file is the first of its two frames.
    flip(&gap.path("out.tar.zst"), gap.read("out.tar.zst").len() / 2);
    served.refuses(&path, None).await;
    served.refuses(&path, Some("bytes=1-5")).await;
}

/// A bundle whose manifests change under the hands of who serves them.
#[derive(Debug)]
struct Changing {
    bundle: BundleReader,
    changed: AtomicBool,
}

impl Manifests for Changing {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        let bytes = Manifests::manifest(&self.bundle, digest)?;
        let blank = Bytes::from([&bytes[..], b" "].concat());
        Ok(if self.changed.load(Ordering::SeqCst) { blank } else { bytes })
    }
}

impl ImageStore for Changing {
    fn bundle(&self) -> &BundleManifest {
        self.bundle.manifest()
    }

    fn open(&self, digest: &Digest, from: u64) -> Result<ContentPieces, ArchiveError> {
        ImageStore::open(&self.bundle, digest, from)
    }

    fn name(&self) -> String {
        ImageStore::name(&self.bundle)
    }
}

#[test]
fn changed_manifests_are_not_given_out() {
    let mut gap = Gap::new();
    let image = multi_platform(1);
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst"]);
    let bundle = crate::support::bundles::open_file(&gap.path("out.tar.zst"));
    let image_store = Arc::new(Changing { bundle, changed: AtomicBool::new(false) });
    let store =
        BundleStore::new(Arc::clone(&image_store) as Arc<dyn ImageStore>, Mapping::default()).unwrap();
    let name = "team/app".parse().unwrap();
    let wanted = [
        TagOrDigest::Tag("1".parse().unwrap()),
        TagOrDigest::Digest(image.digest),
        TagOrDigest::Digest(image.children[0].digest),
    ];
    for wanted in &wanted {
        assert!(store.manifest(&name, wanted).is_ok());
    }
    image_store.changed.store(true, Ordering::SeqCst);
    for wanted in &wanted {
        let error = store.manifest(&name, wanted).unwrap_err().to_string();
        assert!(error.contains("damaged in the bundle"), "{error}");
    }
}

/// A layout has no checksums of parts, so each request for one is answered with the whole.
#[tokio::test]
async fn layouts_are_served_whole_and_checked() {
    let mut gap = Gap::new();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 900_000)).layer(Layer::gzip(2, 1000)).build();
    gap.image("team/app", "1", &image);
    gap.export(&["-o", "out.tar.zst"]);
    let tar = zstd::decode_all(&gap.read("out.tar.zst")[..]).unwrap();
    tar::Archive::new(&tar[..]).unpack(gap.path("layout")).unwrap();
    let served = Served::start(&gap, &["layout", "--address", "127.0.0.1:0"]);
    let path = |digest: &Digest| format!("/v2/team/app/blobs/{digest}");
    for (digest, bytes) in &image.blobs {
        for range in [None, Some("bytes=1-2")] {
            assert_eq!(served.try_get(&path(digest), range).await, (200, Some(bytes.to_vec())));
        }
        let head = served.ask(Method::HEAD, &path(digest), None).await;
        assert_eq!(head.headers()["accept-ranges"], "none");
    }
    for (digest, bytes) in &image.blobs {
        let file = gap.path("layout").join(digest.layout_path());
        flip(&file, bytes.len() - 1);
        let expected = if bytes.len() > 256 << 10 { 200 } else { 500 };
        for range in [None, Some("bytes=1-2")] {
            assert_eq!(served.refuses(&path(digest), range).await, expected);
        }
        // One that was cut short.
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(served.refuses(&path(digest), None).await, expected);
    }
}
