//! Caches that lose content between two runs: the registry does not have any more what an earlier run found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, index};
use crate::support::liar::{Asked, Liar, Lie, answer};

const HEALTHY: usize = 0;
/// The first layer is not to be had.
const FAILING: usize = 1;
/// The cache was emptied: a blob is there once a manifest that names it was asked for.
const EMPTIED: usize = 2;
/// The image is gone.
const GONE: usize = 3;

fn unknown() -> Lie {
    let body = br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;
    Lie::Raw(answer("404 Not Found", "content-type: application/json\r\n", body))
}

/// A cache before `gap.source`; its state can be set.
fn cache(gap: &Gap, image: &TestImage, lost: &str) -> (Liar, Arc<AtomicUsize>) {
    let state = Arc::new(AtomicUsize::new(HEALTHY));
    let of_cache = state.clone();
    let named: Mutex<Vec<String>> = Mutex::default();
    let (image, lost) = (image.clone(), lost.to_owned());
    let liar = Liar::before(&gap.source, move |asked: &Asked| {
        let state = of_cache.load(Ordering::SeqCst);
        if asked.method == "GET" && asked.path.contains("/manifests/") && state == EMPTIED {
            let all = std::iter::once(&image).chain(&image.children);
            let of = all.filter(|one| asked.path.ends_with(&one.digest.to_string()));
            let blobs = of.flat_map(|one| one.blobs.iter().map(|(digest, _)| digest.to_string()));
            named.lock().unwrap().extend(blobs);
        }
        let Some((_, blob)) = asked.path.split_once("/blobs/") else { return Lie::No };
        match state {
            FAILING if blob == lost => Lie::Raw(answer("403 Forbidden", "", b"")),
            EMPTIED if !named.lock().unwrap().iter().any(|known| known == blob) => unknown(),
            GONE => unknown(),
            _ => Lie::No,
        }
    });
    (liar, state)
}

/// An export that failed at one layer, and a cache that was emptied since then.
fn interrupted(image: &TestImage, lost: &str, arguments: &[&str]) -> (Gap, Liar, Arc<AtomicUsize>) {
    let mut gap = Gap::new();
    gap.source.put_image("team/app", "1", image);
    let (liar, state) = cache(&gap, image, lost);
    gap.line(&format!("{}/team/app:1", liar.host()));
    state.store(FAILING, Ordering::SeqCst);
    let ran = gap.try_export(&[&["-o", "out.tar.zst"], arguments].concat());
    assert_eq!(ran.code, 4, "{}", ran.shown());
    assert!(gap.path("out.tar.zst.partial.journal").exists());
    (gap, liar, state)
}

fn image(seed: u64) -> TestImage {
    let spec = ImageSpec::new(seed).layer(Layer::gzip(seed, 300_000)).layer(Layer::gzip(seed + 1, 9_000));
    spec.layer(Layer::tar(seed, 50_000)).build()
}

#[test]
fn a_cache_that_was_emptied_is_asked_for_the_manifests_again() {
    let both = index(vec![(("linux", "amd64"), image(1)), (("linux", "arm64"), image(5))], false);
    for (image, lost) in [(image(1), image(1).layers()[0]), (both.clone(), both.children[1].layers()[2])] {
        let (gap, liar, state) = interrupted(&image, &lost.to_string(), &[]);
        let before = liar.asked().len();
        state.store(EMPTIED, Ordering::SeqCst);
        let ran = gap.export(&["-o", "out.tar.zst"]);
        assert!(ran.stderr.contains("resuming the run"), "{}", ran.shown());
        let asked = liar.asked();
        let manifests: Vec<&str> = asked[before..]
            .iter()
            .filter(|asked| asked.is("GET", "/manifests/sha256:"))
            .map(|asked| asked.path.as_str())
            .collect();
        let mut once = manifests.clone();
        once.sort_unstable();
        once.dedup();
        assert!(!manifests.is_empty() && once.len() == manifests.len(), "{manifests:?}");
        gap.import("out.tar.zst", &[]);
        assert_whole(&gap.destination, "team/app", "1", &image);
    }
}

#[test]
fn manifests_of_an_earlier_run_are_asked_for_again_before_their_configs_and_children_are() {
    let both = index(vec![(("linux", "amd64"), image(1)), (("linux", "arm64"), image(5))], false);
    let (mut gap, liar, state) = interrupted(&both, &both.children[1].layers()[2].to_string(), &[]);
    state.store(EMPTIED, Ordering::SeqCst);
    // Another request, for which nothing but the manifests is known.
    gap.image("team/other", "1", &image(9));
    std::fs::remove_file(gap.path("out.tar.zst.partial")).unwrap();
    gap.export(&["-o", "out.tar.zst"]);
    gap.import("out.tar.zst", &[]);
    assert_whole(&gap.destination, "team/app", "1", &both);
    drop(liar);
}

#[test]
fn an_image_that_is_gone_since_it_was_resolved_is_called_gone() {
    let image = image(1);
    let (gap, _liar, state) = interrupted(&image, &image.layers()[0].to_string(), &[]);
    state.store(GONE, Ordering::SeqCst);
    let ran = gap.try_export(&["-o", "out.tar.zst"]);
    assert_eq!(ran.code, 1, "{}", ran.shown());
    assert!(ran.stderr.contains("but it no longer exists: resolve it again with --fresh"), "{}", ran.shown());
    assert!(!ran.stderr.contains("run the same command again"), "{}", ran.shown());
    state.store(HEALTHY, Ordering::SeqCst);
    gap.export(&["-o", "out.tar.zst", "--fresh"]);
}
