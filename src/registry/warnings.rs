//! Warnings about registries and settings that are not failures. Each text is reported once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::pace::locked;

/// More than these say nothing new.
const MOST: usize = 100;

/// Clones share what is kept.
#[derive(Clone, Default)]
pub(super) struct Warnings(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    known: BTreeSet<String>,
    /// Not reported yet.
    fresh: Vec<String>,
}

impl Warnings {
    pub(super) fn add(&self, text: impl Into<String>) {
        let (mut kept, text) = (locked(&self.0), text.into());
        if kept.known.len() < MOST && kept.known.insert(text.clone()) {
            kept.fresh.push(text);
        }
    }

    /// Those that have not been taken yet, sorted.
    pub(super) fn take(&self) -> Vec<String> {
        let mut fresh = std::mem::take(&mut locked(&self.0).fresh);
        fresh.sort();
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once_and_there_is_an_end_to_them() {
        let warnings = Warnings::default();
        for text in ["b", "a", "b"] {
            warnings.clone().add(text);
        }
        assert_eq!(warnings.take(), ["a", "b"]);
        warnings.add("a");
        assert!(warnings.take().is_empty());
        (0..1000).for_each(|number| warnings.add(number.to_string()));
        assert_eq!(warnings.take().len(), MOST - 2);
    }
}
