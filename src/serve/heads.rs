//! The heads of requests as they come, before hyper reads them.
//!
//! hyper takes a request with both `Content-Length` and `Transfer-Encoding` by the latter and forgets the former, as it
//! may. A proxy in front that takes it by the former sees another end of the request, and what one client hides
//! behind it becomes the beginning of the next client's request. Such a request is refused (RFC 9112, section 6.3),
//! which takes somebody who sees both.
//!
//! hyper gets one head at a time, together with its body. The body of a request without a stated length has its end
//! where hyper finds it, so what follows cannot be looked at, and the connection ends with that request.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

use super::room::Seat;

/// The largest head that is accepted, in bytes.
pub(super) const MAX_HEAD: usize = 32 << 10;
/// As many as hyper accepts.
const MAX_HEADERS: usize = 100;

/// The result of checking a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Plain,
    /// The connection ends with this request.
    Last,
    /// The head states the length of its body in two ways.
    Ambiguous,
}

/// The verdicts on the heads that hyper was given and has not acted on yet, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts(Arc<Mutex<VecDeque<Verdict>>>);

impl Verdicts {
    fn add(&self, verdict: Option<Verdict>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(verdict);
    }

    /// The verdict on the next request; none if its head was not checked.
    pub(super) fn next(&self) -> Option<Verdict> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A head is being read.
    Head,
    /// This many bytes are passed on: a checked head and its body.
    Pass(u64),
    /// Everything is passed on, and hyper ends the connection.
    PassAll,
}

/// A connection that passes each head on when it is complete.
pub(super) struct Heads<S> {
    stream: Take<S>,
    /// Bytes that were read and not passed on yet.
    gathered: BytesMut,
    /// How much of it has been searched for the end of the head.
    searched: usize,
    state: State,
    verdicts: Verdicts,
    seat: Arc<Seat>,
}

impl<S: AsyncRead + Unpin> Heads<S> {
    pub(super) fn new(stream: S, verdicts: Verdicts, seat: Arc<Seat>) -> Self {
        let stream = stream.take(0);
        Self { stream, gathered: BytesMut::new(), searched: 0, state: State::Head, verdicts, seat }
    }

    /// Looks at what was gathered, and changes the state where that is a head, or never becomes one.
    fn look(&mut self) {
        // A TLS greeting never has the end of a head, and its client waits for an answer, so it is refused at once.
        let is_first = self.searched == 0;
        // Parsing again after each byte would take a time that grows with the square of the head.
        let from = self.searched.saturating_sub(3);
        self.searched = self.gathered.len();
        let new = &self.gathered[from..];
        let may_end =
            new.windows(2).any(|two| two == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n");
        if (is_first || may_end)
            && let Some((state, verdict)) = judge(&self.gathered)
        {
            self.verdicts.add(verdict);
            self.state = state;
        } else if self.gathered.len() > MAX_HEAD {
            self.state = State::PassAll;
        }
    }

    fn poll_gather(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = [0; 4096];
        let mut read = ReadBuf::new(&mut buffer);
        self.stream.set_limit(u64::MAX);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        if read.filled().is_empty() {
            self.state = State::PassAll;
        }
        self.gathered.extend_from_slice(read.filled());
        Poll::Ready(Ok(()))
    }

    /// Passes on up to `most` bytes, and returns how many there were.
    fn poll_pass(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        most: u64,
    ) -> Poll<io::Result<u64>> {
        let before = buffer.filled().len();
        if self.gathered.is_empty() {
            self.stream.set_limit(most);
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let passed = self.gathered.len().min(buffer.remaining()).min(most);
            buffer.put_slice(&self.gathered[..passed]);
            self.gathered.advance(passed);
            self.searched = 0;
        }
        Poll::Ready(Ok((buffer.filled().len() - before) as u64))
    }
}

/// What a head says about its end and that of its body; none while it is not whole. The parser is hyper's own, so that
/// both see the same head; what it refuses is for hyper to answer.
fn judge(bytes: &[u8]) -> Option<(State, Option<Verdict>)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(head)) => head as u64,
        Err(_) => return Some((State::PassAll, None)),
    };
    let named = |name: &'static str| {
        request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
    };
    let mut lengths = named("content-length");
    Some(match (lengths.next(), lengths.next(), named("transfer-encoding").next()) {
        (None, _, None) => (State::Pass(head), Some(Verdict::Plain)),
        (Some(length), None, None) => {
            match number(length.value).and_then(|length| head.checked_add(length)) {
                Some(all) => (State::Pass(all), Some(Verdict::Plain)),
                None => (State::PassAll, None),
            }
        }
        (None, _, Some(_)) => (State::PassAll, Some(Verdict::Last)),
        _ => (State::PassAll, Some(Verdict::Ambiguous)),
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    // `parse` would accept a sign.
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.state {
                State::Head if self.searched < self.gathered.len() => self.look(),
                State::Head => ready!(self.poll_gather(context))?,
                State::Pass(0) => self.state = State::Head,
                State::Pass(left) => {
                    let passed = ready!(self.poll_pass(context, buffer, left))?;
                    self.state = State::Pass(left - passed);
                    return Poll::Ready(Ok(()));
                }
                State::PassAll => {
                    ready!(self.poll_pass(context, buffer, u64::MAX))?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(self.stream.get_mut()).poll_flush(context));
        if flushed.is_ok() {
            self.seat.flushed();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is passed on of `bytes` that come in pieces of `size`, read up to `read` at a time, and the verdicts.
    async fn passed(bytes: &[u8], size: usize, read: usize) -> (Vec<u8>, Vec<Verdict>) {
        use tokio::io::AsyncWriteExt as _;
        let (near, mut far) = tokio::io::duplex(size);
        let (verdicts, seat) = (Verdicts::default(), Arc::new(Seat::new(Arc::default())));
        let mut heads = Heads::new(near, verdicts.clone(), seat);
        let sent = async move { far.write_all(bytes).await.unwrap() };
        let (mut got, mut buffer) = (Vec::new(), vec![0; read]);
        let receive = async {
            loop {
                match heads.read(&mut buffer).await.unwrap() {
                    0 => return got,
                    count => got.extend_from_slice(&buffer[..count]),
                }
            }
        };
        let ((), got) = tokio::join!(sent, receive);
        (got, std::iter::from_fn(|| verdicts.next()).collect())
    }

    #[tokio::test]
    async fn heads_are_judged_however_they_come() {
        use Verdict::{Ambiguous, Last, Plain};
        let both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n";
        let hidden = format!("POST / HTTP/1.1\r\n{both}\r\n");
        for (text, verdicts) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), vec![Plain]),
            ("\r\n\r\nGET / HTTP/1.1\nHost: x\n\nGET / HTTP/1.1\r\n\r\n".to_owned(), vec![Plain, Plain]),
            (hidden.clone(), vec![Ambiguous]),
            (
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-LENGTH: 3\r\n\r\n".to_owned(),
                vec![Ambiguous],
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
                vec![Ambiguous],
            ),
            // In a body it is no head, behind a body it is one.
            (format!("PUT / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()), vec![Plain]),
            (format!("PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345{hidden}"), vec![Plain, Ambiguous]),
            (format!("PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n{hidden}"), vec![Plain, Ambiguous]),
            (format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"), vec![Last]),
            // hyper refuses these.
            ("POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc".to_owned(), vec![]),
            (format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\nabc", u64::MAX), vec![]),
            ("POST / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc".to_owned(), vec![]),
            ("nonsense\n\nGET / HTTP/1.1\r\n\r\n".to_owned(), vec![]),
            (format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD + 4096)), vec![]),
            (format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(MAX_HEADERS + 1)), vec![]),
            ("GET / HTTP/1.1\r\nHost".to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            for (size, read) in [(1, 1), (3, 1000), (1 << 20, 7), (1 << 20, 1 << 20)] {
                let found = passed(text.as_bytes(), size, read).await;
                assert_eq!(found, (text.clone().into_bytes(), verdicts.clone()), "{size} {read} {text:?}");
            }
        }
    }
    proptest! {
        /// Whatever comes is passed on as it came.
        #[test]
        fn nothing_is_lost_or_added(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("\r\n"), Just("\n"), Just("\n\n"), Just("GET / HTTP/1.1\r\n"), Just("Content-Length: 3\r\n"),
                    Just("Content-Length: 99999999999999999999\r\n"), Just("Transfer-Encoding: chunked\r\n"),
                    Just("abc"), Just("\0"), Just(": "), Just("\u{e4}"),
                ],
                0..12,
            ),
            (size, read) in (1usize..40, 1usize..40),
        ) {
            let bytes = parts.concat().into_bytes();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (found, _) = runtime.block_on(passed(&bytes, size, read));
            prop_assert_eq!(found, bytes);
        }
    }
}
