//! Reads the head: finds `bundle.json` and every small blob in the compressed frames at the start.
//!
//! Sizes in the head are not trusted: memory is allocated only for bytes that arrive, up to fixed limits. The result is
//! compared, byte for byte, with what [`head::generate`] makes from `bundle.json` and the manifests.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
use tar::{EntryType, Header};

use super::seek_table::FrameTable;
use crate::archive::format::head::{self, FrameLens};
use crate::archive::format::manifest_source::Manifests;
use crate::archive::format::sink::Sink;
use crate::archive::format::{expansion, frame, member, proof};
use crate::archive::input::Input;
use crate::archive::manifest::{BundleManifest, Group};
use crate::archive::{ArchiveError, CompactHead, FormatError};
use crate::image::Digest;
use crate::signing::Trust;

/// Maximum size of `bundle.json` in bytes.
const MAX_BUNDLE_JSON: u64 = 1 << 30;
/// Maximum size of any other member of the head.
const MAX_SMALL: u64 = 1 << 30;
/// Maximum size of `compact.json` in bytes.
const MAX_COMPACT: u64 = 64 << 20;
/// Maximum size of `bundle.json.sig` in bytes.
pub(in crate::archive) const MAX_SIGNATURE: u64 = 64 << 10;

/// Number of frames of the head, of at most 1 MiB each, that are kept decompressed.
const OPEN_FRAMES: usize = 8;

/// The head of an open bundle. Frames are kept compressed; a few are kept decompressed too.
#[derive(Debug)]
pub(crate) struct Head {
    frames: Vec<HeadFrame>,
    content_len: u64,
    /// Bytes of the frames.
    compressed: u64,
    /// The range of `bundle.json` in the content, and its sha256.
    own: Range<u64>,
    id: Digest,
    signature: Option<Vec<u8>>,
    /// What `compact.json` refers to.
    references: CompactHead,
    blobs: HashMap<Digest, SmallBlob>,
    /// The frames decompressed last, the oldest first, because the blobs of an image are neighbours.
    open: Mutex<VecDeque<(usize, Bytes)>>,
    /// For each image: how many of its bytes others in the bundle also use. Known after the head is proven.
    shared: OnceLock<Vec<u64>>,
}

/// A manifest, index or small config.
#[derive(Debug)]
struct SmallBlob {
    /// Content offset.
    at: u64,
    len: u64,
    /// It was compared with its digest; the frames do not change after that.
    is_right: AtomicBool,
}

/// Returns the bytes and the content length of the next frame.
pub(crate) type NextFrame<'a> = dyn FnMut() -> Result<Option<(Vec<u8>, u32)>, ArchiveError> + 'a;

#[derive(Debug)]
struct HeadFrame {
    /// Content offset of its first byte.
    start: u64,
    content: u32,
    bytes: Vec<u8>,
}

impl Head {
    /// Reads frames from the start of `input` until the head is complete; also returns the parsed `bundle.json`.
    pub(crate) fn read(
        input: &dyn Input,
        table: &FrameTable,
        trust: &Trust,
    ) -> Result<(Self, BundleManifest), ArchiveError> {
        let mut next = 0;
        let mut frame = || {
            if next >= table.len() {
                return Ok(None);
            }
            let (at, file, content) = table.get(next)?;
            next += 1;
            check_lens(u64::from(file), u64::from(content))?;
            Ok(Some((input.read_vec(at, file as usize)?, content)))
        };
        Self::read_from(&mut frame, trust)
    }

    /// Reads frames from `next` (their bytes and content length) until the head is complete. `trust` must accept it
    /// before anything in it is trusted.
    pub(crate) fn read_from(
        next: &mut NextFrame<'_>,
        trust: &Trust,
    ) -> Result<(Self, BundleManifest), ArchiveError> {
        let mut head = Self {
            frames: Vec::new(),
            content_len: 0,
            compressed: 0,
            own: 0..0,
            id: Digest::sha256(b""),
            signature: None,
            references: CompactHead::default(),
            blobs: HashMap::new(),
            open: Mutex::default(),
            shared: OnceLock::new(),
        };
        let (mut at, bundle) = head.small_members(next, trust)?;
        for blob in bundle.blobs.iter().take_while(|blob| blob.group() == Group::Head) {
            at += member::header_len(&blob.digest.layout_path(), blob.size);
            let small = SmallBlob { at, len: blob.size, is_right: AtomicBool::new(false) };
            head.blobs.insert(blob.digest, small);
            at += blob.size + member::padding(blob.size);
        }
        while head.content_len < at {
            if !head.pull(next)? {
                return Err(ArchiveError::Format(FormatError::Damaged(
                    "the file ends inside its head".into(),
                )));
            }
        }
        if head.content_len != at {
            return Err(ArchiveError::Format(FormatError::NotABundle(
                "its head does not end on a frame boundary".into(),
            )));
        }
        Ok((head, bundle))
    }

    /// Reads the members before the blobs; returns the content offset of the first blob's header, and the parsed
    /// `bundle.json`.
    fn small_members(
        &mut self,
        next: &mut NextFrame<'_>,
        trust: &Trust,
    ) -> Result<(u64, BundleManifest), ArchiveError> {
        let (mut at, mut is_let_in) = (0, false);
        let (mut bytes, mut bundle) = (Vec::new(), None);
        loop {
            self.pull_to(at + member::BLOCK, next)?;
            let block = self.content(at, 512)?;
            let Some((path, size)) = parse_header(&block) else {
                let why = "its content is not a tar as bundle writes it";
                return Err(if at == 0 {
                    ArchiveError::Format(FormatError::NotABundle(why.into()))
                } else {
                    ArchiveError::Format(FormatError::Damaged(why.into()))
                });
            };
            if at == 0 && path != head::OCI_LAYOUT {
                return Err(ArchiveError::Format(FormatError::NotABundle(format!(
                    "its first member is {path:?}"
                ))));
            }
            // A signature directly follows what it signs.
            let is_signature = path == head::SIGNATURE;
            if !is_let_in && !bytes.is_empty() && !is_signature {
                trust.check(&bytes, None)?;
                is_let_in = true;
            }
            if is_let_in && !bytes.is_empty() {
                bundle = Some(BundleManifest::from_bytes(&std::mem::take(&mut bytes))?);
            }
            if path.starts_with("blobs/") || path.starts_with("PaxHeaders/") {
                break;
            }
            let cap = match path.as_str() {
                head::BUNDLE => MAX_BUNDLE_JSON,
                head::SIGNATURE => MAX_SIGNATURE,
                head::COMPACT => MAX_COMPACT,
                head::OCI_LAYOUT | head::INDEX | head::SHA256SUMS | head::SHA512SUMS | head::DOCKER => {
                    MAX_SMALL
                }
                _ => {
                    return Err(ArchiveError::Format(FormatError::Damaged(format!(
                        "unexpected member {path:?}"
                    ))));
                }
            };
            if size > cap {
                return Err(ArchiveError::Format(FormatError::Damaged(format!(
                    "{path} claims {size} bytes; {cap} are allowed"
                ))));
            }
            let start = at + member::BLOCK;
            at = start + size + member::padding(size);
            self.pull_to(at, next)?;
            match path.as_str() {
                head::BUNDLE if self.own.is_empty() => {
                    bytes = self.content(start, size)?;
                    (self.own, self.id) = (start..start + size, Digest::sha256(&bytes));
                }
                head::SIGNATURE if !is_let_in && !bytes.is_empty() => {
                    let signature = self.content(start, size)?;
                    trust.check(&bytes, Some(&signature))?;
                    (self.signature, is_let_in) = (Some(signature), true);
                }
                head::COMPACT => self.references = head::read_compact(&self.content(start, size)?)?,
                head::BUNDLE | head::SIGNATURE => {
                    return Err(ArchiveError::Format(FormatError::Damaged(format!(
                        "{path} is not where it belongs"
                    ))));
                }
                _ => {}
            }
            // A bundle without images has nothing after its small members.
            if self.content_len == at && bundle.as_ref().is_some_and(|bundle| bundle.blobs.is_empty()) {
                break;
            }
        }
        let bundle = bundle
            .ok_or_else(|| ArchiveError::Format(FormatError::NotABundle("it has no bundle.json".into())))?;
        Ok((at, bundle))
    }

    fn pull_to(&mut self, end: u64, next: &mut NextFrame<'_>) -> Result<(), ArchiveError> {
        while self.content_len < end {
            if !self.pull(next)? {
                return Err(ArchiveError::Format(FormatError::Damaged(
                    "the file ends inside its head".into(),
                )));
            }
        }
        Ok(())
    }

    fn pull(&mut self, next: &mut NextFrame<'_>) -> Result<bool, ArchiveError> {
        let Some((bytes, content)) = next()? else {
            return Ok(false);
        };
        check_lens(bytes.len() as u64, u64::from(content))?;
        // All but the last are full in a bundle; other tools cut frames anywhere.
        if self.frames.last().is_some_and(|last| last.content as usize != frame::HEAD_FRAME_CONTENT) {
            return Err(ArchiveError::Format(FormatError::NotABundle(
                "its frames are not those of a bundle".into(),
            )));
        }
        self.compressed += bytes.len() as u64;
        if !expansion::may_hold(self.content_len + u64::from(content), self.compressed) {
            return Err(expansion::too_far("its head"));
        }
        self.frames.push(HeadFrame { start: self.content_len, content, bytes });
        self.content_len += u64::from(content);
        Ok(true)
    }

    /// `len` content bytes from `at`, which must have been read.
    fn content(&self, at: u64, len: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut out = Vec::with_capacity(usize::try_from(len).unwrap_or(0).min(1 << 20));
        self.put(at..at + len, &mut |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(out)
    }

    /// Passes the content in `range`, which must have been read, to `sink`.
    fn put(&self, range: Range<u64>, sink: &mut Sink<'_>) -> Result<(), ArchiveError> {
        let mut at = range.start;
        while at < range.end {
            let opened = self.open_frame_at(at)?;
            let length = usize::try_from(range.end - at).map_or(opened.len(), |left| left.min(opened.len()));
            sink(&opened[..length])?;
            at += length as u64;
        }
        Ok(())
    }

    /// Whether `piece` is the content at `at`; both ends must have been read.
    fn is_at(&self, mut at: u64, mut piece: &[u8]) -> Result<bool, ArchiveError> {
        while !piece.is_empty() {
            let opened = self.open_frame_at(at)?;
            let length = opened.len().min(piece.len());
            if opened[..length] != piece[..length] {
                return Ok(false);
            }
            piece = &piece[length..];
            at += length as u64;
        }
        Ok(true)
    }

    /// The content from `at` to the end of its frame.
    fn open_frame_at(&self, at: u64) -> Result<Bytes, ArchiveError> {
        let index = self.frames.partition_point(|f| f.start + u64::from(f.content) <= at);
        let opened = self.open_frame(index)?;
        let from = usize::try_from(at - self.frames[index].start).unwrap_or(usize::MAX);
        Ok(opened.slice(from.min(opened.len())..))
    }

    fn open_frame(&self, index: usize) -> Result<Bytes, ArchiveError> {
        let opened = || self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, content)) = opened().iter().rev().find(|(at, _)| *at == index) {
            return Ok(content.clone());
        }
        let found = self.frames.get(index);
        let found = found.ok_or(ArchiveError::Invariant("a read beyond the head"))?;
        let content = frame::decompress(&found.bytes, found.content as usize).map_err(|why| {
            ArchiveError::Format(FormatError::Damaged(format!("head frame {index}: {why}")))
        })?;
        let content = Bytes::from(content);
        let mut open = opened();
        if open.len() == OPEN_FRAMES {
            open.pop_front();
        }
        open.push_back((index, content.clone()));
        Ok(content)
    }

    /// The sha256 of `bundle.json`.
    pub(crate) fn id(&self) -> Digest {
        self.id
    }

    pub(crate) fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// What `compact.json` refers to; empty in other profiles.
    pub(crate) fn references(&self) -> &CompactHead {
        &self.references
    }

    pub(crate) fn frame_lens(&self) -> FrameLens {
        self.frames.iter().map(|f| (u32::try_from(f.bytes.len()).unwrap_or(u32::MAX), f.content)).collect()
    }

    /// The compressed frames, for checks of their exact bytes.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.frames.iter().map(|f| (f.bytes.as_slice(), f.content))
    }

    /// The content of frame `index`.
    pub(crate) fn frame_content(&self, index: usize) -> Result<Bytes, ArchiveError> {
        self.open_frame(index)
    }

    /// Requires that `bundle` matches the manifests, and that the head is the one that follows from both.
    pub(crate) fn prove(&self, bundle: &BundleManifest) -> Result<(), ArchiveError> {
        let (is_same, shared) = rayon::join(|| self.prove_bytes(bundle), || proof::prove(bundle, self));
        is_same?;
        let _ = self.shared.set(shared?);
        Ok(())
    }

    /// For each image of a proven head: how many of its bytes others in the bundle also use.
    pub(crate) fn shared(&self) -> &[u64] {
        self.shared.get().map_or(&[], Vec::as_slice)
    }

    /// Generates the head again from `bundle` and requires that it equals the one that was read.
    fn prove_bytes(&self, bundle: &BundleManifest) -> Result<(), ArchiveError> {
        let mut at = 0;
        // `bundle` was parsed from these bytes, and the canonical form allows no others.
        let put = |sink: &mut Sink<'_>| self.put(self.own.clone(), sink);
        let own = head::Own { len: self.own.end - self.own.start, id: self.id, put: &put };
        head::generate(bundle, &own, self.signature(), &self.references, self, &mut |piece| {
            let end = at + piece.len() as u64;
            if end > self.content_len || !self.is_at(at, piece)? {
                return Err(ArchiveError::Format(FormatError::Damaged(format!(
                    "a member of the head is not the one that bundle.json implies (bytes {at} to {end} of the tar)"
                ))));
            }
            at = end;
            Ok(())
        })?;
        if at == self.content_len {
            Ok(())
        } else {
            Err(ArchiveError::Format(FormatError::Damaged(
                "the head has more members than bundle.json implies".into(),
            )))
        }
    }
}

impl Manifests for Head {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        let blob =
            self.blobs.get(digest).ok_or(ArchiveError::Format(FormatError::MissingManifest(*digest)))?;
        let bytes = self.content(blob.at, blob.len)?;
        if !blob.is_right.load(Ordering::Relaxed) {
            if Digest::of(digest.algorithm(), &bytes) != *digest {
                return Err(ArchiveError::Format(FormatError::Damaged(format!(
                    "{digest}: the content has another digest"
                ))));
            }
            blob.is_right.store(true, Ordering::Relaxed);
        }
        Ok(bytes.into())
    }
}

fn check_lens(file: u64, content: u64) -> Result<(), ArchiveError> {
    let limit = frame::HEAD_FRAME_CONTENT as u64;
    if content == 0 || content > limit || file > limit + (64 << 10) {
        return Err(ArchiveError::Format(FormatError::NotABundle(
            "its frames are not those of a bundle".into(),
        )));
    }
    Ok(())
}

/// Path and size from a tar header block; none if it is not an intact header of a file or of PAX records.
pub(in crate::archive) fn parse_header(block: &[u8]) -> Option<(String, u64)> {
    let header = Header::from_byte_slice(block);
    let mut sum = header.clone();
    sum.set_cksum();
    let kind = header.entry_type();
    let intact = sum.cksum().ok()? == header.cksum().ok()?;
    let known = matches!(kind, EntryType::Regular | EntryType::XHeader);
    let path = String::from_utf8(header.path_bytes().into_owned()).ok()?;
    let size = header.entry_size().ok()?;
    (intact && known && size < 1 << 53).then_some((path, size))
}
