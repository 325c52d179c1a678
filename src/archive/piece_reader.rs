//! Pieces of content as a reader.

use std::error::Error;
use std::io::{self, Read};

use bytes::{Buf, Bytes};

/// Reads pieces one after another. An error among them is an error of reading, with itself as the source.
pub struct PieceReader<I> {
    pieces: I,
    ready: Bytes,
}

impl<I> PieceReader<I> {
    pub fn new(pieces: I) -> Self {
        Self { pieces, ready: Bytes::new() }
    }
}

impl<I> std::fmt::Debug for PieceReader<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PieceReader").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}

impl<I, E> Read for PieceReader<I>
where
    I: Iterator<Item = Result<Bytes, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() {
            match self.pieces.next() {
                Some(piece) => self.ready = piece.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let taken = buffer.len().min(self.ready.len());
        self.ready.copy_to_slice(&mut buffer[..taken]);
        Ok(taken)
    }
}
