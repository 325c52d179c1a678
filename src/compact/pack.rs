//! The content of a member, compressed.

use zstd::zstd_safe::{CParameter, DParameter};

use super::{CompactError, MEMBER_CONTENT};

/// The largest window: that of a full member.
const WINDOW: u32 = MEMBER_CONTENT.ilog2();

/// Compresses content as the end of a member.
pub(super) fn compress(content: &[u8], level: i32) -> Result<Vec<u8>, CompactError> {
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    for parameter in [
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
        CParameter::WindowLog(WINDOW),
        CParameter::EnableLongDistanceMatching(true),
    ] {
        compressor.set_parameter(parameter)?;
    }
    Ok(compressor.compress(content)?)
}

/// Decompresses it again: what a reader gets is compared.
pub(super) fn check(frame: &[u8], content: &[u8]) -> Result<(), CompactError> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame)?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW))?;
    let mut same = Same { rest: content };
    std::io::copy(&mut decoder, &mut same)?;
    if same.rest.is_empty() { Ok(()) } else { Err(CompactError::Invalid("zstd gives other bytes back")) }
}

/// Takes only the expected bytes.
struct Same<'a> {
    rest: &'a [u8],
}

impl std::io::Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
