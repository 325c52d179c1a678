//! Entry point for a fuzz target.

use std::io::{Cursor, Read};

use super::{BaseContent, CompactError, Compactor, Effort, Members, Packed, Remake};

struct InMemory(std::vec::IntoIter<Vec<u8>>);

impl Members for InMemory {
    fn next(&mut self) -> Option<Result<Box<dyn Read + Send>, CompactError>> {
        Some(Ok(Box::new(Cursor::new(self.0.next()?))))
    }

    fn base(&mut self, number: u32) -> Result<BaseContent, CompactError> {
        let content: Vec<u8> = (0..=u8::MAX).cycle().skip(number as usize % 256).take(64 << 10).collect();
        Ok(Box::new(Cursor::new(content)))
    }
}

/// With an odd first byte, the rest is one member of a blob of some size. With an even one, it is a blob, which must come
/// back from its compact form.
pub fn members(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    if first % 2 == 1 {
        let size = u64::from(*first) * 251;
        let made = Remake::new(InMemory(vec![rest.to_vec()].into_iter()), size);
        let total: u64 = made.map_while(Result::ok).map(|piece| piece.len() as u64).sum();
        assert!(total <= size);
        return;
    }
    let (mut plain, mut members) = (Vec::new(), Vec::new());
    let mut sink = |packed| match packed {
        Packed::Plain(bytes) => plain.extend(bytes),
        Packed::Member(member) => members.push(member),
    };
    // As if it were large enough.
    let mut compactor = Compactor::new(1 << 20, Effort::Max);
    let pushed = compactor.push(rest, &mut sink).and_then(|()| compactor.finish(&mut sink));
    assert!(pushed.is_ok());
    if members.is_empty() {
        assert_eq!(plain, rest);
        return;
    }
    let made: Result<Vec<_>, _> = Remake::new(InMemory(members.into_iter()), rest.len() as u64).collect();
    assert!(made.is_ok_and(|made| made.concat() == rest));
}
