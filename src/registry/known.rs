//! The secrets that this client has used. They are masked in the texts of servers.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;

use base64::Engine as _;
use reqwest::header::HeaderValue;

use super::pace::locked;
use crate::secret::Secret;

/// Maximum number of remembered secrets. Further ones are not added.
const MOST: usize = 2000;
/// Masking shorter texts would mask words.
const SHORTEST: usize = 4;
const MASK: &str = "***";

/// Passwords and tokens, with their encodings in addresses, forms, JSON, HTML and headers.
#[derive(Default)]
pub(super) struct KnownSecrets(
    /// Their ASCII letters in lower case.
    Mutex<BTreeSet<String>>,
);

impl KnownSecrets {
    pub(super) fn add(&self, secret: &Secret) {
        self.insert_all(secret.expose());
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
            self.insert_all(password);
        }
    }

    /// `text` without any of them.
    pub(super) fn mask(&self, text: &str) -> String {
        let known = locked(&self.0);
        let lower = text.to_ascii_lowercase();
        // Longest first: a pair holds its password. Servers change the case of what they encode.
        let mut found: Vec<&String> = known.iter().filter(|secret| lower.contains(secret.as_str())).collect();
        found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        found.iter().fold(text.to_owned(), |text, secret| without(&text, secret))
    }

    /// Takes in `text` and the forms in which servers repeat it.
    fn insert_all(&self, text: &str) {
        if self.insert(text) {
            for form in forms(text) {
                self.insert(&form);
            }
        }
    }

    /// Whether `text` is new.
    fn insert(&self, text: &str) -> bool {
        let mut known = locked(&self.0);
        text.len() >= SHORTEST && known.len() < MOST && known.insert(text.to_ascii_lowercase())
    }
}

/// `text` with the mask in the place of `secret`, which is in lower case, whatever the case of its ASCII letters there.
fn without(text: &str, secret: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let (mut masked, mut done) = (String::with_capacity(text.len()), 0);
    // Lower case moves no byte of ASCII, and leaves all others as they are.
    for (at, _) in lower.match_indices(secret) {
        masked.push_str(&text[done..at]);
        masked.push_str(MASK);
        done = at + secret.len();
    }
    masked + &text[done..]
}

/// `text` as it looks in an address, a form, JSON, HTML and base64 with both alphabets.
fn forms(text: &str) -> Vec<String> {
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let percent = |set| percent_encoding::utf8_percent_encode(text, set).to_string();
    let json = serde_json::Value::from(text).to_string();
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let ascii: String = json.chars().map(|c| if c.is_ascii() { c.to_string() } else { escaped(c) }).collect();
    vec![
        percent(percent_encoding::NON_ALPHANUMERIC),
        percent(URL_LIKE),
        percent(percent_encoding::CONTROLS),
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        json.trim_matches('"').to_owned(),
        ascii.trim_matches('"').to_owned(),
        json.trim_matches('"').replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e"),
        html.replace('"', "&quot;").replace('\'', "&#39;"),
        html.replace('"', "&#34;").replace('\'', "&#39;"),
        html.replace('"', "&quot;").replace('\'', "&#x27;"),
        html,
        STANDARD_NO_PAD.encode(text),
        URL_SAFE_NO_PAD.encode(text),
    ]
}

/// A character as JSON escapes it.
fn escaped(c: char) -> String {
    let mut text = String::new();
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(text, "\\u{unit:04x}");
    }
    text
}

/// Characters that are not encoded in an address (RFC 3986, 2.3).
const URL_LIKE: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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
        let known = KnownSecrets::default();
        known.add(&Secret::new("Gehe&im \"p+%/wört"));
        for form in [
            "Gehe&im \"p+%/wört",
            "GEHE&IM \"P+%/WöRT",
            "Gehe%26im%20%22p%2B%25%2Fw%C3%B6rt",
            "gehe%26im%20%22p%2b%25%2fw%c3%b6rt",
            "Gehe%26im+%22p%2B%25%2Fw%C3%B6rt",
            "Gehe&im \\\"p+%/wört",
            "Gehe&im \\\"p+%/w\\u00f6rt",
            "Gehe\\u0026im \\\"p+%/wört",
            "Gehe&amp;im &quot;p+%/wört",
            "Gehe&amp;im &#34;p+%/wört",
            "R2VoZSZpbSAicCslL3fDtnJ0",
        ] {
            assert_eq!(known.mask(&format!("it is <{form}>!")), "it is <***>!", "{form}");
        }
        known.add(&Secret::new("me"));
        assert_eq!(known.mask("some"), "some", "too short to mask");
    }
}
