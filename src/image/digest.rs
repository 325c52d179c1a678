//! Content digests: `sha256` and `sha512`, lowercase hex of exact length (OCI image-spec, descriptor.md, "Digests").
//!
//! A digest becomes a file path and a URL part, so nothing but a valid one can be built.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// The digest algorithms that registries and layouts use in practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    /// The name as it stands before the colon and in `blobs/<name>/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// A validated content digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("{0:?} is an image ID, not a digest (a digest is written sha256:<hex>)")]
    ImageId(String),
    #[error("{0:?} is not a digest: there is no algorithm before a colon")]
    NoAlgorithm(String),
    #[error("digest algorithm {0:?} is not supported (sha256 and sha512 are)")]
    Algorithm(String),
    #[error("digest {digest:?} must have {expected} lowercase hex characters after the colon")]
    Hex { digest: String, expected: usize },
}

impl Digest {
    /// The digest of `bytes` under `algorithm`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The sha256 digest of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The hex part, without the algorithm.
    pub fn hex(&self) -> String {
        base16ct::lower::encode_string(self.as_bytes())
    }

    /// The first 12 hex characters, as people see them in tables.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// The member path in an OCI image layout: `blobs/<alg>/<hex>`.
    pub fn layout_path(&self) -> String {
        ["blobs/", self.algorithm().name(), "/", &self.hex()].concat()
    }

    /// The digest a layout member path names, if it is one.
    pub fn from_layout_path(path: &str) -> Option<Self> {
        let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
        format!("{algorithm}:{hex}").parse().ok()
    }

    /// The raw hash.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let Some((algorithm, hex)) = text.split_once(':') else {
            let is_id = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            let shown = text.chars().take(80).collect();
            return Err(if is_id { DigestError::ImageId(shown) } else { DigestError::NoAlgorithm(shown) });
        };
        let refuse = |expected| DigestError::Hex { digest: text.chars().take(160).collect(), expected };
        match algorithm {
            "sha256" => decode_hex(hex).map(Self::Sha256).ok_or_else(|| refuse(64)),
            "sha512" => decode_hex(hex).map(Self::Sha512).ok_or_else(|| refuse(128)),
            other => Err(DigestError::Algorithm(other.chars().take(40).collect())),
        }
    }
}

fn decode_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let decoded = base16ct::lower::decode(hex, &mut bytes).ok()?;
    (decoded.len() == N).then_some(bytes)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A plan has thousands of digests, each printed several times: without a string in between.
        let mut hex = [0; 128];
        let hex = base16ct::lower::encode_str(self.as_bytes(), &mut hex).map_err(|_| fmt::Error)?;
        f.write_str(self.algorithm().name())?;
        f.write_str(":")?;
        f.write_str(hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An incremental hasher for either algorithm, the faster there is for the processor at hand.
#[derive(Clone)]
pub struct Hasher(Kind);

/// The `sha2` crate knows the processors' own instructions for SHA. On x86-64 many servers have none, and there it takes
/// twice the time of `ring`, which is written in assembler.
#[derive(Clone)]
enum Kind {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Assembler(Algorithm, ring::digest::Context),
}

/// Whether `sha2` is the faster one: where it finds instructions for it, and where `ring` has no more than it has.
fn processor_knows(algorithm: Algorithm) -> bool {
    #[cfg(target_arch = "x86_64")]
    return algorithm == Algorithm::Sha256 && std::is_x86_feature_detected!("sha");
    #[cfg(not(target_arch = "x86_64"))]
    return true;
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        Self::made_for(algorithm, processor_knows(algorithm))
    }

    fn made_for(algorithm: Algorithm, processor_knows: bool) -> Self {
        Self(match (algorithm, processor_knows) {
            (Algorithm::Sha256, true) => Kind::Sha256(sha2::Sha256::new()),
            (Algorithm::Sha512, true) => Kind::Sha512(sha2::Sha512::new()),
            (Algorithm::Sha256, false) => {
                Kind::Assembler(algorithm, ring::digest::Context::new(&ring::digest::SHA256))
            }
            (Algorithm::Sha512, false) => {
                Kind::Assembler(algorithm, ring::digest::Context::new(&ring::digest::SHA512))
            }
        })
    }

    /// The hasher that can confirm `digest`.
    pub fn for_digest(digest: &Digest) -> Self {
        Self::new(digest.algorithm())
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Kind::Sha256(hasher) => hasher.update(bytes),
            Kind::Sha512(hasher) => hasher.update(bytes),
            Kind::Assembler(_, hasher) => hasher.update(bytes),
        }
    }

    pub fn finish(self) -> Digest {
        match self.0 {
            Kind::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Kind::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
            Kind::Assembler(algorithm, hasher) => {
                const LENGTH: &str = "the length of a digest is its algorithm's";
                let digest = hasher.finish();
                match algorithm {
                    Algorithm::Sha256 => Digest::Sha256(digest.as_ref().try_into().expect(LENGTH)),
                    Algorithm::Sha512 => Digest::Sha512(digest.as_ref().try_into().expect(LENGTH)),
                }
            }
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Sha256(_) | Kind::Assembler(Algorithm::Sha256, _) => "Hasher(sha256)",
            Kind::Sha512(_) | Kind::Assembler(Algorithm::Sha512, _) => "Hasher(sha512)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hashes_and_prints_what_the_standard_says() {
        assert_eq!(Digest::sha256(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::sha256(b""));
        let long = Digest::of(Algorithm::Sha512, b"");
        assert!(long.to_string().starts_with("sha512:cf83e1357eefb8bd"));
        assert_eq!(long.to_string().parse::<Digest>().unwrap(), long);
    }

    #[test]
    fn both_kinds_of_hasher_say_the_same_of_every_length_and_of_every_cut() {
        let bytes: Vec<u8> = (0..2000_u32).map(|at| (at * 7 % 251) as u8).collect();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for length in (0..300).chain([bytes.len()]) {
                let whole = &bytes[..length];
                let hashed = |processor_knows: bool, cut: usize| {
                    let mut hasher = Hasher::made_for(algorithm, processor_knows);
                    hasher.update(&whole[..cut]);
                    let mut copy = hasher.clone();
                    copy.update(&whole[cut..]);
                    copy.finish()
                };
                let digest = hashed(true, length / 3);
                assert_eq!(digest.algorithm(), algorithm);
                assert_eq!(hashed(false, length / 2), digest, "{length} bytes");
                assert_eq!(Digest::of(algorithm, whole), digest, "{length} bytes");
            }
        }
    }

    #[test]
    fn refuses_what_is_not_a_digest_and_says_why() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        let short = &EMPTY[..EMPTY.len() - 1];
        for (text, says) in [
            (&EMPTY[7..], "image ID"),
            ("latest", "no algorithm"),
            ("md5:d41d8cd98f00b204e9800998ecf8427e", "not supported"),
            (upper.as_str(), "lowercase hex"),
            (short, "64 lowercase"),
            ("sha512:00", "128 lowercase"),
            ("sha256:../../../../etc/passwd", "lowercase hex"),
        ] {
            let error = text.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn layout_paths_round_trip_and_nothing_else_parses() {
        for digest in [Digest::sha256(b"a"), Digest::of(Algorithm::Sha512, b"a")] {
            assert_eq!(Digest::from_layout_path(&digest.layout_path()), Some(digest));
        }
        assert_eq!(Digest::from_layout_path("blobs/sha256/../x"), None);
        assert_eq!(Digest::from_layout_path("blobs/sha256"), None);
    }
}
