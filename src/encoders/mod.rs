//! The encoders that compressed layers are known to come from: each makes, from the raw content, exactly the bytes that
//! the original made.
//!
//! This module owns what an encoder is called and what it writes; it is pure, raw bytes in and compressed bytes out, and
//! knows neither gzip headers nor files. It keeps true that an encoder, once it has a name, never writes other bytes: a
//! bundle that names it must be readable by every later version. The golden streams of `tests/it/encoders.rs` come from
//! the real encoders.

mod go126;
mod klauspost;
mod zlib;

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

pub use klauspost::Variant;
pub use zlib::{Zlib, is_stock as zlib_is_stock};

/// An encoder with its parameters. Its text, for example `zlib:6`, stands in files and does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoder {
    /// Go's `compress/flate` up to Go 1.26: docker, buildkit, containerd, crane, ko, kaniko. Levels -2 (only Huffman codes),
    /// 0 (stored) and 1 to 9; 6 is Go's default.
    Go126 { level: i8 },
    /// Stock zlib with `memLevel` 8: Java, Python, jars. Levels 1 to 9.
    Zlib { level: i8 },
    /// klauspost/compress, and Go's `compress/flate` from Go 1.27 on. Levels as of Go 1.26; 5 is klauspost's default, and 6
    /// is Go's.
    Klauspost { variant: Variant, level: i8 },
    /// klauspost/pgzip, which encodes blocks of `block_size` bytes: podman, buildah, skopeo, apko. The same levels.
    Pgzip { variant: Variant, level: i8, block_size: u32 },
}

/// Bytes of a block of pgzip, unless a tool says otherwise.
pub const PGZIP_BLOCK: u32 = 1 << 20;
/// The largest block that is taken, in bytes.
const MOST_BLOCK: u32 = 16 << 20;

/// Why a text is no encoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an encoder that this version knows")]
pub struct UnknownEncoder(pub String);

impl fmt::Display for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go126 { level } => write!(f, "go126:{level}"),
            Self::Zlib { level } => write!(f, "zlib:{level}"),
            Self::Klauspost { variant, level } => write!(f, "{}:{level}", variant.name()),
            Self::Pgzip { variant, level, block_size } => {
                write!(f, "pgzip+{}:{level}:{block_size}", variant.name())
            }
        }
    }
}

impl FromStr for Encoder {
    type Err = UnknownEncoder;

    fn from_str(text: &str) -> Result<Self, UnknownEncoder> {
        let parsed = || {
            let mut words = text.split(':');
            let (name, level) = (words.next()?, words.next()?.parse().ok()?);
            let variant = |name: &str| Variant::ALL.into_iter().find(|variant| variant.name() == name);
            let encoder = match (name, name.strip_prefix("pgzip+")) {
                ("go126", _) => Self::Go126 { level },
                ("zlib", _) => Self::Zlib { level },
                (_, Some(name)) => {
                    let block_size = words.next()?.parse().ok()?;
                    Self::Pgzip { variant: variant(name)?, level, block_size }
                }
                (name, None) => Self::Klauspost { variant: variant(name)?, level },
            };
            // One encoder has one text.
            (encoder.exists() && encoder.to_string() == text).then_some(encoder)
        };
        parsed().ok_or_else(|| UnknownEncoder(text.to_owned()))
    }
}

impl Encoder {
    /// Every encoder with every level, the likely ones first. Of releases that write the same at a level, there is the oldest.
    /// `block_size` is that of pgzip.
    pub fn all(block_size: u32) -> Vec<Self> {
        let likely = |first: i8| [first, 6, 5, 1, 9, 4, 3, 2, 7, 8, -2, 0];
        let go = likely(6).map(|level| Self::Go126 { level });
        let zlib = likely(6).map(|level| Self::Zlib { level });
        let pgzip = likely(5).into_iter().flat_map(|level| {
            variants(level, true).map(move |variant| Self::Pgzip { variant, level, block_size })
        });
        let klauspost = likely(6)
            .into_iter()
            .flat_map(|level| variants(level, false).map(move |variant| Self::Klauspost { variant, level }));
        let mut all: Vec<Self> = go.into_iter().chain(pgzip).chain(klauspost).chain(zlib).collect();
        let mut seen = HashSet::new();
        all.retain(|encoder| encoder.exists() && seen.insert(*encoder));
        all
    }

    /// Whether there is such a level, and such a block.
    fn exists(self) -> bool {
        let least = if matches!(self, Self::Zlib { .. }) { 1 } else { -2 };
        let is_level = self.level() != -1 && (least..=9).contains(&self.level());
        is_level
            && match self {
                Self::Go126 { .. } | Self::Zlib { .. } | Self::Klauspost { .. } => true,
                Self::Pgzip { block_size, .. } => (klauspost::LEAST_BLOCK..=MOST_BLOCK).contains(&block_size),
            }
    }

    /// How hard it tries, on the scale of its kind.
    pub fn level(self) -> i8 {
        match self {
            Self::Go126 { level }
            | Self::Zlib { level }
            | Self::Klauspost { level, .. }
            | Self::Pgzip { level, .. } => level,
        }
    }

    /// Begins a stream of raw deflate data (RFC 1951); none if there is no such level.
    pub fn start(self) -> Option<Encoding> {
        if !self.exists() {
            return None;
        }
        Some(Encoding(match self {
            Self::Go126 { level } => State::Go126(Box::new(go126::Encoder::new(level.into())?)),
            Self::Zlib { level } => State::Zlib(Zlib::new(u8::try_from(level).ok()?)?),
            Self::Klauspost { variant, level } => {
                State::Klauspost(Box::new(klauspost::Encoder::new(variant, level)?))
            }
            Self::Pgzip { variant, level, block_size } => {
                State::Pgzip(klauspost::Pgzip::new(variant, level, usize::try_from(block_size).ok()?)?)
            }
        }))
    }
}

/// The variants that write different bytes at this level.
fn variants(level: i8, dictionaries: bool) -> impl Iterator<Item = Variant> {
    Variant::ALL.into_iter().filter(move |variant| variant.oldest(level, dictionaries) == *variant)
}

/// A stream that is being encoded.
#[derive(Debug)]
pub struct Encoding(State);

#[derive(Debug)]
enum State {
    Go126(Box<go126::Encoder>),
    Zlib(Zlib),
    Klauspost(Box<klauspost::Encoder>),
    Pgzip(klauspost::Pgzip),
}

impl Encoding {
    /// Encodes the next bytes, and appends to `out` what is ready.
    pub fn write(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Go126(encoder) => encoder.write(raw, out),
            State::Zlib(encoder) => encoder.write(raw, out),
            State::Klauspost(encoder) => encoder.write(raw, out),
            State::Pgzip(encoder) => encoder.write(raw, out),
        }
    }

    /// Ends the block, and appends an empty stored block (a sync marker), as a flush of the original does.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Go126(encoder) => encoder.flush(out),
            State::Zlib(encoder) => encoder.flush(out),
            State::Klauspost(encoder) => encoder.flush(out),
            State::Pgzip(encoder) => encoder.flush(out),
        }
    }

    /// Ends the stream.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self.0 {
            State::Go126(encoder) => encoder.finish(out),
            State::Zlib(mut encoder) => encoder.end(out),
            State::Klauspost(encoder) => encoder.finish(out),
            State::Pgzip(encoder) => encoder.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for encoder in Encoder::all(PGZIP_BLOCK) {
            assert_eq!(encoder.to_string().parse(), Ok(encoder));
            assert!(encoder.start().is_some(), "{encoder}");
        }
        for unknown in [
            "",
            "go126",
            "go126:",
            "go126:06",
            "go126:10",
            "go126:6:1",
            "zlib:0",
            "zlib:-1",
            "zlib:6 ",
            "pgzip:5",
            "klauspost-1.18.1:5",
            "pgzip+klauspost-1.18.0:5",
            "pgzip+klauspost-1.18.0:5:16384",
            "pgzip+klauspost-1.18.0:5:16777217",
            "pgzip+klauspost-1.18.0:5:1048576:1",
        ] {
            assert_eq!(unknown.parse::<Encoder>(), Err(UnknownEncoder(unknown.to_owned())));
        }
        assert_eq!("go126:-2".parse(), Ok(Encoder::Go126 { level: -2 }));
        assert!(Encoder::Zlib { level: 0 }.start().is_none());
    }

    #[test]
    fn the_zlib_that_is_built_in_is_the_stock_one() {
        assert!(zlib_is_stock());
    }
}
