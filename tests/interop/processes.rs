//! Servers that tests start: waiting until they are ready, stopping them when dropped, at the end and on signals.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The longest wait for a server or a condition, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Running servers, for `end`: statics are never dropped, and a signal drops nothing.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

static ROOT: LazyLock<Mutex<Option<TempDir>>> =
    LazyLock::new(|| Mutex::new(Some(TempDir::with_prefix("interop-").unwrap())));

/// The directory that contains those of all tests.
pub fn root() -> PathBuf {
    ROOT.lock().unwrap().as_ref().expect("the run is not over").path().to_owned()
}

/// A process in the background.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command`; what it says goes to `log`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let server = Self { child, log: log.to_owned() };
        RUNNING.lock().unwrap().push(server.pid());
        server
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).expect("a process has an id")
    }

    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn last_line(&self) -> String {
        self.said().lines().last().unwrap_or_default().to_owned()
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Polls until `ready`. False if the server ended before.
    pub fn comes_up_within(&mut self, patience: Duration, mut ready: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        while !ready() {
            if self.has_ended() || begun.elapsed() > patience {
                return ready();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    pub fn comes_up(&mut self, ready: impl FnMut() -> bool) -> bool {
        self.comes_up_within(PATIENCE, ready)
    }

    /// Polls until `ready`; the server must get there.
    pub fn until(&mut self, what: &str, ready: impl FnMut() -> bool) {
        assert!(self.comes_up(ready), "{what} did not come up: {}", self.said());
    }

    /// Polls until the log contains `before`, and returns what follows it up to the next blank.
    pub fn address_after(&mut self, what: &str, before: &str) -> String {
        let log = self.log.clone();
        let find = || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let (_, after) = said.split_once(before)?;
            let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '\\'))?;
            Some(after[..end].to_owned())
        };
        self.until(what, || find().is_some());
        find().expect("it was there a moment ago")
    }

    /// SIGTERM, and waits until it is gone.
    pub fn stop(&mut self) {
        let pid = self.pid();
        RUNNING.lock().unwrap().retain(|running| *running != pid);
        if self.has_ended() {
            return;
        }
        let _ = kill_process(pid, Signal::TERM);
        let begun = Instant::now();
        while !self.has_ended() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Polls until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a server that cannot choose a port itself. Tries other ports when it does not get the first.
pub fn on_a_free_port(
    what: &str,
    patience: Duration,
    start: impl Fn(u16) -> Server,
    ready: impl Fn(u16) -> bool,
) -> (Server, u16) {
    let mut said = String::new();
    for _ in 0..5 {
        let port = free_port();
        let mut server = start(port);
        if server.comes_up_within(patience, || ready(port)) {
            return (server, port);
        }
        said = server.said();
    }
    panic!("{what} did not come up: {said}");
}

/// A free port below the kernel's range for outgoing connections.
pub fn free_port() -> u16 {
    std::iter::repeat_with(|| fastrand::u16(20_000..32_000))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// Whether somebody listens there.
pub fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Ends what still runs, and removes the folders of the tests.
pub fn end() {
    let running = std::mem::take(&mut *RUNNING.lock().unwrap());
    for pid in &running {
        let _ = kill_process(*pid, Signal::TERM);
    }
    // Whoever owns a child reaps it; here it is only waited for its end.
    let begun = Instant::now();
    let runs = |pid: &Pid| {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    while running.iter().any(runs) && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let Some(root) = ROOT.lock().unwrap().take() else { return };
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    for place in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(place).starts_with(root.path()) {
            let _ = Command::new("umount").arg(place).status();
        }
    }
    drop(root);
}

/// SIGINT and SIGTERM end the run, and what it has started.
#[allow(clippy::exit)]
pub fn stop_all_on_signals() {
    use tokio::signal::unix::{SignalKind, signal};
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let code = runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).unwrap();
            let mut terminate = signal(SignalKind::terminate()).unwrap();
            tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 }
        });
        end();
        std::process::exit(code);
    });
}
