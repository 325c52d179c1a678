//! Passwords that were typed into arguments, where they do not belong: they are not repeated on the screen.

use std::io::{IsTerminal, Write};

use crate::failure::ExitCode;

const MASK: &str = "***";

/// Shows what is wrong with the arguments, or the help that was asked for.
pub fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::Done;
    }
    let text = error.render();
    let styled = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = if styled { text.ansi().to_string() } else { text.to_string() };
    let _ = write!(std::io::stderr().lock(), "{}", masked(&text));
    ExitCode::Usage
}

/// `text` without the passwords in this program's arguments.
pub(super) fn masked(text: &str) -> String {
    let arguments = std::env::args_os().skip(1);
    mask(text, arguments.filter_map(|argument| argument.into_string().ok()))
}

fn mask(text: &str, arguments: impl Iterator<Item = String>) -> String {
    let mut secrets: Vec<String> =
        arguments.filter_map(|argument| password(&argument).map(str::to_owned)).collect();
    // Longest first: one may be part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
}

/// What stands between the first colon and the last at-sign of an address; a digest's at-sign is none.
fn password(argument: &str) -> Option<&str> {
    let from = argument.find("://").map_or(0, |scheme| scheme + 3);
    let is_digest =
        |at: usize| ["sha256:", "sha512:"].iter().any(|kind| argument[at + 1..].starts_with(kind));
    let at = argument.rmatch_indices('@').map(|(at, _)| at).find(|at| !is_digest(*at))?;
    let colon = from + argument.get(from..at)?.find(':')? + 1;
    (colon < at).then(|| &argument[colon..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_found_and_digests_are_none() {
        for (argument, expected) in [
            ("u:pw@r.io", Some("pw")),
            ("https://u:p/w:x@r.io/a", Some("p/w:x")),
            ("docker.io=u:pw@r.io", Some("pw")),
            ("u:p@w@r.io/x:1@sha256:00", Some("p@w")),
            ("r.io/x:1@sha256:00", None),
            ("user@r.io", None),
            ("u:@r.io", None),
            ("r.io:5000/x", None),
        ] {
            assert_eq!(password(argument), expected, "{argument}");
        }
        let typed = ["u:pw@r.io".to_owned(), "u:pw2@r.io".to_owned()];
        assert_eq!(
            mask("invalid value 'u:pw2@r.io' and pw", typed.into_iter()),
            "invalid value 'u:***@r.io' and ***"
        );
    }
}
