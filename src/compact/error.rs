//! The errors of the compact form.

use std::io;

/// Why a compact blob cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The bytes could not be read, or were cut short.
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("its compact form is not valid: {0}")]
    Invalid(&'static str),
    /// A later version of this program can read it.
    #[error("it needs the encoder {0:?}, which this version does not have")]
    Encoder(String),
    /// A base has other content, or less, than when the blob was made compact. Its number.
    #[error("it is made from another blob, which is shorter than it was")]
    Base(u32),
}
