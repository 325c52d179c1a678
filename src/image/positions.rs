//! Where digests stand in a list that somebody else holds: a few bytes for each, where a map would hold it once more.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::Digest;

/// Positions of digests in a list. Whoever asks shows the list, the same each time.
#[derive(Debug, Default)]
pub struct Positions {
    table: HashTable<usize>,
    hasher: RandomState,
}

impl Positions {
    pub fn with_capacity(number: usize) -> Self {
        Self { table: HashTable::with_capacity(number), hasher: RandomState::new() }
    }

    /// The positions of all that `list` gives for `0..number`; of equal ones the first.
    pub fn of<'a>(number: usize, list: impl Fn(usize) -> &'a Digest) -> Self {
        let mut positions = Self::with_capacity(number);
        for at in 0..number {
            positions.insert(at, &list);
        }
        positions
    }

    /// Where `digest` stands in `list`.
    pub fn get<'a>(&self, digest: &Digest, list: impl Fn(usize) -> &'a Digest) -> Option<usize> {
        self.table.find(self.hasher.hash_one(digest), |at| list(*at) == digest).copied()
    }

    /// Adds what stands at `at` of `list`, unless it is there already; whether it was not.
    pub fn insert<'a>(&mut self, at: usize, list: impl Fn(usize) -> &'a Digest) -> bool {
        let (Self { table, hasher }, digest) = (self, list(at));
        let is_same = |other: &usize| list(*other) == digest;
        match table.entry(hasher.hash_one(digest), is_same, |other| hasher.hash_one(list(*other))) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(at);
                true
            }
        }
    }
}

/// A position as plans keep it, in half the memory: each element of a list takes a hundred bytes of `bundle.json`, which
/// has no room for 2^32 of them.
pub fn short_position(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digest_is_found_and_of_equal_ones_the_first() {
        let mut digests: Vec<Digest> = (0..1000u32).map(|n| Digest::sha256(&n.to_le_bytes())).collect();
        digests.push(digests[7]);
        let positions = Positions::of(digests.len(), |at| &digests[at]);
        for (at, digest) in digests.iter().enumerate().take(1000) {
            assert_eq!(positions.get(digest, |at| &digests[at]), Some(at));
        }
        assert_eq!(positions.get(&Digest::sha256(b"other"), |at| &digests[at]), None);
        let mut growing = Positions::default();
        let fresh = (0..digests.len()).filter(|at| growing.insert(*at, |at| &digests[at]));
        assert_eq!(fresh.count(), 1000);
    }
}
