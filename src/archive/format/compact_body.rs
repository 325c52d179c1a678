//! The part after the head of a compact bundle: which members each blob has, and where they are.
//!
//! A blob that stays as it is has one member, `blobs/<algorithm>/<hex>`. One in compact form has a member
//! `compact/<algorithm>/<hex>.<n>` for each member of that form ([`crate::compact`]), counted from 0. All data is in
//! stored frames, so that every offset follows from the sizes of the members. The archive ends with one more member,
//! `compact-index.json`, which has these sizes: so that a reader need not look for each member. It is in one stored frame
//! together with the padding before and the end-of-archive blocks behind it.

use serde::{Deserialize, Serialize};

use super::seek_table_builder::SeekTableBuilder;
use super::{frame, member};
use crate::archive::format::layout::Layout;
use crate::archive::manifest::BlobRow;
use crate::archive::read::head_reader::parse_header;
use crate::archive::{ArchiveError, FormatError};
use crate::image::Digest;

/// The path of the last member.
pub(in crate::archive) const INDEX: &str = "compact-index.json";
/// The start of the paths of members in compact form.
const COMPACT: &str = "compact/";
/// Bytes of the longest member of a compact form: its content as it is, and the most parts.
pub(in crate::archive) const MAX_MEMBER: u64 = 80 << 20;

/// How a blob of a compact bundle is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Stored,
    /// In compact form: the bytes of each member.
    Compact(Vec<u32>),
}

impl Form {
    /// Bytes of its members: what it costs on the medium, without headers and frames.
    pub fn len(&self, blob: &BlobRow) -> u64 {
        match self {
            Self::Stored => blob.size,
            Self::Compact(members) => members.iter().copied().map(u64::from).sum(),
        }
    }
}

/// What the compact form of the blobs of a bundle saves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Blobs outside the head, and how many of them are in compact form.
    pub blobs: usize,
    pub compact: usize,
    /// Bytes of those that are, and of their compact form.
    pub size: u64,
    pub held: u64,
}

/// One member of the body, and where it is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::archive) struct Placed {
    pub(in crate::archive) path: String,
    /// Bytes of its data.
    pub(in crate::archive) size: u64,
    /// File offset of its header's frame, and of its data.
    pub(in crate::archive) header_at: u64,
    pub(in crate::archive) data_at: u64,
}

impl Placed {
    /// File offset, file length and content length of each frame of its data.
    pub(in crate::archive) fn frames(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        frame::stored_frames_at(self.data_at, self.size)
    }
}

/// The path of member `number` of the compact form of a blob.
pub fn compact_path(digest: &Digest, number: usize) -> String {
    format!("{COMPACT}{}/{}.{number}", digest.algorithm().name(), digest.hex())
}

/// The frame with the padding after a member of `before` bytes, and the header of the next.
pub fn compact_header(before: u64, path: &str, size: u64) -> Vec<u8> {
    frame::store(&header_content(before, path, size))
}

fn header_content(before: u64, path: &str, size: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(member::padding(before)).unwrap_or(0)];
    content.extend(member::header(path, size));
    content
}

/// Puts members one behind the other.
#[derive(Clone, Debug)]
pub(in crate::archive) struct Placing {
    at: u64,
    /// Bytes of the member before.
    before: u64,
}

impl Placing {
    /// After a head of `head_len` bytes in the file, which has no padding at its end.
    pub(in crate::archive) fn after(head_len: u64) -> Self {
        Self { at: head_len, before: 0 }
    }

    /// Bytes of the member before.
    pub(in crate::archive) fn before(&self) -> u64 {
        self.before
    }

    pub(in crate::archive) fn next(&mut self, path: String, size: u64) -> Placed {
        let header_at = self.at;
        let content = member::padding(self.before) + member::header_len(&path, size);
        let data_at = header_at + frame::stored_len(content);
        self.at = data_at + frame::stored_len(size);
        self.before = size;
        Placed { path, size, header_at, data_at }
    }

    /// The members of a blob.
    pub(in crate::archive) fn blob(&mut self, blob: &BlobRow, form: &Form) -> Vec<Placed> {
        match form {
            Form::Stored => vec![self.next(blob.digest.layout_path(), blob.size)],
            Form::Compact(members) => {
                let paths = (0..).map(|number| compact_path(&blob.digest, number));
                members.iter().zip(paths).map(|(size, path)| self.next(path, u64::from(*size))).collect()
            }
        }
    }
}

/// The content of the last member.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    /// Of each blob after the head: the sizes of its members; none if it stays as it is.
    members: Vec<Option<Vec<u32>>>,
}

/// Everything after the last blob: the index, the end of the archive, and the seek table.
pub fn compact_ending(layout: &Layout, blobs: &[BlobRow], forms: &[Form]) -> Result<Vec<u8>, ArchiveError> {
    let body = &blobs[layout.compressed()];
    if forms.len() != body.len() {
        return Err(ArchiveError::Invariant("not every blob was written"));
    }
    let mut table = SeekTableBuilder::default();
    for (file, content) in layout.head_frames() {
        table.log(u64::from(*file), u64::from(*content))?;
    }
    let mut placing = Placing::after(layout.head_len());
    for (blob, form) in body.iter().zip(forms) {
        let mut before = placing.before();
        for placed in placing.blob(blob, form) {
            let content = member::padding(before) + member::header_len(&placed.path, placed.size);
            table.log(placed.data_at - placed.header_at, content)?;
            for (_, file, content) in placed.frames() {
                table.log(file, content)?;
            }
            before = placed.size;
        }
    }
    let tail = tail_content(placing.before(), forms)?;
    let mut bytes = frame::store(&tail);
    table.log(bytes.len() as u64, tail.len() as u64)?;
    bytes.extend(table.encode());
    Ok(bytes)
}

/// The padding after a member of `before` bytes, the index as a member, and the end of the archive.
fn tail_content(before: u64, forms: &[Form]) -> Result<Vec<u8>, ArchiveError> {
    let members = forms.iter().map(|form| match form {
        Form::Stored => None,
        Form::Compact(members) => Some(members.clone()),
    });
    let mut json = serde_json::to_vec(&Index { members: members.collect() })
        .map_err(|_| ArchiveError::Invariant("an index is not JSON"))?;
    json.push(b'\n');
    let mut content = header_content(before, INDEX, json.len() as u64);
    content.extend_from_slice(&json);
    let end = member::padding(json.len() as u64) + member::END_LEN;
    content.resize(content.len() + usize::try_from(end).unwrap_or(0), 0);
    if content.len() as u64 > frame::FRAME_CONTENT {
        return Err(ArchiveError::Invariant("a compact bundle has more blobs than its index can list"));
    }
    Ok(content)
}

/// The forms that the index in the content of the last frame lists.
pub(in crate::archive) fn read_index(tail: &[u8]) -> Result<Vec<Form>, ArchiveError> {
    let damaged = |why: &str| ArchiveError::Format(FormatError::Damaged(format!("{INDEX}: {why}")));
    let start = tail.iter().position(|byte| *byte != 0).ok_or_else(|| damaged("it is missing"))?;
    let header = tail.get(start..start + 512).and_then(parse_header);
    let size = header.filter(|(path, _)| path == INDEX).map(|(_, size)| size);
    let end = size.and_then(|size| usize::try_from(size).ok()?.checked_add(start + 512));
    let json = end.and_then(|end| tail.get(start + 512..end)).ok_or_else(|| damaged("it is missing"))?;
    let index: Index = serde_json::from_slice(json)
        .map_err(|error| ArchiveError::Format(FormatError::Json(INDEX, error.to_string())))?;
    let is_possible = |members: &Vec<u32>| {
        !members.is_empty() && members.iter().all(|size| (1..=MAX_MEMBER).contains(&u64::from(*size)))
    };
    if !index.members.iter().flatten().all(is_possible) {
        return Err(damaged("it lists members of sizes that are not possible"));
    }
    let form = |members: Option<Vec<u32>>| members.map_or(Form::Stored, Form::Compact);
    Ok(index.members.into_iter().map(form).collect())
}

/// The fewest bytes of the file that blobs in these forms take; none if that is too large a number.
pub(in crate::archive) fn least_len(blobs: &[BlobRow], forms: &[Form]) -> Option<u64> {
    let header = frame::stored_len(member::BLOCK);
    let mut sizes = blobs.iter().zip(forms).flat_map(|(blob, form)| match form {
        Form::Stored => vec![blob.size],
        Form::Compact(members) => members.iter().copied().map(u64::from).collect(),
    });
    sizes.try_fold(0_u64, |sum, size| sum.checked_add(header)?.checked_add(frame::stored_len(size)))
}

/// The blobs after the head, as far as they are known.
#[derive(Debug, Default)]
pub(in crate::archive) struct CompactBody {
    /// One for each blob, from the first on. Fewer if the end of the file is lost.
    pub(in crate::archive) blobs: Vec<(Form, Vec<Placed>)>,
}

impl CompactBody {
    /// The blobs of the body, in these forms.
    pub(in crate::archive) fn place(layout: &Layout, blobs: &[BlobRow], forms: Vec<Form>) -> Self {
        let mut placing = Placing::after(layout.head_len());
        let body = blobs[layout.compressed()].iter().zip(forms);
        let blobs = body.map(|(blob, form)| {
            let placed = placing.blob(blob, &form);
            (form, placed)
        });
        Self { blobs: blobs.collect() }
    }

    /// Where the last blob that is known ends.
    pub(in crate::archive) fn end(&self, layout: &Layout) -> u64 {
        let last = self.blobs.last().and_then(|(_, placed)| placed.last());
        last.map_or(layout.head_len(), |last| last.data_at + frame::stored_len(last.size))
    }
}
