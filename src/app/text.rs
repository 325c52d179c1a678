//! Text of others inside of files that are written.

/// `text` as what follows a `#` on one line of YAML or TOML. Nothing in it ends the line for any reader: YAML 1.1, which
/// `PyYAML` and Go's yaml follow, also breaks lines at U+0085, U+2028 and U+2029 (section 4.2), and forbids other
/// characters that cannot be printed (section 4.1).
pub fn comment(text: &str) -> String {
    let is_printable = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
            && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_comment_ends_before_its_line(text in "\\PC{0,40}|[\\x00-\\x20\u{7f}\u{85}\u{a0}\u{2028}\u{2029}\u{feff}a:#-]{0,40}") {
            let line = comment(&text);
            prop_assert_eq!(line.lines().count().max(1), 1);
            let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{0}', '\u{feff}'];
            prop_assert!(!line.contains(breaks), "{:?}", line);
            prop_assert_eq!(line.chars().count(), text.chars().count());
        }
    }
}
