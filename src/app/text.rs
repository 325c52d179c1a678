//! Quotes text from elsewhere for files that are written and commands that are shown.

use std::borrow::Cow;
use std::path::Path;

/// `text` on one line, safe after a `#` in YAML or TOML or in a row of a table. Nothing in it ends the line for any
/// reader: YAML 1.1, which `PyYAML` and Go's yaml follow, also breaks lines at U+0085, U+2028 and U+2029 (section 4.2),
/// and forbids other characters that cannot be printed (section 4.1).
pub(crate) fn one_line(text: &str) -> String {
    let is_printable = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
            && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect()
}

/// `text` escaped for Markdown, so that it is shown literally: on one line, without markup or links, and without ending
/// a table cell (GitHub Flavored Markdown, sections 4.10 and 6).
pub(crate) fn markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // Markdown turns addresses into links without any markup.
            ':' if rest.starts_with("://") => safe.push_str("&#58;"),
            'w' if rest.starts_with("www.") => safe.push_str("&#119;"),
            '|' | '*' | '_' | '~' | '`' | '[' | ']' | '#' | '\\' => {
                safe.push('\\');
                safe.push(c);
            }
            '\u{2028}' | '\u{2029}' | '\u{feff}' => safe.push(' '),
            other if other.is_control() => safe.push(' '),
            other => safe.push(other),
        }
        rest = &rest[c.len_utf8()..];
    }
    safe
}

/// `text` as a Markdown code span, if that is possible: a span ends at a backtick, and a table cell at a bar.
pub(crate) fn markdown_code(text: &str) -> String {
    let held = |c: char| !matches!(c, '`' | '|' | '\\' | '\u{2028}' | '\u{2029}') && !c.is_control();
    if !text.trim().is_empty() && text.chars().all(held) { format!("`{text}`") } else { markdown(text) }
}

/// A path as a shell argument: disks are mounted under names with spaces, and a name may look like a flag.
pub(crate) fn typed(path: &Path) -> String {
    let path = path.to_string_lossy();
    let path = if path.starts_with('-') { Cow::from(format!("./{path}")) } else { path };
    if path.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return ansi_c(&path);
    }
    // Only a NUL cannot be quoted, and no path has one.
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), Into::into)
}

/// `$'…'` quoting, in which bash, zsh, ksh and POSIX.1-2024 shells read `\n` and octal bytes.
fn ansi_c(text: &str) -> String {
    let mut quoted = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let mut bytes = [0; 4];
                quoted.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("\\{byte:03o}")));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_typed_as_one_argument() {
        let typed = |path: &str| typed(Path::new(path));
        assert_eq!(typed("shop.tar.zst"), "shop.tar.zst");
        assert_eq!(typed("/media/my disk/a.tar.zst"), "'/media/my disk/a.tar.zst'");
        assert_eq!(typed("-rf"), "./-rf");
        assert_eq!(typed("-"), "./-");
        assert_eq!(typed("- x"), "'./- x'");
        assert_eq!(typed("a\nb\u{1b}[2Jc'd"), "$'a\\nb\\033[2Jc\\'d'");
        assert_eq!(typed("a\u{85}\\"), "$'a\\302\\205\\\\'");
    }

    #[test]
    fn markdown_shows_text_as_it_is() {
        assert_eq!(markdown("a|b\n# c"), "a\\|b \\# c");
        assert_eq!(markdown("<b> https://x [y](z)"), "&lt;b&gt; https&#58;//x \\[y\\](z)");
        assert_eq!(markdown_code("a/b:1"), "`a/b:1`");
        assert_eq!(markdown_code("a`b|c"), "a\\`b\\|c");
        assert_eq!(markdown_code(""), "");
    }

    proptest! {
        #[test]
        fn no_comment_ends_before_its_line(text in "\\PC{0,40}|[\\x00-\\x20\u{7f}\u{85}\u{a0}\u{2028}\u{2029}\u{feff}a:#-]{0,40}") {
            let line = one_line(&text);
            prop_assert_eq!(line.lines().count().max(1), 1);
            let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{0}', '\u{feff}'];
            prop_assert!(!line.contains(breaks), "{:?}", line);
            prop_assert_eq!(line.chars().count(), text.chars().count());
        }
    }
}
