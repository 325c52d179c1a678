//! A request body that can be drained after the request was refused.
//!
//! If a request is refused before its body was read, closing the connection at once would make the client's system
//! discard the answer together with the data it still had to send. So up to `REST` bytes are read and discarded.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper::body::Body as HttpBody;
use tokio::sync::oneshot;

use super::body::{Body, BodyError};

const REST: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(3);

/// A body that is sent back to `lend`'s caller when it is dropped.
struct DrainOnDrop {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for DrainOnDrop {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            // The body has ended, so there is nothing to drain.
            self.back = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for DrainOnDrop {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            let _ = back.send(std::mem::replace(&mut self.body, Body::empty()));
        }
    }
}

/// Returns the body to pass on, and a channel on which it comes back when it is dropped.
pub(crate) fn lend(body: Body) -> (Body, oneshot::Receiver<Body>) {
    let (back, returned) = oneshot::channel();
    (Body::new(DrainOnDrop { body, back: Some(back) }), returned)
}

/// Reads what is left of a body, within bounds.
pub(crate) async fn forget(mut returned: oneshot::Receiver<Body>) {
    let Ok(body) = returned.try_recv() else { return };
    let rest = async {
        let mut frames = body.into_data_stream();
        let mut read = 0;
        while let Some(Ok(frame)) = frames.next().await {
            read += frame.len();
            if read > REST {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, rest).await;
}
