//! The content of a member, compressed.

use super::{CompactError, MEMBER_CONTENT};

/// Compresses content as the end of a member, and decompresses it again: what a reader gets is compared.
pub(super) fn compress(content: &[u8], level: i32, member: &mut Vec<u8>) -> Result<(), CompactError> {
    use zstd::zstd_safe::{CParameter, DParameter};
    const WINDOW: u32 = MEMBER_CONTENT.ilog2();
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    for parameter in [
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
        CParameter::WindowLog(WINDOW),
        CParameter::EnableLongDistanceMatching(true),
    ] {
        compressor.set_parameter(parameter)?;
    }
    let start = member.len();
    member.extend_from_slice(&compressor.compress(content)?);
    drop(compressor);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(&member[start..])?;
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
