//! How far compressed input may expand: nothing small may fill memory, or keep a machine busy for hours.
//!
//! Two guards. What is held in memory as a whole (JSON) may be so many times the compressed bytes it came from; manifests
//! and configs are full of digests, which do not compress. Everything together may expand further, since layers of zeros
//! do occur.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ArchiveError;

/// What may be held for each compressed byte that was read, and what is free besides, in bytes. Heads of real bundles
/// expand 3 to 12 times; see the test of scale.
const HELD_RATIO: u64 = 64;
const HELD_FREE: u64 = 8 << 20;
/// The same for everything that is read.
const RATIO: u64 = 1000;
const FREE: u64 = 4 << 30;

/// Counts compressed bytes as they are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Whether so many bytes may be held in memory.
    pub(super) fn may_hold(&self, bytes: u64) -> bool {
        may_hold(bytes, self.0.load(Ordering::Relaxed))
    }
}

/// Whether `bytes` may be held that were made of `compressed` bytes.
pub(super) fn may_hold(bytes: u64, compressed: u64) -> bool {
    bytes <= HELD_FREE.saturating_add(compressed.saturating_mul(HELD_RATIO))
}

/// The error for `what`, which expands too far.
pub(super) fn too_far(what: &str) -> ArchiveError {
    ArchiveError::Damaged(format!(
        "{what} is more than {HELD_RATIO} times as large as its compressed form, as no JSON of images is"
    ))
}

/// Compressed input whose bytes are counted.
pub(super) struct Counted<R> {
    input: R,
    gauge: Gauge,
}

impl<R> Counted<R> {
    pub(super) fn new(input: R) -> (Self, Gauge) {
        let gauge = Gauge::default();
        (Self { input, gauge: gauge.clone() }, gauge)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.gauge.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.gauge.0.fetch_add(amount as u64, Ordering::Relaxed);
        self.input.consume(amount);
    }
}

/// What comes out of compressed input, which ends with an error when it expands too far.
pub(super) struct Expanding<R> {
    content: R,
    gauge: Gauge,
    given: u64,
}

impl<R> Expanding<R> {
    pub(super) fn new(content: R, gauge: Gauge) -> Self {
        Self { content, gauge, given: 0 }
    }
}

impl<R: Read> Read for Expanding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.given += read as u64;
        let compressed = self.gauge.0.load(Ordering::Relaxed);
        if self.given > FREE.saturating_add(compressed.saturating_mul(RATIO)) {
            return Err(io::Error::other(format!(
                "it expands to more than {RATIO} times its size; if that is meant, decompress it first"
            )));
        }
        Ok(read)
    }
}
