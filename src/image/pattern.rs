//! Shell patterns for names: `*` and `?`.

use super::Reference;

/// Whether `name` matches one of `patterns`; no patterns match everything. `*` and `?` as in a shell, and a pattern
/// may leave out the registry host.
pub fn matches(patterns: &[String], name: &Reference) -> bool {
    let full = name.to_string();
    let short = full.split_once('/').map_or(full.as_str(), |(_, rest)| rest);
    patterns.is_empty() || patterns.iter().any(|pattern| glob(pattern, &full) || glob(pattern, short))
}

/// Shell matching without classes, in linear space and no recursion, so that no pattern is slow.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| *c == b'?' || *c == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_with_and_without_the_host() {
        let name: Reference = "quay.io/stackstate/stackstate-server:sts-v4.1.4".parse().unwrap();
        for pattern in
            ["*", "*server*", "stackstate/*", "quay.io/*", "stackstate/stackstate-server:sts-v4.1.?"]
        {
            assert!(matches(&[pattern.to_owned()], &name), "{pattern}");
        }
        for pattern in ["", "server", "docker.io/*", "stackstate/?"] {
            assert!(!matches(&[pattern.to_owned()], &name), "{pattern}");
        }
        assert!(matches(&[], &name));
        assert!(!glob(&"*a".repeat(2000), &"a".repeat(1000)));
    }
}
