//! An encoder that takes its input in steps of one size, so that what it makes does not depend on how content is cut.

use crate::encoders::{Encoder, Encoding};

/// Bytes of raw content that are encoded at a time. Go's encoder can depend on it, so it never changes; most tools write
/// through Go's `io.Copy`, which has this size.
const STEP: usize = 32 << 10;

/// One stream of an encoder.
#[derive(Debug)]
pub(super) struct Stepped {
    encoding: Encoding,
    /// Raw bytes of a step that is not full.
    pending: Vec<u8>,
}

impl Stepped {
    /// None if the encoder has no such level.
    pub(super) fn new(encoder: Encoder) -> Option<Self> {
        Some(Self { encoding: encoder.start()?, pending: Vec::with_capacity(STEP) })
    }

    /// Encodes what is complete with `raw`; what comes out is appended to `out`.
    pub(super) fn feed(&mut self, mut raw: &[u8], out: &mut Vec<u8>) {
        while !raw.is_empty() {
            if self.pending.is_empty() && raw.len() >= STEP {
                let (step, rest) = raw.split_at(STEP);
                self.encoding.write(step, out);
                raw = rest;
                continue;
            }
            let (now, rest) = raw.split_at(raw.len().min(STEP - self.pending.len()));
            self.pending.extend_from_slice(now);
            raw = rest;
            if self.pending.len() == STEP {
                self.encoding.write(&self.pending, out);
                self.pending.clear();
            }
        }
    }

    /// Ends the stream.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        self.encoding.write(&self.pending, out);
        self.encoding.finish(out);
    }
}
