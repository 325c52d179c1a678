//! What clients may take: uploads, connections, time. Nothing here waits for a time to pass, or compares one.

use std::sync::Arc;

use airgap_bundle::serve::{DirectoryStore, Notices, ServeOptions, UploadLimits, bind};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;

/// The registry as it is served, on a port of its own.
struct Served {
    url: String,
    client: Client,
    _stop: oneshot::Sender<()>,
    _folder: TempDir,
}

impl Served {
    async fn start(uploads: UploadLimits) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(std::time::Instant::now);
        let store = Arc::new(DirectoryStore::open_with(folder.path(), uploads, clock).unwrap());
        let address = "127.0.0.1:0".parse().unwrap();
        let options = ServeOptions {
            address,
            tls: None,
            htpasswd: None,
            read_only: false,
            notices: Notices::default(),
        };
        let server = bind(options, store).await.unwrap();
        let url = format!("http://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.run(async move { drop(stopped.await) }));
        Self { url, client: client(), _stop: stop, _folder: folder }
    }

    async fn post(&self, path: &str) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-length", "0");
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }
}

#[tokio::test]
async fn uploads_of_a_client_and_of_all_are_bounded_and_the_answer_says_so() {
    let path = "/v2/a/blobs/uploads/";
    for (per_client, in_all, status, code) in [(2, 9, 429, "TOOMANYREQUESTS"), (9, 2, 503, "UNAVAILABLE")] {
        let served = Served::start(UploadLimits { per_client, in_all, ..UploadLimits::default() }).await;
        let first = served.post(path).await;
        assert_eq!((first.status.as_u16(), served.post(path).await.status.as_u16()), (202, 202));
        let refused = served.post(path).await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (status, code));
        assert!(refused.header("retry-after").parse::<u32>().is_ok());
        assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("2 uploads"));
        // A blob in one request takes a place too, and gives it back.
        let (bytes, digest) = (&b"blob"[..], Digest::sha256(b"blob"));
        let whole = format!("{}{path}?digest={digest}", served.url);
        let send = || served.client.post(&whole).body(bytes).send();
        assert_eq!(send().await.unwrap().status(), status);
        let upload = format!("{}{}", served.url, first.header("location"));
        assert_eq!(served.client.delete(upload).send().await.unwrap().status(), 204);
        for _ in 0..3 {
            assert_eq!(send().await.unwrap().status(), 201);
        }
        // A mount needs no upload.
        served.post(path).await;
        assert_eq!(served.post(&format!("/v2/b/blobs/uploads/?mount={digest}&from=a")).await.status, 201);
    }
}
