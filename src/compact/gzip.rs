//! The header of a gzip member (RFC 1952, 2.3).

use std::io::{self, BufReader, Read};

use super::most_content;
use super::window::BaseContent;

/// The content of a blob of `size` bytes: what its gzip members hold together (RFC 1952), or its bytes if it is not gzip.
///
/// Bytes after the last gzip member are an error at the end. The content ends early if it is larger than any blob of this
/// size may have in compact form.
pub fn content_of(mut blob: Box<dyn Read + Send>, size: u64) -> io::Result<BaseContent> {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    let mut start = Vec::new();
    (&mut blob).take(MAGIC.len() as u64).read_to_end(&mut start)?;
    let is_gzip = start == MAGIC;
    let whole = BufReader::with_capacity(256 << 10, io::Cursor::new(start).chain(blob.take(size)));
    let most = most_content(size);
    Ok(if is_gzip {
        Box::new(flate2::bufread::MultiGzDecoder::new(whole).take(most))
    } else {
        Box::new(whole.take(most))
    })
}

/// Bytes of the CRC and the length after the deflate data.
pub(super) const TRAILER: usize = 8;
/// The most bytes that a header may have here; names and comments are short.
const MAX_HEADER: usize = 64 << 10;

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;

/// What the start of some bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A header of so many bytes; its `XFL`.
    Of(usize, u8),
    /// It may be the start of a header.
    Unfinished,
    None,
}

/// The header at the start of `bytes`.
pub(super) fn header(bytes: &[u8]) -> Header {
    const START: [u8; 3] = [0x1f, 0x8b, 8];
    let known = bytes.len().min(START.len());
    if bytes[..known] != START[..known] {
        return Header::None;
    }
    match len(bytes) {
        Some(len) if len <= MAX_HEADER => Header::Of(len, bytes[8]),
        None if bytes.len() <= MAX_HEADER => Header::Unfinished,
        _ => Header::None,
    }
}

/// The length of a header; none if it goes on after `bytes`.
fn len(bytes: &[u8]) -> Option<usize> {
    let flags = *bytes.get(3)?;
    let mut at = 10;
    if flags & FEXTRA != 0 {
        let len = bytes.get(at..at + 2)?;
        at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
    }
    for flag in [FNAME, FCOMMENT] {
        if flags & flag != 0 {
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & FHCRC != 0 {
        at += 2;
    }
    (at <= bytes.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_all_shapes() {
        let plain = [0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 2, 255];
        assert_eq!(header(&plain), Header::Of(10, 2));
        let mut full = plain.to_vec();
        full[3] = FHCRC | FEXTRA | FNAME | FCOMMENT;
        full.extend_from_slice(&[3, 0, 7, 7, 7]);
        full.extend_from_slice(b"name\0comment\0\x01\x02");
        let whole = full.len();
        full.extend_from_slice(b"data");
        assert_eq!(header(&full), Header::Of(whole, 2));
        for end in 0..whole {
            assert_eq!(header(&full[..end]), Header::Unfinished, "{end}");
        }
        assert_eq!(header(&[0x1f, 0x8b, 9]), Header::None);
        assert_eq!(header(b"ustar"), Header::None);
        let mut endless = plain.to_vec();
        endless[3] = FNAME;
        endless.resize(MAX_HEADER + 1, b'a');
        assert_eq!(header(&endless), Header::None);
    }
}
