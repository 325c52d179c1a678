//! The partial file: a bundle while it is being written. Every byte is at its final offset, under a temporary name.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::format::head::{self, HeadEncoder, HeadNotes};
use super::format::layout::Layout;
use super::format::manifest_source::Manifests;
use super::format::seek_table_builder::SeekTableBuilder;
use super::format::sink::Sink;
use super::format::{expansion, frame};
use super::manifest::{BlobRow, BundleManifest};
use super::volumes::{Cut, Files, Names, failed};
use super::{ArchiveError, CompactHead, FormatError, Input};
use crate::app::own_file::folder_of;
use crate::image::{Digest, Hasher};

/// A head that has been generated once: its frames, the digest of its bytes, and what was left out.
#[derive(Clone, Debug)]
pub struct DraftedHead {
    pub layout: Layout,
    pub digest: Digest,
    pub notes: HeadNotes,
}

/// Generates the head of `bundle`, passes its compressed bytes to `out`, and derives the layout of the file.
pub fn draft_head(
    bundle: &BundleManifest,
    signature: Option<&[u8]>,
    references: &CompactHead,
    manifests: &dyn Manifests,
    out: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>,
) -> Result<DraftedHead, ArchiveError> {
    let mut hasher = Hasher::new(crate::image::Algorithm::Sha256);
    let mut sink = |bytes: &[u8]| {
        hasher.update(bytes);
        out(bytes)
    };
    let mut encoder = HeadEncoder::new(&mut sink);
    let json = bundle.to_bytes()?;
    let put = |sink: &mut Sink<'_>| sink(&json);
    let own = head::Own { len: json.len() as u64, id: Digest::sha256(&json), put: &put };
    let notes =
        head::generate(bundle, &own, signature, references, manifests, &mut |piece| encoder.push(piece))?;
    let frames = encoder.finish()?;
    // A head that a reader would refuse is not written.
    let (mut compressed, mut content) = (0, 0);
    for (file, own) in &frames {
        (compressed, content) = (compressed + u64::from(*file), content + u64::from(*own));
        if !expansion::may_hold(content, compressed) {
            return Err(expansion::too_far("what the manifests and configs of these images are together"));
        }
    }
    Ok(DraftedHead { layout: Layout::new(frames, bundle), digest: hasher.finish(), notes })
}

/// The unfinished file, or its volumes.
#[derive(Debug)]
pub struct PartialFile {
    files: Files,
}

impl PartialFile {
    /// Opens `path` for reading and writing, or its volumes if it is cut; `fresh` empties it.
    pub fn open(path: &Path, cut: Option<Cut>, fresh: bool) -> Result<Self, ArchiveError> {
        let names = match cut {
            None => Names::One(path.to_owned()),
            Some(cut) => Names::Numbered(path.to_owned(), cut),
        };
        let files = Files::new(names, true);
        files.file(0).map_err(failed)?;
        if fresh {
            files.set_len(0).map_err(failed)?;
        }
        Ok(Self { files })
    }

    /// Sets the length of the file without writing: the file is sparse if the file system supports that.
    pub fn set_len(&self, len: u64) -> Result<(), ArchiveError> {
        self.files.set_len(len).map_err(failed)
    }

    pub fn len(&self) -> Result<u64, ArchiveError> {
        self.files.len().map_err(failed)
    }

    pub fn is_empty(&self) -> Result<bool, ArchiveError> {
        Ok(self.len()? == 0)
    }

    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.files.write_at(offset, bytes).map_err(failed)
    }

    /// Waits until everything written so far is on disk.
    pub fn sync(&self) -> Result<(), ArchiveError> {
        self.files.for_all(&File::sync_data).map_err(failed)
    }

    /// Frees the space of a range whose content was copied elsewhere. On a file system that cannot do that, the space
    /// stays in use; nothing else depends on it.
    pub fn release(&self, range: std::ops::Range<u64>) {
        let _ = self.files.each(range, |file, at, piece| {
            release(file, at..at + (piece.end - piece.start) as u64);
            Ok(())
        });
    }

    /// Writes `ending` ([`ending`], [`super::compact_ending`]) after the blobs, which end at byte `end`, sets the final
    /// length, syncs, and renames the file.
    pub fn finish(&self, end: u64, ending: &[u8], target: &Path) -> Result<u64, ArchiveError> {
        self.write_at(end, ending)?;
        let len = end + ending.len() as u64;
        self.set_len(len)?;
        self.files.for_all(&File::sync_all).map_err(failed)?;
        self.files.rename(self.files.count(len), target).map_err(failed)?;
        sync_folder(target)?;
        Ok(len)
    }

    /// The current paths of the files: one, or one per volume.
    pub fn paths(&self) -> Vec<PathBuf> {
        (0..self.files.existing()).map(|index| self.files.path(index)).collect()
    }
}

/// Frees the space of a range of `file`, if the file system can do that.
pub(super) fn release(file: &File, range: std::ops::Range<u64>) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = fallocate(file, flags, range.start, range.end - range.start);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, range);
}

impl Input for PartialFile {
    fn len(&self) -> u64 {
        PartialFile::len(self).unwrap_or(0)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.files.read_at(offset, buffer).map_err(failed)
    }

    fn name(&self) -> String {
        self.files.base().display().to_string()
    }

    fn place(&self, range: &std::ops::Range<u64>) -> String {
        self.files.place(range)
    }
}

/// The bytes after the last blob: padding and end-of-archive blocks, then the seek table.
pub fn ending(layout: &Layout, blobs: &[BlobRow], compressed: &[Vec<u32>]) -> Result<Vec<u8>, ArchiveError> {
    let mut table = SeekTableBuilder::default();
    for (file, content) in layout.head_frames() {
        table.log(u64::from(*file), u64::from(*content))?;
    }
    for index in layout.stored() {
        let (file, content) = layout.member_header_lens(blobs, index);
        table.log(file, content)?;
        for (file, content) in frame::stored_frames(blobs[index].size) {
            table.log(file, content)?;
        }
    }
    if compressed.len() != layout.compressed().len() {
        return Err(ArchiveError::Invariant("not every compressed blob was written"));
    }
    for (index, files) in layout.compressed().zip(compressed) {
        let (file, content) = layout.member_header_lens(blobs, index);
        table.log(file, content)?;
        for (file, (_, content)) in files.iter().zip(frame::stored_frames(blobs[index].size)) {
            table.log(u64::from(*file), content)?;
        }
    }
    let mut bytes = layout.tail(blobs);
    table.log(bytes.len() as u64, layout.tail_content_len(blobs))?;
    bytes.extend(table.encode());
    Ok(bytes)
}

/// Makes a rename in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> Result<(), ArchiveError> {
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(ArchiveError::io(folder))
}

/// One intact frame of a stored blob, as it is in the file.
#[derive(Debug)]
pub struct StoredFrame<'a> {
    pub bytes: &'a [u8],
    pieces: Vec<std::ops::Range<usize>>,
}

impl<'a> StoredFrame<'a> {
    /// Its content, piece by piece.
    pub fn content(&self) -> impl Iterator<Item = &'a [u8]> {
        self.pieces.iter().map(|piece| &self.bytes[piece.clone()])
    }
}

/// Reads back `content` bytes of a stored blob, from `data` on, as far as its frames are intact. Each intact frame goes
/// to `each`; returns the number of intact content bytes.
pub fn read_back(
    input: &dyn Input,
    data: u64,
    size: u64,
    content: u64,
    each: &mut dyn FnMut(&StoredFrame<'_>) -> Result<(), ArchiveError>,
) -> Result<u64, ArchiveError> {
    let (mut at, mut intact) = (data, 0);
    for (file, held) in frame::stored_frames(size) {
        if intact + held > content {
            break;
        }
        let bytes = match input.read_vec(at, usize::try_from(file).unwrap_or(0)) {
            Err(ArchiveError::Format(FormatError::Damaged(_))) => break,
            read => read?,
        };
        let Ok(pieces) = frame::stored_content(&bytes, held, true) else {
            break;
        };
        each(&StoredFrame { bytes: &bytes, pieces })?;
        at += file;
        intact += held;
    }
    Ok(intact)
}

/// Content bytes of a full frame: progress is counted in these.
pub const FRAME_CONTENT: u64 = frame::FRAME_CONTENT;

/// The file bytes of `content` bytes of stored content.
pub fn stored_len(content: u64) -> u64 {
    frame::stored_len(content)
}

/// Content of up to [`FRAME_CONTENT`] bytes as one frame of a compressed blob.
pub fn compressed_frame(content: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    frame::compress_or_store(content)
}

/// The content of a frame made by [`compressed_frame`].
pub fn open_frame(frame: &[u8], content: usize) -> Result<Vec<u8>, ArchiveError> {
    frame::decompress(frame, content).map_err(|error| ArchiveError::Format(FormatError::Damaged(error)))
}

/// The member header before blob `index`, as it is in the file.
pub fn member_header(layout: &Layout, blobs: &[BlobRow], index: usize) -> Vec<u8> {
    layout.member_header(blobs, index)
}
