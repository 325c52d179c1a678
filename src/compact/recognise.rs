//! Finds the encoder that made a stream, by trial on its start.

use std::ops::ControlFlow;

use flate2::{Decompress, FlushDecompress, Status};

use super::stepped::Stepped;
use crate::encoders::Encoder;

/// Raw bytes on which candidates are tried. Most are out after the first 64 KiB.
const SAMPLE: usize = 1 << 20;
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
    let mut all = Encoder::all();
    all.sort_by_key(|encoder| !is_hinted(*encoder, extra));
    all.into_iter().find(|encoder| makes(*encoder, &raw, ended, deflate))
}

/// Whether `extra` is what such encoders often say.
fn is_hinted(encoder: Encoder, extra: u8) -> bool {
    match extra {
        SLOWEST => encoder.level() == 9,
        FASTEST => encoder.level() == 1,
        _ => true,
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

/// Whether `encoder` makes, from `raw`, the start of `deflate`.
fn makes(encoder: Encoder, raw: &[u8], ended: bool, deflate: &[u8]) -> bool {
    let Some(mut stepped) = Stepped::new(encoder) else { return false };
    let (mut made, mut compared) = (Vec::new(), 0);
    let mut compare = |made: &[u8]| {
        // What is beyond the sample cannot be compared.
        let end = made.len().min(deflate.len());
        let same = made.get(compared..end) == deflate.get(compared..end);
        compared = end;
        if same { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    for step in raw.chunks(STEP) {
        stepped.feed(step, &mut made);
        if compare(&made).is_break() {
            return false;
        }
    }
    if ended {
        stepped.finish(&mut made);
        return compare(&made).is_continue();
    }
    // A start of one byte over and over may give nothing yet: the whole comparison decides.
    true
}
