//! Pages of lists, collected in memory for one page however long the list is.

use std::collections::BTreeSet;

use crate::image::{Descriptor, Digest};

/// Entries of a page at most, also where a client asks for more, or for no pages.
pub(super) const MAX_PAGE: usize = 1000;
/// Referrers on a page at most. Each costs reading a manifest.
pub(super) const MAX_REFERRERS: usize = 100;
/// Bytes of JSON on a page of referrers, whose annotations are as long as their manifests say. Clients read no more
/// than a manifest may have.
const REFERRERS_ROOM: usize = 2 << 20;

/// The requested part of a sorted list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Entries after this one, which need not exist.
    pub after: Option<String>,
    pub most: usize,
}

impl Default for Page {
    /// All of it.
    fn default() -> Self {
        Self { after: None, most: usize::MAX }
    }
}

/// The entries of a page, sorted by byte value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub items: Vec<String>,
    /// Whether there are further ones.
    pub more: bool,
}

/// Collects the entries of one page from all entries, which come in any order.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    page: &'a Page,
    kept: BTreeSet<String>,
    more: bool,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(page: &'a Page) -> Self {
        Self { page, kept: BTreeSet::new(), more: false }
    }

    pub(super) fn add(&mut self, entry: &str) {
        if self.page.after.as_deref().is_some_and(|after| entry <= after) {
            return;
        }
        self.kept.insert(entry.to_owned());
        if self.kept.len() > self.page.most {
            self.kept.pop_last();
            self.more = true;
        }
    }

    pub(super) fn done(self) -> Listed {
        Listed { items: self.kept.into_iter().collect(), more: self.more }
    }
}

/// A page of referrers.
#[derive(Clone, Debug, Default)]
pub struct Referrers {
    pub descriptors: Vec<Descriptor>,
    /// The entry that the next page follows; none on the last page.
    pub next: Option<Digest>,
    size: usize,
}

impl Referrers {
    /// Adds a referrer if it fits. One alone always does.
    pub(super) fn add(&mut self, descriptor: Descriptor) -> bool {
        let size = self.size + descriptor.to_json().to_string().len();
        if size > REFERRERS_ROOM && !self.descriptors.is_empty() {
            return false;
        }
        self.size = size;
        self.descriptors.push(descriptor);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_first_entries_in_whatever_order_they_come() {
        for (after, most, items, more) in [
            (None, usize::MAX, &["a", "a-b", "a/b", "b"][..], false),
            (None, 2, &["a", "a-b"], true),
            (Some("a-b"), 2, &["a/b", "b"], false),
            (Some("a.none"), 1, &["a/b"], true),
            (Some("b"), 1, &[], false),
            (None, 0, &[], true),
        ] {
            let page = Page { after: after.map(str::to_owned), most };
            for order in [["b", "a/b", "a", "a-b"], ["a", "a-b", "a/b", "b"], ["a/b", "b", "a-b", "a"]] {
                let mut gathering = Gathering::new(&page);
                for entry in order {
                    gathering.add(entry);
                }
                let items = items.iter().map(|item| (*item).to_owned()).collect();
                assert_eq!(gathering.done(), Listed { items, more }, "{page:?}");
            }
        }
    }
}
