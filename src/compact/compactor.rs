//! Makes the compact form of one blob while its bytes arrive.

use flate2::{FlushDecompress, Status};

use super::deflate::Deflate;
use super::gathered::{Gathered, PUSHED};
use super::gzip::{self, Header};
use super::member::{MemberHead, Part, WindowStep, most_parts};
use super::old_content::{Bases, OldContent};
use super::queue::drop_same;
use super::recognise::encoder_of;
use super::stepped::Stepped;
use super::{CompactError, Effort, SMALLEST, pack};
use crate::encoders::Encoder;

/// Bytes of the blob that are gathered before its encoder is looked for.
const SAMPLE: usize = (1 << 20) + (64 << 10);
/// Bytes of the blob that are taken at a time: the sample is a multiple of it.
const STEP: usize = 64 << 10;
/// Bytes of a gzip header that are looked at together; most have 10.
const HEADER_STEP: usize = 512;
/// A blob is kept as it is, unless its compact form is smaller than this part of it, in percent.
const WORTH: u64 = 97;

/// What a [`Compactor`] passes on, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packed {
    /// The next bytes of a blob that stays as it is.
    Plain(Vec<u8>),
    /// The next member of the compact form.
    Member(Vec<u8>),
}

/// Takes the bytes of a blob, in order and of any cut, and passes on its compact form, or the bytes as they are if that is
/// not worth it. Which of both is decided when the first member is full, or at the end, and never changes.
///
/// It holds at most the content of a member, its compressed form, and the bytes of the blob from which the first member is
/// made.
pub struct Compactor {
    size: u64,
    effort: Effort,
    /// Less than a step.
    pending: Vec<u8>,
    state: State,
    /// The bases, until they are read.
    bases: Option<(Box<dyn Bases>, Vec<u32>)>,
}

#[derive(Debug)]
enum State {
    /// Too few bytes yet.
    Sampling(Vec<u8>),
    AsItIs,
    Running(Box<Run>),
}

/// Receives what is ready.
type Sink<'a> = dyn FnMut(Packed) + 'a;

impl Compactor {
    /// For a blob of `size` bytes.
    pub fn new(size: u64, effort: Effort) -> Self {
        let state = if size < SMALLEST { State::AsItIs } else { State::Sampling(Vec::new()) };
        Self { size, effort, pending: Vec::new(), state, bases: None }
    }

    /// Lets the compact form refer to the content of the bases with these numbers; of more than four, to the first four.
    #[must_use]
    pub fn with_bases(self, bases: Box<dyn Bases>, numbers: Vec<u32>) -> Self {
        Self { bases: Some((bases, numbers)), ..self }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), CompactError> {
        // What is made must not depend on how the bytes arrive: they are taken in steps of one size.
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(STEP - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = rest;
            if self.pending.len() == STEP {
                let step = std::mem::take(&mut self.pending);
                self.step(&step, sink)?;
                self.pending = step;
                self.pending.clear();
            }
        }
        Ok(())
    }

    fn step(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), CompactError> {
        match &mut self.state {
            State::AsItIs => {
                sink(Packed::Plain(bytes.to_vec()));
                Ok(())
            }
            State::Sampling(sample) => {
                sample.extend_from_slice(bytes);
                if sample.len() < SAMPLE {
                    return Ok(());
                }
                let sample = std::mem::take(sample);
                self.begin(sample, sink)
            }
            State::Running(run) => {
                let goes_on = run.push(bytes, sink)?;
                if !goes_on {
                    self.state = State::AsItIs;
                }
                Ok(())
            }
        }
    }

    /// Ends the blob.
    pub fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), CompactError> {
        let last = std::mem::take(&mut self.pending);
        if !last.is_empty() {
            self.step(&last, sink)?;
        }
        if let State::Sampling(sample) = &mut self.state {
            let sample = std::mem::take(sample);
            self.begin(sample, sink)?;
        }
        match self.state {
            State::Running(run) => run.finish(sink),
            State::Sampling(_) | State::AsItIs => Ok(()),
        }
    }

    fn begin(&mut self, sample: Vec<u8>, sink: &mut Sink<'_>) -> Result<(), CompactError> {
        let header = gzip::header(&sample);
        let encoder = match header {
            Header::Of(len, extra) => encoder_of(&sample[len..], extra),
            Header::Unfinished | Header::None => None,
        };
        if header != Header::None && encoder.is_none() {
            self.state = State::AsItIs;
            sink(Packed::Plain(sample));
            return Ok(());
        }
        let inflates_zip = self.effort.inflates_zip();
        let old = match self.bases.take() {
            Some((bases, numbers)) => OldContent::read(bases, &numbers, inflates_zip)?,
            None => None,
        };
        let mut run = Box::new(Run::new(self.size, self.effort, encoder, old));
        let goes_on = run.push(&sample, sink)?;
        self.state = if goes_on { State::Running(run) } else { State::AsItIs };
        Ok(())
    }
}

/// A blob whose compact form is being made.
#[derive(Debug)]
struct Run {
    effort: Effort,
    /// The encoder of its gzip members; none if its bytes are the content.
    encoder: Option<Encoder>,
    /// What the members may refer to.
    old: Option<OldContent>,
    stage: Stage,
    /// Of the current member.
    content: Gathered,
    parts: Vec<Part>,
    /// In the members before.
    content_before: u64,
    made_before: u64,
    /// Made from the current member.
    made: u64,
    /// All bytes so far, until it is decided that the blob does not stay as it is.
    held: Option<Vec<u8>>,
}

/// Where in the blob the next byte is.
#[derive(Debug)]
enum Stage {
    /// In the header of a gzip member, of which this much is there.
    Header(Vec<u8>),
    Deflate(Box<Deflate>),
    /// So many bytes before the end of a trailer.
    Trailer(usize),
    /// Where nothing is decoded any more.
    AsItIs,
}

impl Run {
    fn new(size: u64, effort: Effort, encoder: Option<Encoder>, old: Option<OldContent>) -> Self {
        Self {
            effort,
            encoder,
            content: Gathered::new(size, old.is_some(), effort.inflates_zip()),
            old,
            stage: if encoder.is_some() { Stage::Header(Vec::new()) } else { Stage::AsItIs },
            parts: Vec::new(),
            content_before: 0,
            made_before: 0,
            made: 0,
            held: Some(Vec::new()),
        }
    }

    /// Takes the next bytes; false if the blob stays as it is, and everything so far was passed on.
    fn push(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) -> Result<bool, CompactError> {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
        }
        while !bytes.is_empty() {
            let stage = std::mem::replace(&mut self.stage, Stage::AsItIs);
            let (taken, goes_on) = match stage {
                Stage::Header(head) => self.header(head, bytes, sink)?,
                Stage::Deflate(deflate) => self.deflate(deflate, bytes, sink)?,
                Stage::Trailer(left) => {
                    let taken = left.min(bytes.len());
                    self.stage =
                        if taken == left { Stage::Header(Vec::new()) } else { Stage::Trailer(left - taken) };
                    (taken, self.as_it_is(&bytes[..taken], sink)?)
                }
                Stage::AsItIs => (bytes.len(), self.as_it_is(bytes, sink)?),
            };
            if !goes_on {
                return Ok(false);
            }
            bytes = &bytes[taken..];
        }
        Ok(true)
    }

    fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), CompactError> {
        let stage = std::mem::replace(&mut self.stage, Stage::AsItIs);
        let goes_on = match stage {
            Stage::Header(head) => self.as_it_is(&head, sink)?,
            // The stream is cut short.
            Stage::Deflate(deflate) => self.as_it_is(deflate.wanted.bytes(), sink)?,
            Stage::Trailer(_) | Stage::AsItIs => true,
        };
        if goes_on {
            self.end_member(sink)?;
        }
        Ok(())
    }

    /// Takes bytes of a gzip header, or of what follows a gzip stream without being one.
    fn header(
        &mut self,
        mut head: Vec<u8>,
        bytes: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<(usize, bool), CompactError> {
        let (before, more) = (head.len(), bytes.len().min(HEADER_STEP));
        head.extend_from_slice(&bytes[..more]);
        match gzip::header(&head) {
            Header::Unfinished => {
                self.stage = Stage::Header(head);
                Ok((more, true))
            }
            Header::None => Ok((more, self.as_it_is(&head, sink)?)),
            Header::Of(len, _) => {
                let deflate = self.encoder.and_then(Stepped::new).map(Deflate::new);
                self.stage = deflate.map_or(Stage::AsItIs, |deflate| Stage::Deflate(Box::new(deflate)));
                Ok((len - before, self.as_it_is(&head[..len], sink)?))
            }
        }
    }

    /// Decodes bytes and encodes them again, until the stream ends or what is made differs.
    fn deflate(
        &mut self,
        mut deflate: Box<Deflate>,
        bytes: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<(usize, bool), CompactError> {
        let (mut raw, mut at) = (vec![0; PUSHED], 0);
        loop {
            let (taken, given) = (deflate.inflater.total_in(), deflate.inflater.total_out());
            let status = deflate.inflater.decompress(&bytes[at..], &mut raw, FlushDecompress::None);
            let taken = usize::try_from(deflate.inflater.total_in() - taken).unwrap_or(usize::MAX);
            let given = usize::try_from(deflate.inflater.total_out() - given).unwrap_or(usize::MAX);
            deflate.wanted.push(&bytes[at..at + taken]);
            at += taken;
            let ended = matches!(status, Ok(Status::StreamEnd));
            let is_same = self.encode(&mut deflate, &raw[..given], sink)?;
            let Some(is_same) = is_same else { return Ok((at, false)) };
            let no_progress = taken == 0 && given == 0 && at < bytes.len() && !ended;
            let is_stuck = status.is_err() || no_progress || self.content.is_too_long();
            if !is_same || is_stuck {
                let goes_on = self.as_it_is(deflate.wanted.bytes(), sink)?;
                return Ok((at, goes_on));
            }
            if ended {
                return Ok((at, self.end_stream(*deflate, sink)?));
            }
            if at == bytes.len() && given < raw.len() {
                self.stage = Stage::Deflate(deflate);
                return Ok((at, true));
            }
        }
    }

    /// Encodes raw content, and compares what comes out. Returns whether it is the same so far; none if the blob stays as
    /// it is.
    fn encode(
        &mut self,
        deflate: &mut Deflate,
        mut raw: &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Option<bool>, CompactError> {
        while !raw.is_empty() {
            if self.content.room() == 0 && !self.end_member(sink)? {
                return Ok(None);
            }
            let (now, rest) = raw.split_at(raw.len().min(self.content.room()));
            raw = rest;
            self.content.push(now);
            deflate.stepped.feed(now, deflate.made.end());
            let (is_same, same) = drop_same(&mut deflate.wanted, &mut deflate.made);
            self.encoded(deflate, now.len() as u64, same);
            if !is_same {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    /// Adds to the part of the current encoder.
    fn encoded(&mut self, deflate: &mut Deflate, raw: u64, made: u64) {
        self.made += made;
        match self.parts.last_mut() {
            Some(Part::Encoded { raw: fed, made: had, ends: false, .. }) if deflate.is_begun => {
                *fed += raw;
                *had += made;
            }
            _ => {
                let begins = if deflate.is_begun { None } else { self.encoder };
                deflate.is_begun = true;
                self.parts.push(Part::Encoded { begins, raw, made, ends: false });
            }
        }
    }

    /// The stream has ended: ends that of the encoder too, and compares the rest.
    fn end_stream(&mut self, deflate: Deflate, sink: &mut Sink<'_>) -> Result<bool, CompactError> {
        let Deflate { stepped, mut wanted, mut made, is_begun, .. } = deflate;
        stepped.finish(made.end());
        let (_, same) = drop_same(&mut wanted, &mut made);
        self.made += same;
        match self.parts.last_mut() {
            Some(Part::Encoded { made: had, ends, .. }) if is_begun => {
                *had += same;
                *ends = true;
            }
            _ => {
                let begins = if is_begun { None } else { self.encoder };
                self.parts.push(Part::Encoded { begins, raw: 0, made: same, ends: true });
            }
        }
        let is_same = wanted.is_empty() && made.is_empty();
        let goes_on = self.as_it_is(wanted.bytes(), sink)?;
        if is_same {
            self.stage = Stage::Trailer(gzip::TRAILER);
        }
        Ok(goes_on)
    }

    /// Takes bytes of the blob as content; false if the blob stays as it is.
    fn as_it_is(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) -> Result<bool, CompactError> {
        while !bytes.is_empty() {
            let is_full = self.content.room() == 0
                || self.parts.len() as u64 + 2 > most_parts(self.content.pushed() as u64);
            if is_full && !self.end_member(sink)? {
                return Ok(false);
            }
            let (now, rest) = bytes.split_at(bytes.len().min(self.content.room()));
            bytes = rest;
            self.content.push(now);
            let more = now.len() as u64;
            self.made += more;
            match self.parts.last_mut() {
                Some(Part::AsIs { len }) => *len += more,
                _ => self.parts.push(Part::AsIs { len: more }),
            }
        }
        Ok(true)
    }

    /// The content of the current member, compressed, and the window that its frame needs.
    fn packed(&mut self, content: &[u8]) -> Result<(Option<WindowStep>, Vec<u8>), CompactError> {
        if let Some(old) = &mut self.old
            && let Some(windowed) = old.pack(content)?
        {
            return Ok((Some(windowed.step), windowed.frame));
        }
        Ok((None, pack::compress(content, self.effort.zstd_level())?))
    }

    /// Passes on the current member; false if the blob stays as it is, because the first member is not worth it.
    fn end_member(&mut self, sink: &mut Sink<'_>) -> Result<bool, CompactError> {
        if self.content.pushed() == 0 {
            return Ok(true);
        }
        let (content, deflations) = self.content.take();
        let (window, mut member) = self.packed(&content)?;
        let head = MemberHead {
            content_at: self.content_before,
            made_at: self.made_before,
            content: content.len() as u64,
            window,
            deflations,
            parts: std::mem::take(&mut self.parts),
        };
        let mut start = Vec::new();
        head.write(&mut start);
        // What a reader would refuse is found here and not behind the gap.
        if MemberHead::read(&mut &start[..])? != head {
            return Err(CompactError::Invalid("the head of a member reads back as another"));
        }
        if let Some(held) = self.held.take()
            && (start.len() + member.len()) as u64 * 100 > self.made * WORTH
        {
            sink(Packed::Plain(held));
            return Ok(false);
        }
        let content = if head.window.is_none() { pack::check(&member, content)? } else { content };
        member.splice(..0, start);
        sink(Packed::Member(member));
        self.content_before += head.content;
        self.made_before += self.made;
        self.made = 0;
        self.content.reuse(content);
        Ok(true)
    }
}

impl std::fmt::Debug for Compactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compactor")
            .field("size", &self.size)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
