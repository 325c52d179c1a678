//! Limits how far compressed input may expand, so that a small file cannot fill memory or keep a machine busy for
//! hours.
//!
//! There are two limits. Content that is held in memory as a whole (JSON) is limited to a multiple of its compressed
//! size; manifests and configs are full of digests, which do not compress. All content together may expand further,
//! because layers of zeros do exist.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::archive::{ArchiveError, FormatError};

/// Bytes that may be held for each compressed byte, and bytes that are allowed in addition. Heads of real bundles
/// expand 3 to 12 times; see the test of scale.
const HELD_RATIO: u64 = 64;
const HELD_FREE: u64 = 8 << 20;
/// The same limits for everything that is read.
const RATIO: u64 = 1000;
const FREE: u64 = 4 << 30;

/// Counts compressed bytes as they are read.
#[derive(Clone, Debug, Default)]
pub(in crate::archive) struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Whether this many bytes may be held in memory.
    pub(in crate::archive) fn may_hold(&self, bytes: u64) -> bool {
        may_hold(bytes, self.0.load(Ordering::Relaxed))
    }
}

/// Whether `bytes` may be held that were expanded from `compressed` bytes.
pub(in crate::archive) fn may_hold(bytes: u64, compressed: u64) -> bool {
    bytes <= HELD_FREE.saturating_add(compressed.saturating_mul(HELD_RATIO))
}

/// The error for `what`, which expands too far.
pub(in crate::archive) fn too_far(what: &str) -> ArchiveError {
    ArchiveError::Format(FormatError::Damaged(format!(
        "{what} is more than {HELD_RATIO} times as large as its compressed form, as no JSON of images is"
    )))
}

/// Compressed input whose bytes are counted, and can be looked at before they are consumed.
pub(in crate::archive) struct Counted<R> {
    input: R,
    /// Read from the input but not passed on yet, from `at` on.
    ahead: Vec<u8>,
    at: usize,
    gauge: Gauge,
}

impl<R> Counted<R> {
    pub(in crate::archive) fn new(input: R) -> (Self, Gauge) {
        let gauge = Gauge::default();
        (Self { input, ahead: Vec::new(), at: 0, gauge: gauge.clone() }, gauge)
    }

    /// Bytes passed on so far.
    pub(in crate::archive) fn position(&self) -> u64 {
        self.gauge.0.load(Ordering::Relaxed)
    }
}

impl<R: BufRead> Counted<R> {
    /// The next `most` bytes, which are not consumed; fewer only at the end of the input.
    pub(in crate::archive) fn peek(&mut self, most: usize) -> io::Result<&[u8]> {
        // Frames may be shorter than this, so that a remainder is left before each of them.
        self.ahead.drain(..self.at);
        self.at = 0;
        while self.ahead.len() < most {
            let more = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                more => more?,
            };
            if more.is_empty() {
                break;
            }
            let taken = more.len().min(most - self.ahead.len());
            self.ahead.extend_from_slice(&more[..taken]);
            self.input.consume(taken);
        }
        Ok(&self.ahead[..self.ahead.len().min(most)])
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.ahead.len() {
            return Ok(&self.ahead[self.at..]);
        }
        (self.ahead, self.at) = (Vec::new(), 0);
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.gauge.0.fetch_add(amount as u64, Ordering::Relaxed);
        if self.at < self.ahead.len() {
            self.at += amount;
        } else {
            self.input.consume(amount);
        }
    }
}

/// The content of compressed input; reading fails when it expands too far.
pub(in crate::archive) struct Expanding<R> {
    content: R,
    gauge: Gauge,
    given: u64,
}

impl<R> Expanding<R> {
    pub(in crate::archive) fn new(content: R, gauge: Gauge) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_ahead_stays_small_however_short_the_frames_are() {
        let input: Vec<u8> = (0..=u8::MAX).cycle().take(13 * 1000).collect();
        let (mut counted, _) = Counted::new(&input[..]);
        for at in (0..input.len()).step_by(13) {
            let end = input.len().min(at + 18);
            assert_eq!(counted.peek(4).unwrap(), &input[at..at + 4]);
            assert_eq!(counted.peek(18).unwrap(), &input[at..end]);
            assert!(counted.ahead.len() <= 18, "{} bytes at {at}", counted.ahead.len());
            let mut taken = [0; 13];
            counted.read_exact(&mut taken).unwrap();
            assert_eq!(taken, input[at..at + 13]);
        }
        assert_eq!(counted.position(), input.len() as u64);
        assert!(counted.peek(4).unwrap().is_empty());
    }
}
