//! A stream of deflate data while it is made compact.

use flate2::Decompress;

use super::queue::Queue;
use super::stepped::Stepped;

/// Deflate data that is decoded, and encoded again.
#[derive(Debug)]
pub(super) struct Deflate {
    pub(super) inflater: Decompress,
    pub(super) stepped: Stepped,
    /// The part of the current member has begun.
    pub(super) is_begun: bool,
    /// Bytes of the blob that have not been made yet.
    pub(super) wanted: Queue,
    /// Bytes that were made before they arrived.
    pub(super) made: Queue,
}

impl Deflate {
    pub(super) fn new(stepped: Stepped) -> Self {
        Self {
            inflater: Decompress::new(false),
            stepped,
            is_begun: false,
            wanted: Queue::default(),
            made: Queue::default(),
        }
    }
}
