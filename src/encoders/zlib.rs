//! Deflate as stock zlib writes it, with windows of 32 KiB and `memLevel` 8: Java, Python and practically all jars.
//!
//! The bytes come from zlib itself, through flate2. Other implementations behind flate2 (miniz, zlib-ng, zlib-rs) write
//! other bytes, so [`is_stock`] compares before anything relies on it.

use flate2::{Compress, Compression, FlushCompress};

use crate::image::Digest;

/// Room for output that is made at a time, in bytes.
const ROOM: usize = 64 << 10;

/// One stream after another at one level.
#[derive(Debug)]
pub struct Zlib(Compress);

impl Zlib {
    /// Levels 1 to 9; none for any other. What zlib writes at level 0 depends on the sizes of its buffers.
    pub fn new(level: u8) -> Option<Self> {
        let level = Some(u32::from(level)).filter(|level| (1..=9).contains(level))?;
        Some(Self(Compress::new(Compression::new(level), false)))
    }

    /// Encodes raw bytes; what comes out is appended to `out`.
    pub fn write(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        self.run(raw, FlushCompress::None, out);
    }

    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        self.run(&[], FlushCompress::Sync, out);
    }

    /// Ends the stream; the next byte begins another.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.run(&[], FlushCompress::Finish, out);
        self.0.reset();
    }

    /// Calls zlib until it has taken all input and leaves room in the output, which means that it has nothing left.
    fn run(&mut self, mut raw: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
        loop {
            out.reserve(ROOM);
            let before = self.0.total_in();
            // An error would mean that the stream is in an invalid state, which these calls cannot bring about; "no progress"
            // is a status, not an error.
            let _ = self.0.compress_vec(raw, out, flush);
            let taken = usize::try_from(self.0.total_in() - before).unwrap_or(raw.len());
            raw = raw.get(taken..).unwrap_or_default();
            if raw.is_empty() && out.len() < out.capacity() {
                return;
            }
        }
    }
}

/// Whether the zlib in this program writes the bytes of stock zlib.
pub fn is_stock() -> bool {
    /// SHA-256 of the sample at levels 1, 6 and 9, as Python's zlib 1.2.13 writes it.
    const KNOWN: [(u8, &str); 3] = [
        (1, "4a47daa54c285449a64f9dd2a0f9244a9ee4220546a09b50c812cf612d555752"),
        (6, "0bbbf7b542a6fafda2309e63c1892ffccf36667bf28b242b597269916f06468e"),
        (9, "0bbbf7b542a6fafda2309e63c1892ffccf36667bf28b242b597269916f06468e"),
    ];
    let sample: Vec<u8> = (0..6000_u32).map(|n| (n * n / 7 % 251).to_le_bytes()[0] / 3).collect();
    KNOWN.iter().all(|(level, known)| {
        let mut out = Vec::new();
        let Some(mut encoder) = Zlib::new(*level) else { return false };
        encoder.write(&sample, &mut out);
        encoder.end(&mut out);
        Digest::sha256(&out).hex() == *known
    })
}
