//! Anything that comes from a pipe: a bundle as it was exported, a bundle that was packed again, another tool's layout.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::pipe::{PipedContent, read_head};
use super::streamed_layout;
use crate::archive::bases::{BaseSource, CompactHead};
use crate::archive::image_store::{ContentPieces, ImageStore, StreamSink};
use crate::archive::volumes::pipe_error;
use crate::archive::{
    ArchiveError, BundleManifest, Chosen, FormatError, LayoutOptions, Manifests, PipeBuffer, ZSTD_MAGIC,
};
use crate::image::Digest;
use crate::signing::Trust;

/// Reads everything that has not been read yet.
pub type Rest = Box<dyn FnOnce(&mut StreamSink<'_>) -> Result<(), ArchiveError> + Send>;

/// A set of images from a pipe: its content is known, but its layers are still to come.
pub struct StreamedBundle {
    pub image_store: Arc<dyn ImageStore>,
    /// Blobs that have been read already.
    pub at_hand: HashSet<Digest>,
    /// Takes blobs that may be needed again; they can be read through `image_store`.
    pub pipe_buffer: Arc<PipeBuffer>,
    pub rest: Rest,
}

/// What is known about a pipe, and the blobs that were kept.
#[derive(Debug)]
struct Kept {
    known: Arc<dyn ImageStore>,
    pipe_buffer: Arc<PipeBuffer>,
}

impl Manifests for Kept {
    fn manifest(&self, digest: &Digest) -> Result<Bytes, ArchiveError> {
        self.known.manifest(digest)
    }
}

impl ImageStore for Kept {
    fn bundle(&self) -> &BundleManifest {
        self.known.bundle()
    }

    fn open(&self, digest: &Digest, from: u64) -> Result<ContentPieces, ArchiveError> {
        self.pipe_buffer.open(digest, from).map_or_else(|| self.known.open(digest, from), Ok)
    }

    fn name(&self) -> String {
        self.known.name()
    }

    fn id(&self) -> Option<Digest> {
        self.known.id()
    }

    fn references(&self) -> Option<&CompactHead> {
        self.known.references()
    }

    fn read_bases_from(&self, source: Arc<dyn BaseSource>) {
        self.known.read_bases_from(source);
    }

    fn bases_of(&self, digest: &Digest) -> Result<Option<Vec<u32>>, ArchiveError> {
        self.known.bases_of(digest)
    }

    fn signature(&self) -> Option<&[u8]> {
        self.known.signature()
    }

    fn chosen(&self) -> &[Chosen] {
        self.known.chosen()
    }

    fn notes(&self) -> Vec<String> {
        self.known.notes()
    }
}

impl std::fmt::Debug for StreamedBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamedBundle").field("image_store", &self.image_store).finish_non_exhaustive()
    }
}

impl StreamedBundle {
    /// Reads as much of `input` as is needed to know its content, if `trust` accepts it. `spool` is a folder for blobs
    /// that come too early in a layout.
    pub fn open(
        input: impl Read + Send + 'static,
        options: &LayoutOptions,
        spool: Option<&Path>,
        trust: &Trust,
    ) -> Result<Self, ArchiveError> {
        let mut input = BufReader::with_capacity(1 << 20, input);
        let start = input.fill_buf().map_err(pipe_error)?;
        let is_zstd = start.starts_with(&ZSTD_MAGIC);
        let pipe_buffer = Arc::new(PipeBuffer::new(spool)?);
        if !is_zstd {
            return Self::layout(input, options, pipe_buffer, trust);
        }
        let mut recorded = Recorded { input: &mut input, read: Vec::new() };
        match read_head(&mut recorded, trust) {
            Ok((head, at)) => {
                options.refuse_for_bundle()?;
                let head = Arc::new(head);
                let content = PipedContent::after(head.clone(), input, at);
                let rest = Box::new(move |sink: &mut StreamSink<'_>| content.stream(sink));
                let at_hand = head.at_hand();
                Ok(Self {
                    at_hand,
                    image_store: Arc::new(Kept { known: head, pipe_buffer: pipe_buffer.clone() }),
                    pipe_buffer,
                    rest,
                })
            }
            Err(ArchiveError::Format(FormatError::NotABundle(why))) => {
                let again = Cursor::new(recorded.read).chain(input);
                Self::layout(again, options, pipe_buffer, trust).map_err(|error| match error {
                    ArchiveError::Format(FormatError::NotABundle(_)) => {
                        ArchiveError::Format(FormatError::NotABundle(why))
                    }
                    other => other,
                })
            }
            Err(error) => Err(error),
        }
    }

    fn layout(
        input: impl BufRead + Send + 'static,
        options: &LayoutOptions,
        pipe_buffer: Arc<PipeBuffer>,
        trust: &Trust,
    ) -> Result<Self, ArchiveError> {
        let (known, rest) = streamed_layout::open(input, options, &pipe_buffer, trust)?;
        let rest = Box::new(move |sink: &mut StreamSink<'_>| rest.stream(sink));
        let image_store = Arc::new(Kept { known, pipe_buffer: pipe_buffer.clone() });
        // Blobs that came too early do not come again.
        Ok(Self { at_hand: pipe_buffer.digests(), image_store, pipe_buffer, rest })
    }
}

/// Keeps what it reads, in case it must be read again.
struct Recorded<'a, R> {
    input: &'a mut R,
    read: Vec<u8>,
}

impl<R: Read> Read for Recorded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}
