//! An image with one layer of 40 MB, large enough to kill an import in the middle of it.

use std::path::Path;
use std::sync::LazyLock;

use crate::desk::{Desk, Run};
use crate::look::Look;
use crate::push;
use crate::shop::Shop;
use crate::support::images::{ImageSpec, Layer, TestImage};

pub const SIZE: u64 = 40_000_000;

static IMAGE: LazyLock<TestImage> = LazyLock::new(|| {
    let mut noise = vec![0; usize::try_from(SIZE).unwrap()];
    fastrand::Rng::with_seed(40).fill(&mut noise);
    ImageSpec::new(40).layer(Layer::of_files(&[("data", &noise)])).build()
});

/// Pushes the image to the registry outside and exports it to `big.tar.zst`.
pub fn bundle(desk: &Desk, shop: &Shop) {
    push::image(&format!("{}/big/image", shop.outside), "1", &IMAGE);
    desk.write("big.txt", &format!("{}/big/image:1\n", shop.outside));
    desk.bundle(&["export", "big.txt", "-o", "big.tar.zst"]).ok();
}

/// Starts an import of the bundle, and kills it when about half of the file has been read.
pub fn killed_in_the_middle(import: Run) {
    let mut run = import.args(&["--limit-rate", "10M"]).start();
    let io = format!("/proc/{}/io", run.id());
    let read = || {
        let io = std::fs::read_to_string(&io).unwrap_or_default();
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0_u64)
    };
    run.until("half of it is read", || read() > SIZE / 2 + (4 << 20));
    run.kill();
}

pub fn arrived(place: &str, look: &Look) {
    assert_eq!(look.digest(&format!("{place}/big/image"), "1"), IMAGE.digest.to_string(), "the large image");
}

/// The size of all files below a folder, which may change meanwhile.
pub fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.filter_map(Result::ok).map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
