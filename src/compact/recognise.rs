//! Finds the encoder that made a stream, by trial on its start.

use flate2::{Decompress, FlushDecompress, Status};

use super::stepped::Stepped;
use crate::encoders::{Encoder, PGZIP_BLOCK};

/// Raw bytes on which candidates are tried. Most are out after the first 64 KiB.
/// A block of pgzip is 1 MiB, and comes out when it is full.
const SAMPLE: usize = (1 << 20) + (64 << 10);
const STEP: usize = 64 << 10;
/// `XFL` of the slowest and of the fastest level (RFC 1952, 2.3.1).
const SLOWEST: u8 = 2;
const FASTEST: u8 = 4;

/// The first encoder, the likely ones first, that makes the start of `deflate` (raw deflate data, whose gzip header says
/// `extra` in `XFL`). None if no encoder does.
pub(super) fn encoder_of(deflate: &[u8], extra: u8) -> Option<Encoder> {
    let (raw, ended) = inflate(deflate);
    if raw.is_empty() {
        return None;
    }
    let whole = u32::try_from(raw.len()).unwrap_or(u32::MAX);
    let block_size = match block_size(deflate) {
        // The only block is not full.
        Some(size) if ended && size == whole => PGZIP_BLOCK.max(size.saturating_add(1)),
        size => size.unwrap_or(PGZIP_BLOCK),
    };
    let mut all = Encoder::all(block_size);
    all.sort_by_key(|encoder| !is_hinted(*encoder, extra));
    let is_full = raw.len() >= SAMPLE;
    let mut silent = None;
    for encoder in all {
        match makes(encoder, &raw, ended, deflate) {
            Some(0) => silent = silent.or(Some(encoder)),
            Some(_) => return Some(encoder),
            None => {}
        }
    }
    // A start of one byte over and over gives nothing yet: the whole comparison decides.
    silent.filter(|_| is_full)
}

/// Whether `extra` is what such encoders often say.
fn is_hinted(encoder: Encoder, extra: u8) -> bool {
    match extra {
        SLOWEST => encoder.level() == 9,
        FASTEST => encoder.level() == 1,
        _ => true,
    }
}

/// The raw bytes before the first sync marker (an empty stored block on a byte boundary): a block of pgzip.
fn block_size(deflate: &[u8]) -> Option<u32> {
    const MARKER: [u8; 4] = [0, 0, 0xff, 0xff];
    const TRIALS: usize = 4;
    let marks = deflate.windows(MARKER.len()).enumerate().filter(|(_, bytes)| *bytes == MARKER);
    marks.take(TRIALS).find_map(|(at, _)| {
        let (before, after) = (total(&deflate[..at]), total(&deflate[..at + MARKER.len()]));
        // Where the marker is part of codes, more comes out of it.
        (before > 0 && before == after).then(|| u32::try_from(before).ok()).flatten()
    })
}

/// The raw bytes that come out of this much deflate data.
fn total(mut deflate: &[u8]) -> u64 {
    let (mut inflater, mut raw) = (Decompress::new(false), vec![0; STEP]);
    loop {
        let before = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress(deflate, &mut raw, FlushDecompress::None);
        let taken = usize::try_from(inflater.total_in() - before.0).unwrap_or(deflate.len());
        deflate = deflate.get(taken..).unwrap_or_default();
        let is_over = !matches!(status, Ok(Status::Ok | Status::BufError));
        if is_over || (taken == 0 && inflater.total_out() == before.1) {
            return inflater.total_out();
        }
    }
}

/// The start of the raw content, and whether it is all of it.
fn inflate(mut deflate: &[u8]) -> (Vec<u8>, bool) {
    let mut inflater = Decompress::new(false);
    let mut raw = Vec::with_capacity(SAMPLE);
    loop {
        let before = (inflater.total_in(), raw.len());
        let Ok(status) = inflater.decompress_vec(deflate, &mut raw, FlushDecompress::None) else {
            return (raw, false);
        };
        let taken = usize::try_from(inflater.total_in() - before.0).unwrap_or(deflate.len());
        deflate = deflate.get(taken..).unwrap_or_default();
        if status == Status::StreamEnd {
            return (raw, true);
        }
        if raw.len() >= SAMPLE || (taken == 0 && raw.len() == before.1) {
            return (raw, false);
        }
    }
}

/// How many bytes `encoder` makes from `raw` that are the start of `deflate`; none if one is not.
fn makes(encoder: Encoder, raw: &[u8], ended: bool, deflate: &[u8]) -> Option<usize> {
    let mut stepped = Stepped::new(encoder)?;
    let (mut made, mut compared) = (Vec::new(), 0);
    let mut compare = |made: &[u8]| {
        // What is beyond the sample cannot be compared.
        let end = made.len().min(deflate.len());
        let same = made.get(compared..end) == deflate.get(compared..end);
        compared = end;
        same.then_some(end)
    };
    for step in raw.chunks(STEP) {
        stepped.feed(step, &mut made);
        compare(&made)?;
    }
    if ended {
        stepped.finish(&mut made);
    }
    compare(&made)
}
