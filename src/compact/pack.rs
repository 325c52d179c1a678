//! The content of a member, compressed.

use sha2::{Digest, Sha256};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, compress_bound, get_error_name};

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

/// Compresses content with a window of old content as its dictionary.
///
/// The level matters little beside a window, the size of the tables much.
pub(super) fn compress_with(window: &[u8], content: &[u8]) -> Result<Vec<u8>, CompactError> {
    const LEVEL: i32 = 3;
    const HASH_LOG: u32 = 22;
    const CHAIN_LOG: u32 = 21;
    let mut context = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
        CParameter::WindowLog((window.len() + content.len()).max(1 << 10).next_power_of_two().ilog2()),
        CParameter::HashLog(HASH_LOG),
        CParameter::ChainLog(CHAIN_LOG),
        CParameter::EnableLongDistanceMatching(true),
    ] {
        context.set_parameter(parameter).map_err(failed)?;
    }
    context.ref_prefix(window).map_err(failed)?;
    let mut frame = Vec::with_capacity(compress_bound(content.len()));
    context.compress2(&mut frame, content).map_err(failed)?;
    Ok(frame)
}

/// Decompresses one frame of `len` bytes of content, with this window as its dictionary.
pub(super) fn decompress(frame: &[u8], len: usize, window: &[u8]) -> Result<Vec<u8>, CompactError> {
    let mut context = DCtx::create();
    context.ref_prefix(window).map_err(failed)?;
    let mut content = Vec::with_capacity(len);
    context.decompress(&mut content, frame).map_err(failed)?;
    if content.len() == len {
        Ok(content)
    } else {
        Err(CompactError::Invalid("a zstd frame has less content than stated"))
    }
}

fn failed(code: usize) -> CompactError {
    CompactError::Read(std::io::Error::new(std::io::ErrorKind::InvalidData, get_error_name(code)))
}

/// Decompresses a frame into the room of the content that it was made from, and gives it back: what a reader gets is
/// compared by its hash, so that there is never a second copy.
pub(super) fn check(frame: &[u8], mut content: Vec<u8>) -> Result<Vec<u8>, CompactError> {
    let (len, hash) = (content.len(), Sha256::digest(&content));
    content.clear();
    DCtx::create().decompress(&mut content, frame).map_err(failed)?;
    if content.len() == len && Sha256::digest(&content) == hash {
        Ok(content)
    } else {
        Err(CompactError::Invalid("zstd gives other bytes back"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_found() {
        let content = b"one content".repeat(100);
        let frame = compress(&content, 3).unwrap();
        assert_eq!(check(&frame, content.clone()).unwrap(), content);
        let mut other = content.clone();
        other[500] ^= 1;
        assert!(check(&frame, other).is_err());
        assert!(check(&frame, content[1..].to_vec()).is_err());
        assert!(check(&frame[..frame.len() - 1], content).is_err());
    }
}
