//! Conceals secrets of this run, and characters that could mislead a terminal.

use std::sync::OnceLock;

/// The secrets, longest first; see [`conceal`].
static CONCEALED: OnceLock<Vec<String>> = OnceLock::new();

/// Never shows these texts: passwords and signed queries that stand in the arguments of the program. Said once, at its start.
pub fn conceal(mut secrets: Vec<String>) {
    // One may be part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let _ = CONCEALED.set(secrets);
}

/// `text` without secrets.
pub fn concealed(text: &str) -> String {
    let secrets = CONCEALED.get().into_iter().flatten();
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
}

/// `text` without secrets, and without characters that could move a cursor or hide text.
pub fn printable(text: &str) -> String {
    let hostile = |c: char| {
        // Controls, marks of direction, what has no width, and tags.
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    concealed(text).chars().map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect()
}
