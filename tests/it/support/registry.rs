//! A registry in this process, with a log of all requests and faults on demand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use airgap_bundle::image::{Digest, RawManifest};
use airgap_bundle::serve::{
    Body, DirectoryStore, Needed, Registry, Store, TagOrDigest, Users, WritableStore,
};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub use super::faults::{Effect, Fault};
use super::faults::{canned, disturb, limited, stalled, without_range};
use super::images::TestImage;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct TestRegistry {
    address: SocketAddr,
    store: Arc<DirectoryStore>,
    folder: PathBuf,
    _root: TempDir,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<Vec<Logged>>,
    faults: Mutex<Vec<Fault>>,
    faulted: AtomicU64,
}

/// One request, as it came and as it was answered.
#[derive(Clone, Debug)]
pub struct Logged {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    /// `None` while it is not answered, and for dropped connections.
    pub status: Option<u16>,
    received: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Logged {
    /// Bytes of the request's body that arrived.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }

    /// Bytes of the answer's body that went out.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Whether it is the upload of a large body below `path`, of which `bytes` have arrived.
    pub fn is_at(&self, path: &str, bytes: u64) -> bool {
        let length = self.header("content-length").and_then(|length| length.parse::<u64>().ok());
        self.path.contains(path) && length.is_some_and(|length| length > 8 << 20) && self.received() >= bytes
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl TestRegistry {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// With the users of an htpasswd file.
    pub fn start_with_users(htpasswd: &Path) -> Self {
        Self::start_with(Some(Arc::new(Users::from_htpasswd(htpasswd).unwrap())))
    }

    fn start_with(users: Option<Arc<Users>>) -> Self {
        let root = TempDir::new().unwrap();
        // Nothing else is beside the store, so that what gets out of it is seen.
        let folder = root.path().join("store");
        std::fs::create_dir(&folder).unwrap();
        let store = Arc::new(DirectoryStore::open(&folder).unwrap());
        let registry = Registry::new(Arc::clone(&store) as Arc<dyn Store>, false, users);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let of_loop = Arc::clone(&shared);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (registry, shared) = (registry.clone(), Arc::clone(&of_loop));
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (registry, shared) = (registry.clone(), Arc::clone(&shared));
                        async move { answer(&registry, &shared, request.map(Body::new)).await }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, store, folder, _root: root, shared, runtime: Some(runtime) }
    }

    /// `127.0.0.1:<port>`, as it stands in references.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The store's directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn store(&self) -> &DirectoryStore {
        &self.store
    }

    /// The store, for serving it another way too.
    pub fn shared_store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// Adds a rule. A request feels every rule that hits it.
    pub fn fault(&self, fault: Fault) -> &Self {
        self.shared.faults.lock().unwrap().push(fault);
        self
    }

    /// How many requests a rule has hit.
    pub fn faulted(&self) -> usize {
        usize::try_from(self.shared.faulted.load(Ordering::SeqCst)).unwrap()
    }

    pub fn heal(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    pub fn log(&self) -> Vec<Logged> {
        self.shared.log.lock().unwrap().clone()
    }

    pub fn forget(&self) {
        self.shared.log.lock().unwrap().clear();
    }

    /// How many requests of `method` had `path` in their path.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.log().iter().filter(|one| one.method == method && one.path.contains(path)).count()
    }

    /// How often each blob was asked for with GET.
    pub fn blob_gets(&self) -> BTreeMap<Digest, usize> {
        let mut counts = BTreeMap::new();
        for one in self.log().iter().filter(|one| one.method == "GET") {
            if let Some(digest) = one.path.rsplit_once("/blobs/").and_then(|(_, digest)| digest.parse().ok())
            {
                *counts.entry(digest).or_default() += 1;
            }
        }
        counts
    }

    /// Writes an image with all its children and blobs straight into the store.
    pub fn put_image(&self, repository: &str, tag: &str, image: &TestImage) -> String {
        put(&self.store, repository, Some(tag), image);
        format!("{}/{repository}:{tag}", self.host())
    }

    /// Without a tag, as children and referrers are stored.
    pub fn put_untagged(&self, repository: &str, image: &TestImage) {
        put(&self.store, repository, None, image);
    }

    /// Stores a blob that no image has.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) {
        let (name, digest) = (repository.parse().unwrap(), Digest::sha256(bytes));
        let upload = self.store.start_upload(&name, digest.algorithm(), None).unwrap();
        self.store.append(&name, &upload, 0, bytes).unwrap();
        self.store.finish_upload(&name, &upload, &digest).unwrap();
    }

    /// What the store has under a tag, or under a digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<RawManifest> {
        let wanted = match reference.parse::<Digest>() {
            Ok(digest) => TagOrDigest::Digest(digest),
            Err(_) => TagOrDigest::Tag(reference.parse().unwrap()),
        };
        self.store.manifest(&repository.parse().unwrap(), &wanted).ok()
    }

    pub fn manifest_digest(&self, repository: &str, tag: &str) -> Option<Digest> {
        self.manifest(repository, tag).map(|manifest| manifest.digest)
    }

    pub fn has_blob(&self, repository: &str, digest: &Digest) -> bool {
        self.store.blob_size(&repository.parse().unwrap(), digest).is_ok()
    }
}

/// What a store has under a tag.
pub fn digest_in(store: &DirectoryStore, repository: &str, tag: &str) -> Option<Digest> {
    let wanted = TagOrDigest::Tag(tag.parse().unwrap());
    Some(store.manifest(&repository.parse().unwrap(), &wanted).ok()?.digest)
}

/// Writes an image with all its children and blobs into a store.
pub fn put(store: &DirectoryStore, repository: &str, tag: Option<&str>, image: &TestImage) {
    let name = repository.parse().unwrap();
    for child in &image.children {
        put(store, repository, None, child);
    }
    for (digest, bytes) in &image.blobs {
        let upload = store.start_upload(&name, digest.algorithm(), None).unwrap();
        store.append(&name, &upload, 0, bytes).unwrap();
        store.finish_upload(&name, &upload, digest).unwrap();
    }
    let (bytes, media_type) = (image.manifest.clone(), image.media_type.clone());
    let manifest = RawManifest { bytes, digest: image.digest, media_type: media_type.as_str().into() };
    let tag = tag.map(|tag| tag.parse().unwrap());
    store.put_manifest(&name, &manifest, &Needed::default(), tag.as_ref()).unwrap();
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Closes the connection where it is returned from a service.
#[derive(Debug, thiserror::Error)]
#[error("dropped for a test")]
struct Dropped;

async fn answer(
    registry: &Registry,
    shared: &Shared,
    mut request: Request<Body>,
) -> Result<Response<Body>, Dropped> {
    let method = request.method().to_string();
    let target = request.uri().to_string();
    let (received, sent) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let place = {
        let mut log = shared.log.lock().unwrap();
        log.push(Logged {
            method: method.clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
            status: None,
            received: Arc::clone(&received),
            sent: Arc::clone(&sent),
        });
        log.len() - 1
    };
    let effects: Vec<Effect> = {
        let mut faults = shared.faults.lock().unwrap();
        faults
            .iter_mut()
            .filter_map(|fault| fault.hits(&method, &target).then(|| fault.effect.clone()))
            .collect()
    };
    shared.faulted.fetch_add(effects.len() as u64, Ordering::SeqCst);
    let (mut limit, mut stall) = (None, None);
    let mut canned_answer = None;
    for effect in &effects {
        match effect {
            Effect::Drop => return Err(Dropped),
            Effect::Delay(time) => tokio::time::sleep(*time).await,
            Effect::IgnoreRange => request = without_range(request),
            Effect::DropRequest(after) => limit = Some(*after),
            Effect::StallRequest(after) => stall = Some(*after),
            Effect::Answer(status, headers, body) => canned_answer = Some(canned(*status, headers, body)),
            Effect::Cut(_) | Effect::Stall(_) | Effect::Flip(_) | Effect::Header(..) | Effect::DropAnswer => {
            }
        }
    }
    let broke = Arc::<AtomicBool>::default();
    let request = request.map(|body| match stall {
        Some(after) => stalled(body, after, received),
        None => limited(body, received, limit, Arc::clone(&broke)),
    });
    let mut response = match canned_answer {
        Some(response) => response,
        None => registry.answer(request).await,
    };
    let mute = effects.iter().any(|effect| matches!(effect, Effect::DropAnswer));
    if broke.load(Ordering::SeqCst) || mute {
        return Err(Dropped);
    }
    for effect in &effects {
        response = disturb(response, effect);
    }
    if let Some(entry) = shared.log.lock().unwrap().get_mut(place) {
        entry.status = Some(response.status().as_u16());
    }
    // An answer to HEAD keeps its body as it is: a stream would lose the length that was stated for it.
    if method == "HEAD" || response.status() == 204 || response.status() == 304 {
        return Ok(response);
    }
    Ok(response.map(|body| limited(body, sent, None, Arc::default())))
}
