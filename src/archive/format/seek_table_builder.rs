//! Writes the table of the zstd seekable format, which ends a bundle.

use crate::archive::{ArchiveError, FormatError};

/// Collects the frames of a file in order and encodes the seek table that ends it.
#[derive(Debug, Default)]
pub(crate) struct SeekTableBuilder {
    table: zeekstd::SeekTable,
}

impl SeekTableBuilder {
    pub(crate) fn log(&mut self, file: u64, content: u64) -> Result<(), ArchiveError> {
        let lens = u32::try_from(file).ok().zip(u32::try_from(content).ok());
        let (file, content) = lens.ok_or(ArchiveError::Invariant("a frame over 4 GiB"))?;
        self.table
            .log_frame(file, content)
            .map_err(|e| ArchiveError::Format(FormatError::SeekTable(e.to_string())))
    }

    /// The length of a table with this many frames: a skippable frame's header, the entries, a footer.
    pub(crate) fn encoded_len(frames: u32) -> u64 {
        8 + 8 * u64::from(frames) + 9
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut serializer = self.table.into_serializer();
        let mut bytes = vec![0; serializer.encoded_len()];
        let mut at = 0;
        while at < bytes.len() {
            match serializer.write_into(&mut bytes[at..]) {
                0 => break,
                n => at += n,
            }
        }
        bytes.truncate(at);
        bytes
    }
}
