//! An open bundle: its head, the plan that follows from it, and the position of every frame.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::head_reader::Head;
use super::seek_table::end_without_zeros;
use crate::archive::bases::Bases;
use crate::archive::format::compact_body::{CompactBody, Form, Placed, compact_ending};
use crate::archive::format::frame;
use crate::archive::format::layout::Layout;
use crate::archive::format::manifest_source::Manifests;
use crate::archive::manifest::{BlobRow, BundleManifest};
use crate::archive::{ArchiveError, Input, partial};
use crate::image::{Digest, Positions};

/// The data that all readers of the bundle share.
#[derive(Debug)]
pub(in crate::archive) struct OpenBundle {
    pub(in crate::archive) input: Arc<dyn Input>,
    pub(in crate::archive) id: Digest,
    pub(in crate::archive) manifest: BundleManifest,
    pub(in crate::archive) head: Head,
    pub(in crate::archive) layout: Layout,
    /// Of the blobs in the manifest.
    pub(in crate::archive) positions: Positions,
    body: Body,
    /// The blobs that are elsewhere, to which members refer.
    pub(in crate::archive) bases: Bases,
    /// None if the end of the file is lost.
    pub(in crate::archive) seek_table: Option<Range<u64>>,
}

/// The places of the blobs whose offsets do not follow from the plan alone.
#[derive(Debug)]
pub(in crate::archive) enum Body {
    /// Of an OCI layout: file offset and length of each frame of each compressed blob.
    Layout(Vec<Vec<(u64, u32)>>),
    Compact(CompactBody),
}

/// The result of opening.
pub(in crate::archive) struct Parts {
    pub(in crate::archive) head: Head,
    pub(in crate::archive) manifest: BundleManifest,
    pub(in crate::archive) layout: Layout,
    pub(in crate::archive) body: Body,
    pub(in crate::archive) seek_table: Option<Range<u64>>,
}

impl OpenBundle {
    pub(in crate::archive) fn new(input: &Arc<dyn Input>, parts: Parts) -> Self {
        let Parts { head, manifest, layout, body, seek_table } = parts;
        let positions = Positions::of(manifest.blobs.len(), |at| &manifest.blobs[at].digest);
        let id = head.id();
        let bases = Bases::new(head.references().clone());
        let input = Arc::clone(input);
        Self { input, id, manifest, head, layout, positions, body, bases, seek_table }
    }

    /// Whether every frame of blob `index` is known.
    pub(in crate::archive) fn is_located(&self, index: usize, blob: &BlobRow) -> bool {
        let Some(slot) = index.checked_sub(self.layout.compressed().start) else { return true };
        match &self.body {
            Body::Layout(compressed) => compressed
                .get(slot)
                .is_none_or(|frames| frames.len() as u64 == blob.size.div_ceil(frame::FRAME_CONTENT)),
            Body::Compact(body) => slot < body.blobs.len(),
        }
    }

    /// The form of blob `index` and its members, in a compact bundle; none in the head, or if it cannot be found.
    pub(in crate::archive) fn compact(&self, index: usize) -> Option<&(Form, Vec<Placed>)> {
        let slot = index.checked_sub(self.layout.compressed().start)?;
        match &self.body {
            Body::Layout(_) => None,
            Body::Compact(body) => body.blobs.get(slot),
        }
    }

    /// Whether the frames of blob `index` are stored ones, with its bytes as they are.
    pub(in crate::archive) fn is_stored(&self, index: usize) -> bool {
        self.layout.stored().contains(&index)
            || self.compact(index).is_some_and(|(form, _)| *form == Form::Stored)
    }

    /// File offset, file length and content length of each frame of blob `index`; none in the head. In compact form, the
    /// content is that form.
    pub(in crate::archive) fn frames(&self, index: usize) -> Vec<(u64, u64, u64)> {
        let size = self.manifest.blobs[index].size;
        if self.layout.stored().contains(&index) {
            return frame::stored_frames_at(self.layout.data_offset(index), size).collect();
        }
        let Some(slot) = index.checked_sub(self.layout.compressed().start) else {
            return Vec::new();
        };
        let compressed = match &self.body {
            Body::Layout(compressed) => &compressed[slot],
            Body::Compact(body) => {
                let placed = body.blobs.get(slot).map_or(&[][..], |(_, placed)| placed);
                return placed.iter().flat_map(Placed::frames).collect();
            }
        };
        compressed
            .iter()
            .enumerate()
            .map(|(i, &(at, len))| {
                let content = frame::FRAME_CONTENT.min(size - i as u64 * frame::FRAME_CONTENT);
                (at, u64::from(len), content)
            })
            .collect()
    }

    /// The small blob `index` of the head.
    pub(in crate::archive) fn head_blob(&self, index: usize) -> Result<Bytes, ArchiveError> {
        self.head.manifest(&self.manifest.blobs[index].digest)
    }

    /// Where the last blob ends; none if the blobs before it cannot all be found.
    pub(in crate::archive) fn content_end(&self) -> Option<u64> {
        let (layout, blobs) = (&self.layout, &self.manifest.blobs);
        if let Body::Compact(body) = &self.body {
            return self.first_lost().is_none().then(|| body.end(layout));
        }
        let mut end = layout.stored_end();
        for index in layout.compressed().filter(|index| self.is_located(*index, &blobs[*index])) {
            end += layout.member_header_lens(blobs, index).0;
            end += self.frames(index).iter().map(|(_, len, _)| len).sum::<u64>();
        }
        self.first_lost().is_none().then_some(end)
    }

    /// The end-of-archive blocks and the seek table after the last blob.
    pub(in crate::archive) fn ending(&self) -> Result<Vec<u8>, ArchiveError> {
        if let Body::Compact(body) = &self.body {
            let mut forms: Vec<Form> = body.blobs.iter().map(|(form, _)| form.clone()).collect();
            // Where blobs cannot be found, what follows them is not there either.
            forms.resize(self.layout.compressed().len(), Form::Stored);
            return compact_ending(&self.layout, &self.manifest.blobs, &forms);
        }
        let lens = |index| {
            let frames = self.frames(index).into_iter();
            frames.map(|(_, len, _)| u32::try_from(len).unwrap_or(u32::MAX)).collect()
        };
        let compressed: Vec<Vec<u32>> = self.layout.compressed().map(lens).collect();
        partial::ending(&self.layout, &self.manifest.blobs, &compressed)
    }

    /// Bytes after the end of the bundle other than padding; none if the end does not exist.
    pub(in crate::archive) fn what_follows(&self) -> Result<Option<Range<u64>>, ArchiveError> {
        let Some(start) = self.content_end() else { return Ok(None) };
        let expected = self.ending()?;
        let end = start + expected.len() as u64;
        let is_there = self.input.len() > end && self.input.read_vec(start, expected.len())? == expected;
        let is_padding = |end| end_without_zeros(&*self.input).is_ok_and(|content| content <= end);
        Ok((is_there && !is_padding(end)).then(|| end..self.input.len()))
    }

    /// The position of the first blob that could not be found.
    pub(in crate::archive) fn first_lost(&self) -> Option<usize> {
        let blobs = &self.manifest.blobs;
        self.layout.compressed().find(|index| !self.is_located(*index, &blobs[*index]))
    }
}

impl Manifests for OpenBundle {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.head.manifest(digest)
    }
}
