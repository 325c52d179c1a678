//! The server: accepts connections, with TLS if configured, and stops cleanly.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Refusal;
use super::auth::{HtpasswdError, Users};
use super::body::Body;
use super::heads::{Heads, MAX_HEAD, Verdict, Verdicts};
use super::limits::{Limits, Peer};
use super::notices::Notices;
use super::pace::StallTimeout;
use super::room::{Answering, Full, Guest, Room};
use super::routes::Registry;
use super::store::Store;
use crate::app::foreign_text;
use crate::app::unusable::Unusable;

/// Longest certificate or key that is read, in bytes.
const MAX_PEM: u64 = 1 << 20;

/// Connections beyond a client's limit that get an answer at the same time; further ones are closed without one.
const TURNED_AWAY: usize = 16;
/// How long that may take.
const TURN_AWAY: Duration = Duration::from_secs(5);
/// How often the store drops what clients have abandoned.
const TIDY: Duration = Duration::from_mins(1);
/// How long answers in progress may take when the server stops.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct ServeOptions {
    pub address: SocketAddr,
    /// Paths of the certificate chain and its key, both PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub htpasswd: Option<PathBuf>,
    pub read_only: bool,
    pub notices: Notices,
    pub limits: Limits,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{0}")]
    Tls(Unusable),
    #[error(transparent)]
    Htpasswd(#[from] HtpasswdError),
}

impl ServeError {
    /// The file that cannot be used, where that is what is wrong.
    pub fn unusable(self) -> Result<Unusable, Self> {
        match self {
            Self::Tls(unusable) | Self::Htpasswd(HtpasswdError::Read(unusable)) => Ok(unusable),
            other => Err(other),
        }
    }
}

/// A registry that listens, but answers only once it runs.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    registry: Registry,
    limits: Limits,
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
    let registry =
        Registry::new(store, options.read_only, users).telling(options.notices).paced(options.limits.pace);
    Ok(Server { listener, address, tls, registry, limits: options.limits })
}

impl Server {
    /// The address it listens on, with the actual port if port 0 was configured.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done, then waits up to `GRACE` for the answers in progress.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (listener, registry) = (self.listener, self.registry);
        let host = Arc::new(Host {
            tls: self.tls,
            registry: registry.clone(),
            limits: self.limits,
            stopping: CancellationToken::new(),
        });
        let connections = TaskTracker::new();
        let room = Room::new(self.limits);
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
        let mut shutdown = std::pin::pin!(shutdown);
        let stopped = host.stopping.clone();
        connections.spawn(async move {
            let mut tidy = tokio::time::interval(TIDY);
            while stopped.run_until_cancelled(tidy.tick()).await.is_some() {
                registry.tidy();
            }
        });
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&listener, &room) => accepted,
            };
            let Ok((stream, guest)) = accepted else {
                // Probably out of file descriptors: trying again at once would only use CPU time.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let host = Arc::clone(&host);
            if let Some(guest) = guest {
                connections.spawn(async move { host.serve(stream, guest).await });
            } else if let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned() {
                connections.spawn(async move {
                    host.turn_away(stream).await;
                    drop(permit);
                });
            }
        }
        host.stopping.cancel();
        room.dismiss();
        connections.close();
        let _ = tokio::time::timeout(GRACE, connections.wait()).await;
    }
}

/// The next connection, with a seat if its client may have another one. While no seat is free, others wait in the
/// system's queue.
async fn accept(listener: &TcpListener, room: &Arc<Room>) -> io::Result<(TcpStream, Option<Guest>)> {
    let (stream, address) = listener.accept().await?;
    loop {
        match room.enter(address.ip().into()) {
            Ok(guest) => return Ok((stream, Some(guest))),
            Err(Full::Client) => return Ok((stream, None)),
            Err(Full::All) => room.opens().await,
        }
    }
}

/// What all connections share.
struct Host {
    tls: Option<TlsAcceptor>,
    registry: Registry,
    limits: Limits,
    stopping: CancellationToken,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Host {
    async fn open(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        let _ = stream.set_nodelay(true);
        match &self.tls {
            Some(tls) => Ok(Box::new(tls.accept(stream).await?)),
            None => Ok(Box::new(stream)),
        }
    }

    /// Answers the requests of one connection. Errors of the connection are ignored: only the client is affected.
    async fn serve(&self, stream: TcpStream, guest: Guest) {
        let seat = Arc::clone(&guest.seat);
        let over = seat.is_over(self.limits.waiting);
        tokio::select! {
            () = over => {}
            () = self.converse(stream, &guest) => {}
        }
    }

    async fn converse(&self, stream: TcpStream, guest: &Guest) {
        let Ok(stream) = self.open(stream).await else { return };
        let verdicts = Verdicts::default();
        let stream = StallTimeout::new(stream, self.limits.pace);
        let stream = Heads::new(stream, verdicts.clone(), Arc::clone(&guest.seat));
        let service = service_fn(|request: Request<Incoming>| {
            let (answering, verdict) = (guest.answering(), verdicts.next());
            let (registry, peer) = (self.registry.clone(), guest.peer);
            async move {
                let response = answer(&registry, peer, verdict, request).await;
                Ok::<_, Infallible>(response.map(|body| held(body, answering)))
            }
        });
        let connection = http1::Builder::new()
            // `Seat::is_over` has a timeout of its own, which begins at connecting.
            .header_read_timeout(None)
            .max_header_size(MAX_HEAD)
            .max_buf_size(128 << 10)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.stopping.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    /// Tells a client that it has too many connections.
    async fn turn_away(&self, stream: TcpStream) {
        let service = service_fn(|_: Request<Incoming>| async {
            let message = format!("more than {} connections of one client", self.limits.per_client);
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message)
                .with(RETRY_AFTER, HeaderValue::from_static("5"))
                .closing();
            Ok::<_, Infallible>(refusal.into_response())
        });
        let told = async {
            let stream = self.open(stream).await?;
            let connection = http1::Builder::new()
                .header_read_timeout(None)
                .max_header_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            connection.await.map_err(io::Error::other)
        };
        let _ = tokio::time::timeout(TURN_AWAY, told).await;
    }
}

async fn answer(
    registry: &Registry,
    peer: Peer,
    verdict: Option<Verdict>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    match verdict {
        // RFC 9112, section 3.2: a server must refuse these.
        Some(_) if !has_one_host(&request) => {
            let message = "an HTTP/1.1 request needs exactly one Host header";
            Refusal::bad("UNSUPPORTED", message).closing().into_response()
        }
        Some(verdict @ (Verdict::Plain | Verdict::Last)) => {
            request.extensions_mut().insert(peer);
            let mut response = registry.answer(request.map(Body::new)).await;
            if verdict == Verdict::Last {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
        Some(Verdict::Ambiguous) | None => {
            let message = "the request states the length of its body in more than one way";
            Refusal::bad("UNSUPPORTED", message).closing().into_response()
        }
    }
}

fn has_one_host(request: &Request<Incoming>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11)
}

/// The body of an answer, which counts as in progress until the body is dropped.
fn held(body: Body, answering: Answering) -> Body {
    Body::new(body.map_err(move |error| {
        let _in_progress = &answering;
        error
    }))
}

fn acceptor(chain_path: &Path, key_path: &Path) -> Result<TlsAcceptor, ServeError> {
    let refuse = |path: &Path, why: String| ServeError::Tls(Unusable::new(why).about(path.display()));
    let text = |path: &Path| {
        let text = foreign_text::named_pem(path, MAX_PEM);
        text.map_err(|error| ServeError::Tls(error.about(path.display())))
    };
    let chain = CertificateDer::pem_slice_iter(text(chain_path)?.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| refuse(chain_path, e.to_string()))?;
    if chain.is_empty() {
        return Err(refuse(chain_path, "there is no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(text(key_path)?.as_bytes());
    let key = key.map_err(|e| refuse(key_path, e.to_string()))?;
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
