//! Size and sha256 of the rest of a reader.

use std::io::{self, Read};

use crate::app::stop;
use crate::image::{Algorithm, Digest, Hasher};

/// Size and sha256 of the rest of `reader`.
pub(in crate::archive) fn hash(reader: &mut dyn Read) -> io::Result<(u64, Digest)> {
    let (mut hasher, mut size) = (Hasher::new(Algorithm::Sha256), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        if stop::is_requested() {
            return Err(io::Error::other("stopped"));
        }
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
