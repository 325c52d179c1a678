//! A bundle that can only be read once and in order, because it comes from a pipe.
//!
//! The head comes first and gives the whole plan, as from a file. Every following frame must be the one that the plan
//! implies: member headers, end and seek table are compared byte for byte, and the consumer hashes the contents.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;

use crate::archive::bases::{BaseSource, Bases, CompactHead, broken};
use crate::archive::format::compact_body::{Form, compact_ending};
use crate::archive::format::compact_walk::{Step, Walk, header_content};
use crate::archive::format::frame;
use crate::archive::format::layout::Layout;
use crate::archive::format::manifest_source::Manifests;
use crate::archive::format::member::MAX_PADDING;
use crate::archive::image_store::{ContentPieces, ImageStore, StreamEvent, StreamSink};
use crate::archive::manifest::{BlobRow, BundleManifest};
use crate::archive::read::head_reader::Head;
use crate::archive::stream::read_frame::read_frame;
use crate::archive::volumes::pipe_error;
use crate::archive::{ArchiveError, FormatError, InputError, partial};
use crate::compact::{BaseContent, CompactError, Members, Remake};
use crate::image::Digest;
use crate::signing::Trust;

/// Pieces of stored content have about this length.
const PIECE_BLOCKS: u64 = 8;

/// What is known about a piped bundle after its head: everything except the content of its layers.
#[derive(Debug)]
pub struct PipedHead {
    head: Head,
    manifest: BundleManifest,
    layout: Layout,
    id: Digest,
    bases: Bases,
}

/// The rest of the pipe.
pub struct PipedContent<R> {
    head: Arc<PipedHead>,
    input: R,
    /// Bytes of the file read so far.
    at: u64,
    compressed: Vec<Vec<u32>>,
    /// Of a compact bundle: the frame with the index, once it is read.
    tail: Vec<u8>,
}

/// What has been read after a blob in compact form.
#[derive(Clone, Copy, Debug)]
enum After {
    /// Not all of the blob has been read.
    Unread,
    Blob(Step),
    /// The index.
    End,
}

/// The members of a blob in compact form, as they come.
struct Coming<'a, R> {
    pipe: &'a mut PipedContent<R>,
    walk: &'a mut Walk,
    blobs: &'a [BlobRow],
    /// The size of the next member, whose header has been read.
    next: Option<u32>,
    /// Of all members so far.
    sizes: Vec<u32>,
    /// What comes after the last member.
    after: After,
}

impl<R> std::fmt::Debug for PipedContent<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PipedContent").field("at", &self.at).finish_non_exhaustive()
    }
}

/// Reads the head of a piped bundle and proves it.
pub fn open_pipe<R: Read>(mut input: R) -> Result<(Arc<PipedHead>, PipedContent<R>), ArchiveError> {
    let (head, at) = read_head(&mut input, &Trust::default())?;
    let head = Arc::new(head);
    Ok((head.clone(), PipedContent::after(head, input, at)))
}

/// The proven head, and its length in bytes.
pub(in crate::archive) fn read_head(
    input: &mut impl Read,
    trust: &Trust,
) -> Result<(PipedHead, u64), ArchiveError> {
    let mut at = 0;
    let mut frame = || {
        let Some(bytes) = read_frame(input, frame::HEAD_FRAME_CONTENT as u64)? else {
            return Ok(None);
        };
        at += bytes.len() as u64;
        let content = frame::FrameHeader::parse(&bytes).and_then(|header| header.content);
        let content = content.and_then(|content| u32::try_from(content).ok());
        let content = content.ok_or_else(|| {
            ArchiveError::Format(FormatError::NotABundle("its frames are not those of a bundle".into()))
        })?;
        Ok(Some((bytes, content)))
    };
    let (head, manifest) = Head::read_from(&mut frame, trust)?;
    head.prove(&manifest)?;
    let layout = Layout::new(head.frame_lens(), &manifest);
    let (id, bases) = (head.id(), Bases::new(head.references().clone()));
    Ok((PipedHead { head, manifest, layout, id, bases }, at))
}

impl PipedHead {
    pub(in crate::archive) fn into_parts(self) -> (Head, BundleManifest, Layout) {
        (self.head, self.manifest, self.layout)
    }

    /// The small blobs of the head, which do not come again.
    pub fn at_hand(&self) -> HashSet<Digest> {
        self.manifest.blobs[..self.layout.stored().start].iter().map(|blob| blob.digest).collect()
    }
}

impl Manifests for PipedHead {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.head.manifest(digest)
    }
}

impl ImageStore for PipedHead {
    fn bundle(&self) -> &BundleManifest {
        &self.manifest
    }

    fn open(&self, digest: &Digest, from: u64) -> Result<ContentPieces, ArchiveError> {
        // Small JSON is at hand; other blobs were already read, or have not come yet.
        let mut bytes =
            self.head.manifest(digest).map_err(|_| ArchiveError::Input(InputError::PassedBy(*digest)))?;
        let skip = usize::try_from(from).map_or(bytes.len(), |from| from.min(bytes.len()));
        Ok(Box::new(std::iter::once(Ok(bytes.split_off(skip)))))
    }

    fn name(&self) -> String {
        "stdin".to_owned()
    }

    fn id(&self) -> Option<Digest> {
        Some(self.id)
    }

    fn references(&self) -> Option<&CompactHead> {
        Some(&self.bases.listed)
    }

    fn read_bases_from(&self, source: Arc<dyn BaseSource>) {
        self.bases.read_from(source);
    }

    fn bases_of(&self, _: &Digest) -> Result<Option<Vec<u32>>, ArchiveError> {
        Ok(None)
    }

    fn signature(&self) -> Option<&[u8]> {
        self.head.signature()
    }
}

impl<R: Read> PipedContent<R> {
    /// The content after `head`, which took the first `at` bytes.
    pub(in crate::archive) fn after(head: Arc<PipedHead>, input: R, at: u64) -> Self {
        Self { head, input, at, compressed: Vec::new(), tail: Vec::new() }
    }

    /// Reads to the end of the pipe; everything must be exactly what the plan implies.
    pub fn stream(mut self, sink: &mut StreamSink<'_>) -> Result<(), ArchiveError> {
        let head = self.head.clone();
        if !head.manifest.profile.is_layout() {
            return self.compact(sink);
        }
        for index in head.layout.stored().start..head.layout.compressed().end {
            sink(StreamEvent::Begin(head.manifest.blobs[index].digest))?;
            self.blob(index, &mut |piece| sink(StreamEvent::Piece(piece)))?;
            sink(StreamEvent::End)?;
        }
        self.finish()
    }

    /// Reads blob `index`, which must be the next in member order, and passes its content to `each`.
    fn blob(
        &mut self,
        index: usize,
        each: &mut dyn FnMut(Bytes) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let head = self.head.clone();
        let blob = &head.manifest.blobs[index];
        self.expect(&head.layout.member_header(&head.manifest.blobs, index), || {
            format!("the tar header of {}", blob.digest)
        })?;
        if head.layout.stored().contains(&index) {
            for (_, held) in frame::stored_frames(blob.size) {
                self.stored_frame(held, each)?;
            }
            return Ok(());
        }
        let mut lens = Vec::new();
        for (stored, held) in frame::stored_frames(blob.size) {
            let bytes = read_frame(&mut self.input, frame::FRAME_CONTENT)?.ok_or_else(|| self.cut())?;
            self.at += bytes.len() as u64;
            if bytes.len() as u64 > stored {
                return Err(self.damaged("a compressed frame is longer than its content"));
            }
            lens.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            let content = frame::decompress(&bytes, usize::try_from(held).unwrap_or(0));
            each(content.map_err(|why| self.damaged(&why))?.into())?;
        }
        self.compressed.push(lens);
        Ok(())
    }

    /// The same for a compact bundle, in which each header says what comes.
    fn compact(mut self, sink: &mut StreamSink<'_>) -> Result<(), ArchiveError> {
        let head = self.head.clone();
        let (layout, all) = (&head.layout, &head.manifest.blobs);
        let blobs = &all[layout.compressed()];
        let (mut walk, mut forms) = (Walk::default(), Vec::new());
        let mut step = self.step(&mut walk, blobs)?;
        loop {
            step = match step {
                Some(Step::Stored(index)) => {
                    sink(StreamEvent::Begin(blobs[index].digest))?;
                    for (_, held) in frame::stored_frames(blobs[index].size) {
                        self.stored_frame(held, &mut |piece| sink(StreamEvent::Piece(piece)))?;
                    }
                    sink(StreamEvent::End)?;
                    forms.push(Form::Stored);
                    self.step(&mut walk, blobs)?
                }
                Some(Step::Compact(index, size)) => {
                    sink(StreamEvent::Begin(blobs[index].digest))?;
                    let (pipe, walk) = (&mut self, &mut walk);
                    let members = Coming {
                        pipe,
                        walk,
                        blobs,
                        next: Some(size),
                        sizes: Vec::new(),
                        after: After::Unread,
                    };
                    let mut remake = Remake::new(members, blobs[index].size);
                    for piece in &mut remake {
                        sink(StreamEvent::Piece(
                            piece.map_err(|error| broken(&blobs[index].digest, error))?,
                        ))?;
                    }
                    sink(StreamEvent::End)?;
                    let Coming { sizes, after, .. } = remake.into_members();
                    forms.push(Form::Compact(sizes));
                    match after {
                        After::Blob(step) => Some(step),
                        After::End => None,
                        After::Unread => {
                            return Err(ArchiveError::Invariant("a blob ended before its members"));
                        }
                    }
                }
                None => break,
            };
        }
        // The frame of the index has been read; it must be the one that follows from the members.
        let ending = compact_ending(layout, all, &forms)?;
        let (tail, rest) = ending.split_at(self.tail.len().min(ending.len()));
        if tail != self.tail {
            return Err(self.damaged("the index of the compact form is damaged"));
        }
        self.expect(rest, || "the seek table".to_owned())?;
        self.rest()
    }

    /// The next header of a compact bundle; none at the frame with the index.
    fn step(&mut self, walk: &mut Walk, blobs: &[BlobRow]) -> Result<Option<Step>, ArchiveError> {
        let bytes = read_frame(&mut self.input, Walk::MAX_HEADER)?.ok_or_else(|| self.cut())?;
        self.at += bytes.len() as u64;
        let content = header_content(&bytes);
        let content = content.ok_or_else(|| self.damaged("the frame of a tar header is damaged"))?;
        if let Some(step) = walk.step(blobs, &content) {
            return Ok(Some(step));
        }
        if walk.is_end(blobs, &content) {
            self.tail = bytes;
            return Ok(None);
        }
        let wanted = blobs.get(walk.next()).map(|blob| blob.digest.to_string());
        let wanted = wanted.unwrap_or_else(|| "the end of the archive".to_owned());
        Err(self.damaged(&format!("the tar header of {wanted} is damaged")))
    }

    /// Reads the data after the last blob; it must be exactly what the plan implies.
    fn finish(mut self) -> Result<(), ArchiveError> {
        let head = self.head.clone();
        let ending = partial::ending(&head.layout, &head.manifest.blobs, &self.compressed)?;
        self.expect(&ending, || "the end of the archive or the seek table".to_owned())?;
        self.rest()
    }

    /// Reads the data after the end, which may only be padding.
    fn rest(&mut self) -> Result<(), ArchiveError> {
        let (end, mut buffer) = (self.at, vec![0; 64 << 10]);
        loop {
            match self.input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => self.at += read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(pipe_error(error)),
            }
            let is_padding = self.at - end <= MAX_PADDING && buffer.iter().all(|byte| *byte == 0);
            if !is_padding {
                return Err(ArchiveError::Format(FormatError::Damaged(format!(
                    "bytes follow the end of the bundle, after byte {end}"
                ))));
            }
        }
    }

    fn stored_frame(
        &mut self,
        held: u64,
        each: &mut dyn FnMut(Bytes) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let mut before = 0;
        while before < held {
            let piece = frame::StoredPiece::of(before, held, PIECE_BLOCKS);
            let bytes = Bytes::from(self.read(piece.len)?);
            for range in piece.check(&bytes, held).map_err(|why| self.damaged(&why))? {
                each(bytes.slice(range))?;
            }
            before += piece.content;
        }
        // The checksum of the frame is skipped, because the consumer compares the digest of the blob.
        self.read(frame::CHECKSUM).map(|_| ())
    }

    fn expect(&mut self, expected: &[u8], what: impl Fn() -> String) -> Result<(), ArchiveError> {
        let found = self.read(expected.len())?;
        if found == expected { Ok(()) } else { Err(self.damaged(&format!("{} is damaged", what()))) }
    }

    fn read(&mut self, len: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = vec![0; len];
        self.input.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut(),
            _ => pipe_error(error),
        })?;
        self.at += len as u64;
        Ok(bytes)
    }

    fn cut(&self) -> ArchiveError {
        ArchiveError::Format(FormatError::Damaged(format!(
            "the stream ends after {} bytes, before its end",
            self.at
        )))
    }

    fn damaged(&self, why: &str) -> ArchiveError {
        ArchiveError::Format(FormatError::Damaged(format!("stream, before byte {}: {why}", self.at)))
    }
}

impl<R: Read> Members for Coming<'_, R> {
    fn next(&mut self) -> Option<Result<Box<dyn Read + Send>, CompactError>> {
        let size = self.next.take()?;
        let mut read = || {
            let mut data = Vec::new();
            for (_, held) in frame::stored_frames(u64::from(size)) {
                self.pipe.stored_frame(held, &mut |piece| {
                    data.extend_from_slice(&piece);
                    Ok(())
                })?;
            }
            self.sizes.push(size);
            let step = self.pipe.step(self.walk, self.blobs)?;
            match step {
                Some(Step::Compact(_, size)) if self.walk.goes_on() => self.next = Some(size),
                Some(step) => self.after = After::Blob(step),
                None => self.after = After::End,
            }
            Ok(data)
        };
        let data: Result<Vec<u8>, ArchiveError> = read();
        Some(match data {
            Ok(data) => Ok(Box::new(io::Cursor::new(data))),
            Err(error) => Err(CompactError::Read(io::Error::other(error))),
        })
    }

    fn base(&mut self, number: u32) -> Result<BaseContent, CompactError> {
        self.pipe.head.bases.open(number)
    }
}
