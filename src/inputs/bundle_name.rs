//! The name of a bundle: its stem without suffixes, and whether it is a file or a network address.

use std::path::Path;

use crate::archive::LIST_SUFFIX;

/// Whether `path` is a network address.
pub(crate) fn is_address(path: &Path) -> bool {
    let starts = |scheme: &&str| path.to_str().is_some_and(|text| text.starts_with(scheme));
    ["https://", "http://", "s3://"].iter().any(starts)
}

/// The file name without the suffixes of a bundle and of volumes.
pub(crate) fn stem(path: &Path) -> String {
    let text = path.to_string_lossy();
    // The query of an address may contain a signature with slashes.
    let place = if is_address(path) { text.split(['?', '#']).next().unwrap_or_default() } else { &text };
    let name = Path::new(place).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = without_number(&name).unwrap_or(&name);
    let endings = [".tar.zst", ".tar.gz", ".tgz", ".tar"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    if stem.is_empty() { "bundle".to_owned() } else { stem.to_owned() }
}

/// The common name of a set of volumes, if `name` is one of them or their list.
pub(crate) fn without_number(name: &str) -> Option<&str> {
    let is_number = |end: &str| end.len() >= 3 && end.bytes().all(|byte| byte.is_ascii_digit());
    let number = || name.rsplit_once('.').filter(|(_, end)| is_number(end));
    name.strip_suffix(LIST_SUFFIX).or_else(|| number().map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_lose_their_endings() {
        for (path, expected) in [
            ("a/b-1.0.tar.zst", "b-1.0"),
            ("b-1.0.tar.zst.001", "b-1.0"),
            ("b-1.0.tar.zst.volumes.json", "b-1.0"),
            ("x.tgz", "x"),
            ("dir", "dir"),
            ("https://s3.example.com/a/b-1.0.tar.zst?X-Amz-Credential=x/20261128/y&sig=a%2Fb", "b-1.0"),
            ("https://s3.example.com/?prefix=a/b.tar.zst", "s3.example.com"),
            ("a?b/c.tar.zst", "c"),
            (".tar", "bundle"),
        ] {
            assert_eq!(stem(Path::new(path)), expected);
        }
    }
}
