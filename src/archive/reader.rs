//! Opening a bundle: seek table and head first, so that the whole plan is known before any layer is touched.
//!
//! The seek table is a hint that is checked against frame headers and the plan. After [`BundleReader::open`] every
//! member of the head has been derived again from `bundle.json` and its manifests, and compared.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;

use super::contents::Manifests;
use super::head_reader::Head;
use super::input::Input;
use super::layout::{Layout, SeekTableBuilder};
use super::manifest::{BlobRow, BundleManifest, Group};
use super::pipe::open_pipe;
use super::{ArchiveError, VolumeInput, frame};
use crate::image::{Digest, Positions, RawManifest};
use crate::signing::Trust;

/// Zero bytes that may follow the end of an archive: a medium, or another tool, appends them.
pub(super) const MAX_PADDING: u64 = 64 << 20;

/// An open bundle. Cheap to clone; reads from many threads.
#[derive(Clone, Debug)]
pub struct BundleReader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    input: Arc<dyn Input>,
    id: Digest,
    manifest: BundleManifest,
    head: Head,
    layout: Layout,
    /// Of the blobs of the manifest.
    positions: Positions,
    /// File offset and length of each frame of each compressed blob.
    compressed: Vec<Vec<(u64, u32)>>,
    /// None where the end of the file is lost.
    seek_table: Option<Range<u64>>,
}

/// What opening finds out.
pub(super) struct Parts {
    pub(super) head: Head,
    pub(super) manifest: BundleManifest,
    pub(super) layout: Layout,
    pub(super) compressed: Vec<Vec<(u64, u32)>>,
    pub(super) seek_table: Option<Range<u64>>,
}

impl BundleReader {
    /// Opens the bundle in `input` and proves its head.
    pub fn open(input: &Arc<dyn Input>) -> Result<Self, ArchiveError> {
        Self::open_trusted(input, &Trust::default())
    }

    /// The same, if `trust` lets it in.
    pub fn open_trusted(input: &Arc<dyn Input>, trust: &Trust) -> Result<Self, ArchiveError> {
        let reader = Self::open_parts(input, trust).map_err(|error| match input.volumes() {
            Some(volumes) if !matches!(error, ArchiveError::Untrusted(_)) => volumes.blame(error),
            _ => error,
        })?;
        let list = input.volumes().and_then(|volumes| volumes.list());
        if let Some(list) = list.filter(|list| list.bundle != reader.id()) {
            let why = format!("the volumes are of bundle {}, their list is of {}", reader.id(), list.bundle);
            return Err(ArchiveError::Volumes(why));
        }
        Ok(reader)
    }

    fn open_parts(input: &Arc<dyn Input>, trust: &Trust) -> Result<Self, ArchiveError> {
        let (table, seek_table) =
            read_seek_table(&**input).map_err(|error| Self::explain_end(input, trust, error))?;
        let (head, manifest) = Head::read(&**input, &table, trust)?;
        let layout = Layout::new(head.frame_lens(), &manifest.blobs);
        let compressed = locate_compressed(&table, &layout, &manifest.blobs)?;
        let seek_table = Some(seek_table);
        head.prove(&manifest)?;
        Ok(Self::of_parts(input, Parts { head, manifest, layout, compressed, seek_table }))
    }

    pub(super) fn of_parts(input: &Arc<dyn Input>, parts: Parts) -> Self {
        let Parts { head, manifest, layout, compressed, seek_table } = parts;
        let positions = Positions::of(manifest.blobs.len(), |at| &manifest.blobs[at].digest);
        let id = head.id();
        let input = Arc::clone(input);
        Self(Arc::new(Inner { input, id, manifest, head, layout, positions, compressed, seek_table }))
    }

    /// Whether every frame of blob `index` is known.
    pub(super) fn is_located(&self, index: usize, blob: &BlobRow) -> bool {
        let slot = index.checked_sub(self.0.layout.compressed().start);
        let frames = slot.and_then(|slot| self.0.compressed.get(slot));
        frames.is_none_or(|frames| frames.len() as u64 == blob.size.div_ceil(frame::FRAME_CONTENT))
    }

    /// The sha256 of `bundle.json`.
    pub fn id(&self) -> Digest {
        self.0.id
    }

    pub fn manifest(&self) -> &BundleManifest {
        &self.0.manifest
    }

    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    pub fn signature(&self) -> Option<&[u8]> {
        self.0.head.signature()
    }

    /// For each image: bytes of it that something else in the bundle uses too.
    pub fn shared(&self) -> &[u64] {
        self.0.head.shared()
    }

    pub fn name(&self) -> String {
        self.0.input.name()
    }

    /// The volumes it stands in, if it does.
    pub fn in_volumes(&self) -> Option<&VolumeInput> {
        self.0.input.volumes()
    }

    /// How many files the bundle is in.
    pub fn volumes(&self) -> usize {
        self.0.input.volumes().map_or(1, VolumeInput::count)
    }

    /// In bytes, as found.
    pub fn file_len(&self) -> u64 {
        self.0.input.len()
    }

    pub(crate) fn input(&self) -> &dyn Input {
        &*self.0.input
    }

    pub(crate) fn head(&self) -> &Head {
        &self.0.head
    }

    pub(crate) fn seek_table(&self) -> Option<Range<u64>> {
        self.0.seek_table.clone()
    }

    /// Position of `digest` in the list of blobs.
    pub fn index_of(&self, digest: &Digest) -> Option<usize> {
        self.0.positions.get(digest, |at| &self.0.manifest.blobs[at].digest)
    }

    pub fn blob(&self, digest: &Digest) -> Option<&BlobRow> {
        self.index_of(digest).map(|i| &self.0.manifest.blobs[i])
    }

    /// A manifest or index of the bundle with its exact bytes.
    pub fn raw_manifest(&self, digest: &Digest, stated: &str) -> Result<RawManifest, ArchiveError> {
        let bytes = self.0.head.manifest(digest)?;
        RawManifest::new(bytes, Some(stated), Some(digest))
            .map_err(|e| ArchiveError::Damaged(format!("manifest {digest}: {e}")))
    }

    /// File offset, file length and content length of each frame of blob `index`; none in the head.
    pub(crate) fn frames(&self, index: usize) -> Vec<(u64, u64, u64)> {
        let size = self.0.manifest.blobs[index].size;
        if self.0.layout.stored().contains(&index) {
            let mut at = self.0.layout.data_offset(index);
            return frame::stored_frames(size)
                .map(|(file, content)| {
                    let start = at;
                    at += file;
                    (start, file, content)
                })
                .collect();
        }
        let Some(slot) = index.checked_sub(self.0.layout.compressed().start) else {
            return Vec::new();
        };
        let frames = self.0.compressed[slot].iter().enumerate();
        frames
            .map(|(i, &(at, len))| {
                let content = frame::FRAME_CONTENT.min(size - i as u64 * frame::FRAME_CONTENT);
                (at, u64::from(len), content)
            })
            .collect()
    }

    /// The small blob `index` of the head.
    pub(crate) fn head_blob(&self, index: usize) -> Result<Bytes, ArchiveError> {
        self.0.head.manifest(&self.0.manifest.blobs[index].digest)
    }
}

impl Manifests for BundleReader {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.0.head.manifest(digest)
    }
}

/// The frames of a file as its seek table lists them.
#[derive(Debug)]
pub(crate) struct FrameTable {
    table: zeekstd::SeekTable,
}

impl FrameTable {
    pub(crate) fn len(&self) -> u32 {
        self.table.num_frames()
    }

    /// File offset, file length and content length of frame `index`.
    pub(crate) fn get(&self, index: u32) -> Result<(u64, u32, u32), ArchiveError> {
        let bad = |e: zeekstd::Error| ArchiveError::SeekTable(e.to_string());
        let at = self.table.frame_start_comp(index).map_err(bad)?;
        let file = self.table.frame_size_comp(index).map_err(bad)?;
        let content = self.table.frame_size_decomp(index).map_err(bad)?;
        let lens = u32::try_from(file).ok().zip(u32::try_from(content).ok());
        let (file, content) = lens.ok_or_else(|| ArchiveError::SeekTable("a frame over 4 GiB".into()))?;
        Ok((at, file, content))
    }
}

/// The seek table at the end of the file, and where it stands.
pub(super) fn read_seek_table(input: &dyn Input) -> Result<(FrameTable, Range<u64>), ArchiveError> {
    let mut start = [0; 4];
    if input.len() < 4 {
        return Err(ArchiveError::NotABundle(format!("{} is only {} bytes long", input.name(), input.len())));
    }
    input.read_at(0, &mut start)?;
    if start != frame::ZSTD_MAGIC {
        return Err(ArchiveError::NotABundle(format!("{} is not a zstd file", input.name())));
    }
    let end = end_without_zeros(input)?;
    let mut tail = InputTail { input, end, at: 0 };
    let table = zeekstd::SeekTable::from_seekable(&mut tail).map_err(|_| without_table(input))?;
    let range = table.size_comp()..end;
    if range.start > end {
        return Err(ArchiveError::Damaged("the seek table lists more than the file has".into()));
    }
    // What stands between the frames and the table would be read by other tools and seen by nobody here.
    if end - range.start != SeekTableBuilder::encoded_len(table.num_frames()) {
        return Err(ArchiveError::Damaged(
            "the seek table does not follow the last frame that it lists".into(),
        ));
    }
    Ok((FrameTable { table }, range))
}

/// A file with the head of a bundle and no seek table has lost its end; any other was packed by another tool.
fn without_table(input: &dyn Input) -> ArchiveError {
    let name = input.name();
    match open_pipe(InputTail { input, end: input.len(), at: 0 }) {
        Ok(_) => ArchiveError::Damaged(format!("{name} is cut short after {} bytes", input.len())),
        Err(_) => ArchiveError::NotABundle(format!("{name} does not end with the seek table of a bundle")),
    }
}

pub(super) fn end_without_zeros(input: &dyn Input) -> Result<u64, ArchiveError> {
    let mut end = input.len();
    let floor = input.len().saturating_sub(MAX_PADDING);
    while end > floor {
        let take = (end - floor).min(64 << 10);
        let chunk = input.read_vec(end - take, usize::try_from(take).unwrap_or(0))?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            return Ok(end - take + last as u64 + 1);
        }
        end -= take;
    }
    Err(ArchiveError::Damaged(format!("{} ends in nothing but zeros", input.name())))
}

/// `Read + Seek` over the input up to `end`, as the seek table parser wants it.
pub(super) struct InputTail<'a> {
    pub(super) input: &'a dyn Input,
    pub(super) end: u64,
    pub(super) at: u64,
}

impl Read for InputTail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.at);
        let take = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.input.read_at(self.at, &mut buffer[..take]).map_err(io::Error::other)?;
        self.at += take as u64;
        Ok(take)
    }
}

impl Seek for InputTail<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.end.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.at.checked_add_signed(delta),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// Walks the seek table over the part after the head: it must list exactly the frames the plan implies.
fn locate_compressed(
    table: &FrameTable,
    layout: &Layout,
    blobs: &[BlobRow],
) -> Result<Vec<Vec<(u64, u32)>>, ArchiveError> {
    let mut next = u32::try_from(layout.head_frames().len()).unwrap_or(u32::MAX);
    let mut expect = |content: u64, file: RangeInclusive<u64>| {
        let entry = if next < table.len() { table.get(next)? } else { (0, 0, 0) };
        next += 1;
        let fits = u64::from(entry.2) == content && file.contains(&u64::from(entry.1));
        if fits {
            Ok(entry)
        } else {
            Err(ArchiveError::Damaged("the seek table contradicts bundle.json".into()))
        }
    };
    let mut compressed = Vec::with_capacity(layout.compressed().len());
    for index in layout.stored().start..layout.compressed().end {
        let (file, content) = layout.joint_lens(blobs, index);
        expect(content, file..=file)?;
        if blobs[index].group() == Group::Stored {
            for (file, content) in frame::stored_frames(blobs[index].size) {
                expect(content, file..=file)?;
            }
        } else {
            // A frame that compression would make longer is stored. Whoever reads a frame allocates its length.
            let frames = frame::stored_frames(blobs[index].size);
            let frames: Result<Vec<_>, _> = frames
                .map(|(stored, content)| expect(content, 1..=stored).map(|(at, file, _)| (at, file)))
                .collect();
            compressed.push(frames?);
        }
    }
    let tail = layout.tail(blobs).len() as u64;
    expect(layout.tail_content_len(blobs), tail..=tail)?;
    if next != table.len() {
        return Err(ArchiveError::Damaged(
            "the seek table lists more frames than bundle.json implies".into(),
        ));
    }
    Ok(compressed)
}
