//! What is written can be read.

use std::io::Read;

use airgap_bundle::encoders::{Encoder, Variant};
use flate2::read::DeflateDecoder;
use proptest::prelude::*;

use super::compress;
use super::inputs::{Piece, Random, random_pieces};

/// Random bytes of some kinds, text, runs, and earlier parts again.
pub(crate) fn mixed(random: &mut Random, count: usize) -> Vec<u8> {
    let mut data: Vec<u8> = Vec::new();
    while data.len() < count {
        let most = random.one_of(&[10, 300, 5000, 40000]);
        let size = 1 + random.below(most);
        match random.below(7) {
            0 => data.extend(random.bytes(size, 0xff)),
            1 => data.extend(random.bytes(size, 0x07)),
            2 => data.extend(random.text(size)),
            3 => data.extend(random.bytes(1, 0xff).repeat(size)),
            // Each byte half as often as the one before.
            4 => data.extend((0..size).map(|_| random.next().leading_zeros().to_le_bytes()[0])),
            _ if data.is_empty() => {}
            _ => {
                let from = random.below(data.len());
                let to = (from + size).min(data.len());
                data.extend_from_within(from..to);
            }
        }
    }
    data.truncate(count);
    data
}

/// Encoders whose streams can be read: older ones store dictionaries again at some levels.
fn readable() -> Vec<Encoder> {
    let mut all = Encoder::all(20_000);
    all.retain(|encoder| match encoder {
        Encoder::Pgzip { variant, level, .. } => *level < 7 || *variant >= Variant::V1_20_0,
        _ => true,
    });
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn streams_hold_their_input(
        encoder in prop::sample::select(readable()), seed in 1..u64::MAX, count in 0..200_000usize,
    ) {
        let mut random = Random(seed);
        let data = mixed(&mut random, count);
        let pieces: Vec<Piece> = random_pieces(&mut random, count);
        let stream = compress(encoder, &data, &pieces);
        let mut read = Vec::new();
        DeflateDecoder::new(&*stream).read_to_end(&mut read).unwrap();
        prop_assert!(read == data);
    }
}
