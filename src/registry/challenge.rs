//! `WWW-Authenticate` (RFC 9110, section 11.6.1): several headers, several challenges in each.
//!
//! The parser never fails: what cannot be read is skipped, unknown schemes are kept and ignored by the caller.

/// One challenge: `Bearer realm="…",service="…"`, `Basic realm=x`, `Negotiate abc==`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Lowercase.
    pub(super) scheme: String,
    /// Names lowercase, in order; the first of a name counts.
    params: Vec<(String, String)>,
}

/// More than this in one answer is noise.
const MAX_CHALLENGES: usize = 32;
const MAX_PARAMS: usize = 32;
const MAX_HEADER: usize = 16 * 1024;

impl Challenge {
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All challenges of all `headers`, in order.
pub(super) fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for header in headers {
        let header = &header[..header.len().min(MAX_HEADER)];
        Parser { rest: header }.challenges(&mut challenges);
    }
    challenges
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn challenges(&mut self, out: &mut Vec<Challenge>) {
        // A parameter belongs to a challenge of its own header only.
        let mut open = false;
        loop {
            self.skip(|b| is_space(b) || b == b',');
            if self.rest.is_empty() || out.len() >= MAX_CHALLENGES {
                return;
            }
            let token = self.take(is_token);
            if token.is_empty() {
                self.skip(|b| b != b',');
                continue;
            }
            if self.at_equals() {
                let value = self.value();
                if let Some(challenge) = out.last_mut().filter(|_| open)
                    && challenge.params.len() < MAX_PARAMS
                {
                    challenge.params.push((lowercase(token), value));
                }
                continue;
            }
            out.push(Challenge { scheme: lowercase(token), params: Vec::new() });
            open = true;
            self.skip_token68();
        }
    }

    /// Consumes a `token68` after a scheme; its content is not used.
    fn skip_token68(&mut self) {
        let before = self.rest;
        self.skip(is_space);
        let start = self.rest;
        self.skip(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b));
        self.skip(|b| b == b'=');
        let consumed = start.len() - self.rest.len();
        self.skip(is_space);
        if consumed == 0 || !matches!(self.rest.first(), None | Some(b',')) {
            self.rest = before;
        }
    }

    /// Whether `=` comes next, optional white space aside; consumes it if so.
    fn at_equals(&mut self) -> bool {
        let before = self.rest;
        self.skip(is_space);
        if let Some(rest) = self.rest.strip_prefix(b"=") {
            self.rest = rest;
            self.skip(is_space);
            return true;
        }
        self.rest = before;
        false
    }

    fn value(&mut self) -> String {
        let Some(rest) = self.rest.strip_prefix(b"\"") else {
            // Real servers leave URLs unquoted, so everything up to the separator is the value.
            return text(self.take(|b| !is_space(b) && b != b','));
        };
        let mut value = Vec::new();
        let mut bytes = rest.iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.rest = &rest[at + 1..];
                    return text(&value);
                }
                b'\\' => value.extend(bytes.next().map(|(_, escaped)| *escaped)),
                _ => value.push(*byte),
            }
        }
        self.rest = &[];
        text(&value)
    }

    fn take(&mut self, accepts: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|b| !accepts(*b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip(&mut self, accepts: impl Fn(u8) -> bool) {
        self.take(accepts);
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lowercase(bytes: &[u8]) -> String {
    text(bytes).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(headers: &[&str]) -> Vec<String> {
        let one = |c: &Challenge| {
            let params: Vec<_> = c.params.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{} [{}]", c.scheme, params.join("; "))
        };
        parse(headers.iter().map(|h| h.as_bytes())).iter().map(one).collect()
    }

    #[test]
    fn reads_what_servers_send() {
        for (headers, expected) in [
            (
                &[
                    r#"Bearer realm="https://auth/token?x=1,2",service="reg.io",scope="repository:a/b:pull,push""#,
                ][..],
                &["bearer [realm=https://auth/token?x=1,2; service=reg.io; scope=repository:a/b:pull,push]"]
                    [..],
            ),
            (
                &["Basic realm=x, Bearer realm=https://r/t , service = \"a\\\"b\""],
                &["basic [realm=x]", "bearer [realm=https://r/t; service=a\"b]"],
            ),
            (&["Negotiate", "BASIC realm=\"y\""], &["negotiate []", "basic [realm=y]"]),
            (
                &["Negotiate YWJj==, NTLM abc, bearer REALM=z"],
                &["negotiate []", "ntlm []", "bearer [realm=z]"],
            ),
            (&["Negotiate Basic realm=x"], &["negotiate []", "basic [realm=x]"]),
            (&[",, ,Basic"], &["basic []"]),
            (&["realm=lost"], &[]),
            (&["Bearer realm=\"never closed, Basic"], &["bearer [realm=never closed, Basic]"]),
            (&["Bearer realm=a,\"junk\",service=b"], &["bearer [realm=a; service=b]"]),
            (&[""], &[]),
        ] {
            assert_eq!(shown(headers), expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'='), Just(b'\\')], 0..200)
        ) {
            let _ = parse([bytes.as_slice()]);
        }

        #[test]
        fn quoted_values_survive(value in "[ -~]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Basic a=b, Bearer realm=\"{quoted}\", c=d");
            let challenges = parse([header.as_bytes()]);
            prop_assert_eq!(challenges[1].param("realm"), Some(value.as_str()));
            prop_assert_eq!(challenges[1].param("c"), Some("d"));
        }
    }
}
