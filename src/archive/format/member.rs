//! Tar members: the exact header bytes of one file, and its padding.
//!
//! ustar with mode 0644 and zeros elsewhere; a PAX header precedes it only if ustar cannot express the path (sha512
//! blobs) or the size (over 8 GiB - 1). Its name, records and bytes are fixed, because they count in offsets.

use tar::{EntryType, Header};

/// Tar's block size in bytes.
pub(crate) const BLOCK: u64 = 512;
/// Two zero blocks end a tar archive (POSIX pax, "ustar Interchange Format").
pub(crate) const END_LEN: u64 = 2 * BLOCK;
/// Maximum number of zero bytes after the end of an archive, which a medium or another tool may append.
pub(in crate::archive) const MAX_PADDING: u64 = 64 << 20;
const USTAR_NAME: usize = 100;
/// 8 GiB - 1: eleven octal digits.
const USTAR_SIZE: u64 = 0o77_777_777_777;
const PAX_NAME: &[u8] = b"PaxHeaders/bundle";

/// The header bytes before the content of a member: 512, or 1536 with PAX records.
pub(crate) fn header(path: &str, size: u64) -> Vec<u8> {
    let mut records = Vec::new();
    if path.len() > USTAR_NAME {
        records.extend(pax_record("path", path));
    }
    if size > USTAR_SIZE {
        records.extend(pax_record("size", &size.to_string()));
    }
    let mut bytes = Vec::with_capacity(512);
    if !records.is_empty() {
        bytes.extend(block(PAX_NAME, records.len() as u64, EntryType::XHeader));
        records.resize(records.len().next_multiple_of(512), 0);
        bytes.extend(records);
    }
    let shown = &path.as_bytes()[..path.len().min(USTAR_NAME)];
    bytes.extend(block(shown, size, EntryType::Regular));
    bytes
}

/// The length of [`header`] for a member.
pub(crate) fn header_len(path: &str, size: u64) -> u64 {
    if path.len() <= USTAR_NAME && size <= USTAR_SIZE { BLOCK } else { header(path, size).len() as u64 }
}

/// The zero bytes after `size` bytes of content.
pub(crate) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

fn block(name: &[u8], size: u64, kind: EntryType) -> [u8; 512] {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    // Beyond eleven octal digits this writes base-256, which readers without PAX support need.
    header.set_size(size);
    header.set_cksum();
    *header.as_bytes()
}

/// `<length> <key>=<value>\n`, where the length includes itself.
fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len += 1;
    }
    format!("{len} {key}={value}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::image::{Algorithm, Digest};

    fn read_back(path: &str, size: u64) -> (String, u64) {
        let bytes = header(path, size);
        let mut archive = tar::Archive::new(bytes.chain(std::io::repeat(0)));
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), entry.size())
    }

    #[test]
    fn what_is_written_reads_back() {
        let short = Digest::sha256(b"x").layout_path();
        let long = Digest::of(Algorithm::Sha512, b"x").layout_path();
        for size in [0, 1, USTAR_SIZE, USTAR_SIZE + 1, 12 << 30, (1 << 53) - 1] {
            assert_eq!(read_back(&short, size), (short.clone(), size));
            assert_eq!(read_back(&long, size), (long.clone(), size));
        }
        assert_eq!(header_len(&short, 5), 512);
        assert_eq!(header_len(&long, 5), 1536);
        assert_eq!(header_len(&short, 9 << 30), 1536);
    }

    #[test]
    fn pax_lengths_count_themselves() {
        assert_eq!(pax_record("size", "8589934592"), b"19 size=8589934592\n");
        let long = pax_record("path", &"a".repeat(91));
        assert!(long.starts_with(b"101 path=") && long.len() == 101);
    }
}
