//! The body of a request or an answer: one type, whatever produces the bytes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Why a body ended early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
pub struct Body(UnsyncBoxBody<Bytes, BodyError>);

impl Body {
    pub fn new(body: impl HttpBody<Data = Bytes, Error: Into<BodyError>> + Send + 'static) -> Self {
        Self(body.map_err(Into::into).boxed_unsync())
    }

    pub fn empty() -> Self {
        Self::new(Empty::new())
    }

    /// A body of unknown length. An error of the stream breaks the connection off.
    pub fn from_stream<B: Into<Bytes>, E: Into<BodyError> + 'static>(
        stream: impl Stream<Item = Result<B, E>> + Send + 'static,
    ) -> Self {
        Self(
            StreamBody::new(stream.map_ok(|bytes| Frame::data(bytes.into())).map_err(Into::into))
                .boxed_unsync(),
        )
    }

    /// The bytes as they come, without trailers.
    pub fn into_data_stream(self) -> BodyDataStream<Self> {
        BodyDataStream::new(self)
    }
}

impl<B: Into<Bytes>> From<B> for Body {
    fn from(bytes: B) -> Self {
        Self::new(Full::new(bytes.into()))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
