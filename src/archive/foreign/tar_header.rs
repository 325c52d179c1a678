//! One header of another tool's tar, as far as all tools read it in the same way.
//!
//! Headers that tools read in different ways are refused: a link with content, which some skip and others read as
//! headers; a size that does not fit into 64 bits; types whose content some read as a name.

use tar::{EntryType, Header};

/// Maximum size of a member, in bytes.
const MAX_SIZE: u64 = 1 << 53;
/// Names in messages are cut after this many characters.
const SHOWN: usize = 100;

/// The type of entry that a header describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Kind {
    File,
    Folder,
    /// A hard or symbolic link.
    Link,
    /// A device, a pipe or a tape label: it has a name but no content.
    Other,
    /// The name of the next member, by GNU tar.
    LongName,
    /// The target of the next link, by GNU tar.
    LongLink,
    /// PAX records for the next member.
    Records,
    /// PAX records for all members that follow.
    GlobalRecords,
    /// A file with holes, by GNU tar.
    Sparse,
}

impl Kind {
    /// None for a type that tools read in different ways.
    pub(in crate::archive) fn of(header: &Header) -> Option<Self> {
        Some(match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Self::File,
            EntryType::Directory => Self::Folder,
            EntryType::Link | EntryType::Symlink => Self::Link,
            EntryType::Char | EntryType::Block | EntryType::Fifo => Self::Other,
            EntryType::GNULongName => Self::LongName,
            EntryType::GNULongLink => Self::LongLink,
            EntryType::XHeader => Self::Records,
            EntryType::XGlobalHeader => Self::GlobalRecords,
            EntryType::GNUSparse => Self::Sparse,
            other if other.as_byte() == b'V' => Self::Other,
            _ => return None,
        })
    }

    /// For messages.
    pub(in crate::archive) fn noun(self) -> &'static str {
        match self {
            Self::Folder => "a folder",
            Self::Link => "a link",
            Self::File => "a file",
            _ => "not a file",
        }
    }
}

/// The number of bytes after `header`, from its own size field.
pub(in crate::archive) fn size(header: &Header) -> Result<u64, String> {
    let field = &header.as_old().size;
    // Tools keep different parts of a size above 63 bits; a first byte of 0xff makes it negative.
    let is_wide = field[0] == 0x80 && field[1..4] == [0; 3];
    if field[0] & 0x80 != 0 && !is_wide {
        let what = if field[0] & 0x40 != 0 { "a negative size" } else { "a size beyond 64 bits" };
        return Err(format!("has {what}"));
    }
    let text = || shown(field.split(|byte| *byte == 0).next().unwrap_or_default());
    let size = header.entry_size().map_err(|_| format!("has the size {}, which is not a number", text()))?;
    within_limit(size)
}

/// The value of a PAX record `size`.
pub(in crate::archive) fn size_record(value: &[u8]) -> Result<u64, String> {
    let refuse = || format!("has the size {}, which is not a number of bytes", shown(value));
    // Some parsers accept a sign.
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(refuse());
    }
    let text = std::str::from_utf8(value).map_err(|_| refuse())?;
    within_limit(text.parse().map_err(|_| refuse())?)
}

fn within_limit(size: u64) -> Result<u64, String> {
    if size < MAX_SIZE { Ok(size) } else { Err(format!("claims {size} bytes")) }
}

/// A name as all tools read it: its parts joined by one slash, without `.`.
pub(in crate::archive) fn plain_name(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    if name.first() == Some(&b'/') {
        return Err("is an absolute path");
    }
    if name.contains(&0) {
        return Err("has a NUL in its name");
    }
    let mut plain = Vec::with_capacity(name.len());
    for part in name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        if part == b".." {
            return Err("leads out of the archive");
        }
        if !plain.is_empty() {
            plain.push(b'/');
        }
        plain.extend_from_slice(part);
    }
    Ok(plain)
}

/// Text from the archive in a message: quoted, escaped and not too long.
pub(in crate::archive) fn shown(text: &[u8]) -> String {
    // A character has at most four bytes.
    let start = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN)]);
    let more = if start.chars().nth(SHOWN).is_some() { "…" } else { "" };
    format!("{:?}{more}", start.chars().take(SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_size(field: [u8; 12]) -> Result<u64, String> {
        let mut header = Header::new_gnu();
        header.as_old_mut().size = field;
        size(&header)
    }

    #[test]
    fn sizes_are_numbers_that_fit_everywhere() {
        assert_eq!(with_size(*b"00000000012\0"), Ok(10));
        let mut wide = [0; 12];
        (wide[0], wide[11]) = (0x80, 7);
        assert_eq!(with_size(wide), Ok(7));
        wide[3] = 1;
        assert!(with_size(wide).unwrap_err().contains("beyond 64 bits"));
        assert!(with_size([0xff; 12]).unwrap_err().contains("negative"));
        assert!(with_size(*b"-0000000001\0").unwrap_err().contains("\"-0000000001\""));
        let mut huge = [0; 12];
        (huge[0], huge[4]) = (0x80, 1);
        assert!(with_size(huge).unwrap_err().contains("claims"));
        assert_eq!(size_record(b"12"), Ok(12));
        for text in [&b"-1"[..], b"+1", b"1e3", b"", b"18446744073709551616", b"9007199254740992"] {
            assert!(size_record(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_have_one_spelling() {
        for (name, plain) in [
            ("a/b", "a/b"),
            ("./a/b", "a/b"),
            ("././a//b/", "a/b"),
            ("a/./b", "a/b"),
            ("./", ""),
            ("..a/b..", "..a/b.."),
        ] {
            assert_eq!(plain_name(name.as_bytes()).unwrap(), plain.as_bytes(), "{name}");
        }
        for name in ["/a", "//a", "..", "a/../b", "./../a", "a/..", "a\0b"] {
            assert!(plain_name(name.as_bytes()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn foreign_text_is_escaped_and_bounded() {
        assert_eq!(shown(b"a\x1b[2J\n"), r#""a\u{1b}[2J\n""#);
        assert!(shown(&[b'a'; 300]).ends_with("a\"…"));
        assert!(shown(&[b'a'; 300]).len() < 120);
        assert!(shown(&[0xff; 3000]).chars().count() < 120);
    }
}
