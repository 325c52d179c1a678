//! Passwords and signed addresses that were typed into arguments: they are not repeated on the screen.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use super::ending;
use crate::app::failure::ExitCode;
use crate::session::console;

/// clap reads this variable for the commands that have `--progress`.
const PROGRESS: &str = "AIRGAP_BUNDLE_PROGRESS";
const MASK: &str = "***";
/// A shorter value of a query is not a secret, and hiding it would hide other text.
const SHORTEST: usize = 6;

/// Prints what is wrong with the arguments, or the requested help.
pub fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match console::checked(error.print().and_then(|()| std::io::stdout().flush())) {
            Ok(()) => ExitCode::Done,
            Err(failure) => ending::show_error(&failure.into(), false),
        };
    }
    let text = error.render();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if ask_for_json(&arguments) {
        let text = masked(&text.to_string());
        crate::report::write_json(&serde_json::json!({
            "event": "error", "text": text, "hints": [], "exitCode": ExitCode::Usage as u8,
        }));
        return ExitCode::Usage;
    }
    let styled = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = if styled { text.ansi().to_string() } else { text.to_string() };
    let _ = write!(std::io::stderr().lock(), "{}", masked(&text));
    ExitCode::Usage
}

/// Whether `arguments` (which may be invalid) or the environment ask for one JSON object per line on stderr.
pub(super) fn ask_for_json(arguments: &[OsString]) -> bool {
    let values = arguments.iter().zip(arguments.iter().skip(1)).filter(|(flag, _)| *flag == "--progress");
    let mut values = values
        .map(|(_, value)| value.to_str())
        .chain(arguments.iter().map(|argument| argument.to_str()?.strip_prefix("--progress=")))
        .flatten();
    let by_variable = || std::env::var_os(PROGRESS).is_some_and(|value| value == "json");
    values.next_back().map_or_else(by_variable, |value| value == "json")
}

/// What in this program's arguments must not be shown: passwords, and the queries of addresses, which may be signatures.
pub(super) fn secrets() -> Vec<String> {
    let arguments = std::env::args_os().skip(1).filter_map(|argument| argument.into_string().ok());
    arguments.flat_map(|argument| secrets_in(&argument)).collect()
}

fn secrets_in(argument: &str) -> Vec<String> {
    let mut secrets: Vec<String> = password(argument).map(str::to_owned).into_iter().collect();
    let query = argument.split_once("://").and_then(|(_, rest)| rest.split_once('?'));
    let Some((_, query)) = query else { return secrets };
    secrets.push(query.to_owned());
    // A server may repeat a part of it, as it was sent or decoded.
    for (_, value) in url::form_urlencoded::parse(query.as_bytes()) {
        secrets.push(value.into_owned());
    }
    secrets.extend(query.split(['&', '#']).filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
    secrets.retain(|secret| secret.len() >= SHORTEST);
    secrets
}

/// `text` without them.
fn masked(text: &str) -> String {
    let mut secrets = secrets();
    // Longest first: one may be part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
}

/// The text between the first colon and the last `@` of an address. The `@` before a digest does not count.
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
    fn json_is_asked_for_by_either_form_of_the_flag() {
        let asked = |line: &str| ask_for_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(asked("export --progress json --nonsense"));
        assert!(asked("export --progress=json"));
        assert!(!asked("export --progress plain json"));
        assert!(!asked("export --progress"));
    }

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
    }

    #[test]
    fn queries_of_addresses_are_secrets_as_a_whole_and_value_by_value() {
        let found = secrets_in("https://h/x?sig=ab%2Fcdefgh&n=12&date=20261128T000000Z");
        for secret in
            ["sig=ab%2Fcdefgh&n=12&date=20261128T000000Z", "ab/cdefgh", "ab%2Fcdefgh", "20261128T000000Z"]
        {
            assert!(found.iter().any(|found| found == secret), "{secret}: {found:?}");
        }
        assert!(!found.iter().any(|found| found == "12"));
        assert_eq!(secrets_in("u:pw@r.io"), ["pw"]);
        assert!(secrets_in("what?=nothing").is_empty());
    }
}
