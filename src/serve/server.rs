//! The listening side: accepts connections, speaks TLS where asked to, stops cleanly.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::STALLED;
use super::auth::{HtpasswdError, Users};
use super::limits::Peer;
use super::notices::Notices;
use super::patient::Patient;
use super::routes::Registry;
use super::store::Store;

/// Each connection may hold a few chunks; a registry for one cluster has far fewer clients.
const MAX_CONNECTIONS: usize = 256;
const HANDSHAKE: Duration = Duration::from_secs(15);
/// How often the store drops what clients have abandoned.
const TIDY: Duration = Duration::from_secs(60);
/// How long answers under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct ServeOptions {
    pub address: SocketAddr,
    /// Paths of the certificate chain and its key, both PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub htpasswd: Option<PathBuf>,
    pub read_only: bool,
    pub notices: Notices,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{path}: {why}")]
    Tls { path: PathBuf, why: String },
    #[error(transparent)]
    Htpasswd(#[from] HtpasswdError),
}

/// A registry that listens, but answers only once it runs.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    registry: Registry,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Reads certificate and users, and starts to listen.
pub async fn bind(options: ServeOptions, store: Arc<dyn Store>) -> Result<Server, ServeError> {
    let users = options.htpasswd.as_deref().map(Users::from_htpasswd).transpose()?.map(Arc::new);
    let tls = options.tls.as_ref().map(|(chain, key)| acceptor(chain, key)).transpose()?;
    let failed = |source| ServeError::Listen { address: options.address, source };
    let listener = TcpListener::bind(options.address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let registry = Registry::new(store, options.read_only, users).telling(options.notices);
    Ok(Server { listener, address, tls, registry })
}

impl Server {
    /// The address it listens on; tells the port where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done, then lets answers under way come to their end for a little while.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let stopping = CancellationToken::new();
        let connections = TaskTracker::new();
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut shutdown = std::pin::pin!(shutdown);
        let mut tidy = tokio::time::interval(TIDY);
        loop {
            let accept = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = &mut shutdown => break,
                _ = tidy.tick() => {
                    self.registry.tidy();
                    continue;
                }
                next = accept => next,
            };
            let Ok((stream, address)) = accepted else {
                // Out of descriptors, most likely: trying again at once would only burn a core.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (registry, tls, stopping) = (self.registry.clone(), self.tls.clone(), stopping.clone());
            connections.spawn(async move {
                serve(stream, address.ip().into(), tls, registry, stopping).await;
                drop(permit);
            });
        }
        stopping.cancel();
        connections.close();
        let _ = tokio::time::timeout(GRACE, connections.wait()).await;
    }
}

async fn serve(
    stream: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    registry: Registry,
    stopping: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return converse(stream, peer, registry, stopping).await;
    };
    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        converse(stream, peer, registry, stopping).await;
    }
}

/// Answers the requests of one connection. How it ends concerns the client alone.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    peer: Peer,
    registry: Registry,
    stopping: CancellationToken,
) {
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let registry = registry.clone();
        async move {
            let answer: Response<Body> = registry.answer(request.map(Body::new)).await;
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(60))
        .max_buf_size(128 << 10)
        .serve_connection(TokioIo::new(Patient::new(stream, STALLED)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopping.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn acceptor(chain_path: &Path, key_path: &Path) -> Result<TlsAcceptor, ServeError> {
    let refuse = |path: &Path, why: String| ServeError::Tls { path: path.to_owned(), why };
    let chain = CertificateDer::pem_file_iter(chain_path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| refuse(chain_path, e.to_string()))?;
    if chain.is_empty() {
        return Err(refuse(chain_path, "there is no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|e| refuse(key_path, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refuse(chain_path, e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| refuse(key_path, e.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
