//! A TCP proxy that is as bad as the worst links are: from a seed it cuts, stalls, slows and corrupts connections.
//!
//! It knows nothing of HTTP, so that its faults fall anywhere: into heads, bodies, chunk sizes, the middle of a digest.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// No connection is held in silence for longer: one whose client has gone is not told of it.
const LONGEST_STALL: Duration = Duration::from_secs(20);
/// How often a silent connection is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Forwards connections until it is dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    backend: Mutex<SocketAddr>,
    dice: Mutex<fastrand::Rng>,
    wild: AtomicBool,
    closed: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    faults: [AtomicU64; 4],
}

/// What has happened to connections so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub cuts: u64,
    pub stalls: u64,
    pub slow: u64,
    pub corrupted: u64,
}

/// What a connection is to suffer, once so many bytes have gone one way.
#[derive(Clone, Copy, Debug)]
struct Inclusion {
    trouble: Trouble,
    upwards: bool,
    after: u64,
}

/// How a connection ends, for both of its directions.
#[derive(Debug, Default)]
struct End {
    came: AtomicBool,
    by_reset: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Closed, in order or by a reset.
    Cut {
        reset: bool,
    },
    Stall,
    /// A pause after every piece.
    Slow,
    /// One bit of one byte.
    Corrupt,
}

impl Link {
    /// A link to `backend` whose troubles follow from `seed` and the order of connections; calm at first.
    pub fn to(backend: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            backend: Mutex::new(backend),
            dice: Mutex::new(fastrand::Rng::with_seed(seed)),
            wild: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            faults: Default::default(),
        });
        let of_loop = Arc::clone(&shared);
        let accepting = thread::spawn(move || {
            for client in listener.incoming() {
                if of_loop.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), shared) = (client, Arc::clone(&of_loop)) else { continue };
                thread::spawn(move || shared.join(&client));
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// `127.0.0.1:<port>`, as it stands in references.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Where new connections lead from now on.
    pub fn lead_to(&self, backend: SocketAddr) {
        *self.shared.backend.lock().unwrap() = backend;
    }

    /// Whether connections made from now on may have trouble.
    pub fn set_wild(&self, wild: bool) {
        self.shared.wild.store(wild, Ordering::SeqCst);
    }

    /// Bytes that went from clients to the backend.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Bytes that went from the backend to clients.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }

    pub fn faults(&self) -> Faults {
        let [cuts, stalls, slow, corrupted] =
            [0, 1, 2, 3].map(|kind: usize| self.shared.faults[kind].load(Ordering::SeqCst));
        Faults { cuts, stalls, slow, corrupted }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the one that waits for connections.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn join(&self, client: &TcpStream) {
        let backend = *self.backend.lock().unwrap();
        // Nobody there: the client's connection is closed, as it would be by a proxy.
        let Ok(server) = TcpStream::connect(backend) else { return };
        let inclusion = self.inclusion();
        for socket in [client, &server] {
            let _ = socket.set_nodelay(true);
            // What a reset throws away is bounded by this.
            let socket = socket2::SockRef::from(socket);
            let _ = (socket.set_send_buffer_size(64 << 10), socket.set_recv_buffer_size(64 << 10));
        }
        let of = |upwards: bool| inclusion.filter(|inclusion| inclusion.upwards == upwards);
        let end = End::default();
        thread::scope(|scope| {
            scope.spawn(|| self.pump(client, &server, &self.sent, of(true), &end));
            self.pump(&server, client, &self.received, of(false), &end);
        });
    }

    fn inclusion(&self) -> Option<Inclusion> {
        if !self.wild.load(Ordering::SeqCst) {
            return None;
        }
        let mut dice = self.dice.lock().unwrap();
        let trouble = match dice.u8(..100) {
            0..45 => Trouble::Cut { reset: dice.bool() },
            45..55 => Trouble::Stall,
            55..70 => Trouble::Slow,
            70..80 => Trouble::Corrupt,
            _ => return None,
        };
        // As often within the first kilobyte as in the megabyte that ends at eight.
        let after = 1_u64 << dice.u32(6..23);
        Some(Inclusion { trouble, upwards: dice.bool(), after: after + dice.u64(..after) })
    }

    /// Moves bytes one way until either side has enough.
    fn pump(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        moved: &AtomicU64,
        inclusion: Option<Inclusion>,
        end: &End,
    ) {
        let mut piece = [0; 16 << 10];
        let (mut passed, mut pending) = (0_u64, inclusion);
        while let Ok(count @ 1..) = from.read(&mut piece) {
            let mut count = count;
            let due = pending.filter(|inclusion| passed + count as u64 > inclusion.after);
            if let Some(inclusion) = due {
                let at = usize::try_from(inclusion.after.saturating_sub(passed)).unwrap();
                match inclusion.trouble {
                    Trouble::Corrupt => {
                        piece[at] ^= 1 << self.dice.lock().unwrap().u8(..8);
                        pending = None;
                    }
                    Trouble::Slow => thread::sleep(Duration::from_millis(2)),
                    Trouble::Cut { .. } | Trouble::Stall => count = at,
                }
                if inclusion.trouble != Trouble::Slow || passed <= inclusion.after {
                    self.faults[inclusion.trouble.number()].fetch_add(1, Ordering::SeqCst);
                }
            }
            if to.write_all(&piece[..count]).is_err() {
                break;
            }
            (passed, _) = (passed + count as u64, moved.fetch_add(count as u64, Ordering::SeqCst));
            match due.map(|inclusion| inclusion.trouble) {
                Some(Trouble::Cut { reset }) => {
                    if reset {
                        end.by_reset.store(true, Ordering::SeqCst);
                    }
                    break;
                }
                Some(Trouble::Stall) => {
                    self.hold(end);
                    break;
                }
                _ => {}
            }
        }
        end.came.store(true, Ordering::SeqCst);
        let by_reset = end.by_reset.load(Ordering::SeqCst);
        for socket in [from, to] {
            if by_reset {
                let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
            // Wakes the other direction; sending nothing, where a reset is to follow.
            let _ = socket.shutdown(if by_reset { Shutdown::Read } else { Shutdown::Both });
        }
    }

    /// Keeps both sides waiting until the other direction has come to its end.
    fn hold(&self, end: &End) {
        let limit = Instant::now() + LONGEST_STALL;
        let over = || end.came.load(Ordering::SeqCst) || self.closed.load(Ordering::SeqCst);
        while !over() && Instant::now() < limit {
            thread::sleep(LOOK);
        }
    }
}

impl Trouble {
    fn number(self) -> usize {
        match self {
            Self::Cut { .. } => 0,
            Self::Stall => 1,
            Self::Slow => 2,
            Self::Corrupt => 3,
        }
    }
}
