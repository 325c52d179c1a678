//! Checks every byte of a bundle, in parallel: frames, member headers and seek table are generated again from the plan
//! and compared, and contents are hashed. All problems are reported, each with its byte range, its blob and its images.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::compact_members::bases_of;
use super::content::ContentReader;
use super::opened::OpenBundle;
use super::problem::{Problem, find_images};
use crate::archive::format::compact_body::{Form, Placed, compact_header};
use crate::archive::format::frame;
use crate::archive::manifest::FORMAT_REVISION;
use crate::archive::volumes::compare_with_list;
use crate::archive::{ArchiveError, FormatError, InputError};
use crate::image::{Digest, Hasher};

struct Check<'a> {
    bundle: &'a Arc<OpenBundle>,
    /// Whether compressed bytes must be identical: another build may compress differently.
    same_build: bool,
    cancelled: &'a AtomicBool,
    moved: &'a (dyn Fn(u64) + Sync),
    problems: Mutex<Vec<Problem>>,
}

/// Checks everything that opening the bundle has not proven yet. `moved` is called with the number of content bytes
/// that have been checked.
pub(in crate::archive) fn verify(
    bundle: &Arc<OpenBundle>,
    cancelled: &AtomicBool,
    moved: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Problem>, ArchiveError> {
    let check = Check {
        bundle,
        same_build: bundle.manifest.format_revision == FORMAT_REVISION,
        cancelled,
        moved,
        problems: Mutex::default(),
    };
    check.head()?;
    let blobs = bundle.layout.stored().start..bundle.layout.compressed().end;
    // A parallel bridge keeps the order of the file, which is faster on slow media.
    let results = blobs.into_par_iter().with_max_len(1).map(|index| check.blob(index));
    results.collect::<Result<Vec<()>, ArchiveError>>()?;
    check.ending()?;
    let mut problems = check.problems.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    find_images(&mut problems, &bundle.manifest, bundle.as_ref());
    if let Some(volumes) = bundle.input.volumes() {
        let wrong = compare_with_list(volumes, 0..volumes.count(), &problems, cancelled);
        problems.extend(wrong);
    }
    problems.sort_by_key(|problem| problem.range.as_ref().map_or(0, |range| range.start));
    Ok(problems)
}

impl Check<'_> {
    fn report(&self, range: Range<u64>, blob: Option<Digest>, what: impl Into<String>) {
        let place = self.bundle.input.place(&range);
        let problem = Problem { range: Some(range), place, blob, images: Vec::new(), what: what.into() };
        self.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(problem);
    }

    /// The content of the head is proven; its frames must be exactly those that this build makes from it.
    fn head(&self) -> Result<(), ArchiveError> {
        let mut at = 0;
        for (index, (bytes, _)) in self.bundle.head.frames().enumerate() {
            let range = at..at + bytes.len() as u64;
            at = range.end;
            let content = self.bundle.head.frame_content(index)?;
            (self.moved)(content.len() as u64);
            if self.same_build && frame::compress_head(&content)? != bytes {
                self.report(range, None, "the frame can be read, but is not the one that this content gives");
            }
        }
        Ok(())
    }

    fn blob(&self, index: usize) -> Result<(), ArchiveError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let blob = &self.bundle.manifest.blobs[index];
        let frames = self.bundle.frames(index);
        if !self.bundle.is_located(index, blob) {
            let start = frames.last().map_or(self.bundle.layout.stored_end(), |(at, len, _)| at + len);
            let lost =
                "it cannot be found, because the content before it is damaged or the file is cut short";
            self.report(start..self.bundle.input.len().max(start), Some(blob.digest), lost);
            return Ok(());
        }
        self.member_header(index, &frames);
        if matches!(self.bundle.compact(index), Some((Form::Compact(_), _))) {
            return self.compact_blob(index, &frames);
        }
        let stored = self.bundle.is_stored(index);
        let mut hasher = Hasher::for_digest(&blob.digest);
        let mut damaged = false;
        for (at, len, held) in frames.iter().copied() {
            if self.cancelled.load(Ordering::Relaxed) {
                return Ok(());
            }
            let bytes = match self.bundle.input.read_vec(at, usize::try_from(len).unwrap_or(0)) {
                Ok(bytes) => bytes,
                // Reading continues after an error, because a damaged disk may have more unreadable places.
                Err(error) => {
                    damaged = true;
                    self.report(
                        at..at + len,
                        Some(blob.digest),
                        format!("it cannot be read: {}", error.damage()),
                    );
                    continue;
                }
            };
            let checked = if stored {
                frame::stored_content(&bytes, held, true).map(|pieces| {
                    for piece in pieces {
                        hasher.update(&bytes[piece]);
                    }
                })
            } else {
                self.compressed_frame(&bytes, held, &mut hasher)?
            };
            if let Err(why) = checked {
                damaged = true;
                self.report(at..at + len, Some(blob.digest), why);
            }
            (self.moved)(held);
        }
        if !damaged && hasher.finish() != blob.digest {
            let start = frames.first().map_or(0, |(at, ..)| *at);
            let end = frames.last().map_or(start, |(at, len, _)| at + len);
            self.report(start..end, Some(blob.digest), "the content is readable, but has another digest");
        }
        Ok(())
    }

    /// Makes a blob from its compact form. If that fails, each of its frames is checked, so that every damaged one is
    /// reported.
    fn compact_blob(&self, index: usize, frames: &[(u64, u64, u64)]) -> Result<(), ArchiveError> {
        let digest = self.bundle.manifest.blobs[index].digest;
        if !self.bundle.bases.are_given() {
            match bases_of(self.bundle, index) {
                Ok(bases) if bases.is_empty() => {}
                // Only its frames can be checked.
                Ok(_) => {
                    self.compact_frames(index, frames);
                    (self.moved)(self.bundle.manifest.blobs[index].size);
                    return Ok(());
                }
                Err(error) => {
                    self.broken_blob(index, frames, &error.damage());
                    return Ok(());
                }
            }
        }
        let mut hasher = Hasher::for_digest(&digest);
        let mut made = Ok(());
        for piece in ContentReader::new(self.bundle, index, 0)? {
            if self.cancelled.load(Ordering::Relaxed) {
                return Ok(());
            }
            match piece {
                Ok(piece) => {
                    hasher.update(&piece);
                    (self.moved)(piece.len() as u64);
                }
                Err(error) => made = Err(error),
            }
        }
        let why = match made {
            Ok(()) if hasher.finish() == digest => return Ok(()),
            Ok(()) => "what its compact form makes has another digest".to_owned(),
            // A later version can read it.
            Err(error @ ArchiveError::Format(FormatError::UnknownVersion(_))) => return Err(error),
            Err(error @ (ArchiveError::Format(_) | ArchiveError::Input(InputError::BadBase { .. }))) => {
                error.damage()
            }
            Err(error @ ArchiveError::Io { .. }) => format!("it cannot be read: {}", error.damage()),
            Err(error) => return Err(error),
        };
        self.broken_blob(index, frames, &why);
        Ok(())
    }

    /// Reports what is wrong with a blob in compact form: its damaged frames, or all of it.
    fn broken_blob(&self, index: usize, frames: &[(u64, u64, u64)], why: &str) {
        if self.compact_frames(index, frames) {
            let start = frames.first().map_or(0, |(at, ..)| *at);
            let end = frames.last().map_or(start, |(at, len, _)| at + len);
            self.report(start..end, Some(self.bundle.manifest.blobs[index].digest), why);
        }
    }

    /// Checks each frame of a blob in compact form. Returns whether all are intact.
    fn compact_frames(&self, index: usize, frames: &[(u64, u64, u64)]) -> bool {
        let digest = self.bundle.manifest.blobs[index].digest;
        let mut are_intact = true;
        for &(at, len, held) in frames {
            if self.cancelled.load(Ordering::Relaxed) {
                return false;
            }
            let read = self.bundle.input.read_vec(at, usize::try_from(len).unwrap_or(0));
            let checked = match &read {
                Ok(bytes) => frame::stored_content(bytes, held, true).map(drop),
                Err(error) => Err(format!("it cannot be read: {}", error.damage())),
            };
            if let Err(why) = checked {
                are_intact = false;
                self.report(at..at + len, Some(digest), why);
            }
        }
        are_intact
    }

    /// The headers of the members of blob `index` of a compact bundle.
    fn compact_headers(&self, index: usize, members: &[Placed]) {
        let before = |slot: usize| self.bundle.compact(slot).and_then(|(_, placed)| placed.last());
        let mut before = index.checked_sub(1).and_then(before).map_or(0, |last| last.size);
        for placed in members {
            let expected = compact_header(before, &placed.path, placed.size);
            before = placed.size;
            let found = self.bundle.input.read_vec(placed.header_at, expected.len());
            if !found.is_ok_and(|found| found == expected) {
                let blob = self.bundle.manifest.blobs[index].digest;
                let what = "the tar header or its frame is damaged";
                self.report(placed.header_at..placed.data_at, Some(blob), what);
            }
        }
    }

    fn member_header(&self, index: usize, frames: &[(u64, u64, u64)]) {
        if let Some((_, members)) = self.bundle.compact(index) {
            self.compact_headers(index, members);
            return;
        }
        let blobs = &self.bundle.manifest.blobs;
        let expected = self.bundle.layout.member_header(blobs, index);
        let end = match frames.first() {
            Some((at, ..)) => *at,
            None if self.bundle.layout.stored().contains(&index) => self.bundle.layout.data_offset(index),
            // An empty compressed blob has no frame by which its member header could be found; the seek table has
            // proven its length.
            None => return,
        };
        let start = end - expected.len() as u64;
        let found = self.bundle.input.read_vec(start, expected.len());
        if !found.is_ok_and(|found| found == expected) {
            self.report(start..end, Some(blobs[index].digest), "the tar header or its frame is damaged");
        }
    }

    fn compressed_frame(
        &self,
        bytes: &[u8],
        held: u64,
        hasher: &mut Hasher,
    ) -> Result<Result<(), String>, ArchiveError> {
        let content = match frame::decompress(bytes, usize::try_from(held).unwrap_or(0)) {
            Ok(content) => content,
            Err(why) => return Ok(Err(why)),
        };
        hasher.update(&content);
        if self.same_build && frame::compress_or_store(&content)? != bytes {
            return Ok(Err("the frame can be read, but is not the one that this content gives".to_owned()));
        }
        Ok(Ok(()))
    }

    /// End-of-archive blocks and seek table.
    fn ending(&self) -> Result<(), ArchiveError> {
        let expected = self.bundle.ending()?;
        if let Some(range) = self.bundle.what_follows()? {
            self.report(range, None, "bytes follow the end of the bundle");
            return Ok(());
        }
        let intact = self.bundle.seek_table.clone().is_some();
        let end = self.bundle.seek_table.clone().map_or(self.bundle.input.len(), |table| table.end);
        let start = self.bundle.content_end().unwrap_or(end.saturating_sub(expected.len() as u64)).min(end);
        let is_there = intact && end - start == expected.len() as u64;
        let found = || self.bundle.input.read_vec(start, expected.len());
        if is_there && found().is_ok_and(|found| found == expected) {
            return Ok(());
        }
        match self.bundle.layout.shortfall(self.bundle.input.len()) {
            // Of no range, so that it comes first: it explains most of the others.
            Some(how) => {
                let (place, what) = (self.bundle.input.name(), format!("it is cut short: {how}"));
                let problem = Problem { range: None, place, blob: None, images: Vec::new(), what };
                self.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(problem);
            }
            None => {
                self.report(
                    start..end,
                    None,
                    "the end of the file, with its seek table, is damaged or missing",
                );
            }
        }
        Ok(())
    }
}
