//! The content of a base with its zip entries inflated. It never changes: the reader of a bundle must get the same content
//! as its writer did.

use std::io::{self, Read};

use super::zip::{LONGEST_COMPARED, Limits, inflate};

/// Content that is looked at together.
const BASE_BLOCK: usize = 8 << 20;
const LIMITS: Limits = Limits { most: 32 << 20, longest: LONGEST_COMPARED };

/// The content of a base with its zip entries inflated.
struct InflatedBase {
    content: Box<dyn Read + Send>,
    block: Vec<u8>,
    ready: Vec<u8>,
    at: usize,
    is_over: bool,
}

/// The content of a base, or the same with its zip entries inflated, as far as they are found here.
pub(super) fn view(content: Box<dyn Read + Send>, is_inflated: bool) -> Box<dyn Read + Send> {
    if !is_inflated {
        return content;
    }
    Box::new(InflatedBase { content, block: Vec::new(), ready: Vec::new(), at: 0, is_over: false })
}

impl InflatedBase {
    fn fill(&mut self) -> io::Result<()> {
        let wanted = (BASE_BLOCK - self.block.len()) as u64;
        let read = (&mut self.content).take(wanted).read_to_end(&mut self.block)?;
        self.is_over = (read as u64) < wanted;
        // Whether an entry can be made again is of no interest here.
        let inflated = inflate(&self.block, self.is_over, LIMITS, &mut |_, _| Some(1));
        let taken = inflated.taken;
        (self.ready, self.at) = (inflated.content.into_owned(), 0);
        self.block.drain(..taken);
        Ok(())
    }
}

impl Read for InflatedBase {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() {
            if self.is_over {
                return Ok(0);
            }
            self.fill()?;
        }
        let count = buffer.len().min(self.ready.len() - self.at);
        buffer[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
