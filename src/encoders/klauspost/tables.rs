//! Large tables on the heap.

use std::fmt::Debug;

/// `N` copies of `value`, made on the heap at once: they are too large for the stack.
pub(super) fn boxed<T: Clone + Debug, const N: usize>(value: T) -> Box<[T; N]> {
    vec![value; N].into_boxed_slice().try_into().expect("the vector was made with N elements")
}
