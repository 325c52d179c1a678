//! Reads bundles on a web server or in object storage (`https://…`, `s3://…`), by ranges.
//!
//! What it gives out is an [`Input`] like a file's. Nothing is stored here: pieces are kept in memory, a few at a time. An
//! object that is replaced while it is read is noticed where the server has entity tags; every digest is compared anyway.
//! Requests go through the registry client: the same trust, proxies, rate limit and patience, and the same logins.

mod credentials;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::archive::{ArchiveError, FormatError, Input, StorageAnswer};
use crate::image::HostName;
use crate::registry::{ErrorKind, RegistryClient, RegistryError};

/// Bytes of one range request, and the number of ranges that are kept in memory.
const PIECE: u64 = 2 << 20;
const KEPT: usize = 16;
/// Characters of a server's text that are shown.
const MOST_SAID: usize = 300;

/// A bundle that is read over the network.
pub(crate) struct RemoteInput {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// Without a query, which may be a signature.
    name: String,
    len: u64,
    tag: Option<String>,
    /// A runtime of its own, so that reading may block any thread.
    runtime: Option<tokio::runtime::Runtime>,
    /// By number, the latest last.
    kept: Mutex<VecDeque<(u64, Bytes)>>,
}

impl RemoteInput {
    /// Reads the first piece of what `address` names, which tells its size too: an address that was signed for reading, or
    /// leads to one, need not allow a HEAD. `client` says how hosts are reached; each request is tried `tries` times.
    pub(crate) fn open(address: &str, client: &RegistryClient, tries: u32) -> Result<Self, ArchiveError> {
        let url = Url::parse(address).map_err(|_| {
            let place = address.split(['?', '#']).next().unwrap_or_default();
            unreadable(place, "it is not a URL that can be used")
        })?;
        let name = shown(&url);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unreadable(&name, "user names and passwords do not belong in an address"));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| ArchiveError::Io { path: name.clone().into(), error })?;
        let (url, client, shown) = (url.clone(), client.clone(), name.clone());
        let max_retries = usize::try_from(tries.saturating_sub(1)).unwrap_or(0);
        let retry = RetryConfig { max_retries, ..RetryConfig::default() };
        let opened = wait(&runtime, async move {
            let (store, path) = store(&url, &client, retry).await.map_err(|error| failed(&shown, &error))?;
            let options = GetOptions { range: Some((0..PIECE).into()), ..GetOptions::default() };
            let answer = store.get_opts(&path, options).await.map_err(|error| failed(&shown, &error))?;
            let meta = answer.meta.clone();
            let first = answer.bytes().await.map_err(|error| failed(&shown, &error))?;
            let first = whole(first, PIECE.min(meta.size), &shown)?;
            Ok((store, path, meta, first))
        });
        let (store, path, meta, first) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        // Weak tags are equal for contents that differ.
        let tag = meta.e_tag.filter(|tag| !tag.starts_with("W/"));
        let kept = Mutex::new(VecDeque::from([(0, first)]));
        Ok(Self { store, path, name, len: meta.size, tag, runtime: Some(runtime), kept })
    }

    /// What lies beside a bundle, if there is something: S3 says that reading is not allowed where it does not say what
    /// there is.
    pub(crate) fn beside(
        address: &str,
        client: &RegistryClient,
        tries: u32,
    ) -> Result<Option<Self>, ArchiveError> {
        match Self::open(address, client, tries) {
            Err(ArchiveError::Storage { answer: StorageAnswer::Absent | StorageAnswer::Denied, .. }) => {
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// Piece `number`, from memory or from the network.
    fn piece(&self, number: u64) -> Result<Bytes, ArchiveError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = kept().iter().find(|(known, _)| *known == number) {
            return Ok(bytes.clone());
        }
        let range = number * PIECE..((number + 1) * PIECE).min(self.len);
        let bytes = self.fetch(range)?;
        let mut kept = kept();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((number, bytes.clone()));
        Ok(bytes)
    }

    fn fetch(&self, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        let Some(runtime) = &self.runtime else {
            return Err(ArchiveError::Format(FormatError::Damaged(format!("{} is closed", self.name))));
        };
        let options = GetOptions {
            range: Some(range.clone().into()),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        let (store, path, name) = (Arc::clone(&self.store), self.path.clone(), self.name.clone());
        let bytes = wait(runtime, async move {
            let answer = store.get_opts(&path, options).await.map_err(|error| failed(&name, &error))?;
            answer.bytes().await.map_err(|error| failed(&name, &error))
        })?;
        whole(bytes, range.end - range.start, &self.name)
    }
}

impl Input for RemoteInput {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.len);
        if end.is_none() {
            let why = format!("{} ends too early, at byte {}", self.name, self.len);
            return Err(ArchiveError::Format(FormatError::Damaged(why)));
        }
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let piece = self.piece(at / PIECE)?;
            let from = usize::try_from(at % PIECE).unwrap_or(usize::MAX);
            let take = rest.len().min(piece.len() - from);
            let (now, later) = rest.split_at_mut(take);
            now.copy_from_slice(&piece[from..from + take]);
            at += take as u64;
            rest = later;
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Drop for RemoteInput {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for RemoteInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteInput")
            .field("name", &self.name)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// The body for a range, if it is complete.
fn whole(bytes: Bytes, wanted: u64, name: &str) -> Result<Bytes, ArchiveError> {
    if bytes.len() as u64 == wanted {
        return Ok(bytes);
    }
    Err(unreadable(name, &format!("{} bytes came for a range of {wanted}", bytes.len())))
}

fn unreadable(name: &str, why: &str) -> ArchiveError {
    ArchiveError::Storage {
        name: name.to_owned(),
        why: why.to_owned(),
        answer: StorageAnswer::Other,
        hint: None,
    }
}

/// Runs `work` on `runtime`; the calling thread waits.
fn wait<T: Send + 'static>(
    runtime: &tokio::runtime::Runtime,
    work: impl Future<Output = Result<T, ArchiveError>> + Send + 'static,
) -> Result<T, ArchiveError> {
    let (done, result) = std::sync::mpsc::sync_channel(1);
    runtime.spawn(async move {
        // At the end of the program, nobody waits for the result.
        let _ = done.send(work.await);
    });
    result.recv().unwrap_or_else(|_| {
        Err(ArchiveError::Format(FormatError::Damaged("the read over the network was cancelled".to_owned())))
    })
}

/// Where `url` is kept, and under which name.
async fn store(
    url: &Url,
    client: &RegistryClient,
    retry: RetryConfig,
) -> object_store::Result<(Arc<dyn ObjectStore>, Path)> {
    let connector = Connector(client.clone());
    // Whether plain HTTP is allowed is decided by the connector, by host.
    let options = ClientOptions::new().with_allow_http(true);
    if url.scheme() == "s3" {
        let bucket = url.host_str().unwrap_or_default();
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        let builder = credentials::with_chain(builder, client).await;
        let s3 =
            builder.with_client_options(options).with_retry(retry).with_http_connector(connector).build()?;
        return Ok((Arc::new(s3), Path::from_url_path(url.path())?));
    }
    let http = HttpBuilder::new().with_url(url.as_str()).with_client_options(options).with_retry(retry);
    Ok((Arc::new(http.with_http_connector(connector).build()?), Path::default()))
}

/// Connections as the registry client makes them.
#[derive(Debug)]
struct Connector(RegistryClient);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone())))
    }
}

/// Hands each request to the registry client. None has a body: nothing is written here.
#[derive(Debug)]
struct Service(RegistryClient);

#[async_trait::async_trait]
impl object_store::client::HttpService for Service {
    async fn call(
        &self,
        request: object_store::client::HttpRequest,
    ) -> Result<object_store::client::HttpResponse, object_store::client::HttpError> {
        use object_store::client::{HttpError, HttpErrorKind};
        let (head, _) = request.into_parts();
        let name = head.uri.authority().map_or("", |authority| authority.as_str());
        let name: HostName = name.parse().map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let cap = usize::try_from(PIECE).unwrap_or(usize::MAX);
        let answer = self.0.file(&name, http::Request::from_parts(head, ()), cap).await;
        let answer = answer.map_err(|error| {
            let passes = error.is_transient();
            HttpError::new(if passes { HttpErrorKind::Interrupted } else { HttpErrorKind::Unknown }, error)
        })?;
        Ok(answer.map(Into::into))
    }
}

/// An address without what may be secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Each can fail for URLs without a host only, which have neither.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

fn failed(name: &str, error: &object_store::Error) -> ArchiveError {
    use object_store::Error;
    let mut hint = None;
    let why = match error {
        Error::NotFound { .. } => "there is no file at this address".to_owned(),
        Error::Precondition { .. } => {
            return ArchiveError::Format(FormatError::Damaged(format!(
                "{name} was replaced while it was read"
            )));
        }
        Error::PermissionDenied { .. } => "reading it is not allowed".to_owned(),
        Error::Unauthenticated { .. } => "it is not readable without a login, or with this one".to_owned(),
        Error::NotSupported { .. } => "the server does not support ranges for it".to_owned(),
        other => {
            let mut cause: &dyn std::error::Error = other;
            while let Some(source) = cause.source() {
                cause = source;
            }
            if let Some(error) = cause.downcast_ref::<RegistryError>() {
                // The address says which of the two it is.
                hint = error.hint().filter(|_| !matches!(error.kind(), ErrorKind::NotTls));
                error.kind().to_string()
            } else {
                cause.to_string().replace(char::is_control, " ").chars().take(MOST_SAID).collect()
            }
        }
    };
    let answer = match error {
        Error::NotFound { .. } => StorageAnswer::Absent,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StorageAnswer::Denied,
        _ => StorageAnswer::Other,
    };
    let server = Url::parse(name).ok().filter(|url| answer == StorageAnswer::Denied && url.scheme() != "s3");
    if let Some(url) = server {
        hint = Some(format!("store a login for this server: bundle login --no-check {}", url.authority()));
    }
    ArchiveError::Storage { name: name.to_owned(), why, answer, hint }
}
