//! Limits on the work that a key file may require before its pass phrase is known to be right.

use pkcs8::pkcs5::pbes2::{Kdf, Parameters};

use super::KeyError;

/// A minute's work; RFC 8018 calls 10 million suitable for the most critical keys.
const MAX_ITERATIONS: u32 = 20_000_000;
/// In bytes.
const MAX_SCRYPT_MEMORY: u64 = 256 << 20;
const MAX_SCRYPT_LANES: u64 = 16;

/// Without a limit, a file could require any amount of memory and time for its pass phrase.
pub(super) fn affordable(parameters: &Parameters) -> Result<(), KeyError> {
    let fine = match &parameters.kdf {
        Kdf::Pbkdf2(kdf) => kdf.iteration_count <= MAX_ITERATIONS,
        Kdf::Scrypt(kdf) => {
            scrypt_is_affordable(kdf.cost_parameter, kdf.block_size.into(), kdf.parallelization.into())
        }
        _ => return Err(KeyError::Encryption),
    };
    if fine { Ok(()) } else { Err(KeyError::Costly) }
}

/// Whether scrypt with these parameters (N, r, p of RFC 7914) takes less than any key file needs.
pub(super) fn scrypt_is_affordable(cost: u64, block: u64, lanes: u64) -> bool {
    let memory = cost.checked_mul(block).and_then(|product| product.checked_mul(128));
    memory.is_some_and(|memory| memory <= MAX_SCRYPT_MEMORY) && lanes <= MAX_SCRYPT_LANES
}
