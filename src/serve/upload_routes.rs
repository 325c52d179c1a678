//! Pushing blobs: monolithic, streamed, in chunks, and mounts.
//!
//! Bodies are gathered into pieces of [`CHUNK`] bytes and handed to the store one by one. What arrived before a
//! connection broke is kept, and the upload's status says how far it got.

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::answer::{Answer, DOCKER_CONTENT_DIGEST, DOCKER_UPLOAD_UUID, Refusal, empty, header};
use super::backend::Backend;
use super::body::Body;
use super::limits::{CHUNK, Peer};
use super::request::Query;
use super::store::{RepositoryName, StoreError};
use crate::image::{Algorithm, Digest};

/// POST: a mount, a whole blob, or a new upload.
pub(super) async fn start(
    backend: &Backend,
    name: RepositoryName,
    query: &Query<'_>,
    request: Request<Body>,
) -> Answer {
    backend.check_writable()?;
    if let Some(digest) = query.digest("mount")?
        && let Some(from) = query.get("from").and_then(|from| from.parse::<RepositoryName>().ok())
    {
        let into = name.clone();
        match backend.write(move |store| store.mount(&into, &from, &digest)).await {
            Ok(()) => return Ok(created(&name, &digest)),
            // A mount that is not possible becomes an upload (distribution-spec, "Mounting a blob").
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => {}
            Err(refusal) => return Err(refusal),
        }
    }
    let whole = query.digest("digest")?;
    let algorithm = match (query.get("digest-algorithm").as_deref(), &whole) {
        (_, Some(digest)) => digest.algorithm(),
        (Some("sha512"), None) => Algorithm::Sha512,
        (Some("sha256") | None, None) => Algorithm::Sha256,
        (Some(_), None) => {
            return Err(Refusal::bad("DIGEST_INVALID", "the digest algorithm is not supported"));
        }
    };
    let repository = name.clone();
    let client = request.extensions().get::<Peer>().copied();
    let upload = backend.write(move |store| store.start_upload(&repository, algorithm, client)).await?;
    match whole {
        Some(digest) => {
            let session = Session { backend, name: &name, upload: &upload };
            let done = match session.append(0, request.into_body()).await {
                Ok(_) => session.finish(digest).await,
                Err(refusal) => Err(refusal),
            };
            if done.is_err() {
                // The client does not know the id of this upload, so it could not resume it.
                let _ = session.cancel().await;
            }
            done
        }
        None => Ok(progress(&name, &upload, 0, StatusCode::ACCEPTED)),
    }
}

/// GET, PATCH, PUT and DELETE of an upload.
pub(super) async fn answer(
    backend: &Backend,
    name: RepositoryName,
    upload: &str,
    query: &Query<'_>,
    request: Request<Body>,
) -> Answer {
    backend.check_writable()?;
    let session = Session { backend, name: &name, upload };
    match *request.method() {
        Method::GET => Ok(progress(&name, upload, session.size().await?, StatusCode::NO_CONTENT)),
        Method::PATCH => {
            let size = session.take(request).await?;
            Ok(progress(&name, upload, size, StatusCode::ACCEPTED))
        }
        Method::PUT => {
            let digest = query
                .digest("digest")?
                .ok_or_else(|| Refusal::bad("DIGEST_INVALID", "the digest parameter is missing"))?;
            session.take(request).await?;
            session.finish(digest).await
        }
        Method::DELETE => {
            session.cancel().await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(Refusal::method("GET, PATCH, PUT, DELETE")),
    }
}

struct Session<'a> {
    backend: &'a Backend,
    name: &'a RepositoryName,
    upload: &'a str,
}

impl Session<'_> {
    async fn size(&self) -> Result<u64, Refusal> {
        let (name, upload) = (self.name.clone(), self.upload.to_owned());
        self.backend.write(move |store| store.upload_size(&name, &upload)).await
    }

    /// Takes a body whose `Content-Range`, if it has one, must go on where the upload is.
    async fn take(&self, request: Request<Body>) -> Result<u64, Refusal> {
        let size = self.size().await?;
        if let Some(range) = request.headers().get(CONTENT_RANGE) {
            let invalid = || Refusal::bad("BLOB_UPLOAD_INVALID", "Content-Range is not <start>-<end>");
            let (start, end) = range.to_str().ok().and_then(chunk_range).ok_or_else(invalid)?;
            if start != size {
                return Err(self.out_of_order(size));
            }
            let length = request.headers().get(CONTENT_LENGTH);
            let length = length.and_then(|value: &HeaderValue| value.to_str().ok()?.parse::<u64>().ok());
            if length.is_some_and(|length| length != end - start + 1) {
                let message = "Content-Length and Content-Range differ";
                return Err(Refusal::bad("SIZE_INVALID", message));
            }
        }
        self.append(size, request.into_body()).await
    }

    /// Appends the body at `offset` and returns the upload's new size.
    async fn append(&self, mut offset: u64, body: Body) -> Result<u64, Refusal> {
        let mut body = self.backend.incoming(body);
        let mut gathered = BytesMut::with_capacity(CHUNK);
        loop {
            let frame = body.next().await;
            if let Ok(Some(frame)) = &frame {
                gathered.extend_from_slice(frame);
            }
            let is_last = !matches!(frame, Ok(Some(_)));
            if gathered.len() >= CHUNK || (is_last && !gathered.is_empty()) {
                let (name, upload) = (self.name.clone(), self.upload.to_owned());
                let piece = gathered.split().freeze();
                let appended = self.backend.write(move |store| {
                    match store.append(&name, &upload, offset, &piece) {
                        // Somebody else appends to the same upload.
                        Err(StoreError::OutOfOrder { size }) => Ok(Err(size)),
                        other => other.map(Ok),
                    }
                });
                offset = appended.await?.map_err(|size| self.out_of_order(size))?;
            }
            if is_last {
                return frame.map(|_| offset);
            }
        }
    }

    async fn finish(&self, digest: Digest) -> Answer {
        let (name, upload) = (self.name.clone(), self.upload.to_owned());
        self.backend.write(move |store| store.finish_upload(&name, &upload, &digest)).await?;
        Ok(created(self.name, &digest))
    }

    async fn cancel(&self) -> Result<(), Refusal> {
        let (name, upload) = (self.name.clone(), self.upload.to_owned());
        self.backend.write(move |store| store.cancel_upload(&name, &upload)).await
    }

    fn out_of_order(&self, size: u64) -> Refusal {
        Refusal::from(StoreError::OutOfOrder { size })
            .with(LOCATION, header(&location(self.name, self.upload)))
            .with(RANGE, header(&kept_range(size)))
            .with(DOCKER_UPLOAD_UUID, header(self.upload))
    }
}

/// `<start>-<end>`, both inclusive; some clients write it as `bytes <start>-<end>/<size>`.
fn chunk_range(text: &str) -> Option<(u64, u64)> {
    let text = text.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches([' ', '=']));
    let (start, end) = text.split('/').next()?.split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    (start <= end && end < u64::MAX).then_some((start, end))
}

/// The kept bytes as the spec writes them; of an upload without any, everybody says `0-0`.
fn kept_range(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

fn location(name: &RepositoryName, upload: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{upload}")
}

fn progress(name: &RepositoryName, upload: &str, size: u64, status: StatusCode) -> Response<Body> {
    let mut response = empty(status);
    response.headers_mut().insert(LOCATION, header(&location(name, upload)));
    response.headers_mut().insert(RANGE, header(&kept_range(size)));
    response.headers_mut().insert(DOCKER_UPLOAD_UUID, header(upload));
    response
}

fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    response.headers_mut().insert(LOCATION, header(&format!("/v2/{name}/blobs/{digest}")));
    response.headers_mut().insert(DOCKER_CONTENT_DIGEST, header(&digest.to_string()));
    response
}
