//! The encoders that compressed layers are known to come from: each makes, from the raw content, exactly the bytes that
//! the original made.
//!
//! This module owns what an encoder is called and what it writes; it is pure, raw bytes in and compressed bytes out, and
//! knows neither gzip headers nor files. It keeps true that an encoder, once it has a name, never writes other bytes: a
//! bundle that names it must be readable by every later version. The golden streams of `tests/it/encoders.rs` come from
//! the real encoders.

mod go126;
mod zlib;

use std::fmt;
use std::str::FromStr;

pub use zlib::is_stock as zlib_is_stock;

/// An encoder with its parameters. Its text, for example `zlib:6`, stands in files and does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoder {
    /// Go's `compress/flate` up to Go 1.26: docker, buildkit, containerd, crane, ko, kaniko. Levels -2 (only Huffman codes),
    /// 0 (stored) and 1 to 9; 6 is Go's default.
    Go126 { level: i8 },
    /// Stock zlib with `memLevel` 8: Java, Python, jars. Levels 1 to 9.
    Zlib { level: i8 },
}

/// Why a text is no encoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an encoder that this version knows")]
pub struct UnknownEncoder(pub String);

impl fmt::Display for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go126 { level } => write!(f, "go126:{level}"),
            Self::Zlib { level } => write!(f, "zlib:{level}"),
        }
    }
}

impl FromStr for Encoder {
    type Err = UnknownEncoder;

    fn from_str(text: &str) -> Result<Self, UnknownEncoder> {
        let all = Self::all();
        all.into_iter().find(|one| one.to_string() == text).ok_or_else(|| UnknownEncoder(text.to_owned()))
    }
}

impl Encoder {
    /// Every encoder with every parameter, the likely ones first.
    pub fn all() -> Vec<Self> {
        let go = [6, 1, 9, 5, 4, 3, 2, 7, 8, -2, 0].map(|level| Self::Go126 { level });
        let zlib = [6, 9, 1, 5, 4, 3, 2, 7, 8].map(|level| Self::Zlib { level });
        go.into_iter().chain(zlib).collect()
    }

    /// How hard it tries, on the scale of its kind.
    pub fn level(self) -> i8 {
        match self {
            Self::Go126 { level } | Self::Zlib { level } => level,
        }
    }

    /// Begins a stream of raw deflate data (RFC 1951); none if there is no such level.
    pub fn start(self) -> Option<Encoding> {
        Some(Encoding(match self {
            Self::Go126 { level } => State::Go126(Box::new(go126::Encoder::new(level.into())?)),
            Self::Zlib { level } => State::Zlib(zlib::Encoder::new(level)?),
        }))
    }
}

/// A stream that is being encoded.
#[derive(Debug)]
pub struct Encoding(State);

#[derive(Debug)]
enum State {
    Go126(Box<go126::Encoder>),
    Zlib(zlib::Encoder),
}

impl Encoding {
    /// Encodes the next bytes, and appends to `out` what is ready.
    pub fn write(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Go126(encoder) => encoder.write(raw, out),
            State::Zlib(encoder) => encoder.write(raw, out),
        }
    }

    /// Ends the block, and appends an empty stored block (a sync marker), as a flush of the original does.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Go126(encoder) => encoder.flush(out),
            State::Zlib(encoder) => encoder.flush(out),
        }
    }

    /// Ends the stream.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self.0 {
            State::Go126(encoder) => encoder.finish(out),
            State::Zlib(encoder) => encoder.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for encoder in Encoder::all() {
            assert_eq!(encoder.to_string().parse(), Ok(encoder));
            assert!(encoder.start().is_some(), "{encoder}");
        }
        for unknown in
            ["", "go126", "go126:", "go126:06", "go126:10", "zlib:0", "zlib:-1", "zlib:6 ", "pgzip:5"]
        {
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
