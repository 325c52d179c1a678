//! The content of a member, as a reader gets it: from its zstd frame, and from its window.

use std::io::Read;

use zstd::zstd_safe;

use super::deflation::{Deflated, Deflation};
use super::error::CompactError;
use super::member::{Segment, WindowStep};
use super::{MEMBER_CONTENT, pack};

/// The bytes of a member after its head.
pub(super) type Input = std::io::BufReader<Box<dyn Read + Send>>;

/// The content of a member, its zip entries deflated.
pub(super) struct Content {
    stored: Stored,
    /// In the order in which they are applied.
    deflated: Vec<Deflated>,
}

enum Stored {
    /// The zstd frame has all of it.
    Frame(Box<zstd::stream::read::Decoder<'static, Input>>),
    Windowed(Windowed),
}

/// Content of a member with a window.
struct Windowed {
    /// The content of its zstd frame.
    literals: Vec<u8>,
    taken: usize,
    segments: std::vec::IntoIter<Segment>,
    current: Segment,
    rest: Input,
}

impl Content {
    /// The content of a member with this head. With a window, that is the one after the step.
    pub(super) fn new(
        step: Option<WindowStep>,
        deflations: Vec<Deflation>,
        window: &[u8],
        input: Input,
    ) -> Result<Self, CompactError> {
        let deflated = deflations.into_iter().map(Deflated::new).collect();
        Ok(Self { stored: Stored::new(step, window, input)?, deflated })
    }

    /// Fills `buffer` with the next content.
    pub(super) fn read(&mut self, window: &[u8], buffer: &mut [u8]) -> Result<(), CompactError> {
        read_deflated(&mut self.deflated, &mut |buffer| self.stored.read(window, buffer), buffer)
    }

    /// All content was read: nothing may follow.
    pub(super) fn end(self) -> Result<(), CompactError> {
        self.stored.end()
    }
}

/// Fills `buffer` with what the last of `deflated` makes of what the ones before make of the stored content.
fn read_deflated(
    deflated: &mut [Deflated],
    stored: &mut dyn FnMut(&mut [u8]) -> Result<(), CompactError>,
    buffer: &mut [u8],
) -> Result<(), CompactError> {
    match deflated.split_last_mut() {
        None => stored(buffer),
        Some((last, before)) => last.read(buffer, &mut |buffer| read_deflated(before, stored, buffer)),
    }
}

impl Stored {
    fn new(step: Option<WindowStep>, window: &[u8], mut input: Input) -> Result<Self, CompactError> {
        let Some(step) = step else {
            let mut frame = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
            frame.window_log_max(MEMBER_CONTENT.ilog2())?;
            return Ok(Self::Frame(Box::new(frame)));
        };
        let literals = usize::try_from(step.literals()).unwrap_or(usize::MAX);
        let literals = decompress(&mut input, literals, window)?;
        Ok(Self::Windowed(Windowed {
            literals,
            taken: 0,
            segments: step.segments.into_iter(),
            current: Segment { literals: 0, at: 0, copied: 0 },
            rest: input,
        }))
    }

    fn read(&mut self, window: &[u8], buffer: &mut [u8]) -> Result<(), CompactError> {
        match self {
            Self::Frame(frame) => Ok(frame.read_exact(buffer)?),
            Self::Windowed(windowed) => windowed.read(window, buffer),
        }
    }

    fn end(self) -> Result<(), CompactError> {
        let mut rest = match self {
            Self::Frame(mut frame) => {
                if frame.read(&mut [0])? > 0 {
                    return Err(CompactError::Invalid("a member has more content than stated"));
                }
                frame.finish()
            }
            Self::Windowed(windowed) => windowed.rest,
        };
        if rest.read(&mut [0])? > 0 {
            return Err(CompactError::Invalid("bytes follow the content of a member"));
        }
        Ok(())
    }
}

impl Windowed {
    fn read(&mut self, window: &[u8], mut buffer: &mut [u8]) -> Result<(), CompactError> {
        const ENDED: CompactError = CompactError::Invalid("the segments of a member end too early");
        while !buffer.is_empty() {
            if self.current.literals == 0 && self.current.copied == 0 {
                self.current = self.segments.next().ok_or(ENDED)?;
            }
            let Segment { literals, at, copied } = &mut self.current;
            let is_literal = *literals > 0;
            let left = if is_literal { literals } else { copied };
            let count = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
            *left -= count as u64;
            let (now, later) = buffer.split_at_mut(count);
            buffer = later;
            let (from, start) = if is_literal {
                self.taken += count;
                (&self.literals[..], self.taken - count)
            } else {
                let start = usize::try_from(*at).unwrap_or(usize::MAX);
                *at += count as u64;
                (window, start)
            };
            let bytes = start.checked_add(count).and_then(|end| from.get(start..end)).ok_or(ENDED)?;
            now.copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// The content of the frame that `input` ends with, of `len` bytes, with `window` as its dictionary; no frame for no bytes.
fn decompress(input: &mut Input, len: usize, window: &[u8]) -> Result<Vec<u8>, CompactError> {
    if len == 0 {
        return Ok(Vec::new());
    }
    let mut frame = Vec::new();
    let longest = zstd_safe::compress_bound(len) as u64;
    input.take(longest + 1).read_to_end(&mut frame)?;
    if zstd_safe::find_frame_compressed_size(&frame) != Ok(frame.len()) {
        return Err(CompactError::Invalid("a member does not have exactly one zstd frame"));
    }
    pack::decompress(&frame, len, window)
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content")
    }
}
