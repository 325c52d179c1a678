//! Digests of streams of the real encoders: Go 1.26.8 (`scripts/encoders/main.go`) and zlib (`scripts/encoders/zlib.py`).

use std::collections::BTreeMap;

use airgap_bundle::encoders::Encoder;
use airgap_bundle::image::Digest;

use super::inputs::{inputs, way};
use super::{compress, go126};

/// By input, level, and way to write: the length and the SHA-256 of the stream.
type Golden = BTreeMap<String, BTreeMap<String, BTreeMap<String, (usize, String)>>>;

/// Every stream in `golden` is what the encoder for its level makes of the input.
fn same(golden: &str, encoder: impl Fn(i8) -> Encoder) {
    let golden: Golden = serde_json::from_str(golden).unwrap();
    let (mut compared, mut different) = (0, Vec::new());
    for (name, data) in inputs() {
        for (level, streams) in golden.get(&name).into_iter().flatten() {
            for (way_name, expected) in streams {
                let pieces = way(way_name, data.len());
                let stream = compress(encoder(level.parse().unwrap()), &data, &pieces);
                compared += 1;
                if *expected != (stream.len(), Digest::sha256(&stream).hex()) {
                    different.push(format!("{name}, level {level}, {way_name}"));
                }
            }
        }
    }
    assert!(different.is_empty(), "{different:#?}");
    assert_eq!(compared, golden.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum::<usize>());
}

#[test]
fn streams_are_those_of_go() {
    same(include_str!("../golden/encoders/go126.json"), go126);
}

#[test]
fn streams_are_those_of_zlib() {
    same(include_str!("../golden/encoders/zlib.json"), |level| Encoder::Zlib { level });
}
