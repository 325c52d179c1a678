//! Faults between a client and a registry, as rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use airgap_bundle::serve::{Body, BodyError};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

/// A rule: which requests, which of them, and what happens.
#[derive(Clone, Debug)]
pub struct Fault {
    method: &'static str,
    path: String,
    /// How many matching requests pass before, and how many are hit then.
    skip: usize,
    times: usize,
    seen: usize,
    pub effect: Effect,
}

#[derive(Clone, Debug)]
pub enum Effect {
    /// Answers at once; the registry never sees the request.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Breaks the connection after so many bytes of the answer's body.
    Cut(u64),
    /// Sends so many bytes of the answer's body, then nothing for good.
    Stall(u64),
    /// Damages the byte at this offset of the answer's body.
    Flip(u64),
    /// Sets an answer's header, or removes it.
    Header(&'static str, Option<String>),
    /// Answers as if there had been no `Range`.
    IgnoreRange,
    /// Closes the connection instead of answering.
    Drop,
    /// Does what is asked, and closes the connection instead of saying so.
    DropAnswer,
    /// Closes the connection after so many bytes of the request's body have reached the registry.
    DropRequest(u64),
    /// Takes so many bytes of the request's body, then nothing for good.
    StallRequest(u64),
    Delay(Duration),
}

impl Fault {
    /// For requests of `method` (`*`: any) whose path and query contain `path`; the first of them, unless told
    /// otherwise.
    pub fn on(method: &'static str, path: impl Into<String>, effect: Effect) -> Self {
        Self { method, path: path.into(), skip: 0, times: 1, seen: 0, effect }
    }

    /// Answers with `status` and an error envelope.
    pub fn status(method: &'static str, path: impl Into<String>, status: u16) -> Self {
        let body = r#"{"errors":[{"code":"UNKNOWN","message":"made for a test"}]}"#.to_owned();
        Self::on(method, path, Effect::Answer(status, Vec::new(), body))
    }

    /// From the `n`th matching request on, counted from 1.
    pub fn nth(mut self, n: usize) -> Self {
        self.skip = n - 1;
        self
    }

    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    /// Counts a request, and tells whether it is hit.
    pub(super) fn hits(&mut self, method: &str, target: &str) -> bool {
        if (self.method != "*" && self.method != method) || !target.contains(&self.path) {
            return false;
        }
        self.seen += 1;
        self.seen > self.skip && self.seen - self.skip <= self.times
    }
}

/// Counts what passes in `counter`, and breaks off with an error after `limit` bytes, setting `broke`.
pub(super) fn limited(
    body: Body,
    counter: Arc<AtomicU64>,
    limit: Option<u64>,
    broke: Arc<AtomicBool>,
) -> Body {
    let frames = body.into_data_stream();
    Body::from_stream(stream::unfold((frames, limit, false), move |(mut frames, left, ended)| {
        let (counter, broke) = (Arc::clone(&counter), Arc::clone(&broke));
        async move {
            if ended {
                return None;
            }
            if left == Some(0) {
                broke.store(true, Ordering::SeqCst);
                return Some((Err(std::io::Error::other("cut").into()), (frames, left, true)));
            }
            let mut frame: Bytes = match frames.next().await? {
                Ok(frame) => frame,
                Err(error) => return Some((Err(error), (frames, left, true))),
            };
            let left = left.map(|left| {
                frame.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                left - frame.len() as u64
            });
            counter.fetch_add(frame.len() as u64, Ordering::SeqCst);
            Some((Ok(frame), (frames, left, false)))
        }
    }))
}

/// The first `after` bytes of `body`, then silence.
pub(super) fn stalled(body: Body, after: u64, counter: Arc<AtomicU64>) -> Body {
    let shown = limited(body, counter, Some(after), Arc::default()).into_data_stream();
    let shown = shown.take_while(|frame| std::future::ready(frame.is_ok()));
    Body::from_stream(shown.chain(stream::pending()))
}

/// What the effects that change the registry's answer make of it.
pub(super) fn disturb(response: Response<Body>, effect: &Effect) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let ignore = Arc::new(AtomicU64::new(0));
    let body = match effect {
        Effect::Cut(after) => limited(body, ignore, Some(*after), Arc::default()),
        Effect::Stall(after) => stalled(body, *after, ignore),
        Effect::Flip(at) => {
            let mut left = Some(*at);
            Body::from_stream(body.into_data_stream().map(move |frame| {
                let frame = frame?;
                let Some(at) = left else {
                    return Ok::<_, BodyError>(frame);
                };
                if at >= frame.len() as u64 {
                    left = Some(at - frame.len() as u64);
                    return Ok(frame);
                }
                left = None;
                let mut bytes = frame.to_vec();
                bytes[usize::try_from(at).unwrap()] ^= 0xff;
                Ok(bytes.into())
            }))
        }
        Effect::Header(name, value) => {
            let name = HeaderName::from_static(name);
            match value {
                Some(value) => head.headers.insert(name, HeaderValue::from_str(value).unwrap()),
                None => head.headers.remove(name),
            };
            // As a stream, so that nobody adds a length again.
            Body::from_stream(body.into_data_stream())
        }
        _ => body,
    };
    Response::from_parts(head, body)
}

/// The answer of [`Effect::Answer`].
pub(super) fn canned(status: u16, headers: &[(&'static str, String)], body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    response
}

/// Takes `Range` away from a request.
pub(super) fn without_range(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().remove(http::header::RANGE);
    request
}
