//! Bytes that wait to be compared.

/// Bytes that come at the end and go at the start.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    at: usize,
}

impl Queue {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        self.end().extend_from_slice(more);
    }

    /// Where more bytes are appended.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        } else if self.at > self.bytes.len() / 2 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        &mut self.bytes
    }

    pub(super) fn drop(&mut self, count: usize) {
        self.at += count;
    }
}

/// Removes the start that both have in common. Returns whether one of them is then empty, and the length of that start.
pub(super) fn drop_same(wanted: &mut Queue, made: &mut Queue) -> (bool, u64) {
    let (left, right) = (wanted.bytes(), made.bytes());
    let both = left.len().min(right.len());
    let same = if left[..both] == right[..both] {
        both
    } else {
        left.iter().zip(right).take_while(|(one, other)| one == other).count()
    };
    wanted.drop(same);
    made.drop(same);
    (same == both, same as u64)
}
