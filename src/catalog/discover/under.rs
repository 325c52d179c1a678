//! The context of a value: its key, and whether it is an item of a list.

/// The context of a value.
#[derive(Clone, Copy)]
pub(super) struct Under<'k> {
    pub(super) key: &'k str,
    /// It is an item of the list under the key.
    pub(super) is_item: bool,
}

impl Under<'static> {
    pub(super) const NOTHING: Self = Self { key: "", is_item: false };
}

impl<'k> Under<'k> {
    pub(super) fn key(key: &'k str) -> Self {
        Self { key, is_item: false }
    }

    pub(super) fn item(self) -> Self {
        Self { is_item: true, ..self }
    }
}
