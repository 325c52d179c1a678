//! Opens a bundle: reads seek table and head first, so that the whole plan is known before any layer is read.
//!
//! The seek table is not trusted: it is checked against frame headers and the plan. After [`BundleReader::open`], every
//! member of the head has been generated again from `bundle.json` and its manifests, and compared.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use super::compact_members::bases_of;
use super::content::ContentReader;
use super::head_reader::Head;
use super::opened::{Body, OpenBundle, Parts};
use super::part::PartReader;
use super::problem::Problem;
use super::salvage::{explain_end, salvage};
use super::seek_table::{FrameTable, InputTail, end_without_zeros};
use super::verify;
use crate::app::text::typed;
use crate::archive::bases::{BaseSource, CompactHead};
use crate::archive::error::or_rebuild;
use crate::archive::format::compact_body::{
    CompactBody, Compaction, Form, compact_ending, least_len, read_index,
};
use crate::archive::format::frame;
use crate::archive::format::layout::Layout;
use crate::archive::format::manifest_source::Manifests;
use crate::archive::format::seek_table_builder::SeekTableBuilder;
use crate::archive::image_store::{ContentPieces, ImageStore};
use crate::archive::input::Input;
use crate::archive::manifest::{BlobRow, BundleManifest, Group, Profile};
use crate::archive::stream::pipe::read_head;
use crate::archive::volumes::blame;
use crate::archive::{ArchiveError, FormatError, VolumeInput, VolumesError};
use crate::image::{Digest, RawManifest};
use crate::signing::Trust;

/// An open bundle. It is cheap to clone, and many threads can read from it.
#[derive(Clone, Debug)]
pub struct BundleReader(Arc<OpenBundle>);

impl BundleReader {
    /// Opens the bundle in `input` and proves its head.
    pub fn open(input: &Arc<dyn Input>) -> Result<Self, ArchiveError> {
        Self::open_trusted(input, &Trust::default())
    }

    /// Like [`Self::open`], if `trust` accepts it.
    pub fn open_trusted(input: &Arc<dyn Input>, trust: &Trust) -> Result<Self, ArchiveError> {
        let reader = Self::open_parts(input, trust).map_err(|error| match input.volumes() {
            Some(volumes) if !matches!(error, ArchiveError::Untrusted(_)) => {
                blame(volumes, error.of(&input.name()))
            }
            _ => error.of(&input.name()),
        })?;
        let list = input.volumes().and_then(|volumes| volumes.list());
        if let Some(list) = list.filter(|list| list.bundle != reader.id()) {
            let why = format!("the volumes are of bundle {}, their list is of {}", reader.id(), list.bundle);
            return Err(ArchiveError::Volumes(VolumesError::incomplete(why)));
        }
        Ok(reader)
    }

    /// Opens the bundle in `input` if `trust` accepts it, even if its end is damaged. The head must be intact, because
    /// the rest cannot be interpreted without it.
    pub fn salvage(input: &Arc<dyn Input>, trust: &Trust) -> Result<Self, ArchiveError> {
        Ok(Self(Arc::new(salvage(input, trust)?)))
    }

    fn open_parts(input: &Arc<dyn Input>, trust: &Trust) -> Result<Self, ArchiveError> {
        let (table, seek_table) =
            read_seek_table(&**input).map_err(|error| explain_end(input, trust, error))?;
        let (head, manifest) = Head::read(&**input, &table, trust)?;
        let layout = Layout::new(head.frame_lens(), &manifest);
        let body = match layout.profile() {
            Profile::Layout => Body::Layout(locate_compressed(&table, &layout, &manifest.blobs)?),
            Profile::Compact => {
                Body::Compact(locate_compact(&**input, &table, &seek_table, &layout, &manifest.blobs)?)
            }
        };
        let seek_table = Some(seek_table);
        head.prove(&manifest)?;
        let parts = Parts { head, manifest, layout, body, seek_table };
        Ok(Self(Arc::new(OpenBundle::new(input, parts))))
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

    /// For each image: how many of its bytes others in the bundle also use.
    pub fn shared(&self) -> &[u64] {
        self.0.head.shared()
    }

    pub fn name(&self) -> String {
        self.0.input.name()
    }

    /// The volumes, if the bundle is in volumes.
    pub fn in_volumes(&self) -> Option<&VolumeInput> {
        self.0.input.volumes()
    }

    /// The number of files of the bundle.
    pub fn volumes(&self) -> usize {
        self.0.input.volumes().map_or(1, VolumeInput::count)
    }

    /// In bytes, as found.
    pub fn file_len(&self) -> u64 {
        self.0.input.len()
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
            .map_err(|e| ArchiveError::Format(FormatError::Damaged(format!("manifest {digest}: {e}"))))
    }

    /// The content of blob `index` from byte `from` on.
    pub fn content(&self, index: usize, from: u64) -> Result<ContentReader, ArchiveError> {
        ContentReader::new(&self.0, index, from)
    }

    /// What the compact form of its blobs saves; none in other bundles.
    pub fn compaction(&self) -> Option<Compaction> {
        if self.0.manifest.profile.is_layout() {
            return None;
        }
        let mut sum = Compaction::default();
        for (index, blob) in self.0.manifest.blobs.iter().enumerate() {
            let Some(form) = self.form(index) else { continue };
            sum.blobs += 1;
            if let Form::Compact(_) = form {
                sum.compact += 1;
                sum.size += blob.size;
                sum.held += form.len(blob);
            }
        }
        Some(sum)
    }

    /// How blob `index` of a compact bundle is held; none in the head, and in other bundles.
    pub fn form(&self, index: usize) -> Option<&Form> {
        self.0.compact(index).map(|(form, _)| form)
    }

    /// Checks everything that [`BundleReader::open`] has not proven yet. `moved` is called with the number of content
    /// bytes that have been checked.
    pub fn verify(
        &self,
        cancelled: &AtomicBool,
        moved: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Problem>, ArchiveError> {
        verify::verify(&self.0, cancelled, moved)
    }

    /// The position of the first blob that could not be found.
    pub fn first_lost(&self) -> Option<usize> {
        self.0.first_lost()
    }
}

impl Manifests for BundleReader {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.0.head.manifest(digest)
    }
}

impl ImageStore for BundleReader {
    fn bundle(&self) -> &BundleManifest {
        self.manifest()
    }

    fn open(&self, digest: &Digest, from: u64) -> Result<ContentPieces, ArchiveError> {
        let index =
            self.index_of(digest).ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))?;
        Ok(Box::new(self.content(index, from)?))
    }

    fn open_part(&self, digest: &Digest, range: Range<u64>) -> Result<Option<ContentPieces>, ArchiveError> {
        let index =
            self.index_of(digest).ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))?;
        if self.form(index).is_some_and(|form| *form != Form::Stored) {
            return Ok(None);
        }
        Ok(Some(Box::new(PartReader::new(&self.0, index, range)?)))
    }

    fn references(&self) -> Option<&CompactHead> {
        Some(&self.0.bases.listed)
    }

    fn read_bases_from(&self, source: Arc<dyn BaseSource>) {
        self.0.bases.read_from(source);
    }

    fn bases_of(&self, digest: &Digest) -> Result<Option<Vec<u32>>, ArchiveError> {
        let index = self.index_of(digest);
        index.map_or(Ok(Some(Vec::new())), |index| bases_of(&self.0, index).map(Some))
    }

    fn has_parts(&self) -> bool {
        self.0.manifest.profile.is_layout()
    }

    fn name(&self) -> String {
        BundleReader::name(self)
    }

    fn place(&self, digest: &Digest) -> String {
        let index = self.index_of(digest);
        let span = index.and_then(|index| {
            let frames = self.0.frames(index);
            let ((start, ..), (last, len, _)) = (frames.first()?, frames.last()?);
            Some(*start..last + len)
        });
        span.map_or_else(|| self.name(), |span| self.0.input.place(&span))
    }

    fn remedy(&self) -> String {
        let Some(volumes) = self.in_volumes() else {
            return "copy or export it again".to_owned();
        };
        let first = typed(&volumes.path(0));
        let rebuild = volumes.rebuildable().map_or_else(String::new, |base| or_rebuild(&base));
        format!("copy the damaged volumes again, which bundle verify {first} lists{rebuild}")
    }

    fn id(&self) -> Option<Digest> {
        Some(BundleReader::id(self))
    }

    fn signature(&self) -> Option<&[u8]> {
        BundleReader::signature(self)
    }
}

/// The seek table at the end of the file, and its offset.
pub(in crate::archive) fn read_seek_table(
    input: &dyn Input,
) -> Result<(FrameTable, Range<u64>), ArchiveError> {
    let mut start = [0; 4];
    if input.len() < 4 {
        return Err(ArchiveError::Format(FormatError::NotABundle(format!(
            "{} is only {} bytes long",
            input.name(),
            input.len()
        ))));
    }
    input.read_at(0, &mut start)?;
    if start != frame::ZSTD_MAGIC {
        return Err(ArchiveError::Format(FormatError::NotABundle(format!(
            "{} is not a zstd file",
            input.name()
        ))));
    }
    let end = end_without_zeros(input)?;
    let mut tail = InputTail { input, end, at: 0 };
    let table = zeekstd::SeekTable::from_seekable(&mut tail).map_err(|_| without_table(input))?;
    let range = table.size_comp()..end;
    if range.start > end {
        return Err(ArchiveError::Format(FormatError::Damaged(
            "the seek table lists more than the file has".into(),
        )));
    }
    // Other tools would read data between the frames and the table, but nothing here would check it.
    if end - range.start != SeekTableBuilder::encoded_len(table.num_frames()) {
        return Err(ArchiveError::Format(FormatError::Damaged(
            "the seek table does not follow the last frame that it lists".into(),
        )));
    }
    Ok((FrameTable::new(table), range))
}

/// A file with the head of a bundle but no seek table has lost its end; any other file was packed by another tool.
fn without_table(input: &dyn Input) -> ArchiveError {
    let name = input.name();
    match read_head(&mut InputTail { input, end: input.len(), at: 0 }, &Trust::default()) {
        Ok((head, _)) => {
            let (_, _, layout) = head.into_parts();
            let how = layout.shortfall(input.len()).unwrap_or_else(|| "its end is missing".to_owned());
            ArchiveError::Format(FormatError::Damaged(format!("{name} is cut short: {how}")))
        }
        Err(_) => ArchiveError::Format(FormatError::NotABundle(format!(
            "{name} does not end with the seek table of a bundle"
        ))),
    }
}

/// Reads the index of a compact bundle: the end of the file must be exactly the one that follows from it.
fn locate_compact(
    input: &dyn Input,
    table: &FrameTable,
    seek_table: &Range<u64>,
    layout: &Layout,
    blobs: &[BlobRow],
) -> Result<CompactBody, ArchiveError> {
    let contradicts = || {
        let why = "the seek table contradicts the index of the compact form";
        ArchiveError::Format(FormatError::Damaged(why.to_owned()))
    };
    let (at, file, content) = table.get(table.len().checked_sub(1).ok_or_else(contradicts)?)?;
    let content = u64::from(content);
    if content > frame::FRAME_CONTENT || u64::from(file) != frame::stored_len(content) {
        return Err(contradicts());
    }
    let bytes = input.read_vec(at, file as usize)?;
    let pieces = frame::stored_content(&bytes, content, true).map_err(|why| {
        ArchiveError::Format(FormatError::Damaged(format!("{}: {why}", input.place(&(at..seek_table.start)))))
    })?;
    let tail: Vec<u8> = pieces.into_iter().flat_map(|piece| &bytes[piece]).copied().collect();
    let forms = read_index(&tail)?;
    let body = &blobs[layout.compressed()];
    // Before anything is made from these numbers, they must fit into the file.
    if forms.len() != body.len() || least_len(body, &forms).is_none_or(|len| layout.head_len() + len > at) {
        return Err(contradicts());
    }
    let expected = compact_ending(layout, blobs, &forms)?;
    let body = CompactBody::place(layout, blobs, forms);
    let start = body.end(layout);
    let is_there = start == at && seek_table.end - start == expected.len() as u64;
    if is_there && input.read_vec(start, expected.len())? == expected { Ok(body) } else { Err(contradicts()) }
}

/// Walks the seek table over the part after the head: it must list exactly the frames that the plan implies.
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
            Err(ArchiveError::Format(FormatError::Damaged("the seek table contradicts bundle.json".into())))
        }
    };
    let mut compressed = Vec::with_capacity(layout.compressed().len());
    for index in layout.stored().start..layout.compressed().end {
        let (file, content) = layout.member_header_lens(blobs, index);
        expect(content, file..=file)?;
        if blobs[index].group() == Group::Stored {
            for (file, content) in frame::stored_frames(blobs[index].size) {
                expect(content, file..=file)?;
            }
        } else {
            // A frame that compression would make longer is stored, so a longer one is invalid. Readers allocate a
            // frame's length.
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
        return Err(ArchiveError::Format(FormatError::Damaged(
            "the seek table lists more frames than bundle.json implies".into(),
        )));
    }
    Ok(compressed)
}
