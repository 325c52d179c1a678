//! How people write the names of images.

use std::borrow::Cow;

/// An image without what people paste along with it: blanks, quotes, a scheme, a slash at the end.
pub(super) fn spelling(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let text = ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(text)
        .trim();
    let schemes = ["docker://", "https://", "http://"];
    let text = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
    let text = text.trim_end_matches('/');
    match text.strip_prefix("oci://") {
        // Versions of charts may have a `+`, for which Helm writes `_` in tags.
        Some(artifact) => artifact.replace('+', "_").into(),
        None => text.into(),
    }
}
