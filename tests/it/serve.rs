//! The embedded registry against the distribution-spec's conformance checks, by hand over HTTP.

use airgap_bundle::image::{Algorithm, Digest, media_type};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};

use crate::support::client;
use crate::support::images::{self, ImageSpec, Layer};
use crate::support::registry::{Effect, Fault, TestRegistry};

mod folders;
mod hostile;
mod limits;
mod pulling;
mod pushing;

/// A registry and a client that speaks to it in few words.
struct Talk {
    registry: TestRegistry,
    client: Client,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Talk {
    fn start() -> Self {
        Self { registry: TestRegistry::start(), client: client() }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = self.client.request(method.clone(), self.registry.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() || method == Method::POST || method == Method::PUT {
            request = request.header("content-length", body.len().to_string()).body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], Vec::new()).await
    }

    async fn head(&self, path: &str) -> Answer {
        self.ask(Method::HEAD, path, &[], Vec::new()).await
    }

    async fn post(&self, path: &str) -> Answer {
        self.ask(Method::POST, path, &[], Vec::new()).await
    }

    async fn put(&self, path: &str, media_type: &str, body: &[u8]) -> Answer {
        self.ask(Method::PUT, path, &[("content-type", media_type)], body.to_vec()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, &[], Vec::new()).await
    }

    /// Opens an upload and returns its path.
    async fn upload(&self, repository: &str) -> String {
        let answer = self.post(&format!("/v2/{repository}/blobs/uploads/")).await;
        assert_eq!(answer.status, 202);
        answer.header("location").to_owned()
    }
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code in the error envelope.
    fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}
