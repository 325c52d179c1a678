//! The encoders beside the originals that they follow, on text and on the programs of this machine.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use airgap_bundle::encoders::{Encoder, PGZIP_BLOCK, Variant};

use crate::desk::Desk;
use crate::encoder_inputs::{Random, random_pieces};
use crate::harness::{Skip, Tested, tests};
use crate::programs::optional;

tests![encoders_beside_the_originals.on_request()];

/// The program of each version, as `scripts/encoders/build.sh` makes it, and the encoder that follows it. None is Go's own
/// up to 1.26.
const VERSIONS: [(&str, Option<Variant>); 10] = [
    ("go1.26", None),
    ("go1.27", Some(Variant::Go1_27)),
    ("k1.15.12", Some(Variant::V1_15_12)),
    ("k1.15.15", Some(Variant::V1_15_15)),
    ("k1.17.11", Some(Variant::V1_15_15)),
    ("k1.18.0", Some(Variant::V1_18_0)),
    ("k1.18.2", Some(Variant::V1_18_2)),
    ("k1.19.2", Some(Variant::V1_18_2)),
    ("k1.20.0", Some(Variant::V1_20_0)),
    ("k1.20.3", Some(Variant::V1_20_0)),
];
/// Streams for each version, and the most bytes of each.
const STREAMS: usize = 60;
const MOST: usize = 1_500_000;

/// `SEED` begins at another seed.
fn encoders_beside_the_originals(_: &Desk) -> Tested {
    optional(&["go"])?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/encoders");
    let built = Command::new("bash").arg(folder.join("build.sh")).output().unwrap();
    if !built.status.success() {
        let why = String::from_utf8_lossy(&built.stderr).trim().to_owned();
        return Err(Skip::because(format!("the originals cannot be built: {why}")));
    }
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let (mut streams, mut bytes) = (0, 0);
    for (program, variant) in VERSIONS {
        let mut check = Command::new(folder.join("bin").join(program))
            .arg("check")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut records = check.stdin.take().unwrap();
        for _ in 0..STREAMS {
            let data = content(&mut random);
            bytes += data.len();
            records.write_all(&record(&mut random, variant, &data)).unwrap();
            streams += 1;
        }
        drop(records);
        let output = check.wait_with_output().unwrap();
        let says = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{program}, seed {seed}: {says}");
        assert!(says.contains(&format!("{STREAMS} records")), "{program}: {says}");
    }
    Ok(format!("{streams} streams of {} MB, none differs", bytes / 1_000_000))
}

/// Text, or a part of a program of this machine.
fn content(random: &mut Random) -> Vec<u8> {
    let count = random.below(MOST);
    let programs: Vec<_> = std::fs::read_dir("/usr/bin").into_iter().flatten().flatten().collect();
    if programs.is_empty() || random.below(4) == 0 {
        return random.text(count);
    }
    let path = programs[random.below(programs.len())].path();
    let mut data = std::fs::read(path).unwrap_or_default();
    let start = random.below(data.len().max(1));
    data.drain(..start);
    data.truncate(count);
    data
}

/// A stream as `check` of `scripts/encoders/main.go` takes it.
fn record(random: &mut Random, variant: Option<Variant>, data: &[u8]) -> Vec<u8> {
    const LEVELS: [i8; 14] = [5, 6, 1, 5, 6, 1, 9, 2, 3, 4, 7, 8, -2, 0];
    let level = random.one_of(&LEVELS);
    let block_size = random.one_of(&[PGZIP_BLOCK, 16_385, 100_000, 1_000_000]);
    let encoder = match variant {
        None => Encoder::Go126 { level },
        // Go has no blocks.
        Some(variant) if variant == Variant::Go1_27 || random.below(2) == 0 => {
            Encoder::Klauspost { variant, level }
        }
        Some(variant) => Encoder::Pgzip { variant, level, block_size },
    };
    let is_blocks = matches!(encoder, Encoder::Pgzip { .. });
    let pieces = random_pieces(random, data.len());
    let mut record = Vec::new();
    let mut number = |value: u32| record.extend_from_slice(&value.to_le_bytes());
    number(u32::from(is_blocks));
    number(i32::from(level).cast_unsigned());
    number(block_size);
    number(u32::try_from(pieces.len()).unwrap());
    for piece in &pieces {
        number(u32::try_from(piece.size << 1 | usize::from(piece.flush)).unwrap());
    }
    record.extend_from_slice(data);
    let (mut encoding, mut rest, mut stream) = (encoder.start().unwrap(), data, Vec::new());
    for piece in pieces {
        let (now, later) = rest.split_at(piece.size);
        encoding.write(now, &mut stream);
        rest = later;
        if piece.flush {
            encoding.flush(&mut stream);
        }
    }
    encoding.finish(&mut stream);
    record.extend_from_slice(&u32::try_from(stream.len()).unwrap().to_le_bytes());
    record.extend(stream);
    record
}
