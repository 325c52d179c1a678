//! GET, HEAD, PUT and DELETE of manifests.
//!
//! A manifest is taken only if its digest, its media type and everything it refers to hold: whoever pulls it later
//! gets all of it. Only its `subject` may be missing.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::answer::{Answer, DOCKER_CONTENT_DIGEST, OCI_SUBJECT, Refusal, empty, header};
use super::backend::Backend;
use super::blob_routes::matches_etag;
use super::body::Body;
use super::request::{Query, valid_reference};
use super::store::{MAX_MANIFEST, Needed, RepositoryName, StoreError, TagOrDigest};
use crate::image::{Algorithm, Digest, ParsedManifest, RawManifest};

pub(super) async fn answer(
    backend: &Backend,
    name: RepositoryName,
    reference: &str,
    query: &Query<'_>,
    request: Request<Body>,
) -> Answer {
    match *request.method() {
        Method::GET | Method::HEAD => {
            let wanted = valid_reference(reference, StatusCode::NOT_FOUND)?;
            get(backend, name, wanted, &request.into_parts().0).await
        }
        Method::PUT => {
            backend.check_writable()?;
            let wanted = valid_reference(reference, StatusCode::BAD_REQUEST)?;
            put(backend, name, wanted, query.digest("digest")?, request).await
        }
        Method::DELETE => {
            backend.check_writable()?;
            match valid_reference(reference, StatusCode::NOT_FOUND)? {
                TagOrDigest::Tag(tag) => backend.write(move |store| store.delete_tag(&name, &tag)).await?,
                TagOrDigest::Digest(digest) => {
                    backend.write(move |store| store.delete_manifest(&name, &digest)).await?;
                }
            }
            Ok(empty(StatusCode::ACCEPTED))
        }
        _ => Err(Refusal::method("GET, HEAD, PUT, DELETE")),
    }
}

async fn get(backend: &Backend, name: RepositoryName, wanted: TagOrDigest, head: &Parts) -> Answer {
    let manifest = backend.read(move |store| store.manifest(&name, &wanted)).await?;
    let etag = format!("\"{}\"", manifest.digest);
    let mut response = if matches_etag(&head.headers, &etag) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        response.headers_mut().remove(CONTENT_LENGTH);
        response
    } else {
        let length = HeaderValue::from(manifest.size());
        let only_head = head.method == Method::HEAD;
        let mut response = Response::new(if only_head { Body::empty() } else { Body::from(manifest.bytes) });
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response.headers_mut().insert(CONTENT_TYPE, header(&manifest.media_type));
        response
    };
    response.headers_mut().insert(DOCKER_CONTENT_DIGEST, header(&manifest.digest.to_string()));
    response.headers_mut().insert(ETAG, header(&etag));
    Ok(response)
}

async fn put(
    backend: &Backend,
    name: RepositoryName,
    wanted: TagOrDigest,
    stated: Option<Digest>,
    request: Request<Body>,
) -> Answer {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.map(|t| t.split(';').next().unwrap_or(t).trim().to_owned());
    let bytes = read_manifest(backend, request).await?;
    let (tag, stated) = match wanted {
        TagOrDigest::Tag(tag) => (Some(tag), stated),
        TagOrDigest::Digest(digest) => (None, Some(digest)),
    };
    let location = name.clone();
    // What is being read from JSON takes many times its size, and the permit stays with the work when the client leaves.
    let permit = backend.parsing().await?;
    let taken = backend.write(move |store| {
        let _permit = permit;
        let (manifest, parsed) = match check(bytes, content_type.as_deref(), stated) {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        store.put_manifest(&name, &manifest, &Needed::of(&parsed), tag.as_ref())?;
        Ok(Ok((manifest.digest, parsed.subject.map(|subject| subject.digest))))
    });
    let (digest, subject) = taken.await??;
    let mut response = empty(StatusCode::CREATED);
    response.headers_mut().insert(LOCATION, header(&format!("/v2/{location}/manifests/{digest}")));
    response.headers_mut().insert(DOCKER_CONTENT_DIGEST, header(&digest.to_string()));
    if let Some(subject) = subject {
        response.headers_mut().insert(OCI_SUBJECT, header(&subject.to_string()));
    }
    Ok(response)
}

/// Compares a manifest with its `Content-Type` and digest in the request.
fn check(
    bytes: Bytes,
    content_type: Option<&str>,
    stated: Option<Digest>,
) -> Result<(RawManifest, ParsedManifest), Refusal> {
    let digest = Digest::of(stated.map_or(Algorithm::Sha256, |stated| stated.algorithm()), &bytes);
    if let Some(stated) = stated.filter(|stated| *stated != digest) {
        return Err(StoreError::DigestMismatch { stated: Box::new(stated), found: Box::new(digest) }.into());
    }
    let parsed = ParsedManifest::of(&bytes, content_type)
        .map_err(|e| Refusal::bad("MANIFEST_INVALID", e.to_string()))?;
    if let Some(content_type) = content_type.filter(|content_type| *parsed.media_type != **content_type) {
        let message =
            format!("the Content-Type is {content_type:?}, the manifest is {:?}", parsed.media_type);
        return Err(Refusal::bad("MANIFEST_INVALID", message));
    }
    let media_type = parsed.media_type.clone();
    Ok((RawManifest { bytes, digest, media_type }, parsed))
}

async fn read_manifest(backend: &Backend, request: Request<Body>) -> Result<Bytes, Refusal> {
    let too_large = || {
        let message = format!("the manifest is larger than {MAX_MANIFEST} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID", message)
    };
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > MAX_MANIFEST) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    let mut body = backend.incoming(request.into_body());
    while let Some(frame) = body.next().await? {
        if (bytes.len() + frame.len()) as u64 > MAX_MANIFEST {
            return Err(too_large());
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes.freeze())
}
