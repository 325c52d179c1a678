//! Where the bytes of a bundle are written: at their offset in a file, at the end of a growing file, or into a pipe.

use std::io::Write;
use std::path::Path;

use super::checksum::Checksum;
use super::error::TransferError;
use super::file_run::Shared;
use crate::archive::{self, stored_len};
use crate::export::resume::readback::Begun;
use crate::image::Digest;
use crate::plan::ExportPlan;

/// Takes the bytes of blobs, one blob after another.
pub(crate) trait Sink {
    /// The next bytes belong to blob `index`.
    fn begin(&mut self, _index: usize) {}

    /// The next bytes of the blob.
    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError>;

    /// This many whole frames of stored blob `index` are written.
    fn stored(&mut self, _index: usize, _frames: u64) -> Result<(), TransferError> {
        Ok(())
    }

    /// One more frame of compressed blob `index` is written, the last `len` bytes.
    fn compressed(&mut self, _index: usize, _len: u32) -> Result<(), TransferError> {
        Ok(())
    }

    /// Blob `index` is written and its digest is correct.
    fn done(&mut self, _index: usize) -> Result<(), TransferError> {
        Ok(())
    }

    /// Takes back what was written of blob `index`. Returns `false` if that is not possible.
    fn take_back(&mut self, _index: usize) -> Result<bool, TransferError> {
        Ok(false)
    }
}

/// A region of the file: that of one stored blob, or the compressed part, where each blob begins at the end of the
/// last.
pub(crate) struct AtOffset<'a> {
    shared: &'a Shared,
    is_stored: bool,
    at: u64,
    /// Where the current blob begins.
    start: u64,
    /// An earlier run has begun that blob.
    resumed: bool,
}

impl<'a> AtOffset<'a> {
    /// The region of stored blob `index`.
    pub(crate) fn stored(shared: &'a Shared, plan: &ExportPlan, index: usize) -> Self {
        let layout = &plan.head.layout;
        let header = archive::member_header(layout, &plan.bundle.blobs, index).len() as u64;
        let start = layout.data_offset(index) - header;
        Self { shared, is_stored: true, at: start, start, resumed: false }
    }

    /// The part after the stored blobs.
    pub(crate) fn compressed_part(shared: &'a Shared, plan: &ExportPlan) -> Self {
        let start = plan.head.layout.stored_end();
        Self { shared, is_stored: false, at: start, start, resumed: false }
    }

    /// Moves behind `begun`, the written part of the next blob, and writes its member header `header` again.
    pub(crate) fn resume(&mut self, header: &[u8], begun: &Begun) -> Result<(), TransferError> {
        self.resumed = true;
        self.start = self.at;
        self.write(header)?;
        let compressed = begun.frames.iter().copied().map(u64::from).sum();
        self.at += if self.is_stored { stored_len(begun.content) } else { compressed };
        Ok(())
    }

    /// Where the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// The next blob takes the place of the current one.
    pub(crate) fn give_up(&mut self) {
        (self.at, self.resumed) = (self.start, false);
    }
}

impl Sink for AtOffset<'_> {
    fn begin(&mut self, _index: usize) {
        if !std::mem::take(&mut self.resumed) {
            self.start = self.at;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.shared.file.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        self.shared.front.wrote(bytes.len() as u64);
        Ok(())
    }

    fn stored(&mut self, index: usize, frames: u64) -> Result<(), TransferError> {
        self.shared.journal.progress(index, frames)?;
        self.shared.front.advanced(index, frames);
        Ok(())
    }

    fn compressed(&mut self, index: usize, len: u32) -> Result<(), TransferError> {
        self.shared.journal.compressed(index, self.at - u64::from(len), len)
    }

    fn done(&mut self, index: usize) -> Result<(), TransferError> {
        self.shared.journal.done(index)?;
        if self.is_stored {
            self.shared.front.finished(index);
        } else {
            self.shared.front.extended(self.at);
        }
        Ok(())
    }

    fn take_back(&mut self, index: usize) -> Result<bool, TransferError> {
        self.shared.journal.begun_again(index)?;
        self.at = self.start;
        if self.is_stored {
            self.shared.front.rewrites();
        }
        Ok(true)
    }
}

/// The end of a file that only grows. Content is hashed while it is written.
pub(crate) struct Growing<'a> {
    shared: &'a Shared,
    at: u64,
    /// Of everything written.
    checksum: Checksum,
    /// Where the current blob begins, and the checksum of everything before it.
    before: (u64, Checksum),
    /// An earlier run has begun that blob.
    resumed: bool,
}

impl<'a> Growing<'a> {
    /// Resumes at byte `at`, with the checksum of everything before it; `before` is the same for the start of the
    /// current blob, if an earlier run has begun one.
    pub(crate) fn new(
        shared: &'a Shared,
        at: u64,
        checksum: Checksum,
        before: Option<(u64, Checksum)>,
    ) -> Self {
        let resumed = before.is_some();
        let before = before.unwrap_or_else(|| (at, checksum.clone()));
        Self { shared, at, checksum, before, resumed }
    }

    /// Where the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// The checksums of the whole file, once its end is written too.
    pub(crate) fn checksums(mut self, ending: &[u8]) -> Vec<Digest> {
        self.checksum.update(ending);
        self.checksum.finish()
    }
}

impl Sink for Growing<'_> {
    fn begin(&mut self, _index: usize) {
        if !std::mem::take(&mut self.resumed) {
            self.before = (self.at, self.checksum.clone());
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.shared.file.write_at(self.at, bytes)?;
        self.checksum.update(bytes);
        self.at += bytes.len() as u64;
        self.shared.front.wrote(bytes.len() as u64);
        Ok(())
    }

    fn stored(&mut self, index: usize, frames: u64) -> Result<(), TransferError> {
        self.shared.journal.progress(index, frames)
    }

    fn compressed(&mut self, index: usize, len: u32) -> Result<(), TransferError> {
        self.shared.journal.compressed(index, self.at - u64::from(len), len)
    }

    fn done(&mut self, index: usize) -> Result<(), TransferError> {
        self.shared.journal.done(index)
    }

    fn take_back(&mut self, index: usize) -> Result<bool, TransferError> {
        self.shared.journal.begun_again(index)?;
        (self.at, self.checksum) = self.before.clone();
        self.shared.file.set_len(self.at)?;
        Ok(true)
    }
}

/// A pipe, which cannot take anything back.
pub(crate) struct Pipe<'a, W> {
    pub(crate) out: W,
    /// For errors.
    pub(crate) name: &'a Path,
}

impl<W: Write> Pipe<'_, W> {
    /// Writes `ending` and everything that is buffered.
    pub(crate) fn end(&mut self, ending: &[u8]) -> Result<(), TransferError> {
        self.write(ending)?;
        self.out.flush().map_err(TransferError::io(self.name))
    }
}

impl<W: Write> Sink for Pipe<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.out.write_all(bytes).map_err(TransferError::io(self.name))
    }
}
