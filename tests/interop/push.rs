//! Puts images into registries over plain HTTP, without the program under test.

use std::path::Path;

use airgap_bundle::image::Digest;
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, Response};
use tokio::runtime::Runtime;

use crate::support::client;
use crate::support::images::TestImage;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Stores an image at `place`, which is `registry/repository`, with its children and blobs.
pub fn image(place: &str, tag: &str, image: &TestImage) {
    runtime().block_on(whole(&client(), place, tag, image));
}

/// Stores a file as a blob. It is never in memory as a whole.
pub fn blob_of_file(place: &str, digest: &Digest, file: &Path) {
    runtime().block_on(async {
        let file = tokio::fs::File::open(file).await.unwrap();
        let len = file.metadata().await.unwrap().len();
        put_blob(&client(), place, digest, len, file.into()).await;
    });
}

/// Stores bytes as a blob.
pub fn blob(place: &str, digest: &Digest, bytes: &Bytes) {
    runtime().block_on(put_blob(&client(), place, digest, bytes.len() as u64, bytes.clone().into()));
}

/// Stores a manifest whose blobs are there.
pub fn manifest(place: &str, tag: &str, image: &TestImage) {
    runtime().block_on(put_manifest(&client(), place, tag, image));
}

fn url(place: &str, what: &str) -> String {
    let (registry, repository) = place.split_once('/').expect("a repository is in a registry");
    format!("http://{registry}/v2/{repository}/{what}")
}

async fn whole(client: &Client, place: &str, tag: &str, image: &TestImage) {
    for child in &image.children {
        Box::pin(whole(client, place, &child.digest.to_string(), child)).await;
    }
    for (digest, bytes) in &image.blobs {
        put_blob(client, place, digest, bytes.len() as u64, bytes.clone().into()).await;
    }
    put_manifest(client, place, tag, image).await;
}

async fn put_blob(client: &Client, place: &str, digest: &Digest, len: u64, body: reqwest::Body) {
    let there = client.head(url(place, &format!("blobs/{digest}"))).send().await.unwrap();
    if there.status().is_success() {
        return;
    }
    let begin = client.post(url(place, "blobs/uploads/")).header(CONTENT_LENGTH, 0);
    let begun = accepted(begin.send().await.unwrap()).await;
    let location = begun.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let mut location = begun.url().join(location.expect("an upload has a location")).unwrap();
    location.query_pairs_mut().append_pair("digest", &digest.to_string());
    let put =
        client.put(location).header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, len);
    accepted(put.body(body).send().await.unwrap()).await;
}

async fn put_manifest(client: &Client, place: &str, tag: &str, image: &TestImage) {
    let kind = HeaderValue::from_str(&image.media_type).unwrap();
    let put = client.put(url(place, &format!("manifests/{tag}"))).header(CONTENT_TYPE, kind);
    accepted(put.body(image.manifest.clone()).send().await.unwrap()).await;
}

async fn accepted(response: Response) -> Response {
    if response.status().is_success() {
        return response;
    }
    let (status, url) = (response.status(), response.url().clone());
    panic!("{url}: {status}: {}", response.text().await.unwrap_or_default());
}
