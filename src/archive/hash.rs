//! Size and digest of the rest of a reader.

use std::io::{self, Read};

use super::ArchiveError;
use crate::image::{Algorithm, Digest, Hasher};

/// Size and digest of the rest of `reader`.
pub(in crate::archive) fn hash(reader: &mut dyn Read, algorithm: Algorithm) -> io::Result<(u64, Digest)> {
    let (mut hasher, mut size) = (Hasher::new(algorithm), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        ArchiveError::unless_stopped().map_err(io::Error::other)?;
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((size, hasher.finish())),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
