//! Reads one frame from a pipe.

use std::io::{self, Read};

use crate::archive::format::frame;
use crate::archive::volumes::pipe_error;
use crate::archive::{ArchiveError, FormatError};

/// One whole frame, found by walking its blocks; none at the end of the input. Content beyond `limit` is refused.
pub(in crate::archive) fn read_frame(
    input: &mut impl Read,
    limit: u64,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    let io = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            ArchiveError::Format(FormatError::Damaged("the stream ends inside a frame".into()))
        }
        _ => pipe_error(error),
    };
    let foreign =
        || ArchiveError::Format(FormatError::NotABundle("its frames are not those of a bundle".to_owned()));
    let mut frame = Vec::new();
    if input.take(5).read_to_end(&mut frame).map_err(io)? == 0 {
        return Ok(None);
    }
    // The descriptor gives the length of the rest of the header, which is at most 18 bytes: it is read byte by byte.
    let header = loop {
        if let Some(header) = frame::FrameHeader::parse(&frame) {
            break header;
        }
        if frame.len() >= frame::MAX_FRAME_HEADER || input.take(1).read_to_end(&mut frame).map_err(io)? == 0 {
            return Err(foreign());
        }
    };
    let allowed = header.content.filter(|content| *content <= limit).ok_or_else(foreign)?;
    // Compressed content is never much longer than itself.
    let cap = usize::try_from(allowed + allowed / 64 + (64 << 10)).map_err(|_| foreign())?;
    loop {
        let mut block = [0; frame::BLOCK_HEADER];
        input.read_exact(&mut block).map_err(io)?;
        frame.extend_from_slice(&block);
        let (len, last) = frame::block_len(block).ok_or_else(foreign)?;
        if frame.len() + len > cap {
            return Err(foreign());
        }
        let start = frame.len();
        frame.resize(start + len, 0);
        input.read_exact(&mut frame[start..]).map_err(io)?;
        if last {
            break;
        }
    }
    if header.checksum {
        let start = frame.len();
        frame.resize(start + frame::CHECKSUM, 0);
        input.read_exact(&mut frame[start..]).map_err(io)?;
    }
    Ok(Some(frame))
}
