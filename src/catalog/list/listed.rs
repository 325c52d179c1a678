//! One image of a line, and how its text is read and shown.

/// Texts in a message are not longer.
const SHOWN: usize = 80;

/// One image of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) image: String,
    pub(super) note: Option<String>,
}

pub(super) fn plain(image: &str) -> Listed {
    Listed { image: image.to_owned(), note: None }
}

pub(super) fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

pub(super) fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        text.to_owned()
    } else {
        text.chars().take(SHOWN - 1).chain(['…']).collect()
    }
}
