//! Opens the rest of a damaged bundle: an intact head is sufficient.
//!
//! The head gives the offset of every stored blob; compressed ones are found by walking frames from the start of their
//! part. The seek table at the end of the file is not needed. A blob that cannot be found counts as damaged; others are
//! not affected.

use std::sync::Arc;

use super::opened::{Body, OpenBundle, Parts};
use super::seek_table::InputTail;
use crate::archive::format::compact_body::{CompactBody, Form};
use crate::archive::format::compact_walk::{Step, Walk, header_content};
use crate::archive::format::frame;
use crate::archive::format::layout::Layout;
use crate::archive::manifest::{BlobRow, Profile};
use crate::archive::stream::pipe::read_head;
use crate::archive::stream::read_frame::read_frame;
use crate::archive::{ArchiveError, FormatError, Input};
use crate::signing::Trust;

/// Opens the bundle in `input` if `trust` accepts it, even if its end is damaged. The head must be intact, because the
/// rest cannot be interpreted without it.
pub(in crate::archive) fn salvage(input: &Arc<dyn Input>, trust: &Trust) -> Result<OpenBundle, ArchiveError> {
    let mut start = std::io::BufReader::new(InputTail { input: &**input, end: input.len(), at: 0 });
    let (head, _) = read_head(&mut start, trust)?;
    let (head, manifest, layout) = head.into_parts();
    let body = match layout.profile() {
        Profile::Layout => Body::Layout(walk(&**input, &layout, &manifest.blobs)),
        Profile::Compact => {
            let forms = walk_compact(&**input, &layout, &manifest.blobs);
            Body::Compact(CompactBody::place(&layout, &manifest.blobs, forms))
        }
    };
    Ok(OpenBundle::new(input, Parts { head, manifest, layout, body, seek_table: None }))
}

/// The error for a bundle whose end cannot be read, possibly because more data follows it.
pub(in crate::archive) fn explain_end(
    input: &Arc<dyn Input>,
    trust: &Trust,
    error: ArchiveError,
) -> ArchiveError {
    let is_damaged = matches!(error, ArchiveError::Format(FormatError::Damaged(_)));
    let bundle = is_damaged.then(|| salvage(input, trust).ok()).flatten();
    match bundle.and_then(|bundle| bundle.what_follows().ok().flatten()) {
        Some(range) => {
            let what = format!("{} bytes follow the end of the bundle", range.end - range.start);
            ArchiveError::Format(FormatError::Damaged(format!("{}: {what}", input.place(&range))))
        }
        None => error,
    }
}

/// The forms of the blobs of a compact bundle, as far as their headers can be read. Data may be damaged: its length is in
/// the header.
fn walk_compact(input: &dyn Input, layout: &Layout, blobs: &[BlobRow]) -> Vec<Form> {
    let (mut walk, body) = (Walk::default(), &blobs[layout.compressed()]);
    let mut at = layout.head_len();
    let mut forms: Vec<Form> = Vec::new();
    loop {
        let mut tail = InputTail { input, end: input.len(), at };
        let header = read_frame(&mut tail, Walk::MAX_HEADER).ok().flatten();
        let content = header.and_then(|bytes| Some((bytes.len(), header_content(&bytes)?)));
        let Some((len, content)) = content else { break };
        at += len as u64;
        let size = match walk.step(body, &content) {
            Some(Step::Stored(index)) => {
                forms.push(Form::Stored);
                body[index].size
            }
            Some(Step::Compact(_, size)) => {
                match forms.last_mut() {
                    Some(Form::Compact(members)) if walk.goes_on() => members.push(size),
                    _ => forms.push(Form::Compact(vec![size])),
                }
                u64::from(size)
            }
            None => {
                if walk.is_end(body, &content) {
                    return forms;
                }
                break;
            }
        };
        at += frame::stored_len(size);
        if at > input.len() {
            forms.pop();
            break;
        }
    }
    // The last one may lack members: then it makes fewer bytes than the blob has, and is refused.
    forms
}

/// The frames of each compressed blob, as far as one leads to the next.
fn walk(input: &dyn Input, layout: &Layout, blobs: &[BlobRow]) -> Vec<Vec<(u64, u32)>> {
    let mut found = vec![Vec::new(); layout.compressed().len()];
    let mut at = layout.stored_end();
    for (slot, index) in layout.compressed().enumerate() {
        at += layout.member_header_lens(blobs, index).0;
        for (stored, content) in frame::stored_frames(blobs[index].size) {
            let mut tail = InputTail { input, end: input.len(), at };
            let Ok(Some(bytes)) = read_frame(&mut tail, content) else {
                return found;
            };
            let says = frame::FrameHeader::parse(&bytes).and_then(|header| header.content);
            let fits = says == Some(content) && bytes.len() as u64 <= stored;
            let Some(len) = u32::try_from(bytes.len()).ok().filter(|_| fits) else {
                return found;
            };
            found[slot].push((at, len));
            at += u64::from(len);
        }
    }
    found
}
