//! Entry points for fuzz targets into readers that are otherwise reached only through files.

use std::sync::Arc;

use super::foreign::foreign_tar::Members;
use super::format::frame;
use super::read::head_reader::Head;
use super::read::reader;
use super::{ArchiveError, FormatError, Input};
use crate::signing::Trust;

#[derive(Debug)]
struct Memory(Vec<u8>);

impl Input for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| self.0.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(
            range.ok_or_else(|| ArchiveError::Format(FormatError::Damaged("the end".to_owned())))?,
        );
        Ok(())
    }

    fn name(&self) -> String {
        "input".to_owned()
    }
}

/// Reads the seek table of a file that begins like a bundle and ends with `bytes`, and every entry of it.
pub fn seek_table(bytes: &[u8]) {
    let input = Memory([&super::ZSTD_MAGIC, bytes].concat());
    if let Ok((table, range)) = reader::read_seek_table(&input) {
        assert!(range.end <= input.len());
        for index in 0..table.len() {
            let _ = table.get(index);
        }
    }
    let input: Arc<dyn Input> = Arc::new(input);
    let _ = super::BundleReader::open(&input);
}

/// Reads `content` as the head of a bundle, in frames as an export makes them.
pub fn head(content: &[u8]) {
    let mut frames = content.chunks(1 << 20);
    let head = Head::read_from(
        &mut || {
            let next = frames
                .next()
                .map(|piece| Ok((frame::compress_head(piece)?, u32::try_from(piece.len()).unwrap_or(0))));
            next.transpose()
        },
        &Trust::default(),
    );
    if let Ok((head, manifest)) = head {
        let _ = head.prove(&manifest);
    }
}

/// Walks `bytes` as a tar of another tool, with any compression. Nothing in a plain tar is longer than the tar.
pub fn tar(bytes: &[u8]) {
    let path = std::path::Path::new("input");
    if let Ok(mut members) =
        super::foreign::foreign_tar::decompress(std::io::Cursor::new(bytes.to_vec()), path)
    {
        let mut listing = super::foreign::listing::Listing::default();
        while let Ok(Some(member)) = members.next_of_any_kind() {
            let _ = listing.add(&member);
        }
    }
    let mut members = Members::new(bytes, std::path::Path::new("input"));
    while let Ok(Some(member)) = members.next() {
        assert!(member.at <= bytes.len() as u64);
        if let Ok(Some(content)) = members.whole(1 << 20) {
            assert!(content.len() as u64 <= member.size);
        }
    }
}
