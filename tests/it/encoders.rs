//! The encoders write what the originals wrote, bit for bit.

mod golden;
pub(crate) mod inputs;
mod reading;

use airgap_bundle::encoders::Encoder;
use inputs::Piece;

fn go126(level: i8) -> Encoder {
    Encoder::Go126 { level }
}

/// `data` in these writes.
fn compress(encoder: Encoder, mut data: &[u8], pieces: &[Piece]) -> Vec<u8> {
    let mut encoding = encoder.start().unwrap();
    let mut out = Vec::new();
    for piece in pieces {
        let (now, later) = data.split_at(piece.size);
        encoding.write(now, &mut out);
        data = later;
        if piece.flush {
            encoding.flush(&mut out);
        }
    }
    encoding.finish(&mut out);
    out
}

#[test]
fn other_levels_do_not_exist() {
    for level in [i8::MIN, -3, -1, 10, i8::MAX] {
        assert!(go126(level).start().is_none() && Encoder::Zlib { level }.start().is_none(), "{level}");
    }
    assert!(Encoder::Zlib { level: 0 }.start().is_none());
}

/// How zlib is fed does not matter, where nothing is flushed.
#[test]
fn zlib_writes_the_same_whatever_the_sizes_of_writes() {
    let (_, text) = inputs::inputs().into_iter().find(|(name, _)| name == "text").unwrap();
    for level in [1, 6, 9] {
        let encoder = Encoder::Zlib { level };
        let whole = compress(encoder, &text, &inputs::way("whole", text.len()));
        let mut pieces = inputs::pieces(text.len());
        for piece in &mut pieces {
            piece.flush = false;
        }
        assert!(compress(encoder, &text, &pieces) == whole, "{level}");
    }
}
