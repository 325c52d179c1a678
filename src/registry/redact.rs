//! What may be shown of URLs and of text a server sent.
//!
//! Queries carry presigned credentials and upload state, user info carries passwords: both are masked. Server
//! text is stripped of control characters (terminal escapes, bidirectional overrides) and bounded.

use std::fmt::Write as _;

use url::Url;

/// Masking shorter values of a query would mask words.
const SHORTEST_VALUE: usize = 6;

/// The scheme, host and port of a URL.
pub(super) fn masked_origin(url: &Url) -> String {
    let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        let _ = write!(text, ":{port}");
    }
    text
}

/// The URL without user info, query and fragment; a query is shown as `?…`.
pub(super) fn masked(url: &Url) -> String {
    let mut text = masked_origin(url);
    text.push_str(url.path());
    if url.query().is_some() {
        text.push_str("?…");
    }
    clean(&text, 400)
}

/// `text` without what stands in the query of `url`, which may be a signature: as a whole and value by value, as sent and
/// decoded. A server that refuses it may repeat it.
pub(super) fn masked_query(url: &Url, text: &str) -> String {
    let Some(query) = url.query() else { return text.to_owned() };
    let mut secrets = vec![query.to_owned()];
    secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    secrets.extend(query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
    secrets.retain(|secret| secret.len() >= SHORTEST_VALUE);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
}

/// Foreign text on one line: no control characters, white space collapsed, at most `limit` characters.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() || is_invisible(c) {
            gap = true;
            continue;
        }
        if gap && !out.is_empty() {
            out.push(' ');
            count += 1;
        }
        gap = false;
        if count >= limit {
            out.push('…');
            break;
        }
        out.push(c);
        count += 1;
    }
    out
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The `<title>` of an HTML page, which is where a proxy or firewall says who it is.
pub(super) fn page_title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let open = lower.find("<title")?;
    let start = open + lower[open..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let title = clean(&html[start..end], 120);
    (!title.is_empty()).then_some(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_secrets_and_keep_their_path() {
        let url = Url::parse("https://u:p@s3.example:8443/a/b?X-Amz-Signature=abc#f").unwrap();
        assert_eq!(masked(&url), "https://s3.example:8443/a/b?…");
        let url = Url::parse("http://[::1]:5000/v2/").unwrap();
        assert_eq!(masked(&url), "http://[::1]:5000/v2/");
    }

    #[test]
    fn what_stands_in_a_query_is_not_repeated() {
        let url = Url::parse("https://s3.example/a?sig=geheim%2Fgeheim&n=1").unwrap();
        for text in ["sig=geheim%2Fgeheim&n=1", "no: geheim/geheim", "no: geheim%2Fgeheim"] {
            assert!(!masked_query(&url, text).contains("geheim"), "{text}");
        }
        assert_eq!(masked_query(&url, "1 of a"), "1 of a");
    }

    #[test]
    fn server_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[31mred\x07\r\n\u{202e}b  c", 100), "a [31mred b c");
        assert_eq!(clean("abcdef", 3), "abc…");
        assert_eq!(page_title("<html><TITLE lang=x> Blocked\nby F5 </title>"), Some("Blocked by F5".into()));
        assert_eq!(page_title("<title"), None);
        assert_eq!(page_title("<İ<title>x</title>"), Some("x".into()));
    }
}
