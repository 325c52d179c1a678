//! Makes the bytes of a blob from its compact form.

use std::io::Read;

use bytes::Bytes;

use super::content::Content;
use super::error::CompactError;
use super::member::{MemberHead, Part};
use super::most_content;
use super::queue::Queue;
use super::stepped::Stepped;
use super::window::{BaseContent, Window};

/// Content that is read at a time, in bytes.
const PIECE: usize = 256 << 10;

/// Bytes that an encoder may make beyond those of its part: what it makes at once has at most half of this.
const MOST_READY: usize = 32 << 20;

/// The members of a blob, in order.
pub trait Members {
    /// The next one; none after the last.
    fn next(&mut self) -> Option<Result<Box<dyn Read + Send>, CompactError>>;

    /// The content of the base with this number, from its start; for a blob without bases an error.
    fn base(&mut self, number: u32) -> Result<BaseContent, CompactError>;
}

/// Iterates over the bytes of a blob. It ends with an error unless it gives exactly the size of the blob; whether these are
/// the right bytes, only their digest can tell.
pub struct Remake<M> {
    members: M,
    /// Of the blob, in bytes.
    size: u64,
    /// Bytes made so far, and of content read.
    made: u64,
    content: u64,
    member: Option<Member>,
    window: Window,
    stepped: Option<Stepped>,
    /// Made by the encoder, but not yet of any part.
    ready: Queue,
    is_over: bool,
}

/// The member that is being read.
struct Member {
    content: Content,
    /// Bytes of it in the file, where its zip entries are inflated.
    stored: u64,
    parts: std::vec::IntoIter<Part>,
    /// What is left of the current part: content to read, bytes to make, and whether the encoder ends after it.
    raw: u64,
    left: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    AsIs,
    Encoded,
    /// Encoded, and then the stream of the encoder ends.
    Last,
}

impl<M> std::fmt::Debug for Remake<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remake").field("size", &self.size).field("made", &self.made).finish_non_exhaustive()
    }
}

impl<M: Members> Remake<M> {
    /// The blob of `size` bytes that `members` describe.
    pub fn new(members: M, size: u64) -> Self {
        Self {
            members,
            size,
            made: 0,
            content: 0,
            member: None,
            window: Window::default(),
            stepped: None,
            ready: Queue::default(),
            is_over: false,
        }
    }

    /// The members, some of which may not have been read.
    pub fn members(&self) -> &M {
        &self.members
    }

    /// The members, some of which may not have been read.
    pub fn into_members(self) -> M {
        self.members
    }

    fn piece(&mut self) -> Result<Option<Bytes>, CompactError> {
        loop {
            let Some(member) = &mut self.member else {
                match self.members.next() {
                    Some(input) => self.member = Some(self.begin(input?)?),
                    None if self.made == self.size => return Ok(None),
                    None => return Err(CompactError::Invalid("it makes fewer bytes than the blob has")),
                }
                continue;
            };
            if member.raw == 0 && member.left == 0 && member.kind != Kind::Last {
                match member.parts.next() {
                    Some(part) => self.part(part)?,
                    None => self.end()?,
                }
                continue;
            }
            let piece = self.make()?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    fn begin(&mut self, input: Box<dyn Read + Send>) -> Result<Member, CompactError> {
        let mut input = std::io::BufReader::new(input);
        let head = MemberHead::read(&mut input)?;
        if head.content_at != self.content || head.made_at != self.made {
            return Err(CompactError::Invalid("a member does not follow the one before"));
        }
        let made = head.parts.iter().try_fold(self.made, |sum, part| sum.checked_add(part.made()));
        if made.is_none_or(|made| made > self.size) {
            return Err(CompactError::Invalid("it makes more bytes than the blob has"));
        }
        if self.content.saturating_add(head.content) > most_content(self.size) {
            return Err(CompactError::Invalid("its content is far larger than the blob"));
        }
        if let Some(step) = &head.window {
            self.window.step(step, &mut |number| self.members.base(number))?;
        }
        let content = Content::new(head.window, head.deflations, self.window.bytes(), input)?;
        Ok(Member {
            content,
            stored: head.content,
            parts: head.parts.into_iter(),
            raw: 0,
            left: 0,
            kind: Kind::AsIs,
        })
    }

    /// Begins the next part.
    fn part(&mut self, part: Part) -> Result<(), CompactError> {
        let Some(member) = &mut self.member else { return Ok(()) };
        (member.raw, member.left) = (part.content(), part.made());
        match part {
            Part::AsIs { .. } => {
                member.kind = Kind::AsIs;
                self.stepped = None;
                self.ready = Queue::default();
            }
            Part::Encoded { begins, ends, .. } => {
                member.kind = if ends { Kind::Last } else { Kind::Encoded };
                if let Some(encoder) = begins {
                    self.stepped = Stepped::new(encoder);
                    self.ready = Queue::default();
                }
                if self.stepped.is_none() {
                    return Err(CompactError::Invalid("a part goes on with an encoder that has not begun"));
                }
            }
        }
        Ok(())
    }

    /// Reads content of the current part, and makes what it gives. Nothing if more content is needed first.
    fn make(&mut self) -> Result<Bytes, CompactError> {
        let Some(member) = &mut self.member else { return Ok(Bytes::new()) };
        let mut raw = vec![0; usize::try_from(member.raw).map_or(PIECE, |raw| raw.min(PIECE))];
        member.content.read(self.window.bytes(), &mut raw)?;
        let read = raw.len() as u64;
        member.raw -= read;
        if member.kind == Kind::AsIs {
            member.left -= read;
            self.made += read;
            return Ok(raw.into());
        }
        if let Some(stepped) = &mut self.stepped {
            stepped.feed(&raw, self.ready.end());
        }
        if member.raw == 0 && member.kind == Kind::Last {
            if let Some(stepped) = self.stepped.take() {
                stepped.finish(self.ready.end());
            }
            member.kind = Kind::Encoded;
        }
        let ready = self.ready.bytes();
        let take = usize::try_from(member.left).map_or(ready.len(), |left| left.min(ready.len()));
        if member.raw == 0 && (take as u64) < member.left {
            return Err(CompactError::Invalid("an encoder makes fewer bytes than stated"));
        }
        if ready.len() - take > MOST_READY {
            return Err(CompactError::Invalid("an encoder makes far more bytes than stated"));
        }
        member.left -= take as u64;
        self.made += take as u64;
        let made = Bytes::copy_from_slice(&ready[..take]);
        self.ready.drop(take);
        Ok(made)
    }

    /// The current member is read: nothing may follow its content.
    fn end(&mut self) -> Result<(), CompactError> {
        self.member.take().map_or(Ok(()), |member| {
            self.content += member.stored;
            member.content.end()
        })
    }
}

impl<M: Members> Iterator for Remake<M> {
    type Item = Result<Bytes, CompactError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let piece = self.piece().transpose();
        self.is_over = !matches!(piece, Some(Ok(_)));
        piece
    }
}
