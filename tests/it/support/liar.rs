//! A registry that is right but where it lies: a server that writes the bytes of its answers as a test gives them, and
//! lets a real registry answer everything else.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::registry::TestRegistry;

/// A request, as far as lies depend on it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    /// The head, in lower case.
    pub head: String,
    /// How many have been lied to before.
    pub lies: usize,
}

impl Asked {
    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Lie {
    /// The truth.
    No,
    /// These bytes are the whole answer, and the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, and then this over and over until nobody reads it any more.
    Endless(Vec<u8>, Vec<u8>),
    /// These bytes, and then nothing.
    Silence(Vec<u8>),
    /// The registry's own answer, behind these bytes.
    Before(Vec<u8>),
    /// The registry does what is asked, and this is the answer.
    Instead(Vec<u8>),
}

/// An answer of `status`, with further header lines and a body of a stated length.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

type Answers = dyn Fn(&Asked) -> Lie + Send + Sync;

/// Runs until it is dropped.
pub struct Liar {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    behind: SocketAddr,
    lie: Box<Answers>,
    told: AtomicUsize,
    asked: Mutex<Vec<Asked>>,
    closed: AtomicBool,
}

impl Liar {
    pub fn before(registry: &TestRegistry, lie: impl Fn(&Asked) -> Lie + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behind: registry.host().parse().unwrap(),
            lie: Box::new(lie),
            told: AtomicUsize::new(0),
            asked: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let of_loop = Arc::clone(&shared);
        let accepting = thread::spawn(move || {
            for client in listener.incoming() {
                if of_loop.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), shared) = (client, Arc::clone(&of_loop)) else { continue };
                thread::spawn(move || {
                    let _ = shared.serve(client);
                });
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// How many lies were told.
    pub fn told(&self) -> usize {
        self.shared.told.load(Ordering::SeqCst)
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    /// One request and its answer.
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            if client.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (method, path) = (word(), word());
        let lower = text.to_lowercase();
        let asked = Asked { method, path, head: lower.clone(), lies: self.told.load(Ordering::SeqCst) };
        self.asked.lock().unwrap().push(asked.clone());
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let body = client.try_clone()?.take(length.unwrap_or(0));
        let lie = (self.lie)(&asked);
        if !matches!(lie, Lie::No) {
            self.told.fetch_add(1, Ordering::SeqCst);
        }
        match lie {
            Lie::No => self.pass(&text, body, &mut client)?,
            Lie::Before(bytes) => {
                client.write_all(&bytes)?;
                self.pass(&text, body, &mut client)?;
            }
            Lie::Instead(bytes) => {
                self.pass(&text, body, &mut std::io::sink())?;
                client.write_all(&bytes)?;
            }
            Lie::Raw(bytes) => {
                swallow(body)?;
                client.write_all(&bytes)?;
            }
            Lie::Endless(bytes, again) => {
                swallow(body)?;
                client.write_all(&bytes)?;
                while !self.closed.load(Ordering::SeqCst) {
                    client.write_all(&again)?;
                }
            }
            Lie::Silence(bytes) => {
                swallow(body)?;
                client.write_all(&bytes)?;
                // Until the client has had enough.
                let _ = client.read(&mut byte);
            }
        }
        client.shutdown(Shutdown::Write)?;
        // What is still on its way must not turn the end into a reset.
        swallow(&mut client)
    }

    fn pass(
        &self,
        head: &str,
        body: impl std::io::Read,
        out: &mut impl std::io::Write,
    ) -> std::io::Result<()> {
        let mut server = TcpStream::connect(self.behind)?;
        let head = head.strip_suffix("\r\n").unwrap_or(head);
        server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
        let mut body = body;
        std::io::copy(&mut body, &mut server)?;
        std::io::copy(&mut server, out)?;
        Ok(())
    }
}

fn swallow(mut from: impl std::io::Read) -> std::io::Result<()> {
    std::io::copy(&mut from, &mut std::io::sink()).map(drop)
}
