//! Large tables on the heap, and positions in them.

use std::fmt::Debug;

/// `N` copies of `value`, made on the heap at once: they are too large for the stack.
pub(super) fn boxed<T: Clone + Debug, const N: usize>(value: T) -> Box<[T; N]> {
    vec![value; N].into_boxed_slice().try_into().expect("the vector was made with N elements")
}

/// A position in a window, or a length of a match.
#[expect(clippy::cast_possible_truncation, reason = "no window has more than 65536 bytes")]
pub(super) fn narrow(position: usize) -> u32 {
    debug_assert!(position <= 1 << 16);
    position as u32
}

/// How many bytes at the start of `a` and `b` are equal, up to the length of the shorter one.
#[inline]
pub(super) fn equal_bytes(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a_words, a_rest) = a[..length].as_chunks::<8>();
    let (b_words, b_rest) = b[..length].as_chunks::<8>();
    for (number, (x, y)) in a_words.iter().zip(b_words).enumerate() {
        let different = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if different != 0 {
            return number * 8 + (different.trailing_zeros() / 8) as usize;
        }
    }
    let equal = a_rest.iter().zip(b_rest).take_while(|(x, y)| x == y).count();
    length - a_rest.len() + equal
}
