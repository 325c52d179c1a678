//! The length of parity volumes.

/// The result does not depend on how many columns are computed at a time, if that number is a multiple of this.
pub const COLUMNS: u64 = 64;

/// Length of the parity volumes of a bundle of `size` bytes in volumes of `volume_size`.
pub fn parity_len(volume_size: u64, size: u64) -> u64 {
    volume_size.min(size).next_multiple_of(COLUMNS)
}
