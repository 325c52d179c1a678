//! How many bits bytes would take as literals, by which level 9 chooses between matches.

use super::codes::Codes;
use super::variant::Variant;

/// The bits of all bytes of the buffer before each position, as literals.
pub(super) struct Weights {
    codes: Codes<256>,
    before: Vec<i32>,
}

impl Weights {
    /// For so many positions.
    pub(super) fn new(positions: usize) -> Self {
        Self { codes: Codes::empty(), before: vec![0; positions] }
    }

    /// Those from a position on.
    pub(super) fn from(&self, index: usize) -> &[i32] {
        self.before.get(index..).unwrap_or_default()
    }

    /// Works out how many bits each of the bytes `ahead`, which begin at `index`, would take.
    pub(super) fn weigh(&mut self, variant: Variant, index: usize, ahead: &[u8]) {
        if ahead.is_empty() {
            return;
        }
        let mut frequencies = [0u16; 256];
        for &byte in ahead.iter().take(variant.most_counted()) {
            let frequency = &mut frequencies[usize::from(byte)];
            *frequency = frequency.wrapping_add(1);
        }
        self.codes.generate(&frequencies, 15);
        let least = variant.least_bits();
        let costs = self.codes.0.map(|code| i32::from(code.length).max(least));
        let mut total = 0;
        let sums = self.before.get_mut(index..).unwrap_or_default();
        for (&byte, sum) in ahead.iter().zip(&mut *sums) {
            *sum = total;
            total += costs[usize::from(byte)];
        }
        if let Some(last) = sums.get_mut(ahead.len()) {
            *last = total;
        }
    }
}
