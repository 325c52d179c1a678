//! Digests of streams of the real encoders: Go 1.26.8 (`scripts/encoders/main.go`), zlib (`scripts/encoders/zlib.py`), and
//! klauspost/compress, pgzip and Go 1.27 (`scripts/encoders/klauspost`).

use std::collections::BTreeMap;

use airgap_bundle::encoders::{Encoder, Variant};
use airgap_bundle::image::Digest;

use super::inputs::{inputs, way};
use super::{compress, go126};

/// By input, encoder (`5`, or `pgzip 5 1048576`), and way to write: the length and the SHA-256 of the stream.
type Golden = BTreeMap<String, BTreeMap<String, BTreeMap<String, (usize, String)>>>;

/// Inputs that take long without optimisation, and test little that the others do not. `GOLDEN_STREAMS=all` tests them too.
const LONG: [&str; 15] = [
    "long",
    "zeros",
    "text",
    "window end",
    "few literals",
    "lengths",
    "fibonacci",
    "again after 32767",
    "again after 32768",
    "again after 32769",
    "text of 65273",
    "text of 65274",
    "text of 65536",
    "above the largest position",
    "below the largest position",
];

/// Every stream in `golden` is what the encoder for its name makes of the input.
fn same(golden: &str, encoder: impl Fn(&str) -> Encoder) {
    same_of(&serde_json::from_str(golden).unwrap(), encoder);
}

fn same_of(golden: &Golden, encoder: impl Fn(&str) -> Encoder) {
    let (mut compared, mut different) = (0, Vec::new());
    for (name, data) in inputs() {
        for (level, streams) in golden.get(&name).into_iter().flatten() {
            for (way_name, expected) in streams {
                let pieces = way(way_name, data.len());
                let stream = compress(encoder(level), &data, &pieces);
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
    same(include_str!("../golden/encoders/go126.json"), |level| go126(level.parse().unwrap()));
}

#[test]
fn streams_are_those_of_zlib() {
    same(include_str!("../golden/encoders/zlib.json"), |level| Encoder::Zlib {
        level: level.parse().unwrap(),
    });
}

fn klauspost(golden: &str, variant: Variant) {
    let mut golden: Golden = serde_json::from_str(golden).unwrap();
    if std::env::var_os("GOLDEN_STREAMS").is_none_or(|which| which != "all") {
        golden.retain(|name, _| !LONG.contains(&name.as_str()));
    }
    same_of(&golden, |name| match *name.split(' ').collect::<Vec<_>>() {
        [level] => Encoder::Klauspost { variant, level: level.parse().unwrap() },
        ["pgzip", level, size] => {
            Encoder::Pgzip { variant, level: level.parse().unwrap(), block_size: size.parse().unwrap() }
        }
        _ => panic!("{name}"),
    });
}

/// All levels.
#[test]
fn streams_are_those_of_1_18_0() {
    klauspost(include_str!("../golden/encoders/klauspost-1.18.0.json"), Variant::V1_18_0);
}

/// All levels.
#[test]
fn streams_are_those_of_go_1_27() {
    klauspost(include_str!("../golden/encoders/go127.json"), Variant::Go1_27);
}

/// The levels that 1.18.0 wrote otherwise.
#[test]
fn streams_are_those_of_1_15_12() {
    klauspost(include_str!("../golden/encoders/klauspost-1.15.12.json"), Variant::V1_15_12);
}

/// The levels that Go writes otherwise.
#[test]
fn streams_are_those_of_1_18_2() {
    klauspost(include_str!("../golden/encoders/klauspost-1.18.2.json"), Variant::V1_18_2);
}

/// The levels that Go writes otherwise, and one with blocks.
#[test]
fn streams_are_those_of_1_20_0() {
    klauspost(include_str!("../golden/encoders/klauspost-1.20.0.json"), Variant::V1_20_0);
}
