//! Secrets this client has used, so that a server which repeats one does not get it onto the screen.

use std::collections::BTreeSet;
use std::sync::Mutex;

use base64::Engine as _;
use reqwest::header::HeaderValue;

use super::pace::locked;
use crate::secret::Secret;

/// Tokens come and go; the oldest are forgotten never, but no more than these are kept.
const MOST: usize = 2000;
/// Masking shorter texts would mask words.
const SHORTEST: usize = 4;
const MASK: &str = "***";

/// Passwords, tokens and their encoded forms.
#[derive(Default)]
pub(super) struct KnownSecrets(Mutex<BTreeSet<String>>);

impl KnownSecrets {
    pub(super) fn add(&self, secret: &Secret) {
        self.insert(secret.expose());
    }

    /// The credential of an `Authorization` header: a token, or a pair and its password.
    pub(super) fn add_header(&self, header: &HeaderValue) {
        let Some((scheme, credential)) = header.to_str().ok().and_then(|text| text.split_once(' ')) else {
            return;
        };
        if !self.insert(credential) || !scheme.eq_ignore_ascii_case("basic") {
            return;
        }
        let pair = base64::engine::general_purpose::STANDARD.decode(credential);
        if let Some((_, password)) = pair
            .ok()
            .as_deref()
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| pair.split_once(':'))
        {
            self.insert(password);
        }
    }

    /// `text` without any of them.
    pub(super) fn mask(&self, text: &str) -> String {
        let known = locked(&self.0);
        // Longest first: a pair holds its password.
        let mut found: Vec<&String> = known.iter().filter(|secret| text.contains(secret.as_str())).collect();
        found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        found.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }

    /// Whether `text` is new.
    fn insert(&self, text: &str) -> bool {
        let mut known = locked(&self.0);
        text.len() >= SHORTEST && known.len() < MOST && known.insert(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_pairs_and_tokens_are_masked_wherever_they_stand() {
        let known = KnownSecrets::default();
        known.add(&Secret::new("s3cr3t-pa55"));
        known.add_header(&HeaderValue::from_static("Basic bWU6aHVudGVyMg=="));
        known.add_header(&HeaderValue::from_static("Bearer abc.def"));
        let text = known.mask("s3cr3t-pa55 for me:hunter2 (bWU6aHVudGVyMg==) or abc.def");
        assert_eq!(text, "*** for me:*** (***) or ***");
        known.add(&Secret::new("me"));
        assert_eq!(known.mask("some"), "some", "too short to mask");
    }
}
