//! Reads volumes as the one file that they form.

use std::ops::Range;

use super::VolumeInput;
use super::files::failed;
use crate::archive::{ArchiveError, FormatError, Input};

impl Input for VolumeInput {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.len);
        if end.is_none() {
            let why = format!("{} ends too early, at byte {}", self.name(), self.len);
            return Err(ArchiveError::Format(FormatError::Damaged(format!(
                "{why}; a later volume may be missing"
            ))));
        }
        self.files.read_at(offset, buffer).map_err(failed)
    }

    fn name(&self) -> String {
        let volumes = if self.count() == 1 { "volume" } else { "volumes" };
        format!("{} ({} {volumes})", self.base().display(), self.count())
    }

    fn place(&self, range: &Range<u64>) -> String {
        self.files.place(range)
    }

    fn volumes(&self) -> Option<&VolumeInput> {
        Some(self)
    }
}
