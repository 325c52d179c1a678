//! GET, HEAD and DELETE of blobs: whole, or one range (RFC 9110, section 14).

use std::fmt::Display;
use std::io::{self, Read};
use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::CHUNK;
use super::answer::{Answer, DOCKER_CONTENT_DIGEST, Refusal, empty, header};
use super::backend::Backend;
use super::body::Body;
use super::notices::Notices;
use super::store::RepositoryName;
use crate::image::{Digest, Hasher};

pub(super) async fn answer(
    backend: &Backend,
    name: RepositoryName,
    digest: Digest,
    request: Request<Body>,
) -> Answer {
    match *request.method() {
        Method::GET | Method::HEAD => get(backend, name, digest, &request.into_parts().0).await,
        Method::DELETE => {
            backend.write(move |store| store.delete_blob(&name, &digest)).await?;
            Ok(empty(StatusCode::ACCEPTED))
        }
        _ => Err(Refusal::method("GET, HEAD, DELETE")),
    }
}

async fn get(backend: &Backend, name: RepositoryName, digest: Digest, head: &Parts) -> Answer {
    let asked = name.clone();
    let size = backend.read(move |store| store.blob_size(&asked, &digest)).await?;
    let etag = format!("\"{digest}\"");
    let headers = &head.headers;
    if matches_etag(headers, &etag) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().insert(ETAG, header(&etag));
        return Ok(response);
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let fits = backend.has_parts() && text(IF_RANGE).is_none_or(|condition| condition.trim() == etag);
    let asked =
        if fits { text(RANGE).map_or(Asked::Whole, |text| asked_range(text, size)) } else { Asked::Whole };
    let (status, range) = match asked {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Beyond => {
            let message = format!("the blob has {size} bytes");
            return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message)
                .with(CONTENT_RANGE, header(&format!("bytes */{size}"))));
        }
    };
    let body = if head.method == Method::HEAD {
        Body::empty()
    } else {
        let wanted = range.clone();
        let reader = backend.read(move |store| store.open_blob(&name, &digest, wanted)).await?;
        let content = Content::new(reader, &digest, &range, size);
        // The first chunk is read before the answer, so damage in it, or in a small blob, becomes an error status.
        let first = backend.read(move |_| Ok(content.step()?)).await?;
        Body::from_stream(chunks(first, backend.notices().clone()))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let units = if backend.has_parts() { "bytes" } else { "none" };
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static(units));
    headers.insert(DOCKER_CONTENT_DIGEST, header(&digest.to_string()));
    headers.insert(ETAG, header(&etag));
    if status == StatusCode::PARTIAL_CONTENT {
        let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        headers.insert(CONTENT_RANGE, header(&value));
    }
    Ok(response)
}

pub(super) fn matches_etag(headers: &HeaderMap, etag: &str) -> bool {
    let condition = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    condition.split(',').any(|one| one.trim().trim_start_matches("W/") == etag || one.trim() == "*")
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Beyond,
}

/// What a `Range` header asks of `size` bytes. Several ranges, other units and nonsense are ignored, as RFC 9110 allows.
fn asked_range(text: &str, size: u64) -> Asked {
    let Some((unit, spec)) = text.split_once('=') else {
        return Asked::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Asked::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // A number beyond u64 is beyond every blob too.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first.is_empty(), number(first), number(last)) {
        (true, _, Some(suffix)) => match suffix.min(size) {
            0 => Asked::Beyond,
            suffix => Asked::Part(size - suffix..size),
        },
        (false, Some(start), None) if last.is_empty() => {
            if start < size {
                Asked::Part(start..size)
            } else {
                Asked::Beyond
            }
        }
        (false, Some(start), Some(end)) if start <= end => {
            if start < size {
                Asked::Part(start..end.saturating_add(1).min(size))
            } else {
                Asked::Beyond
            }
        }
        _ => Asked::Whole,
    }
}

/// The content of an answer, checked while it is read. Of a whole blob the last bytes are held back until its digest is
/// right, so that no client ever gets all of a blob that is damaged.
struct Content {
    reader: Box<dyn Read + Send>,
    digest: Digest,
    /// None for a part: a store checks those as far as it can.
    hasher: Option<Hasher>,
    left: u64,
}

/// A chunk and the state to continue with; none at the end.
type Step = Option<(Bytes, Content)>;

impl Content {
    fn new(reader: Box<dyn Read + Send>, digest: &Digest, range: &Range<u64>, size: u64) -> Self {
        let hasher = (*range == (0..size)).then(|| Hasher::for_digest(digest));
        Self { reader, digest: *digest, hasher, left: range.end - range.start }
    }

    /// Reads the next chunk, and checks the whole with the last one.
    fn step(mut self) -> io::Result<Step> {
        let mut buffer = vec![0; usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK))];
        self.reader.read_exact(&mut buffer).map_err(|error| self.damaged(&error))?;
        self.left -= buffer.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer);
        }
        if self.left == 0
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            return Err(self.damaged(&"the content has another digest"));
        }
        Ok((!buffer.is_empty()).then(|| (buffer.into(), self)))
    }

    fn damaged(&self, why: &dyn Display) -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("blob {} cannot be read whole: {why}", self.digest),
        )
    }
}

/// Goes on after the first step, each further one on a blocking thread: a client that stalls holds no thread. An error
/// breaks the connection off.
fn chunks(first: Step, notices: Notices) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(Next::Ready(first), move |next| {
        let notices = notices.clone();
        async move {
            let step = match next {
                Next::Ready(step) => step,
                Next::Reading(content) if content.left == 0 => None,
                Next::Reading(content) => {
                    let step = tokio::task::spawn_blocking(move || content.step());
                    let step = step.await.unwrap_or_else(|error| Err(io::Error::other(error)));
                    step.inspect_err(|error| notices.tell(&format!("{error}; the answer was broken off")))?
                }
            };
            Ok(step.map(|(bytes, content)| (bytes, Next::Reading(content))))
        }
    })
}

enum Next {
    Ready(Step),
    Reading(Content),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (text, size, asked) in [
            ("bytes=0-0", 10, Asked::Part(0..1)),
            ("bytes=2-", 10, Asked::Part(2..10)),
            ("bytes=-3", 10, Asked::Part(7..10)),
            ("bytes=-30", 10, Asked::Part(0..10)),
            ("bytes=5-99999999999999999999999", 10, Asked::Part(5..10)),
            ("bytes=10-", 10, Asked::Beyond),
            ("bytes=99999999999999999999999-", 10, Asked::Beyond),
            ("bytes=-0", 10, Asked::Beyond),
            ("bytes=0-", 0, Asked::Beyond),
            ("bytes=5-2", 10, Asked::Whole),
            ("bytes=0-1,4-5", 10, Asked::Whole),
            ("lines=0-1", 10, Asked::Whole),
            ("bytes=+1-2", 10, Asked::Whole),
            ("bytes", 10, Asked::Whole),
        ] {
            assert_eq!(asked_range(text, size), asked, "{text}");
        }
    }
}
