//! A way to the parser of challenges, for the fuzz targets.

use super::challenge;

/// Parses one header a line.
pub fn challenges(bytes: &[u8]) {
    let challenges = challenge::parse(bytes.split(|byte| *byte == b'\n'));
    for challenge in &challenges {
        assert!(!challenge.scheme.is_empty());
        let _ = challenge.param("realm");
    }
}
