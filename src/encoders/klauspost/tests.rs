//! Positions that get large. That this changes no byte is a property of the original.

use super::{Encoder, Variant};

/// Text-like bytes with earlier parts again, near and far.
fn sample() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below
    };
    let mut sample: Vec<u8> = (0..100).map(|_| b'a' + u8::try_from(random(26)).unwrap()).collect();
    while sample.len() < 700_000 {
        let reach = sample.len().min([30, 1000, 40000][random(3)]);
        let from = sample.len() - 1 - random(reach);
        let to = (from + 1 + random(20)).min(sample.len());
        sample.extend_from_within(from..to);
        sample.push(b'a' + u8::try_from(random(26)).unwrap());
    }
    sample
}

fn encode(mut encoder: Encoder, sample: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, piece) in sample.chunks(60_000).enumerate() {
        encoder.write(piece, &mut out);
        if number % 5 == 4 {
            encoder.flush(&mut out);
            // Few bytes at a flush make the tables start again.
            encoder.write(&piece[..40], &mut out);
            encoder.flush(&mut out);
        }
    }
    encoder.finish(&mut out);
    out
}

#[test]
fn positions_are_made_smaller_without_a_trace() {
    let sample = sample();
    for level in 1..=9 {
        let expected = encode(Encoder::new(Variant::Go1_27, level).unwrap(), &sample);
        for limit in [70_000, 500_000] {
            let encoder = Encoder::with_limits(Variant::Go1_27, level, limit, limit).unwrap();
            assert!(encode(encoder, &sample) == expected, "{level}, {limit}");
        }
    }
}
